"""``/api/batches``: many files sent together, one place to look at them, one ZIP of what was read."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import IO, Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from copyist import exports
from copyist.api import examples, openapi, options, uploads, webhooks
from copyist.api.callers import Asks, Caller, Scope, needs
from copyist.api.cursors import Paging
from copyist.api.jobs import IdempotencyKey, once
from copyist.api.problems import InvalidRequest
from copyist.api.ratelimits import count_files, has_a_place
from copyist.api.results import Download, chunks, make, numbers_of
from copyist.api.schemas import BatchBody, BatchLinks, BatchList, FieldProblem, Refused
from copyist.api.service import Here, Service
from copyist.api.submissions import OF_ONE_FILE, Sent, Submission, request_body
from copyist.api.views import cancel_job
from copyist.db import batches, forgetting
from copyist.db.batches import Counts
from copyist.db.states import JOB_ENDED, JOB_OPEN, JobStatus
from copyist.db.tables import Batch, Job
from copyist.errors import (
    CopyistError,
    Expired,
    InvalidOption,
    NoResult,
    NotEnded,
    NotFound,
    NotReady,
    Unavailable,
)

router = APIRouter(prefix="/api/batches", tags=["batches"])

JOBS_AT_ONCE = 100
PACKERS = CapacityLimiter(1)
"""Threads that pack ZIPs: one may take minutes, and must not hold up the results of single jobs."""
MANIFEST = "manifest.json"
MADE = {"headers": openapi.LOCATION} | openapi.example(examples.BATCH)
ZIP = openapi.file("One ZIP", {"application/zip": None})


def _shown(session: Session, found: Sequence[Batch]) -> list[BatchBody]:
    counted = batches.counts(session, [batch.id for batch in found])
    return [_body(batch, counted[batch.id]) for batch in found]


def _body(batch: Batch, counted: Counts) -> BatchBody:
    own = f"/api/batches/{batch.id}"
    is_open = any(counted.jobs[status] for status in JOB_OPEN)
    return BatchBody(
        id=batch.id,
        status="processing" if is_open else "completed",
        created_at=batch.created_at,
        jobs=counted.jobs,
        pages_done=counted.pages_done,
        pages_failed=counted.pages_failed,
        refused=[Refused.model_validate(one) for one in batch.refused],
        metadata=batch.labels,
        links=BatchLinks(
            self=own,
            jobs=f"/api/jobs?batch={batch.id}",
            result=f"{own}/result.zip" if counted.pages_done and not is_open else None,
        ),
    )


def _look(service: Service, caller: Caller, batch_id: str) -> BatchBody:
    with service.db.read() as session:
        return _shown(session, [batches.get(session, batch_id, caller.sees)])[0]


@router.post(
    "",
    status_code=202,
    response_model=BatchBody,
    summary="Submit many files to be read",
    dependencies=[needs(Scope.WRITE), has_a_place],
    responses=openapi.answers(*openapi.UPLOAD, *openapi.WEBHOOK, *openapi.IDEMPOTENCY, Unavailable) | {202: MADE},
    openapi_extra=request_body(many=True),
)
async def submit(
    here: Here, caller: Asks, response: Response, sent: Submission, idempotency_key: IdempotencyKey = None
) -> BatchBody:
    """Each file becomes a job with the same options; one that cannot be taken is listed in `refused` and holds up no
    other. More jobs can be sent to the batch later: `POST /api/jobs` with its id as `batch`.
    """

    # They mean something with a single file only; to pass over them would lose what they name.
    misplaced = [name for name in OF_ONE_FILE if getattr(sent.fields, name) is not None]
    if misplaced:
        detail = "This is for POST /api/jobs; a job joins a batch there, by its id as batch."
        problems = [FieldProblem(pointer=f"/body/{name}", detail=detail) for name in misplaced]
        raise InvalidRequest(problems, fields=", ".join(misplaced))

    def take_in(batch_id: str) -> None:
        labels = options.labels(sent.fields.metadata)
        form = sent.fields.form()
        uploads.wishes_of(here, form)
        webhooks.checked_url(here, form.callback_url)
        count_files(here, caller, len(sent.files), response)
        with here.db.write() as session:
            batches.create(session, batch_id=batch_id, owner=caller.owner, labels=labels)
        refused = [problem for file in sent.files if (problem := _take_in(here, caller, file, sent, batch_id))]
        with here.db.write() as session:
            batches.refuse(session, batch_id, refused)

    batch_id = await run_in_threadpool(
        once, here, caller, idempotency_key, lambda: f"batch {sent.fingerprint()}", take_in
    )
    body = await run_in_threadpool(_look, here, caller, batch_id)
    response.headers["Location"] = body.links.self
    return body


def _take_in(service: Service, caller: Caller, file: UploadFile, sent: Sent, batch_id: str) -> dict[str, str] | None:
    """Make a job of one file, or say why not."""
    try:
        uploads.submit(service, caller, file, sent.fields.form(batch_id))
    except CopyistError as error:
        return {"filename": uploads.printable(file.filename or ""), "code": error.code, "detail": error.detail}
    return None


@router.get(
    "",
    summary="List batches, newest first",
    dependencies=[needs(Scope.READ)],
    responses=openapi.answers(InvalidOption, InvalidRequest, Unavailable),
)
def newest(
    here: Here,
    caller: Asks,
    paging: Paging,
) -> BatchList:
    """Pages by cursor: pass `next_cursor` back until it is null, or follow the `Link` header."""
    with here.db.read() as session:
        found = batches.newest(session, owner=caller.sees, limit=paging.limit, before=paging.before)
        some, following = paging.cut(found)
        return BatchList(batches=_shown(session, some), next_cursor=following)


@router.get(
    "/{batch_id}",
    summary="Look at a batch",
    dependencies=[needs(Scope.READ)],
    responses=openapi.answers(NotFound, Unavailable),
)
def one(here: Here, caller: Asks, batch_id: str) -> BatchBody:
    """Its jobs are counted by state; `/api/jobs?batch=` lists them."""
    return _look(here, caller, batch_id)


@router.delete(
    "/{batch_id}",
    status_code=202,
    response_model=BatchBody,
    response_description="Its open jobs are cancelled",
    summary="Cancel a batch, or forget one that has ended",
    dependencies=[needs(Scope.WRITE)],
    responses=openapi.answers(NotFound, Unavailable)
    | {202: openapi.example(examples.BATCH), 204: {"description": "It had ended: it and its jobs are forgotten"}},
)
def delete(here: Here, caller: Asks, batch_id: str) -> Response | BatchBody:
    """While jobs are open: 202, they are cancelled. Else 204: the batch, its jobs and their files are deleted."""
    found = list(_jobs(here, caller, batch_id))
    is_open = [job for job in found if job.status in JOB_OPEN]
    for job in is_open:
        with suppress(NotFound, Expired):
            cancel_job(here, caller, job.id)
    if is_open:
        return _look(here, caller, batch_id)
    for job in found:
        # It may have gone by itself meanwhile, or have been taken up again.
        with suppress(NotFound, Expired, NotEnded), here.db.write() as session:
            forgetting.forget(session, job.id, blobs=here.storage, owner=caller.sees)
    with here.db.write() as session:
        is_gone = batches.forget_empty(session, batch_id)
    return Response(status_code=204) if is_gone else _look(here, caller, batch_id)


def _jobs(service: Service, caller: Caller, batch_id: str) -> Iterator[Job]:
    """All jobs of a batch in the order they came; raises ``NotFound``."""
    after = None
    while True:
        with service.db.read() as session:
            batches.get(session, batch_id, caller.sees)
            found = batches.jobs_of(session, batch_id, limit=JOBS_AT_ONCE, after=after)
        yield from found
        if len(found) < JOBS_AT_ONCE:
            return
        after = found[-1].created_at, found[-1].id


@router.get(
    "/{batch_id}/result.zip",
    summary="All results of a batch in one ZIP",
    response_class=Response,
    dependencies=[needs(Scope.READ), has_a_place],
    responses=openapi.answers(NotFound, NotReady, NoResult, InvalidOption, Unavailable) | {200: ZIP},
)
async def result(
    here: Here,
    caller: Asks,
    batch_id: str,
    formats: Annotated[str, Query(examples=["txt,pdf"], description="Separated by commas")] = "txt",
) -> Response:
    """For each job that was read a file in each of the `formats`, and `manifest.json`, which names every job, also
    those without a result, and the files that were refused, and why.
    """
    wanted = [exports.find_export(name.strip()) for name in formats.split(",") if name.strip()]
    made = await to_thread.run_sync(_zip, here, caller, batch_id, wanted, limiter=PACKERS)
    size = made.seek(0, 2)
    made.seek(0)
    headers = {"Content-Disposition": f'attachment; filename="{batch_id}.zip"'}
    return Download(chunks(made), size, media_type="application/zip", headers=headers)


def _zip(service: Service, caller: Caller, batch_id: str, wanted: Sequence[exports.Export]) -> IO[bytes]:
    """The ZIP, made on the disk one result after the other."""
    listed = []
    into = tempfile.TemporaryFile(prefix="copyist-")  # noqa: SIM115
    try:
        with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
            for place, job in enumerate(_jobs(service, caller, batch_id), start=1):
                if job.status not in JOB_ENDED:
                    raise NotReady(status=job.status.value)
                listed.append(
                    _add(service, job, archive, f"{place:04}-{PurePosixPath(job.filename).stem[:80]}", wanted)
                )
            with service.db.read() as session:
                refused = batches.get(session, batch_id, caller.sees).refused
            manifest = {"version": 1, "jobs": listed, "refused": refused}
            archive.writestr(MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1))
        if not any(job["files"] for job in listed):
            raise NoResult(status=JobStatus.FAILED.value)
    except BaseException:
        into.close()
        raise
    return into


def _add(
    service: Service, job: Job, archive: zipfile.ZipFile, name: str, wanted: Sequence[exports.Export]
) -> dict[str, Any]:
    """Add one job's results; gives its entry in the manifest."""
    entry: dict[str, Any] = {"id": job.id, "filename": job.filename, "status": job.status.value, "files": []}
    entry["error"] = {"code": job.error_code, "detail": job.error_detail} if job.error_code else None
    numbers, is_read = numbers_of(service, job)
    for export in wanted if is_read else ():
        try:
            with make(service, job, export, numbers) as made, archive.open(f"{name}.{export.extension}", "w") as into:
                made.seek(0)
                for chunk in chunks(made):
                    into.write(chunk)
        except CopyistError as error:
            entry["error"] = {"code": error.code, "detail": error.detail}
        else:
            entry["files"].append(f"{name}.{export.extension}")
    return entry
