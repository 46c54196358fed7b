"""What the API answers, as pydantic models: they are the OpenAPI document, too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from copyist import document
from copyist.api import examples
from copyist.corrections import reword
from copyist.db.corrections import LineId
from copyist.db.learning_tables import Correction
from copyist.db.progress import Progress
from copyist.db.states import JOB_ENDED, JobStatus, PageStatus
from copyist.db.tables import Job, Page

PriorityName = Literal["interactive", "normal", "batch"]
NO_NUL = r"^[^\x00]*$"
"""Texts that PostgreSQL can be asked for."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a moment before the first year, or after the last") from error


Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""A moment that somebody names, in UTC, which it is taken for where it has no zone."""
MomentOfAZone = Annotated[AwareDatetime, AfterValidator(_in_utc)]


def shown(*values: dict[str, Any]) -> ConfigDict:
    """The configuration of a model that is shown with these examples."""
    return ConfigDict(json_schema_extra={"examples": list(values)})


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    pointer: str = Field(description="The field, as in `/query/limit`.")
    detail: str


class Problem(BaseModel):
    """Why a request was not served, RFC 9457: ``code`` is for programs, ``detail`` for people."""

    model_config = shown(examples.PROBLEM)

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem] | None = Field(default=None, description="Field by field, where fields are to blame.")


class JobError(BaseModel):
    """Why a job failed."""

    code: str = Field(examples=["encrypted"])
    detail: str = Field(examples=["The PDF is protected. Send it again with its password."])


class JobProgress(BaseModel):
    """How many pages are read; ``pages_total`` is null until the file has been looked into."""

    pages_done: int
    pages_failed: int
    pages_total: int | None
    percent: int = Field(ge=0, le=100)


class JobLinks(BaseModel):
    """Where to go next: GET ``self``, ``events`` (a stream) and ``result`` (null until there is one; other endings of
    its path give other formats); POST ``cancel`` (null at the end).
    """

    self: str
    events: str
    result: str | None
    cancel: str | None
    retry: str | None = Field(description="POST here to read again what failed; null where nothing did.")
    batch: str | None


class JobOptions(BaseModel):
    """How the job is read."""

    mode: document.Mode = document.Mode.DOCUMENT
    engine: str | None = None
    languages: list[str] = []
    text: document.TextPolicy = document.TextPolicy.AUTO
    pages: str | None = Field(default=None, examples=["1-3,5"])
    priority: PriorityName = "normal"
    time_limit: float | None = Field(default=None, description="Seconds from its start; pages left then are given up.")
    page_time_limit: float | None = Field(default=None, description="Seconds for each page.")
    decoding: dict[str, str | float] = Field(
        default={}, description="Model and sampling, for engines that write their answer token by token."
    )


class JobBody(BaseModel):
    """A job."""

    model_config = shown(examples.JOB)

    id: str
    status: JobStatus
    filename: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(
        description="When it is deleted: KEEP_JOBS_DAYS, or its own `keep_days`, after its end; null while it is open, "
        "or where jobs are kept."
    )
    progress: JobProgress
    queue_position: int | None = Field(description="How many jobs are ahead; null once it has begun.")
    eta: datetime | None = Field(
        description="When it will probably have been read, from the speed measured of late; null where nobody can say."
    )
    engines: list[str] = Field(description="Engines whose readings were kept.")
    confidence: float | None = Field(description="Mean of the pages, 0 to 1.")
    degraded: bool = Field(description="Whether any page was only read by the mock engine.")
    warnings: list[str]
    error: JobError | None
    options: JobOptions
    metadata: dict[str, Any]
    links: JobLinks


class JobList(BaseModel):
    """Some jobs, newest first; ask again with ``cursor=next_cursor`` for more."""

    model_config = shown(examples.JOB_LIST)

    jobs: list[JobBody]
    next_cursor: str | None


class Refused(BaseModel):
    """A file of a batch that became no job, and why."""

    filename: str
    code: str
    detail: str


class BatchLinks(BaseModel):
    """Where to go next: GET each of them; ``result`` is one ZIP, null until something was read."""

    self: str
    jobs: str
    result: str | None


class BatchBody(BaseModel):
    """Several files that were sent together."""

    model_config = shown(examples.BATCH)

    id: str
    status: Literal["processing", "completed"] = Field(description="`completed` once no job of it is open.")
    created_at: datetime
    jobs: dict[JobStatus, int] = Field(description="How many of its jobs are in each state.")
    pages_done: int
    pages_failed: int
    refused: list[Refused] = Field(description="Files that could not be taken.")
    metadata: dict[str, Any]
    links: BatchLinks


class BatchList(BaseModel):
    """Some batches, newest first; ask again with ``cursor=next_cursor`` for more."""

    model_config = shown(examples.BATCH_LIST)

    batches: list[BatchBody]
    next_cursor: str | None


class LineBody(BaseModel):
    """One line of a page, by the id it is corrected under: PUT `/api/lines/{id}`."""

    id: str
    block: int = Field(ge=0, description="Which block of `content` it is in, from 0.")
    text: str
    box: document.Box
    confidence: float | None = Field(description="1 where somebody has looked at it.")
    verified: bool = Field(description="Whether somebody corrected it, or found it right.")
    revision: int | None = Field(description="Its last revision: send it as `parent` with a correction.")
    read: str | None = Field(description="What the engine read, where that is something else.")


class PageBody(BaseModel):
    """One page: its state, which engines tried, and what was read."""

    model_config = shown(examples.PAGE)

    number: int
    status: PageStatus
    attempts: int
    degraded: bool
    trail: list[dict[str, Any]] = Field(
        description="Every engine tried on the page, in order, with outcome and reason."
    )
    error: JobError | None
    started_at: datetime | None
    finished_at: datetime | None
    text: str | None
    confidence: float | None
    review: list[document.Word] = Field(
        description="Words under OCR_CONFIDENCE_THRESHOLD: somebody should look at them."
    )
    lines: list[LineBody] = Field(description="Its lines in reading order, as they are corrected.")
    content: document.Page | None = Field(description="Blocks, lines and words with boxes in pixels, origin top left.")


class PageEvent(BaseModel):
    """One page of a job was read, failed or was skipped."""

    number: int
    status: PageStatus
    engine: str | None
    confidence: float | None
    error: JobError | None


class EngineBody(BaseModel):
    """An engine as the living workers know it; of several workers, the one that is nearest to reading speaks."""

    model_config = shown(examples.ENGINE)

    name: str
    ready: bool
    reason: str
    version: str
    languages: list[str]
    modes: list[str]
    needs_gpu: bool
    device: str = Field(description="`cpu`, `cuda`, or the address of a server.")
    model: str
    memory_bytes: int | None = Field(description="Roughly what the loaded model takes up; null where nobody knows.")
    details: dict[str, str] = Field(description="The model's shape, size and figures, where the engine tells them.")
    state: Literal["unloaded", "loading", "loaded", "failed"]
    workers: int = Field(ge=0, description="How many living workers have it ready.")


class Alive(BaseModel):
    """The process answers."""

    model_config = shown(examples.ALIVE)

    status: Literal["ok"] = "ok"
    version: str


Answer = Literal["ok", "does not answer"]


class Ready(BaseModel):
    """What stands behind the API, and the engines that are ready."""

    model_config = shown(examples.READY)

    status: Literal["ready", "not ready"]
    database: Answer
    broker: Answer
    storage: Answer
    engines: list[str]
    gpu: Literal["ready", "loading", "absent"] = Field(description="Whether an engine on a GPU can take pages.")
    problems: list[str] = Field(description="What keeps it from being ready, in sentences; empty when it is.")


DEGRADED = "Some pages were read by nobody but the mock engine: their text is a placeholder."


def job_body(
    job: Job, progress: Progress, queue_position: int | None, eta: datetime | None, keep: timedelta | None
) -> JobBody:
    """A job and its progress as the API shows it; ``keep`` is how long it stays after its end."""
    settled = progress.done + progress.failed
    total = job.pages_total
    ended = job.status in JOB_ENDED
    percent = 100 if job.status == JobStatus.COMPLETED else round(100 * settled / total) if total else 0
    failed = [f"{progress.failed} of {total} pages could not be read."] if progress.failed and progress.done else []
    own = f"/api/jobs/{job.id}"
    missing = job.status == JobStatus.FAILED or (ended and progress.done < (total or 0))
    kept_until = job.finished_at + keep if job.finished_at and keep else None
    return JobBody(
        id=job.id,
        status=job.status,
        filename=job.filename,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=kept_until if job.keep_days is None else job.delete_at,
        progress=JobProgress(
            pages_done=progress.done, pages_failed=progress.failed, pages_total=total, percent=percent
        ),
        queue_position=queue_position,
        eta=eta,
        engines=list(progress.engines),
        confidence=progress.confidence,
        degraded=progress.degraded,
        warnings=[*job.warnings, *failed, *([DEGRADED] if progress.degraded else [])],
        error=JobError(code=job.error_code, detail=job.error_detail or "") if job.error_code else None,
        options=JobOptions.model_validate(job.options),
        metadata=job.labels,
        links=JobLinks(
            self=own,
            events=f"{own}/events",
            result=f"{own}/result.txt" if ended and progress.done else None,
            cancel=None if ended else f"{own}/cancel",
            retry=f"{own}/retry" if missing else None,
            batch=f"/api/batches/{job.batch_id}" if job.batch_id else None,
        ),
    )


def line_bodies(
    job_id: str, number: int, read: document.Page, shown: document.Page, revisions: Mapping[int, Correction]
) -> list[LineBody]:
    """The lines of a page as they were ``read`` and as they are ``shown``; ``revisions`` has the last one of a line."""
    before, found = read.lines(), list[LineBody]()
    for block, one in enumerate(shown.blocks):
        for line in one.lines:
            was, revision = next(before), revisions.get(len(found))
            found.append(
                LineBody(
                    id=str(LineId(job_id, number, len(found))),
                    block=block,
                    text=line.text,
                    box=line.box,
                    confidence=line.confidence,
                    verified=revision is not None,
                    revision=revision.id if revision else None,
                    read=was.text if was.text != line.text else None,
                )
            )
    return found


def page_body(
    page: Page, read: document.Page | None, revisions: Mapping[int, Correction], review_below: float
) -> PageBody:
    """A page and its reading as the API shows it, ``revisions`` (by line) laid over it.

    Words less sure than ``review_below`` are listed for review; those of a line that somebody looked at are sure.
    """
    texts = {line: one.after for line, one in revisions.items()}
    content = reword.apply(read, texts) if read else None
    words = [word for line in content.lines() for word in line.words] if content else []
    return PageBody(
        number=page.number,
        status=page.status,
        attempts=page.attempts,
        degraded=page.degraded,
        trail=page.trail,
        error=JobError(code=page.error_code, detail=page.error_detail or "") if page.error_code else None,
        started_at=page.started_at,
        finished_at=page.finished_at,
        text=reword.shown(read, texts).text if read else None,
        confidence=content.confidence if content else None,
        review=[word for word in words if word.confidence is not None and word.confidence < review_below],
        lines=line_bodies(page.job_id, page.number, read, content, revisions) if read and content else [],
        content=content,
    )
