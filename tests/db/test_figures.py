"""What is counted for those who watch, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from copyist.db import figures, jobs, pages
from copyist.db.figures import Figures, Waiting
from copyist.db.session import Database
from copyist.db.tables import Job, Page, Reading
from tests.db.conftest import MakeJob

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


def taken(db: Database) -> Figures:
    with db.read() as session:
        return figures.take(session)


def claim(db: Database, job_id: str, number: int, *, lease_s: float = 60) -> None:
    with db.write() as session:
        assert pages.claim(session, job_id, number, token="t", lease_s=lease_s, max_attempts=3)


def test_an_empty_service_has_nothing_in_any_state(db: Database) -> None:
    assert taken(db) == Figures(
        jobs={"pending": 0, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0},
        pages={"pending": 0, "processing": 0, "done": 0, "failed": 0, "skipped": 0},
        waiting={},
        expired_leases=0,
        recent_readings={},
        files=0,
        files_bytes=0,
    )


def test_counts_jobs_and_pages_in_each_state_and_equal_files_once(db: Database, make_job: MakeJob) -> None:
    make_job()
    reading, cancelled = make_job(3), make_job(2, sha256="b" * 64)
    claim(db, reading, 2)
    with db.write() as session:
        jobs.cancel(session, cancelled)
    found = taken(db)
    assert found.jobs == {"pending": 1, "processing": 1, "completed": 0, "failed": 0, "cancelled": 1}
    assert found.pages == {"pending": 2, "processing": 1, "done": 0, "failed": 0, "skipped": 2}
    assert (found.files, found.files_bytes) == (2, 2)


def test_a_job_waits_from_its_upload_until_its_intake_is_begun(db: Database, make_job: MakeJob) -> None:
    begun, waiting = make_job(), make_job()
    with db.write() as session:
        session.execute(update(Job).where(Job.id == begun).values(created_at=LONG_AGO - timedelta(days=1)))
        session.execute(update(Job).where(Job.id == waiting).values(created_at=LONG_AGO))
        jobs.claim_intake(session, begun, token="t", lease_s=60, max_attempts=3)
    assert taken(db).waiting == {"cpu": Waiting(jobs=1, since=LONG_AGO)}


def test_a_page_waits_from_when_it_was_sent_and_behind_the_window_from_its_jobs_last_sign_of_life(
    db: Database, make_job: MakeJob
) -> None:
    job_id = make_job(3)
    sent, alive = LONG_AGO + timedelta(hours=2), LONG_AGO + timedelta(hours=1)
    with db.write() as session:
        session.execute(update(Page).where(Page.number == 2).values(sent_at=sent))
        session.execute(update(Job).values(created_at=LONG_AGO, updated_at=alive))
    claim(db, job_id, 1)
    assert taken(db).waiting == {"cpu": Waiting(pages=2, since=alive)}
    claim(db, job_id, 3)
    assert taken(db).waiting == {"cpu": Waiting(pages=1, since=sent)}


def test_queues_are_told_apart(db: Database, make_job: MakeJob) -> None:
    elsewhere, _ = make_job(2), make_job()
    with db.write() as session:
        session.execute(update(Job).where(Job.id == elsewhere).values(queue="gpu"))
    found = taken(db).waiting
    assert {queue: (one.jobs, one.pages) for queue, one in found.items()} == {"cpu": (1, 0), "gpu": (0, 2)}


def test_a_lease_that_ran_out_is_counted(db: Database, make_job: MakeJob) -> None:
    job_id = make_job(4)
    claim(db, job_id, 1)
    claim(db, job_id, 2)
    claim(db, job_id, 3, lease_s=-1)
    assert taken(db).expired_leases == 1


def test_only_the_last_readings_are_looked_at(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "RECENT", 3)
    reading = {"engine_version": "1", "page": "{}", "text": ""}
    with db.write() as session:
        for engine in ("dots", "dots", "mock", "tesseract", "mock"):
            session.execute(insert(Reading).values(**reading, engine=engine))
    assert taken(db).recent_readings == {"mock": 2, "tesseract": 1}
