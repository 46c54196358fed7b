"""What is away or full while a page is read is not the page's fault: it is given back, uncounted, and read later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event, text, update
from sqlalchemy.exc import DataError, OperationalError, ProgrammingError

from copyist import document, storage
from copyist.db import readings
from copyist.db.session import Database
from copyist.db.states import JobStatus, PageStatus
from copyist.db.tables import Job, Page
from copyist.errors import StorageFull, Unavailable
from copyist.queue import drawing, intake, reading
from copyist.queue.context import Context
from copyist.storage import Storage
from tests.away import as_role, execute
from tests.queue.rows import make_job
from tests.servers import PostgresServer

SHA256 = "b" * 64
"""The file of all jobs of ``make_job``."""


class Troubled(Storage):
    """A store that fails in the same way whatever it is asked for, as long as it has a ``trouble``."""

    def __init__(self, content: bytes) -> None:
        super().__init__("memory:///")
        self.trouble: Exception | None = None
        self.put(storage.file_key(SHA256), content)

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        if self.trouble:
            raise self.trouble
        with super().local(key) as path:
            yield path

    def put(self, key: str, content: object) -> None:
        if self.trouble:
            raise self.trouble
        super().put(key, content)  # type: ignore[arg-type]


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def store(own_samples: Path) -> Troubled:
    return Troubled((own_samples / "note.png").read_bytes())


@pytest.fixture
def here(context: Context, store: Troubled) -> Context:
    return replace(context, storage=store)


def state(here: Context, job_id: str) -> tuple[PageStatus, int, bool]:
    """Status and attempts of the first page, and whether it waits to be sent."""
    with here.db.read() as session:
        page = session.get_one(Page, (job_id, 1))
    return page.status, page.attempts, page.sent_at is None


@pytest.mark.parametrize("trouble", [StorageFull(), Unavailable(what="The storage"), OSError(28, "No space left")])
def test_a_page_outlasts_a_storage_in_trouble(here: Context, store: Troubled, trouble: Exception) -> None:
    job_id = make_job(here, 1, kind="png")
    store.trouble = trouble
    for attempt in range(2 * here.settings.page_attempts):
        reading.read_one(here, job_id, 1, token=f"t.{attempt}")
        assert state(here, job_id) == (PageStatus.PENDING, 0, True)
    store.trouble = None
    reading.read_one(here, job_id, 1, token="t.last")
    assert state(here, job_id)[:2] == (PageStatus.DONE, 1)


def test_an_intake_outlasts_a_storage_in_trouble(here: Context, store: Troubled) -> None:
    job_id = make_job(here, kind="png")
    store.trouble = Unavailable(what="The storage")
    for attempt in range(2 * here.settings.page_attempts):
        intake.take_in(here, job_id, token=f"t.{attempt}")
        with here.db.write() as session:
            job = session.get_one(Job, job_id)
            assert (job.attempts, job.sent_at, job.error_code) == (0, None, None)
    store.trouble = None
    intake.take_in(here, job_id, token="t.last")
    with here.db.read() as session:
        assert session.get_one(Job, job_id).status == JobStatus.COMPLETED


def test_a_page_outlasts_a_database_without_room(here: Context) -> None:
    job_id = make_job(here, 1, kind="png")
    with without_room(here):
        for attempt in range(2 * here.settings.page_attempts):
            reading.read_one(here, job_id, 1, token=f"t.{attempt}")
            assert state(here, job_id) == (PageStatus.PENDING, 0, True)
    reading.read_one(here, job_id, 1, token="t.last")
    assert state(here, job_id)[:2] == (PageStatus.DONE, 1)


@contextmanager
def without_room(here: Context) -> Iterator[None]:
    """A database that cannot grow: what stands in it may be changed, and nothing may be added."""

    def limit(connection: object, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]  # It stays as large as it is.

    here.db.close()
    event.listen(here.db.engine, "connect", limit)
    page = document.Page(
        number=1, width=1, height=1, dpi=72, source="ocr", engine="mock", engine_version="1", blocks=()
    )
    try:
        with pytest.raises(OperationalError, match="disk is full"):
            for _ in range(10_000):
                with here.db.write() as session:
                    readings.store(session, page, None)
        yield
    finally:
        event.remove(here.db.engine, "connect", limit)
        here.db.close()


def test_a_picture_waits_for_room(here: Context, store: Troubled) -> None:
    job_id = make_job(here, 1, kind="png")
    store.trouble = StorageFull()
    drawing.draw(here, job_id, 1)
    store.trouble = None
    assert here.storage.get(storage.picture_key(SHA256, 1)) is None
    drawing.draw(here, job_id, 1)
    assert here.storage.get(storage.picture_key(SHA256, 1))


def test_a_picture_waits_for_its_file(here: Context, store: Troubled, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = make_job(here, 1, kind="png")
    with monkeypatch.context() as half:
        half.setattr(store, "put", partial(Storage.put, store))
        store.trouble = Unavailable(what="The storage")
        drawing.draw(here, job_id, 1)
    store.trouble = None
    assert here.storage.get(storage.picture_key(SHA256, 1)) is None, "an empty one would say that there is none, ever"


def test_a_fault_of_the_page_is_still_counted(here: Context, store: Troubled) -> None:
    job_id = make_job(here, 1, kind="png")
    with here.db.write() as session:
        session.execute(update(Page).values(attempts=here.settings.page_attempts - 1))
    store.trouble = OSError(5, "Input/output error")
    reading.read_one(here, job_id, 1, token="t")
    assert state(here, job_id)[:2] == (PageStatus.FAILED, here.settings.page_attempts)


def test_a_page_is_given_back_when_the_database_has_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "GIVE_BACK_EVERY_S", 0.01)
    answers = iter([False, False, True])
    given: list[bool] = []

    def give_back() -> None:
        if not next(answers):
            raise refused("Connection refused")
        given.append(True)

    with reading.uncounted_if_ours(give_back):
        raise refused("server closed the connection unexpectedly")
    assert given == [True]


def test_a_connection_that_broke_is_ours_in_whatever_words() -> None:
    broken = OperationalError("SELECT 1", {}, Exception("in words of some driver"), connection_invalidated=True)
    given: list[bool] = []
    with reading.uncounted_if_ours(lambda: given.append(True)):
        raise broken
    assert given


def test_who_is_not_let_in_is_not_let_in_by_us(postgres: PostgresServer, postgres_url: str) -> None:
    execute(postgres.url, "CREATE ROLE visitor")
    database = Database(as_role(postgres_url, "visitor", "x"))
    with pytest.raises(OperationalError, match="not permitted to log in") as found:
        database.check()
    assert reading.is_ours(found.value)
    execute(postgres.url, "DROP ROLE visitor")


def test_what_stands_on_a_page_is_no_reason(here: Context) -> None:
    with pytest.raises(OperationalError) as found, here.db.write() as session:
        session.execute(text("INSERT INTO nowhere VALUES (:text)"), {"text": "the disk is full"})
    assert not reading.is_ours(found.value)


def refused(message: str) -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception(message))


@pytest.mark.parametrize(
    "error",
    [
        DataError("INSERT", {}, Exception("value too long; No space left")),
        ProgrammingError("INSERT", {}, Exception("syntax error")),
        refused("target lists can have at most 1664 entries"),
        FileNotFoundError(2, "No such file or directory"),
        ValueError("disk full"),
    ],
)
def test_what_would_happen_again_is_not_ours(error: Exception) -> None:
    with pytest.raises(type(error)), reading.uncounted_if_ours(pytest.fail):
        raise error
