"""Corrections: revisions that follow each other, whoever writes at the same time, and what goes when the job goes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, func, select

from copyist.db import corrections, examples, forgetting, jobs, models, pages, runs
from copyist.db.corrections import Change, LineId
from copyist.db.learning_tables import Correction, LinePicture, ModelVersion
from copyist.db.session import Database
from copyist.db.tables import Base, GoneJob, now
from copyist.document import Block, Box, Line, Page
from copyist.errors import (
    CopyistError,
    CorrectionTooLong,
    EmptyCorrection,
    Expired,
    NotFound,
    StaleCorrection,
)
from copyist.training.examples import LeftOut, choose
from tests.db.conftest import MakeJob
from tests.db.test_forget import Bytes
from tests.db.test_pages import claimed

TEXTS = ("Men we saw", "the cafe\u0301", "it")


@pytest.fixture
def job_id(db: Database, make_job: MakeJob) -> str:
    """Return a job of two pages, of which the first was read: three lines in two blocks."""
    found = make_job(2)
    lines = [
        Line(text=text, box=Box(0, 9 * place, 90, 9 * place + 8), confidence=0.4) for place, text in enumerate(TEXTS)
    ]
    blocks = (
        Block(box=Box(0, 0, 90, 17), lines=tuple(lines[:1])),
        Block(box=Box(0, 9, 90, 26), lines=tuple(lines[1:])),
    )
    content = Page(width=100, height=100, engine="trocr", engine_version="3", blocks=blocks)
    with db.write() as session:
        assert pages.finish(session, claimed(db, found).lease, content, trail=[], degraded=False, cache_key=None)
    return found


def revise(db: Database, job_id: str, line: int, text: str | None, *, page: int = 1, **more: Any) -> Correction:
    with db.write() as session:
        job = jobs.get(session, job_id, lock=True)
        fields = {"source": "api", "author": "ann", **more}
        return corrections.revise(session, job, page=page, line=line, text=text, **fields)


def count(db: Database, table: type[Base]) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def changes(db: Database, job_id: str) -> int:
    with db.read() as session:
        return jobs.get(session, job_id).changes


def test_a_line_has_all_its_revisions_and_its_text_is_the_last(db: Database, job_id: str) -> None:
    before = changes(db, job_id)
    first = revise(db, job_id, 0, " Then\nwe saw ")
    last = revise(db, job_id, 0, "Then we saw it", source="desk", author="bob", parent=first.id)
    assert (first.before, first.after, first.parent_id, first.author) == (TEXTS[0], "Then we saw", None, "ann")
    assert (last.before, last.after, last.parent_id, last.source) == ("Then we saw", "Then we saw it", first.id, "desk")
    facts = (first.page, first.line, first.box, first.engine, first.engine_version, first.confidence, first.file_sha256)
    assert facts == (1, 0, [0, 0, 90, 8], "trocr", "3", 0.4, "a" * 64)
    with db.read() as session:
        assert [one.id for one in corrections.history(session, LineId(job_id, 1, 0))] == [first.id, last.id]
        assert {place: one.id for place, one in corrections.current(session, job_id, [1, 2]).items()} == {
            (1, 0): last.id
        }
        assert corrections.texts(session, job_id, range(2000)) == {1: {0: "Then we saw it"}}
        assert [one.id for one in corrections.of_job(session, job_id, after=first.id, limit=9)] == [last.id]
        [picture] = session.scalars(select(LinePicture))
        assert (picture.page, picture.line, picture.lines_on_page, picture.sha256, picture.attempts) == (
            1,
            0,
            3,
            None,
            0,
        )
    assert changes(db, job_id) == before + 2


def test_to_find_a_line_right_is_a_revision_and_what_is_known_is_none(db: Database, job_id: str) -> None:
    right = revise(db, job_id, 1, "the caf\u00e9")
    assert (right.before, right.after) == (TEXTS[1], TEXTS[1]), "composed otherwise it is the same text"
    assert revise(db, job_id, 2, None).after == TEXTS[2]
    known = changes(db, job_id)
    again = [revise(db, job_id, 1, None), revise(db, job_id, 1, TEXTS[1], parent=right.id)]
    assert ([one.id for one in again], changes(db, job_id), count(db, Correction)) == ([right.id] * 2, known, 2)
    wrong = revise(db, job_id, 2, "at")
    assert [revise(db, job_id, 2, "at").id for _ in range(3)] == [wrong.id] * 3
    assert revise(db, job_id, 2, TEXTS[2]).parent_id == wrong.id, "what was read may be right after all"


def test_nothing_stands_on_a_line_once_somebody_says_so_until_somebody_says_what(db: Database, job_id: str) -> None:
    empty = revise(db, job_id, 0, None, nothing=True, parent=0)
    assert (empty.before, empty.after, empty.parent_id) == (TEXTS[0], "", None)
    known = changes(db, job_id)
    again = [revise(db, job_id, 0, None, nothing=True, parent=0), revise(db, job_id, 0, None)]
    assert ([one.id for one in again], changes(db, job_id)) == ([empty.id] * 2, known)
    with pytest.raises(StaleCorrection):
        revise(db, job_id, 0, TEXTS[0], parent=0)
    with pytest.raises(EmptyCorrection) as told:
        revise(db, job_id, 0, "")
    assert '{"nothing": true}' in told.value.detail
    with db.read() as session:
        [verified] = examples.verified(session)
        assert (verified.text, verified.read, corrections.texts(session, job_id, [1])) == ("", TEXTS[0], {1: {0: ""}})
    picture = replace(verified, sha256="1" * 64, page_sha256="2" * 64, split="holdout", lines_on_page=1)
    assert choose([picture], corrected_share=0.3, most_alike=9).left_out == {LeftOut.EMPTY: 1}
    assert revise(db, job_id, 0, TEXTS[0]).parent_id == empty.id


def test_who_looked_at_another_text_is_told_so(db: Database, job_id: str) -> None:
    first = revise(db, job_id, 0, "Then", parent=0)
    for text, parent in (("Them", 0), (None, 0), ("Them", first.id + 1)):
        with pytest.raises(StaleCorrection) as stale:
            revise(db, job_id, 0, text, parent=parent)
        assert ("Then" in stale.value.detail, f'"parent": {first.id}' in stale.value.detail) == (True, True)
    assert revise(db, job_id, 0, "Then", parent=0).id == first.id, "the same again, because its answer was lost"
    with pytest.raises(StaleCorrection):
        revise(db, job_id, 1, "what", parent=77)


def test_what_is_no_correction_changes_nothing(db: Database, job_id: str) -> None:
    known = changes(db, job_id)
    bad: list[tuple[int, int, str, type[CopyistError]]] = [
        (1, 0, "", EmptyCorrection),
        (1, 0, " \n\0\u200b\t", EmptyCorrection),
        (1, 0, "x" * 2001, CorrectionTooLong),
        (1, 3, "x", NotFound),
        (1, -1, "x", NotFound),
        (2, 0, "x", NotFound),
        (3, 0, "x", NotFound),
        (2**40, 0, "x", NotFound),
    ]
    for page, line, text, error in bad:
        with pytest.raises(error):
            revise(db, job_id, line, text, page=page)
    assert (changes(db, job_id), count(db, Correction), count(db, LinePicture)) == (known, 0, 0)
    # Signs that no database holds are left out.
    assert revise(db, job_id, 0, "a\0b\ud800c" + "x" * 1996).after == "ab\ufffdc" + "x" * 1996


def test_of_the_changes_to_one_page_all_are_made_or_none(db: Database, job_id: str) -> None:
    bad = [Change(0, "Then"), Change(1, None), Change(2, "")]
    good = [*bad[:2], Change(2, "at"), Change(2, "as")]
    for some, made in ((bad, 0), (good, 4)):
        try:
            with db.write() as session:
                job = jobs.get(session, job_id, lock=True)
                revised = corrections.revise_page(session, job, 1, some, source="text", author="")
                assert (revised.corrected, revised.confirmed, revised.last[2].after) == ((0, 2, 2), (1,), "as")
        except EmptyCorrection:
            assert some is bad
        assert (count(db, Correction), count(db, LinePicture)) == (made, min(made, 3))
    with db.read() as session:
        twice = corrections.history(session, LineId(job_id, 1, 2))
        assert [one.parent_id for one in twice] == [None, twice[0].id]


def test_revisions_of_many_at_once_follow_each_other(db: Database, job_id: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: revise(db, job_id, 0, f"text {number}"), range(12)))
    with db.read() as session:
        found = corrections.history(session, LineId(job_id, 1, 0))
    assert [one.parent_id for one in found] == [None, *(one.id for one in found[:-1])]
    assert [one.before for one in found] == [TEXTS[0], *(one.after for one in found[:-1])]


def test_an_id_is_what_it_was_made_of() -> None:
    line = LineId("0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11", 12, 0)
    assert LineId.parse(str(line)) == line
    job_id = line.job_id
    for text in (
        "",
        "x",
        job_id,
        f"{job_id}.1",
        f"{job_id}.0.1",
        f"{job_id}.1.-1",
        f"{job_id}.01.1",
        f"{job_id}.1.1.1",
    ):
        with pytest.raises(NotFound):
            LineId.parse(text)
    for text in (
        f"{job_id.upper()}.1.1",
        f"{job_id}.1.\u0661",
        f"{job_id}.1.{2**31}",
        f"{job_id}.1.1\n",
        "-" * 36 + ".1.1",
    ):
        with pytest.raises(NotFound):
            LineId.parse(text)


# --- what goes with the job ------------------------------------------------------------------------------------------


def cut(db: Database, job_id: str, *sha256: str) -> None:
    """A worker has cut out the first lines of a job's first page."""
    with db.write() as session:
        for line, one in enumerate(sha256):
            session.get_one(LinePicture, (job_id, 1, line)).sha256 = one


def test_who_deletes_a_job_deletes_what_was_corrected_in_it(db: Database, job_id: str, make_job: MakeJob) -> None:
    other = make_job(1)
    with db.write() as session:
        line = Line(text="one", box=Box(0, 0, 9, 9))
        content = Page(width=9, height=9, engine="e", engine_version="1", blocks=(Block(box=line.box, lines=(line,)),))
        assert pages.finish(session, claimed(db, other).lease, content, trail=[], degraded=False, cache_key=None)
    for line_number in range(2):
        revise(db, job_id, line_number, None)
    revise(db, other, 0, None)
    cut(db, job_id, "1" * 64, "2" * 64)
    cut(db, other, "2" * 64)
    dropped: list[str] = []
    with db.write() as session:
        jobs.cancel(session, job_id)
        forgetting.forget(session, job_id, blobs=replace(Bytes(), delete_lines=lambda *some: dropped.extend(some)))
    assert (dropped, count(db, Correction), count(db, LinePicture)) == (["1" * 64], 1, 1)


def test_what_was_corrected_in_a_job_that_expires_stays(db: Database, job_id: str) -> None:
    revise(db, job_id, 0, "Then")
    cut(db, job_id, "1" * 64)
    dropped: list[str] = []
    with db.write() as session:
        jobs.cancel(session, job_id)
        jobs.get(session, job_id).finished_at = now() - timedelta(days=2)
    with db.write() as session:
        blobs = replace(Bytes(), delete_lines=lambda *some: dropped.extend(some))
        assert forgetting.expire(session, job_id, timedelta(days=1), blobs=blobs)
    assert (dropped, count(db, Correction), count(db, LinePicture), count(db, GoneJob)) == ([], 1, 1, 1)
    with pytest.raises(Expired):
        revise(db, job_id, 0, "Them")
    forget_as(db, job_id, owner="")
    assert (count(db, Correction), count(db, LinePicture)) == (0, 0)
    with pytest.raises(Expired):
        forget_as(db, job_id, owner=None)


def forget_as(db: Database, job_id: str, *, owner: str | None, blobs: Bytes | None = None) -> None:
    with db.write() as session:
        forgetting.forget(session, job_id, blobs=blobs or Bytes(), owner=owner)


def test_what_outlives_even_the_id_of_its_job_is_deleted_by_its_owner_alone(db: Database, job_id: str) -> None:
    revise(db, job_id, 0, "Then")
    cut(db, job_id, "1" * 64)
    with db.write() as session:
        jobs.cancel(session, job_id)
        jobs.get(session, job_id).finished_at = now() - timedelta(days=2)
    with db.write() as session:
        assert forgetting.expire(session, job_id, timedelta(days=1), blobs=Bytes())
        forgetting.forget_gone(session, now() + timedelta(days=1))
    for other, owner in ((job_id, "bob"), ("\0", None), (str(uuid4()), None)):
        with pytest.raises(NotFound):
            forget_as(db, other, owner=owner)
    dropped: list[str] = []
    forget_as(db, job_id, owner="", blobs=replace(Bytes(), delete_lines=lambda *some: dropped.extend(some)))
    assert (dropped, count(db, Correction), count(db, LinePicture)) == (["1" * 64], 0, 0)


def test_a_number_that_was_given_is_never_given_again(db: Database, job_id: str) -> None:
    """A run has learned from all revisions up to its last one; a version's files lie under its number."""
    last = revise(db, job_id, 0, "Then").id
    with db.write() as session:
        run = runs.create(session, trigger="manual")
        facts = {"base": "b", "base_sha256": "c", "dataset_sha256": "d", "code_version": "1"}
        version = models.add(session, run, **facts, parameters={}, figures={}, files={}).id
        session.execute(delete(Correction))
        session.execute(delete(ModelVersion))
        again = models.add(session, run, **facts, parameters={}, figures={}, files={}).id
    assert (revise(db, job_id, 0, "Then").id > last, again > version) == (True, True)
