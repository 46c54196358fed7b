"""Lines that wait to be cut out, are cut out once, and are counted."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Integer, String, cast, delete, func, insert, literal, select, update

from copyist.db import examples
from copyist.db.examples import BLANK, MAX_ATTEMPTS, MOST_ALIKE, NOT_HANDWRITING, Counts
from copyist.db.learning_tables import Correction, LinePicture, TrainingRun
from copyist.db.session import Database
from copyist.db.states import RunStatus
from copyist.db.tables import Job, now
from copyist.document import Box
from tests.db.conftest import MakeJob

BOX = [10, 20, 300, 60]


def revise(
    db: Database, line: int, after: str, *, before: str = "read", job: str = "job", page: int = 1, **picture: Any
) -> int:
    """Add a revision of a line, and say what is known of its picture; gives the revision."""
    with db.write() as session:
        facts: dict[str, Any] = {"job_id": job, "page": page, "line": line}
        known = session.get(LinePicture, (job, page, line))
        if known is None:
            known = LinePicture(**facts, lines_on_page=3)
            session.add(known)
        for name, value in picture.items():
            setattr(known, name, value)
        parent = select(func.max(Correction.id)).filter_by(**facts)
        made = Correction(
            parent_id=session.scalar(parent),
            **facts,
            owner="",
            file_sha256="a" * 64,
            box=BOX,
            before=before,
            after=after,
            source="api",
            engine="trocr",
            engine_version="1",
        )
        session.add(made)
        session.flush()
        return made.id


def is_cut(page: str, split: str, picture: str) -> dict[str, str]:
    return {"page_sha256": page, "split": split, "sha256": picture}


def row(db: Database, line: int, job: str = "job", page: int = 1) -> LinePicture:
    with db.read() as session:
        return session.get_one(LinePicture, (job, page, line))


def counted(db: Database) -> Counts:
    with db.read() as session:
        return examples.counts(session)


def waiting(db: Database, seconds: float = 60, limit: int = 10) -> list[tuple[str, int]]:
    with db.read() as session:
        return examples.waiting(session, limit, now() - timedelta(seconds=seconds))


def test_lines_wait_from_when_they_were_sent_last(db: Database) -> None:
    long_ago = now() - timedelta(seconds=100)
    revise(db, 0, "a", job="old", created_at=long_ago)
    revise(db, 1, "a", job="old", created_at=long_ago)
    revise(db, 0, "a", job="sent", created_at=long_ago - timedelta(seconds=1), sent_at=now())
    revise(db, 0, "a", job="done", created_at=long_ago, **is_cut("p", "train", "x"))
    revise(db, 0, "a", job="none", created_at=long_ago, problem="The file is gone.")
    revise(db, 0, "a", job="fresh")
    assert waiting(db) == [("old", 1)]
    assert waiting(db, -1, limit=2) == [("sent", 1), ("old", 1)]
    with db.write() as session:
        examples.sent(session, [("old", 1)])
    assert waiting(db) == []


def test_a_page_is_cut_for_its_waiting_lines_and_every_attempt_counts(db: Database, make_job: MakeJob) -> None:
    job = make_job(1)
    with db.write() as session:
        session.execute(update(Job).values(options={"mode": "handwriting"}))
    revise(db, 2, "a", job=job)
    revise(db, 0, "b", job=job)
    revise(db, 1, "c", job=job, problem="x")
    for _ in range(MAX_ATTEMPTS):
        with db.write() as session:
            found = examples.to_cut(session, job, 1)
    assert found is not None
    assert (found.kind, found.is_handwriting, found.lines) == ("pdf", True, ((0, Box(*BOX)), (2, Box(*BOX))))
    with db.write() as session:
        examples.give_back(session, job, 1)
        assert examples.to_cut(session, job, 1) == found
        assert examples.to_cut(session, job, 1) is None
    assert "5 attempts" in (row(db, 0, job).problem or "") and row(db, 1, job).problem == "x"


def test_only_pages_that_were_read_as_handwriting_are(db: Database, make_job: MakeJob) -> None:
    job = make_job(1)
    revise(db, 0, "a", job=job)
    revise(db, 0, "a", job="gone")
    with db.write() as session:
        printed, gone = examples.to_cut(session, job, 1), examples.to_cut(session, "gone", 1)
    assert printed and gone and (printed.is_handwriting, gone.is_handwriting) == (False, True)


def cut(db: Database, page_sha256: str, split: str, **pictures: str | None) -> list[str]:
    with db.write() as session:
        return examples.cut(
            session,
            "job",
            1,
            page_sha256=page_sha256,
            split=split,
            recipe="r1",
            pictures={int(name[1:]): sha256 for name, sha256 in pictures.items()},
        )


def test_what_is_written_of_a_picture_stays_and_a_page_keeps_its_split(db: Database) -> None:
    for line in (0, 1):
        revise(db, line, "a")
    assert cut(db, "page", "dev", l0="x", l1=None) == []
    revise(db, 2, "late")
    assert cut(db, "rendered otherwise", "holdout", l0="other", l1="other", l2="y") == ["other"]
    found = [row(db, line) for line in range(3)]
    assert [(one.sha256, one.problem) for one in found] == [("x", None), (None, BLANK), ("y", None)]
    assert {(one.page_sha256, one.split, one.recipe) for one in found} == {("page", "dev", "r1")}


def test_pictures_of_a_job_that_was_deleted_meanwhile_are_nobodys(db: Database) -> None:
    revise(db, 0, "a")
    revise(db, 0, "a", job="other", **is_cut("page", "train", "shared"))
    with db.write() as session:
        session.execute(delete(LinePicture).where(LinePicture.job_id == "job"))
    assert cut(db, "page", "train", l0="x", l1="shared") == ["x"]


def test_a_verified_line_has_its_last_text_and_what_was_read_first(db: Database) -> None:
    revise(db, 0, "first", before="read")
    until = revise(db, 1, "right", before="right", **is_cut("page", "train", "x"))
    last = revise(db, 0, "second", before="first")
    with db.read() as session:
        one, other = examples.verified(session)
        assert (one.id[-4:], one.revision, one.text, one.read, one.sha256) == (".1.0", last, "second", "read", None)
        assert (other.text, other.read, other.split, other.lines_on_page) == ("right", "right", "train", 3)
        assert [line.text for line in examples.verified(session, until)] == ["first", "right"]
        assert examples.last_correction_id(session) == last


def test_nothing_is_counted_where_nothing_was_corrected(db: Database) -> None:
    assert counted(db) == Counts(0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_lines_are_counted_by_what_becomes_of_them(db: Database) -> None:
    for number in range(MOST_ALIKE + 3):
        revise(db, number, "the same", job="alike", **is_cut("p1", "train", f"a{number}"))
    revise(db, 0, "again", before="again", job="twice", **is_cut("p2", "train", "b"))
    revise(db, 0, "again", before="again", job="once more", **is_cut("p2", "train", "b"))
    revise(db, 0, "dev", job="dev", **is_cut("p3", "dev", "c"))
    for line in range(3):
        revise(db, line, f"{line}", job="whole", **is_cut("p4", "holdout", f"d{line}"))
    for line in range(2):
        revise(db, line, f"{line}", job="partial", **is_cut("p5", "holdout", f"e{line}"))
    revise(db, 0, "the page of another job, in part", job="same", **is_cut("p4", "holdout", "d0"))
    revise(db, 0, "waits", before="waits", job="waits")
    revise(db, 0, "gone", job="gone", problem="The file is gone.")
    revise(db, 0, "print", job="print", problem=NOT_HANDWRITING)
    revise(db, 0, "0", job="partial", before="wrong")
    revise(db, 1, "read", job="partial", before="1")
    total = MOST_ALIKE + 3 + 12
    assert counted(db) == Counts(
        lines=total,
        corrected=total - 4,
        train=MOST_ALIKE + 1,
        dev=1,
        holdout_pages=1,
        holdout_pages_partial=1,
        waiting=1,
        with_problem=1,
        new=MOST_ALIKE + 3 + 2 + 1,
    )


@pytest.mark.parametrize(
    ("status", "dataset", "new"),
    [
        (RunStatus.COMPLETED, "d", 1),
        (RunStatus.RUNNING, "d", 1),
        (RunStatus.QUEUED, None, 3),
        (RunStatus.FAILED, "d", 3),
        (RunStatus.CANCELLED, "d", 3),
    ],
)
def test_new_is_what_the_last_run_did_not_learn_from(
    db: Database, status: RunStatus, dataset: str | None, new: int
) -> None:
    for line in range(3):
        seen = revise(db, line, "a", **is_cut("page", "train", f"{line}"))
    with db.write() as session:
        run = {"id": "r", "kind": "handwriting", "status": status, "trigger": "manual"}
        session.add(TrainingRun(**run, dataset_sha256=dataset, last_correction_id=seen))
    revise(db, 1, "b", before="a")
    revise(db, 1, "c", before="b")
    revise(db, 7, "held out", page=2, **is_cut("other", "holdout", "x"))
    assert counted(db).new == new


def test_counting_takes_no_longer_for_each_line_when_there_are_many(db: Database) -> None:
    first = select(literal(0, Integer).label("n")).cte("numbers", recursive=True)
    numbers = first.union_all(select(first.c.n + 1).where(first.c.n < 39_999)).c.n
    job, page, line = "job" + cast(numbers / 1000, String), 1 + numbers % 1000 / 20, numbers % 20
    place = {"job_id": job, "page": cast(page, Integer), "line": line}
    text = literal("text ") + cast(numbers, String)
    words = {"before": literal("read"), "after": text, "source": literal("api"), "engine": literal("trocr")}
    facts = {**words, "owner": literal(""), "file_sha256": literal("f"), "engine_version": literal("1")}
    revision = {**place, **facts, "box": literal(BOX, Correction.box.type)}
    picture = {**place, "lines_on_page": literal(20), "sha256": text, "page_sha256": job, "split": literal("train")}
    with db.write() as session:
        for table, values in ((Correction, revision), (LinePicture, picture)):
            named = [value.label(f"c{at}") for at, value in enumerate(values.values())]
            session.execute(insert(table).from_select(list(values), select(*named)))
    began = time.perf_counter()
    found = counted(db)
    assert (found.lines, found.corrected, found.train, found.new) == (40_000,) * 4
    # Comparing each with each would take minutes.
    assert time.perf_counter() - began < 15


def test_where_there_are_many_lines_they_are_not_counted_for_everybody_who_asks(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "MANY", 2)
    seen = []
    for line in range(4):
        revise(db, line, "a", **is_cut("page", "train", f"{line}"))
        seen.append(counted(db).lines)
    assert seen == [1, 2, 2, 2]
    monkeypatch.setattr(examples, "_kept", {})
    assert counted(db).lines == 4
