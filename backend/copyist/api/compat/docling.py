"""docling-serve's routes, so that clients written for it work here: Open WebUI, LangChain, n8n, its own SDK.

One task is one job; both have the same id. Shapes are those of docling-serve 1.x: options as fields of a form, or as
``options`` in JSON, and those that mean nothing here are passed over. Wishes that matter again when the result is
fetched are kept in the job's metadata, under ``docling``.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, File, Query, Request, Response, UploadFile, WebSocket
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from copyist import __version__, errors, fetch
from copyist.api import openapi, problems, uploads
from copyist.api.callers import Asks, Caller, Scope, needs
from copyist.api.compat import examples
from copyist.api.compat.docling_document import docling_document
from copyist.api.compat.docling_options import Kept, NoArtifactStorage, Options, SourceOptions, UploadOptions
from copyist.api.problems import InvalidRequest
from copyist.api.ratelimits import count_files, has_a_place
from copyist.api.results import MAKERS, read_document
from copyist.api.schemas import FieldProblem, JobBody
from copyist.api.schemas import shown as with_example
from copyist.api.service import Here, Service
from copyist.api.sources import FETCHES
from copyist.api.synchronous import cancel_all, failure, nobody_there, wait_for_all_unless_gone, wait_for_end
from copyist.api.views import look
from copyist.db.states import JOB_OPEN, JobStatus
from copyist.document import Document
from copyist.errors import ConversionTooLong, CopyistError, NotFound, Unavailable
from copyist.exports import markdown
from copyist.exports.text import page_text
from copyist.queue.routing import Priority

router = APIRouter(tags=["docling"])

MAX_FILES = 10

STATUS: dict[JobStatus, Literal["pending", "started", "success", "failure"]] = {
    JobStatus.PENDING: "pending",
    JobStatus.PROCESSING: "started",
    JobStatus.COMPLETED: "success",
    JobStatus.FAILED: "failure",
    JobStatus.CANCELLED: "failure",
}


class TaskNotFound(NotFound):
    """The same as ``NotFound``, in the words by which docling's client tells it from the other 404."""

    template = "Task not found."


class TaskNotEnded(CopyistError):
    """A result that is not there yet; docling-serve answers 404, and its clients ask again by these very words."""

    code, status, retry, title = "task_not_ended", 404, True, "The task has no result yet"
    template = "Task result not found. Please wait for a completion status."


class ErrorItem(BaseModel):
    """What went wrong, or was passed over, in a conversion that gave a document."""

    component_type: Literal["user_input", "model"]
    module_name: str = "copyist"
    error_message: str


class ExportDocument(BaseModel):
    """The document in the formats that were asked for, null in all others."""

    filename: str
    md_content: str | None = None
    json_content: dict[str, Any] | None = Field(default=None, description="A DoclingDocument, schema 1.4.0.")
    html_content: None = None
    text_content: str | None = None
    doctags_content: None = None


class Converted(BaseModel):
    """One converted document."""

    model_config = with_example(examples.CONVERTED)

    document: ExportDocument
    status: Literal["success", "partial_success"]
    errors: list[ErrorItem] = []
    processing_time: float
    timings: dict[str, Any] = {}


class TaskMeta(BaseModel):
    """How many documents of the task are done."""

    num_docs: int = 1
    num_processed: int = 0
    num_succeeded: int = 0
    num_partially_succeeded: int = 0
    num_failed: int = 0


class Task(BaseModel):
    """A conversion under way or ended."""

    model_config = with_example(examples.TASK)

    task_id: str
    task_type: Literal["convert"] = "convert"
    task_status: Literal["pending", "started", "success", "failure"]
    task_position: int | None = Field(description="1 is the next to be taken; null once it has begun.")
    task_meta: TaskMeta
    error_message: str | None


class HttpSource(BaseModel):
    """A document on the web."""

    kind: Literal["http"]
    url: str
    headers: dict[str, Any] | None = Field(default=None, description="Not sent: no secret goes to another server.")


class FileSource(BaseModel):
    """A document in base64."""

    kind: Literal["file"]
    base64_string: str = Field(min_length=1)
    filename: str = ""


class Target(BaseModel):
    """Where the result goes."""

    kind: Literal["inbody", "zip", "presigned_url"] = Field(
        default="inbody", description="`presigned_url` is refused: there are no addresses of results here."
    )


class ConvertSources(BaseModel):
    """Documents that are named or sent as base64, and how to convert them."""

    model_config = with_example(examples.CONVERT_SOURCES)

    options: dict[str, Any] | None = Field(default=None, description="The fields of the form, as JSON.")
    sources: list[Annotated[HttpSource | FileSource, Field(discriminator="kind")]] = Field(
        min_length=1, max_length=MAX_FILES
    )
    target: Target = Target()


Files = Annotated[
    list[UploadFile], File(json_schema_extra={"items": {"type": "string", "format": "binary"}}, max_length=MAX_FILES)
]
ZIP: openapi.Responses = {200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}}
_TAKEN = (*(kind for kind in openapi.UPLOAD if kind is not errors.MissingFile), NoArtifactStorage, Unavailable)
_NAMED = (*(kind for kind in _TAKEN if kind is not errors.MalformedForm), *openapi.FETCH)
_WAITED = (errors.NoPageRead, errors.NoResult, errors.OnlyPlaceholder, ConversionTooLong)
_MAKES = [needs(Scope.WRITE), has_a_place]


@router.post(
    "/v1/convert/file",
    response_model=Converted,
    summary="Convert files and wait for the document",
    dependencies=_MAKES,
    responses=openapi.answers(*_TAKEN, *_WAITED) | ZIP,
)
async def convert_file(
    here: Here, caller: Asks, request: Request, response: Response, files: Files, options: UploadOptions
) -> Converted | Response:
    """JSON for one file, a ZIP for several or with `target_type=zip`. If it takes longer than `WAIT_MAX_S`: 504, and
    the task goes on. If the client hangs up, it is cancelled.
    """
    wanted = await run_in_threadpool(lambda: options(here.engines()))
    take = [_uploaded(here, caller, file, wanted, Priority.INTERACTIVE) for file in files]
    return await _convert(here, caller, request, response, take, None)


@router.post(
    "/v1/convert/file/async",
    summary="Convert a file, and look again later",
    dependencies=_MAKES,
    responses=openapi.answers(*_TAKEN),
)
async def convert_file_async(
    here: Here, caller: Asks, response: Response, files: Files, options: UploadOptions
) -> Task:
    """200 with the task; poll `/v1/status/poll/{task_id}`, then fetch `/v1/result/{task_id}`."""
    _only_one("files", len(files))
    wanted = await run_in_threadpool(lambda: options(here.engines()))
    take = [_uploaded(here, caller, files[0], wanted, Priority.NORMAL)]
    return await _begin(here, caller, response, take, None)


@router.post(
    "/v1/convert/source",
    response_model=Converted,
    summary="Convert documents by address or from base64, and wait",
    dependencies=_MAKES,
    responses=openapi.answers(*_NAMED, *_WAITED) | ZIP,
)
async def convert_source(
    here: Here, caller: Asks, request: Request, response: Response, wish: ConvertSources
) -> Converted | Response:
    """As `/v1/convert/file`. Addresses are fetched where `FETCH_URLS` allows it."""
    options = SourceOptions(wish.options or {}, wish.target.kind)
    wanted = await run_in_threadpool(lambda: options(here.engines()))
    take = [_named(here, caller, source, wanted, Priority.INTERACTIVE) for source in wish.sources]
    return await _convert(here, caller, request, response, take, FETCHES)


@router.post(
    "/v1/convert/source/async",
    summary="Convert a document by address or from base64, and look again later",
    dependencies=_MAKES,
    responses=openapi.answers(*_NAMED),
)
async def convert_source_async(here: Here, caller: Asks, response: Response, wish: ConvertSources) -> Task:
    """As `/v1/convert/file/async`."""
    _only_one("sources", len(wish.sources))
    options = SourceOptions(wish.options or {}, wish.target.kind)
    wanted = await run_in_threadpool(lambda: options(here.engines()))
    take = [_named(here, caller, wish.sources[0], wanted, Priority.NORMAL)]
    return await _begin(here, caller, response, take, FETCHES)


@router.get(
    "/v1/status/poll/{task_id}",
    summary="Look at a task, or wait for it",
    dependencies=[needs(Scope.READ)],
    responses=openapi.answers(TaskNotFound, errors.Expired, InvalidRequest, Unavailable),
)
async def poll(
    here: Here,
    caller: Asks,
    task_id: str,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for the end, `WAIT_MAX_S` at most")] = 0,
) -> Task:
    """Answers 200 in every state."""
    try:
        return _task(await wait_for_end(here, caller, task_id, min(wait, here.settings.wait_max_s)))
    except NotFound as error:
        raise TaskNotFound from error


@router.get(
    "/v1/result/{task_id}",
    response_model=Converted,
    summary="The document of a task",
    dependencies=[needs(Scope.READ)],
    responses=openapi.answers(
        TaskNotFound, TaskNotEnded, errors.NoResult, errors.Expired, errors.OnlyPlaceholder, Unavailable
    )
    | ZIP,
)
async def result(here: Here, caller: Asks, task_id: str) -> Converted | Response:
    """404 until it has ended, in docling-serve's words; then as often as it is asked for. A task that failed: why."""
    try:
        job = await run_in_threadpool(look, here, caller, task_id)
    except NotFound as error:
        raise TaskNotFound from error
    if job.status in JOB_OPEN:
        raise TaskNotEnded
    if problem := failure(here, job):
        return problem
    return await to_thread.run_sync(_answer, here, caller, [job], limiter=MAKERS)


@router.get("/version", summary="Which version this is", responses={200: openapi.example(examples.VERSION)})
async def version() -> dict[str, str]:
    """By package, as docling-serve tells it."""
    return {"copyist": __version__}


@router.websocket("/v1/status/ws/{task_id}")
async def no_socket(websocket: WebSocket, task_id: str) -> None:  # noqa: ARG001
    """Declined: docling's client polls instead. It would send its key in the address, where every log sees it."""
    await websocket.close()


Take = Callable[[], str]
"""Takes one file in; the job's id."""


def _uploaded(service: Service, caller: Caller, file: UploadFile, wanted: Options, priority: Priority) -> Take:
    def take() -> str:
        return uploads.submit(service, caller, file, wanted.form(priority, file.file)).id

    return take


def _named(
    service: Service, caller: Caller, source: HttpSource | FileSource, wanted: Options, priority: Priority
) -> Take:
    def take() -> str:
        address, name = _address(source)
        allowed = fetch.Sources(urls=service.settings.fetch_urls, max_bytes=service.settings.max_bytes)
        with fetch.fetched(address, allowed) as file:
            form = wanted.form(priority, file.content)
            return uploads.take_in(service, caller, file.content, name or file.name, form).id

    return take


def _address(source: HttpSource | FileSource) -> tuple[str, str]:
    """Where the file is, and the name that came with it."""
    if isinstance(source, FileSource):
        return f"data:;base64,{source.base64_string}", source.filename
    address = source.url.strip()
    if not address.lower().startswith(("http:", "https:")):
        raise errors.InvalidSource
    return address, ""


def _only_one(field: str, count: int) -> None:
    if count != 1:
        detail = "One document a task: send each as a task of its own, or all of them to the route that waits."
        raise InvalidRequest([FieldProblem(pointer=f"/body/{field}", detail=detail)], fields=field)


async def _begin(
    service: Service, caller: Caller, response: Response, take: list[Take], limiter: CapacityLimiter | None
) -> Task:
    ids = await to_thread.run_sync(_take_in, service, caller, response, take, limiter=limiter)
    return _task(await run_in_threadpool(look, service, caller, ids[0]))


def _take_in(service: Service, caller: Caller, response: Response, take: list[Take]) -> list[str]:
    """All files or none: where one is refused, the jobs of those before it are cancelled."""
    count_files(service, caller, len(take), response)
    ids: list[str] = []
    try:
        for one in take:
            ids.append(one())
    except Exception:
        cancel_all(service, caller, ids)
        raise
    return ids


async def _convert(
    service: Service,
    caller: Caller,
    request: Request,
    response: Response,
    take: list[Take],
    limiter: CapacityLimiter | None,
) -> Converted | Response:
    ids = await to_thread.run_sync(_take_in, service, caller, response, take, limiter=limiter)
    jobs = await wait_for_all_unless_gone(service, caller, request, ids, service.settings.wait_max_s)
    if jobs is None:
        return nobody_there()
    if late := next((job for job in jobs if job.status in JOB_OPEN), None):
        return _too_long(service, late)
    failures = [problem for job in jobs if (problem := failure(service, job))]
    if len(failures) == len(jobs):
        return failures[0]
    return await to_thread.run_sync(_answer, service, caller, jobs, limiter=MAKERS)


def _too_long(service: Service, job: JobBody) -> JSONResponse:
    answer = problems.of(ConversionTooLong(job=job.id, seconds=service.settings.wait_max_s))
    answer.headers["Location"] = f"/v1/status/poll/{job.id}"
    return answer


def _task(job: JobBody) -> Task:
    status = STATUS[job.status]
    if status == "success" and job.degraded:
        status = "failure"
    ended = status in ("success", "failure")
    partly = status == "success" and job.progress.pages_failed > 0
    return Task(
        task_id=job.id,
        task_status=status,
        task_position=None if job.queue_position is None else job.queue_position + 1,
        task_meta=TaskMeta(
            num_processed=int(ended),
            num_succeeded=int(status == "success" and not partly),
            num_partially_succeeded=int(partly),
            num_failed=int(status == "failure"),
        ),
        error_message=_why(job) if status == "failure" else None,
    )


def _why(job: JobBody) -> str:
    if job.error:
        return job.error.detail
    return "The job was cancelled." if job.status is JobStatus.CANCELLED else " ".join(job.warnings)


def _answer(service: Service, caller: Caller, jobs: list[JobBody]) -> Converted | Response:
    """One document as JSON; several, or one that is wanted so, as a ZIP, which says of others why they failed."""
    kept = Kept.of(jobs[0].metadata)
    if len(jobs) == 1 and not kept.as_zip:
        return _converted(service, caller, jobs[0], kept)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        failed = {}
        for number, job in enumerate(jobs, 1):
            if problem := failure(service, job):
                name = f"{number}-{job.filename}" if job.filename in failed else job.filename
                failed[name] = json.loads(bytes(problem.body))
                continue
            name = f"{number}-" * (len(jobs) > 1) + PurePosixPath(job.filename).stem
            for extension, text in _files_of(_converted(service, caller, job, kept)).items():
                archive.writestr(f"{name}.{extension}", text)
        if failed:
            archive.writestr("errors.json", json.dumps(failed, ensure_ascii=False))
    headers = {"Content-Disposition": 'attachment; filename="converted_docs.zip"'}
    return Response(content.getvalue(), media_type="application/zip", headers=headers)


def _files_of(converted: Converted) -> dict[str, str]:
    document = converted.document
    tree = document.json_content
    in_json = None if tree is None else json.dumps(tree, ensure_ascii=False)
    found = {"md": document.md_content, "txt": document.text_content, "json": in_json}
    return {extension: text for extension, text in found.items() if text is not None}


def _converted(service: Service, caller: Caller, job: JobBody, kept: Kept) -> Converted:
    document = read_document(service, caller, job.id)
    content = ExportDocument(filename=job.filename)
    if "md" in kept.to_formats:
        content.md_content = _markdown(document, kept.page_break)
    if "text" in kept.to_formats:
        content.text_content = "\n".join(text for page in document.pages if (text := page_text(page)))
    if "json" in kept.to_formats:
        content.json_content = docling_document(job.filename, document.pages)
    notes = [ErrorItem(component_type="user_input", error_message=note) for note in kept.notes]
    warnings = [ErrorItem(component_type="model", error_message=warning) for warning in job.warnings]
    seconds = (job.finished_at - job.created_at).total_seconds() if job.finished_at else 0.0
    return Converted(
        document=content,
        status="partial_success" if job.progress.pages_failed else "success",
        errors=notes + warnings,
        processing_time=round(seconds, 3),
    )


def _markdown(document: Document, page_break: str) -> str:
    if not page_break:
        return markdown.markdown(document.pages)
    return f"\n\n{page_break}\n\n".join(markdown.markdown([page]).strip("\n") for page in document.pages) + "\n"
