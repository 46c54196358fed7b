"""A worker that has an engine for formulas reads with it what another engine of the page left without LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from copyist import document, storage
from copyist.db import readings
from copyist.db.tables import Page, Reading
from copyist.engines.base import Availability, EngineSettings, Mode, PageImage
from copyist.queue import context as contexts
from copyist.queue import reading
from copyist.queue.context import Context
from copyist.settings import Settings
from tests.api.formula_engines import LATEX, Formulas, Layouts, Thoughtful, picture
from tests.queue.rows import make_job

SHA256 = "b" * 64


class Versioned(Formulas):
    """Says which version it is."""

    name = "versioned"
    now = "1"

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        return Availability(ready=True, version=cls.now)


class Plain(Formulas):
    """Reads documents, and finds no formulas."""

    name = "plain"
    modes = frozenset({Mode.DOCUMENT})

    def page(self, image: PageImage) -> document.Page:
        return super(Formulas, self).page(image)


class Slow(Thoughtful):
    """Takes longer than it may."""

    name = "slow-formulas"
    seconds = 30.0


Here = Callable[..., Context]


@pytest.fixture
def here(sqlite_url: str, redis_url: str, tmp_path: Path) -> Iterator[Here]:
    built: list[Context] = []

    def build(engine: str, *, backend: str = "layouts") -> Context:
        settings = Settings(
            _env_file=None,
            data_dir=tmp_path,
            database_url=sqlite_url,
            redis_url=redis_url,
            ocr_plugins=("tests.api.formula_engines:Layouts", f"{__name__}:Plain", f"{__name__}:{engine}"),
            ocr_backend=backend,
            ocr_fallback=("mock",),
            weights_dir=tmp_path,
            formula_model=tmp_path / "none",
            engine_timeout_s=1,
        )
        built.append(contexts.build(settings))
        built[0].storage.put(storage.file_key(SHA256), picture())
        return built[0]

    yield build
    for one in built:
        one.registry.close()
        one.db.close()


def page_of(here: Context, job_id: str) -> tuple[document.Page, list[dict[str, Any]]]:
    with here.db.read() as session:
        row = session.get_one(Page, (job_id, 1))
        kept = session.get_one(Reading, row.reading_id)
    return document.Page.model_validate_json(kept.page), row.trail


def test_a_worker_reads_the_formulas_of_a_page_and_knows_them_the_next_time(here: Here) -> None:
    context = here("Versioned")
    outcomes = []
    for version in ("1", "1", "2"):
        Versioned.now = version
        job_id = make_job(context, 1, kind="png")
        reading.read_one(context, job_id, 1, token=job_id)
        page, trail = page_of(context, job_id)
        assert (page.engine, page.blocks[-1].markup) == (Layouts.name, LATEX)
        outcomes.append([(step["engine"], step["outcome"]) for step in trail])
    read = [("layouts", "read"), ("versioned", "read")]
    assert outcomes == [read, [("layouts", "cached")], read], "another model reads anew"


def test_a_page_without_formulas_does_not_depend_on_who_reads_them(here: Here) -> None:
    context = here("Versioned", backend="plain")
    outcomes = []
    for version in ("1", "2"):
        Versioned.now = version
        job_id = make_job(context, 1, kind="png")
        reading.read_one(context, job_id, 1, token=job_id)
        outcomes += [step["outcome"] for step in page_of(context, job_id)[1]]
    assert outcomes == ["read", "cached"], "another model changes nothing about it"
    assert context.identities({"mode": Mode.FORMULA}) == ("best:versioned@2,mock@1",)


def test_one_that_takes_too_long_is_stopped_and_the_page_is_done_without_it(here: Here) -> None:
    context = here("Slow")
    job_id = make_job(context, 1, kind="png")
    reading.read_one(context, job_id, 1, token="t")
    page, trail = page_of(context, job_id)
    assert [block.markup for block in page.blocks] == [None], "the line of text; the formula says nothing"
    assert [(step["engine"], step["outcome"]) for step in trail] == [
        ("layouts", "read"),
        ("slow-formulas", "timed_out"),
    ]
    assert trail[1]["reason"] == "It did not finish within 1 s."
    with context.db.read() as session:
        keys = [context.cache_key(SHA256, 1, {}, identity) for identity in context.identities({})]
        assert readings.cached(session, keys) == {}
