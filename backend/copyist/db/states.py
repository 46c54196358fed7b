"""The states of jobs and pages, and which may follow which. Nothing outside ``db`` writes a status.

::

    job    pending ──▶ processing ──▶ completed        (at least one page was read)
              │             ├───────▶ failed           (none was, or the file cannot be opened)
              └─────────────┴───────▶ cancelled

    page   pending ──▶ processing ──▶ done | failed
              │ ▲───────────┘  (lease lost: tried again)
              └───────────────────▶ skipped            (the job was cancelled first)

    run    queued ──▶ running ──▶ completed           (with an outcome: promoted, refused, needs_review)
              │ ▲────────┘ ├───▶ failed               (lease lost: taken up again)
              └────────────┴───▶ cancelled

    model  challenger ──▶ champion ──▶ retired        (rolled back: the champion before it is champion again)
              └─────────────────────────▲

A retry leads back: pages that failed or were skipped are pending again, and their job is processing; one that was never
looked into is pending.
"""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """States of a job."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PageStatus(StrEnum):
    """States of a page."""

    PENDING = "pending"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


JOB_OPEN = frozenset({JobStatus.PENDING, JobStatus.PROCESSING})
JOB_ENDED = frozenset(JobStatus) - JOB_OPEN
PAGE_OPEN = frozenset({PageStatus.PENDING, PageStatus.PROCESSING})

JOB_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset({JobStatus.PROCESSING}),
    JobStatus.FAILED: frozenset({JobStatus.PROCESSING, JobStatus.PENDING}),
    JobStatus.CANCELLED: frozenset({JobStatus.PROCESSING, JobStatus.PENDING}),
}
PAGE_MOVES: dict[PageStatus, frozenset[PageStatus]] = {
    PageStatus.PENDING: frozenset({PageStatus.PROCESSING, PageStatus.DONE, PageStatus.FAILED, PageStatus.SKIPPED}),
    PageStatus.PROCESSING: frozenset(
        {PageStatus.PENDING, PageStatus.PROCESSING, PageStatus.DONE, PageStatus.FAILED, PageStatus.SKIPPED}
    ),
    PageStatus.DONE: frozenset(),
    PageStatus.FAILED: frozenset({PageStatus.PENDING}),
    PageStatus.SKIPPED: frozenset({PageStatus.PENDING}),
}


def before_job(target: JobStatus) -> frozenset[JobStatus]:
    """The states from which a job may move to ``target``."""
    return frozenset(state for state, following in JOB_MOVES.items() if target in following)


def before_page(target: PageStatus) -> frozenset[PageStatus]:
    """The states from which a page may move to ``target``."""
    return frozenset(state for state, following in PAGE_MOVES.items() if target in following)


class RunStatus(StrEnum):
    """States of a run of training."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ModelStatus(StrEnum):
    """States of a version of a model."""

    CHALLENGER = "challenger"
    CHAMPION = "champion"
    RETIRED = "retired"


RUN_OPEN = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})
RUN_MOVES: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.RUNNING: frozenset({RunStatus.QUEUED, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}
MODEL_MOVES: dict[ModelStatus, frozenset[ModelStatus]] = {
    ModelStatus.CHALLENGER: frozenset({ModelStatus.CHAMPION, ModelStatus.RETIRED}),
    ModelStatus.CHAMPION: frozenset({ModelStatus.RETIRED}),
    ModelStatus.RETIRED: frozenset({ModelStatus.CHAMPION}),
}


def before_run(target: RunStatus) -> frozenset[RunStatus]:
    """The states from which a run may move to ``target``."""
    return frozenset(state for state, following in RUN_MOVES.items() if target in following)


def before_model(target: ModelStatus) -> frozenset[ModelStatus]:
    """The states from which a version may move to ``target``."""
    return frozenset(state for state, following in MODEL_MOVES.items() if target in following)
