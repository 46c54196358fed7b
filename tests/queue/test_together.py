"""Several pages in one process: whose tokens they have, what is kept of them, what the worker says meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select

from copyist import storage
from copyist.db import jobs, pages
from copyist.db.tables import Job, Reading
from copyist.document import Page
from copyist.engines.base import Availability, EngineSettings, PageImage, ReadOptions
from copyist.engines.registry import State
from copyist.queue import context as contexts
from copyist.queue import intake, reading
from copyist.queue.context import Context
from copyist.queue.together import do_together
from copyist.settings import Settings
from tests.faulty_engines import Faulty
from tests.queue.rows import make_job


class Fickle(Faulty):
    """An engine whose check says what the test wants."""

    name = "fickle"
    needs_gpu = True
    found = Availability(ready=False, reason="Its server is away.")

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        return cls.found


class Humble(Faulty):
    """Reads, and meanwhile the better engine is back."""

    name = "humble"
    text = "A line that was raed"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        Fickle.found = Availability(ready=True, version="1")
        return super().read(images, options)


@pytest.fixture
def context(sqlite_url: str, redis_url: str, tmp_path: Path) -> Iterator[Context]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path,
        database_url=sqlite_url,
        redis_url=redis_url,
        ocr_plugins=(f"{__name__}:Fickle", f"{__name__}:Humble"),
        ocr_backend="fickle",
        ocr_fallback=("humble",),
    )
    built = contexts.build(settings)
    yield built
    built.db.close()
    Fickle.found = Availability(ready=False, reason="Its server is away.")


def sent_job(context: Context, job_id: str, count: int = 0) -> str:
    """A job on the queue ``gpu``; its pages were sent."""
    make_job(context, count, job_id=job_id, kind="png", queue="gpu")
    with context.db.write() as session:
        pages.take_to_send(session, job_id, count)
    return job_id


def test_what_is_taken_along_gets_its_token_in_the_thread_of_the_task(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere Celery does not know which task it is, and what a dead process had in hand would not be found."""
    paged, whole = sent_job(context, "a", 1), sent_job(context, "b")
    tokens: dict[str, str] = {}

    def took(what: str) -> Callable[..., None]:
        def take(_context: Context, job_id: str, *_number: int, token: str) -> None:
            tokens[f"{what} {job_id}"] = token
            with context.db.write() as session:
                if what == "job":
                    jobs.claim_intake(session, job_id, token=token, lease_s=30, max_attempts=3)
                else:
                    pages.claim(session, job_id, 1, token=token, lease_s=30, max_attempts=3)

        return take

    monkeypatch.setattr(Context, "pages_at_once", lambda *_: 4)
    monkeypatch.setattr(reading, "read_one", took("page"))
    monkeypatch.setattr(intake, "take_in", took("job"))
    done = threading.Event()
    threading.Timer(1, done.set).start()
    do_together(context, "gpu", done.wait, token=lambda: threading.current_thread().name)
    here = threading.current_thread().name
    assert tokens == {f"page {paged}": here, f"job {whole}": here}


def test_a_reading_is_not_kept_for_later_when_a_better_engine_came_back_meanwhile(
    context: Context, tmp_path: Path
) -> None:
    Image.new("L", (300, 400), 255).save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file:
        context.storage.put(storage.file_key("b" * 64), file)
    job_id = sent_job(context, "a", 1)
    reading.read_one(context, job_id, 1, token="t")
    with context.db.read() as session:
        (kept,) = session.scalars(select(Reading))
        assert session.get_one(Job, job_id).status == "completed"
    assert (kept.engine, kept.cache_key) == ("humble", None)


@pytest.mark.parametrize("device, holds", [("cuda", True), ("http://gpu:8000/v1", False)])
def test_a_model_that_is_loaded_does_not_lack_the_memory_that_it_takes_itself(
    context: Context, device: str, holds: bool
) -> None:
    Fickle.found = Availability(ready=True, version="1", device=device, at_once=8)
    assert context.queues() == ["gpu", "pictures"]
    context.board.tell("fickle", State.LOADED)
    Fickle.found = Availability(ready=False, reason="The GPU has too little memory.")
    assert context.engines()["fickle"]["ready"] is holds
    assert context.pages_at_once("gpu") == (8 if holds else 1)
    context.board.tell("fickle", State.UNLOADED)
    assert not context.engines()["fickle"]["ready"]
