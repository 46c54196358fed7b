"""Lines that somebody corrected get their pictures once, whatever is away, gone or deleted meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import redis
from sqlalchemy import delete, select, update

from copyist import storage
from copyist.db.examples import BLANK, MAX_ATTEMPTS, NOT_HANDWRITING
from copyist.db.learning_tables import Correction, LinePicture
from copyist.db.tables import now
from copyist.document import Box
from copyist.errors import StorageFull, Unavailable
from copyist.queue import lines, upkeep, watch
from copyist.queue.context import Context
from copyist.queue.routing import Queue
from copyist.storage import Storage
from copyist.training.crops import RECIPE
from copyist.training.examples import sha256_of, split_of
from tests.queue.corrected import Written, correct, written

TEXTS = ("by the harbour", "lantern", "9 March 1894")


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def page(context: Context) -> Written:
    page = written(context, TEXTS)
    correct(context, page, {0: "by the harbour", 2: None})
    return page


def rows(context: Context) -> list[LinePicture]:
    with context.db.read() as session:
        return list(session.scalars(select(LinePicture).order_by(LinePicture.line)))


def problems(context: Context) -> set[str | None]:
    return {row.problem for row in rows(context)}


def test_corrected_lines_are_cut_out_once_and_kept(context: Context, page: Written) -> None:
    lines.cut_lines(context, page.job_id, 1)
    first, second = found = rows(context)
    for row in found:
        assert row.sha256 and row.page_sha256 and (row.recipe, row.attempts, row.problem) == (RECIPE, 1, None)
        content = context.storage.get(storage.line_key(row.sha256))
        assert content and content.startswith(b"\x89PNG") and sha256_of(content) == row.sha256
        assert row.split == split_of(row.page_sha256)
    assert first.page_sha256 == second.page_sha256 and first.sha256 != second.sha256
    before = [vars(row) for row in found]
    lines.cut_lines(context, page.job_id, 1)
    correct(context, page, {0: "by the Harbour"})
    lines.cut_lines(context, page.job_id, 1)
    for was, row in zip(before, rows(context), strict=True):
        assert {name: getattr(row, name) for name in was if name[0] != "_"} == {
            k: v for k, v in was.items() if k[0] != "_"
        }


def test_a_line_corrected_later_is_cut_out_then(context: Context, page: Written) -> None:
    lines.cut_lines(context, page.job_id, 1)
    correct(context, page, {1: "lantern"})
    lines.cut_lines(context, page.job_id, 1)
    found = rows(context)
    assert [row.attempts for row in found] == [1, 1, 1] and len({row.sha256 for row in found}) == 3
    assert len({(row.page_sha256, row.split) for row in found}) == 1


def test_print_is_not_cut_out(context: Context) -> None:
    page = written(context, TEXTS, mode="document")
    correct(context, page, {0: "x"})
    lines.cut_lines(context, page.job_id, 1)
    assert problems(context) == {NOT_HANDWRITING}


def test_a_file_that_is_gone_is_said_to_be(context: Context, page: Written) -> None:
    context.storage.delete(storage.file_key(page.sha256))
    lines.cut_lines(context, page.job_id, 1)
    assert problems(context) == {"The file is gone."}


def test_a_damaged_page_is_said_to_be(context: Context, page: Written) -> None:
    context.storage.put(storage.file_key(page.sha256), b"\x89PNG\r\n\x1a\nnothing")
    lines.cut_lines(context, page.job_id, 1)
    (problem,) = problems(context)
    assert problem and "damaged" in problem


def test_a_box_with_nothing_in_it_has_a_problem_and_the_others_have_pictures(context: Context, page: Written) -> None:
    with context.db.write() as session:
        nowhere = list(Box(700, 5, 880, 20))
        session.execute(update(Correction).where(Correction.line == 2).values(box=nowhere))
    lines.cut_lines(context, page.job_id, 1)
    assert [(bool(row.sha256), row.problem) for row in rows(context)] == [(True, None), (False, BLANK)]


@pytest.mark.parametrize("trouble", [StorageFull(), Unavailable(what="The storage")])
def test_lines_outlast_a_storage_in_trouble(
    context: Context, page: Written, trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put", fail)
        for _ in range(MAX_ATTEMPTS + 2):
            lines.cut_lines(context, page.job_id, 1)
    assert [(row.sha256, row.problem, row.attempts) for row in rows(context)] == [(None, None, 0)] * 2
    lines.cut_lines(context, page.job_id, 1)
    assert all(row.sha256 for row in rows(context))


class Deleting(Storage):
    """A store that finds, when it has kept a picture, that the job was deleted meanwhile."""

    def __init__(self, url: str, delete_job: Callable[[], None]) -> None:
        super().__init__(url)
        self._delete_job = delete_job
        self.kept: list[str] = []

    def put(self, key: str, content: object) -> None:
        super().put(key, content)  # type: ignore[arg-type]
        self.kept.append(key)
        self._delete_job()


def test_no_picture_stays_of_a_job_that_was_deleted_meanwhile(context: Context, page: Written) -> None:
    def delete_job() -> None:
        with context.db.write() as session:
            session.execute(delete(LinePicture))

    store = Deleting(context.settings.storage, delete_job)
    lines.cut_lines(replace(context, storage=store), page.job_id, 1)
    assert len(store.kept) == 2 and [store.exists(key) for key in store.kept] == [False, False]


def test_a_page_that_hangs_is_given_up_with_its_process(
    context: Context, page: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(watch, "end_this_process", ended.set)
    monkeypatch.setattr(lines, "cut", lambda *_: ended.wait(20))
    slow = replace(context, settings=context.settings.model_copy(update={"intake_timeout_s": 0.1}))
    with pytest.raises(AttributeError):  # It was not really ended, and went on with what ``wait`` gave.
        lines.cut_lines(slow, page.job_id, 1)
    assert problems(context) == {"Cutting it out of its page took longer than 0.1 s."}


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def sent(broker: redis.Redis) -> list[str]:
    return [json.loads(one)["headers"]["kwargsrepr"] for one in broker.lrange(f"{Queue.PICTURES}:6", 0, -1)]


def test_lines_that_wait_for_long_are_sent_again_a_page_once(
    context: Context, page: Written, broker: redis.Redis
) -> None:
    assert upkeep.send_lines(context) is False and sent(broker) == []
    with context.db.write() as session:
        session.execute(update(LinePicture).values(created_at=now() - timedelta(seconds=61)))
    for _ in range(2):
        assert upkeep.send_lines(context) is False
    assert sent(broker) == [repr({"job_id": page.job_id, "number": 1})]


def test_no_more_is_sent_than_the_workers_get_done(
    context: Context, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = now() - timedelta(hours=1)
    with context.db.write() as session:
        for number in range(1, 6):
            session.add(LinePicture(job_id="job", page=number, line=0, lines_on_page=1, created_at=long_ago))
    monkeypatch.setattr(upkeep, "LINES_AT_ONCE", 3)
    upkeep.send_lines(context)
    assert len(sent(broker)) == 3
    broker.ltrim(f"{Queue.PICTURES}:6", 0, 1)
    upkeep.send_lines(context)
    assert len(sent(broker)) == 3
