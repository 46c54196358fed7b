"""What was read: pages, their pictures, and whole results in several formats."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from copyist import document, exports, storage
from copyist.api import examples, openapi
from copyist.api.jobs import listen
from copyist.api.problems import InvalidRequest
from copyist.api.schemas import PageBody, page_body
from copyist.api.service import Here, Service
from copyist.db import jobs
from copyist.db.states import JOB_OPEN, PageStatus
from copyist.db.tables import Job, Page, Reading
from copyist.errors import InvalidOption, NoResult, NotFound, NotReady, PageDamaged, PagesOutOfRange, Unavailable
from copyist.pageranges import parse_pages
from copyist.queue.routing import News

router = APIRouter(prefix="/api/jobs/{job_id}", tags=["results"])

PICTURE_WAIT_S = 20.0

NO_PAGE = openapi.answers(NotFound, InvalidRequest, Unavailable)
PICTURE = openapi.file("The page", {"image/jpeg": None})
RESULT = openapi.file(
    "The result",
    {kind: examples.RESULTS[kind] for kind in (one.media_type.split(";")[0] for one in exports.EXPORTS.values())},
)
NO_RESULT = openapi.answers(NotFound, NotReady, NoResult, InvalidOption, PagesOutOfRange, Unavailable)


@router.get("/pages/{number}", summary="One page: state, trail, text, boxes", responses=NO_PAGE)
def page(here: Here, job_id: str, number: int) -> PageBody:
    """Boxes are in pixels of the page as uploaded, origin top left; the same frame as its picture."""
    with here.db.read() as session:
        row = _page(session, job_id, number)
        reading = session.get(Reading, row.reading_id) if row.reading_id is not None else None
        content = document.Page.model_validate_json(reading.page) if reading else None
        return page_body(row, content, here.settings.ocr_confidence_threshold)


def _page(session: Session, job_id: str, number: int) -> Page:
    jobs.get(session, job_id)
    row = session.get(Page, (job_id, number)) if 1 <= number < 2**31 else None
    if row is None:
        raise NotFound(what=f"page {number} of the job")
    return row


@router.get(
    "/pages/{number}/image",
    summary="The picture of a page",
    response_class=Response,
    responses=NO_PAGE | {200: PICTURE},
)
async def picture(here: Here, job_id: str, number: int) -> Response:
    """A JPEG of the page as uploaded, in the frame that the boxes are in."""
    until = time.monotonic() + PICTURE_WAIT_S
    async with here.bell.hears(job_id, News.PICTURE) as news:
        key = await run_in_threadpool(_ask_for_picture, here, job_id, number)
        while True:
            news.clear()
            content = await run_in_threadpool(here.storage.get, key)
            if content == b"":
                raise PageDamaged(number=number)
            if content is not None:
                return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})
            left = until - time.monotonic()
            if left <= 0:
                raise Unavailable(what="The picture of this page")
            await listen(news, left)


def _ask_for_picture(service: Service, job_id: str, number: int) -> str:
    with service.db.read() as session:
        _page(session, job_id, number)
        job = jobs.get(session, job_id)
    key = storage.picture_key(job.file_sha256, number)
    if not service.storage.exists(key):
        service.sender.picture(job_id, number)
    return key


@router.get(
    "/result.{extension}", summary="The whole result", response_class=Response, responses=NO_RESULT | {200: RESULT}
)
def result(
    here: Here,
    job_id: str,
    extension: Annotated[str, Path(json_schema_extra={"enum": list(exports.EXPORTS)})],
    pages: Annotated[str | None, Query(examples=["1-3,5"], description="Only these pages")] = None,
) -> Response:
    """All pages that were read, in order, as `txt`, `md`, `json` or `todo.json`."""
    export = exports.find_export(extension)
    with here.db.read() as session:
        uploaded = jobs.get(session, job_id).created_at.date()
    content = export.function(read_document(here, job_id, pages), uploaded)
    # What somebody wrote on a page must not be taken for a page by a browser.
    return Response(content, media_type=export.media_type, headers={"X-Content-Type-Options": "nosniff"})


def read_document(service: Service, job_id: str, pages: str | None = None) -> document.Document:
    """What was read of an ended job; raises ``NotFound``, ``NotReady`` or ``NoResult``."""
    with service.db.read() as session:
        job = jobs.get(session, job_id)
        readings = _readings(session, job, pages)
    if job.status in JOB_OPEN:
        raise NotReady(status=job.status.value)
    if not readings:
        raise NoResult(status=job.status.value)
    return document.Document(pages=tuple(document.Page.model_validate_json(text) for text in readings))


def _readings(session: Session, job: Job, pages: str | None) -> list[str]:
    query = (
        select(Reading.page)
        .join(Page, Page.reading_id == Reading.id)
        .where(Page.job_id == job.id, Page.status == PageStatus.DONE)
        .order_by(Page.number)
    )
    if pages is not None:
        last = session.scalar(select(Page.number).where(Page.job_id == job.id).order_by(Page.number.desc()).limit(1))
        query = query.where(Page.number.in_(parse_pages(pages, last or 0)))
    return list(session.scalars(query))
