"""``/api/lines`` and the corrections of a job: what people say that stands on a line.

All that a request changes on one page is one transaction under the lock of the job's row. After it a worker is asked
to cut the lines out, to learn from; where the broker is away, the sweeper asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query

from copyist.api import examples, openapi
from copyist.api.callers import Asks, Caller, Scope, needs
from copyist.api.correction_files import REQUEST_BODY, Laid, Sent, SentFile, lay_beside
from copyist.api.correction_schemas import (
    CorrectionLog,
    CorrectionReport,
    LeftLine,
    LineDetail,
    LineText,
    PageConfirmation,
    line_detail,
    revision_body,
)
from copyist.api.problems import InvalidRequest
from copyist.api.results import Pages
from copyist.api.schemas import FieldProblem
from copyist.api.service import Here, Service
from copyist.corrections.text_file import Shown
from copyist.db import corrections, jobs
from copyist.db.corrections import Change, LineId, Revised
from copyist.errors import (
    CorrectionTooLong,
    DamagedFile,
    EmptyCorrection,
    Expired,
    FileTooLarge,
    InvalidOption,
    LinesDoNotMatch,
    MalformedForm,
    MissingFile,
    NoLines,
    NotFound,
    PagesOutOfRange,
    StaleCorrection,
    Unavailable,
)

router = APIRouter(tags=["corrections"])

READERS = CapacityLimiter(2)
"""Threads that lay texts beside each other, which is work for the processor."""
MAX_LOG = 1000

NO_LINE = (NotFound, Expired, Unavailable, InvalidRequest)
NO_TEXT = (
    *(MalformedForm, MissingFile, EmptyCorrection, CorrectionTooLong, LinesDoNotMatch, NoLines, DamagedFile),
    *(FileTooLarge, InvalidOption, PagesOutOfRange),
)


@router.get(
    "/api/lines/{line_id}",
    summary="One line, and all that was said of it",
    dependencies=[needs(Scope.READ)],
    responses=openapi.answers(*NO_LINE),
)
def line(here: Here, caller: Asks, line_id: str) -> LineDetail:
    """Ids of lines are in `lines` of their page. `box` is in pixels of the page's picture, origin top left."""
    wanted = LineId.parse(line_id)
    with here.db.read() as session:
        jobs.get(session, wanted.job_id, caller.sees)
        read = corrections.read_page(session, wanted.job_id, wanted.page)
        if wanted.line >= sum(1 for _ in read.lines()):
            raise NotFound(what="line")
        return line_detail(wanted, read, corrections.history(session, wanted))


@router.put(
    "/api/lines/{line_id}",
    summary="Correct a line, or say that it is right, or that nothing stands there",
    dependencies=[needs(Scope.CORRECT)],
    responses=openapi.answers(*NO_LINE, EmptyCorrection, CorrectionTooLong, StaleCorrection),
)
def correct(here: Here, caller: Asks, line_id: str, body: LineText) -> LineDetail:
    """The text that stands there; the text that is shown, or `confirm`, says that it is right. With `nothing` the line
    is in no result any more, until a text is sent for it. No revision is written over; what is known adds none.
    """
    wanted = LineId.parse(line_id)
    if [body.text is not None, body.confirm, body.nothing].count(True) != 1:
        told = "Send one of them: the text of the line, confirm: true, or nothing: true."
        raise InvalidRequest([FieldProblem(pointer="/body/text", detail=told)], fields="text, confirm, nothing")
    change = Change(wanted.line, body.text, body.parent, body.nothing)
    revised = _revise(here, caller, wanted.job_id, wanted.page, [change], source=body.source)
    _ask_for_pictures(here, wanted.job_id, [wanted.page] if revised.is_new else [])
    return line(here, caller, line_id)


@router.post(
    "/api/jobs/{job_id}/pages/{number}/confirm",
    summary="Say that all lines of a page are right",
    dependencies=[needs(Scope.CORRECT)],
    responses=openapi.answers(*NO_LINE, NoLines) | {200: openapi.example(examples.CONFIRMED)},
)
def confirm(
    here: Here, caller: Asks, job_id: str, number: int, body: PageConfirmation | None = None
) -> CorrectionReport:
    """Those that nobody has looked at yet; what was corrected stays so. A page of which every line is known is what
    models are measured on.
    """
    with here.db.read() as session:
        jobs.get(session, job_id, caller.sees)
        count = sum(1 for _ in corrections.read_page(session, job_id, number).lines())
        known = corrections.current(session, job_id, [number])
    if not count:
        raise NoLines
    changes = [Change(place, None) for place in range(count) if (number, place) not in known]
    revised = _revise(here, caller, job_id, number, changes, source=body.source if body else "api")
    _ask_for_pictures(here, job_id, [number] if revised.is_new else [])
    confirmed = len(revised.confirmed)
    return CorrectionReport(
        corrected=0,
        confirmed=confirmed,
        unchanged=count - confirmed,
        lines=[],
        outdated=[],
        unmatched=[],
        unmatched_text=[],
    )


@router.post(
    "/api/jobs/{job_id}/corrections",
    summary="Send a corrected text back",
    dependencies=[needs(Scope.CORRECT)],
    responses=openapi.answers(*NO_LINE, *NO_TEXT),
    openapi_extra=REQUEST_BODY,
)
async def correct_text(
    here: Here,
    caller: Asks,
    job_id: str,
    sent: Sent,
    pages: Pages = None,
    confirm_unchanged: Annotated[bool, Query(description="Lines that are sent as they are count as right")] = True,
) -> CorrectionReport:
    """A `result.txt` that somebody edited, or a `page.xml`, as the body or as the `file` of a form. With as many lines
    as were read each is taken for the one in its place; else they are found by what they have in common, and the answer
    says which were not. Where too few are found it is refused, and nothing is changed.
    """
    return await to_thread.run_sync(_take, here, caller, job_id, sent, pages, confirm_unchanged, limiter=READERS)


def _take(
    service: Service, caller: Caller, job_id: str, sent: SentFile, pages: str | None, confirm_unchanged: bool
) -> CorrectionReport:
    with service.db.read() as session:
        job = jobs.get(session, job_id, caller.sees)
    laid = lay_beside(service, job, sent, pages)
    changes: dict[int, list[Change]] = {}
    outdated: list[Shown] = []
    with service.db.read() as session:
        earlier = corrections.earlier(session, job_id, {shown.page for shown, _ in laid.pairs})
    # All of it is looked at before anything is written.
    for shown, text in laid.pairs:
        same = corrections.says_the_same(shown.text, text)
        if shown.line is None:
            continue
        if not same and any(corrections.says_the_same(was, text) for was in earlier.get((shown.page, shown.line), ())):
            # Nobody has touched it in the file: somebody corrected it elsewhere after that was downloaded.
            outdated.append(shown)
        elif confirm_unchanged or not same:
            changes.setdefault(shown.page, []).append(Change(shown.line, None if same else text))
    source = "page.xml" if sent.is_page_xml else "text"
    revised = {page: _revise(service, caller, job_id, page, some, source=source) for page, some in changes.items()}
    _ask_for_pictures(service, job_id, [page for page, one in revised.items() if one.is_new])
    return _report(job_id, laid, revised, outdated)


def _report(job_id: str, laid: Laid, revised: dict[int, Revised], outdated: list[Shown]) -> CorrectionReport:
    corrected = [str(LineId(job_id, page, place)) for page, one in revised.items() for place in one.corrected]
    confirmed = sum(len(one.confirmed) for one in revised.values())
    return CorrectionReport(
        corrected=len(corrected),
        confirmed=confirmed,
        unchanged=len(laid.pairs) - len(corrected) - confirmed - len(outdated),
        lines=corrected,
        outdated=_left(job_id, outdated),
        unmatched=_left(job_id, laid.unmatched),
        unmatched_text=list(laid.unmatched_text),
    )


def _left(job_id: str, lines: Iterable[Shown]) -> list[LeftLine]:
    return [
        LeftLine(id=str(LineId(job_id, one.page, one.line)), page=one.page, line=one.line, text=one.text)
        for one in lines
        if one.line is not None
    ]


def _revise(service: Service, caller: Caller, job_id: str, page: int, changes: list[Change], *, source: str) -> Revised:
    """The changes to one page, in a transaction of their own."""
    with service.db.write() as session:
        job = jobs.get(session, job_id, caller.sees, lock=True)
        return corrections.revise_page(session, job, page, changes, source=source, author=caller.name)


def _ask_for_pictures(service: Service, job_id: str, pages: Iterable[int]) -> None:
    """Ring for each page, as long as the broker takes it."""
    all(service.sender.lines(job_id, page) for page in pages)


@router.get(
    "/api/jobs/{job_id}/corrections",
    summary="All corrections of a job",
    dependencies=[needs(Scope.READ)],
    responses=openapi.answers(*NO_LINE),
)
def log(
    here: Here,
    caller: Asks,
    job_id: str,
    after: Annotated[int, Query(ge=0, lt=2**31, description="Only those after this revision")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LOG)] = 200,
) -> CorrectionLog:
    """In the order they were made; pass `next_after` back until it is null."""
    with here.db.read() as session:
        jobs.get(session, job_id, caller.sees)
        found = corrections.of_job(session, job_id, after=after, limit=limit + 1)
    some = found[:limit]
    return CorrectionLog(
        corrections=[revision_body(one) for one in some], next_after=some[-1].id if len(found) > limit else None
    )
