"""What was read, page by page: text and boxes, and the pictures of the pages."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from copyist import document, storage
from copyist.api import openapi
from copyist.api.callers import Asks, Caller, Scope, needs
from copyist.api.problems import InvalidRequest
from copyist.api.schemas import PageBody, page_body
from copyist.api.service import Here, Service
from copyist.api.waiting import listen
from copyist.db import corrections, jobs
from copyist.db.tables import Page, Reading
from copyist.errors import Expired, NotFound, PageDamaged, Unavailable
from copyist.queue.routing import News

router = APIRouter(prefix="/api/jobs/{job_id}", tags=["results"], dependencies=[needs(Scope.READ)])

PICTURE_WAIT_S = 20.0

NO_PAGE = openapi.answers(NotFound, Expired, InvalidRequest, Unavailable)
PICTURE = openapi.file("The page", {"image/jpeg": None})


@router.get("/pages/{number}", summary="One page: state, trail, text, boxes", responses=NO_PAGE)
def page(here: Here, caller: Asks, job_id: str, number: int) -> PageBody:
    """Boxes are in pixels of the page as uploaded, origin top left; the same frame as its picture. Text is as people
    put it right; `lines` tells what was read.
    """
    with here.db.read() as session:
        row = _page(session, caller, job_id, number)
        reading = session.get(Reading, row.reading_id) if row.reading_id is not None else None
        content = document.Page.model_validate_json(reading.page) if reading else None
        last = corrections.current(session, job_id, [number]) if reading else {}
    revisions = {line: revision for (_, line), revision in last.items()}
    return page_body(row, content, revisions, here.settings.ocr_confidence_threshold)


def _page(session: Session, caller: Caller, job_id: str, number: int) -> Page:
    jobs.get(session, job_id, caller.sees)
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
async def picture(here: Here, caller: Asks, job_id: str, number: int) -> Response:
    """A JPEG of the page as uploaded, in the frame that the boxes are in."""
    until = time.monotonic() + PICTURE_WAIT_S
    async with here.bell.hears(job_id, News.PICTURE) as news:
        key = await run_in_threadpool(_ask_for_picture, here, caller, job_id, number)
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


def _ask_for_picture(service: Service, caller: Caller, job_id: str, number: int) -> str:
    with service.db.read() as session:
        _page(session, caller, job_id, number)
        job = jobs.get(session, job_id)
    key = storage.picture_key(job.file_sha256, number)
    if not service.storage.exists(key):
        service.sender.picture(job_id, number)
    return key
