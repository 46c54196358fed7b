"""The task-note service: ``POST /api/upload/``, ``GET /api/status/{id}/`` and ``GET /api/jobs/{id}/``.

Its clients upload a photo of a note as ``image``, poll once a second, and read ``status``, ``extracted_tasks`` and
``error_message``. Ids of tasks are derived from the job's id and the task's place, so that they never change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID, uuid5

from fastapi import APIRouter, File, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from copyist.api import examples, openapi, problems, uploads
from copyist.api.callers import Asks, Caller, Scope, needs
from copyist.api.ratelimits import count_files, has_a_place
from copyist.api.results import read_document
from copyist.api.schemas import shown as with_example
from copyist.api.service import Here, Service
from copyist.api.views import shown
from copyist.db import jobs
from copyist.db.states import JobStatus
from copyist.db.tables import Job
from copyist.document import Document
from copyist.errors import (
    CopyistError,
    Expired,
    FileTooLarge,
    MalformedForm,
    NotFound,
    StorageFull,
    TooManyAtOnce,
    TooManyOpenJobs,
    TooManyRequests,
    Unavailable,
)
from copyist.exports.todo import Task, find_tasks
from copyist.queue.routing import Priority
from copyist.reasons import is_full

router = APIRouter(tags=["task notes"])

STATUS: dict[JobStatus, Literal["pending", "processing", "completed", "failed"]] = {
    JobStatus.PENDING: "pending",
    JobStatus.PROCESSING: "processing",
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "failed",
    # The old service knows no cancelling; its clients take this for the end it is.
    JobStatus.CANCELLED: "failed",
}


class Accepted(BaseModel):
    """The answer to an upload."""

    model_config = with_example(examples.ACCEPTED)

    transaction_id: str
    status: Literal["pending"] = "pending"
    message: str = "The image was accepted. Poll its status."


class ExtractedTask(BaseModel):
    """One task of a note; the box is in pixels of the image, origin top left."""

    id: str
    task_name: str
    description: str
    assignee: str | None
    due_date: date | None
    priority: Literal["low", "medium", "high", "urgent"]
    position_index: int
    confidence_score: float | None
    bbox_x: int
    bbox_y: int
    bbox_width: int
    bbox_height: int
    created_at: datetime | None


class TransactionStatus(BaseModel):
    """A transaction; the same job stands under ``/api/jobs/{id}``."""

    model_config = with_example(examples.TRANSACTION)

    transaction_id: str
    status: Literal["pending", "processing", "completed", "failed"]
    original_filename: str
    image_size: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    processing_duration: float | None
    ocr_confidence: float | None
    error_message: str | None
    task_count: int
    extracted_tasks: list[ExtractedTask]


class OldError(BaseModel):
    """What the old service says of an upload that it does not take."""

    model_config = with_example(examples.OLD_ERROR)

    error: dict[Literal["image"], list[str]]


NOT_OF_THE_FILE = (401, 403, 408, 429)
"""What the old service never answered: its clients see that the upload failed, and whoever looks at them sees why."""


class _OldErrors(APIRoute):
    """A route that tells what is wrong with a file in the old shape, found by us or while the form is read."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except (CopyistError, RequestValidationError, HTTPException) as cause:
                error = _refusal(cause)
                if error is None:
                    raise
                return JSONResponse({"error": {"image": [error.detail]}}, status_code=400)

        return handler


def _refusal(cause: Exception) -> CopyistError | None:
    if isinstance(cause, RequestValidationError):
        return problems.refusal(cause)
    if isinstance(cause, HTTPException):
        return MalformedForm() if cause.status_code == 400 and not is_full(cause) else None
    if not isinstance(cause, CopyistError) or cause.status >= 500 or cause.status in NOT_OF_THE_FILE:
        return None
    return cause


NOT_TAKEN: openapi.Responses = {400: {"model": OldError, "description": "The image cannot be read"}}
NO_TRANSACTION = openapi.answers(NotFound, Expired, Unavailable)
upload_router = APIRouter(route_class=_OldErrors)


@upload_router.post(
    "/api/upload/",
    status_code=201,
    summary="Upload a photo of a task note",
    dependencies=[needs(Scope.WRITE), has_a_place],
    responses=openapi.answers(FileTooLarge, StorageFull, TooManyRequests, TooManyAtOnce, TooManyOpenJobs, Unavailable)
    | NOT_TAKEN,
)
def upload(
    here: Here,
    caller: Asks,
    response: Response,
    image: Annotated[UploadFile, File(json_schema_extra={"format": "binary"})],
) -> Accepted:
    """201 with the `transaction_id`; 400 with `{"error": {"image": [...]}}` for a file that cannot be read."""
    count_files(here, caller, 1, response)
    job = uploads.submit(here, caller, image, uploads.Form(priority=Priority.INTERACTIVE.value))
    return Accepted(transaction_id=job.id)


router.include_router(upload_router)


@router.get(
    "/api/status/{transaction_id}/",
    summary="The state of a transaction and its tasks",
    dependencies=[needs(Scope.READ)],
    responses=NO_TRANSACTION,
)
@router.get(
    "/api/jobs/{transaction_id}/",
    summary="The same as /api/status/{id}/",
    dependencies=[needs(Scope.READ)],
    responses=NO_TRANSACTION,
)
def status(here: Here, caller: Asks, transaction_id: str) -> TransactionStatus:
    """Poll this until `status` is `completed` or `failed`."""
    with here.db.read() as session:
        job = jobs.get(session, transaction_id, caller.sees)
        body, size = shown(here, session, [job])[0], jobs.size_of(session, job)
    tasks = _tasks(here, caller, job) if job.status == JobStatus.COMPLETED else []
    ended = job.finished_at
    return TransactionStatus(
        transaction_id=job.id,
        status=STATUS[job.status],
        original_filename=job.filename,
        image_size=size,
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        completed_at=ended,
        processing_duration=(ended - job.started_at).total_seconds() if ended and job.started_at else None,
        ocr_confidence=body.confidence,
        error_message=_message(job),
        task_count=len(tasks),
        extracted_tasks=tasks,
    )


def _message(job: Job) -> str | None:
    return "The job was cancelled." if job.status == JobStatus.CANCELLED else job.error_detail


def _tasks(service: Service, caller: Caller, job: Job) -> list[ExtractedTask]:
    read: Document = read_document(service, caller, job.id)
    return [_extracted(job, task) for task in find_tasks(read, job.created_at.date())]


def _extracted(job: Job, task: Task) -> ExtractedTask:
    return ExtractedTask(
        id=str(uuid5(UUID(job.id), str(task.position_index))),
        task_name=task.task_name,
        description=task.description,
        assignee=task.assignee,
        due_date=task.due_date,
        priority=task.priority.value,
        position_index=task.position_index,
        confidence_score=task.confidence_score,
        bbox_x=task.box.left,
        bbox_y=task.box.top,
        bbox_width=task.box.width,
        bbox_height=task.box.height,
        created_at=job.finished_at,
    )
