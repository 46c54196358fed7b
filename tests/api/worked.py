"""A worker's part in a job, done by hand: for tests of the API alone."""

from __future__ import annotations

from copyist import document
from copyist.db import jobs, pages
from copyist.db.session import Database
from copyist.document import Block, Box, Line
from copyist.errors import CopyistError, PageFailed

BOX = Box(10, 10, 90, 30)


def take_in(db: Database, job_id: str, count: int = 1) -> None:
    """Intake: the job has so many pages."""
    with db.write() as session:
        job = jobs.claim_intake(session, job_id, token="t", lease_s=30, max_attempts=3)
        assert job is not None
        jobs.open_pages(session, job, range(1, count + 1))


def read(db: Database, job_id: str, number: int, text: str = "hello") -> None:
    """One page is read as ``text``."""
    line = Line(text=text, box=BOX, confidence=0.9)
    page = document.Page(
        number=number,
        width=100,
        height=100,
        engine="fake",
        engine_version="1",
        blocks=(Block(box=BOX, lines=(line,)),),
    )
    with db.write() as session:
        claim = pages.claim(session, job_id, number, token=f"t{number}", lease_s=30, max_attempts=3)
        assert claim is not None
    with db.write() as session:
        assert pages.finish(session, claim.lease, page, trail=[], degraded=False, cache_key=None)


def fail(db: Database, job_id: str, number: int, error: CopyistError | None = None) -> None:
    """One page cannot be read."""
    with db.write() as session:
        claim = pages.claim(session, job_id, number, token=f"t{number}", lease_s=30, max_attempts=3)
        assert claim is not None
    with db.write() as session:
        assert pages.fail(session, claim.lease, error or PageFailed(engines="fake"))
