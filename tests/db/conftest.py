"""A migrated database, and a job in it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from copyist.db import jobs
from copyist.db.session import Database

MakeJob = Callable[..., str]


@pytest.fixture
def make_job(db: Database) -> MakeJob:
    """Make a job of some pages that intake has looked into; no pages: still pending."""

    def make(pages: int = 0, *, sha256: str = "a" * 64, priority: int = 3) -> str:
        job_id = str(uuid4())
        with db.write() as session:
            jobs.create(
                session,
                job_id=job_id,
                filename="x.pdf",
                sha256=sha256,
                size=1,
                kind="pdf",
                options={},
                labels={},
                priority=priority,
                queue="cpu",
            )
        if pages:
            with db.write() as session:
                job = jobs.claim_intake(session, job_id, token="t", lease_s=30, max_attempts=3)
                assert job is not None
                jobs.open_pages(session, job, range(1, pages + 1))
        return job_id

    return make
