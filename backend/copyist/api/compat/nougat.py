"""The Nougat sidecar: ``POST /ocr`` names a file, waits, and gets its text as ``text/plain``.

Its clients send JSON and read the body as Nougat writes it: Markdown, formulas between ``\\(`` and ``\\)``, ``\\[`` and
``\\]``. They know one engine; here Nougat may be missing and another one read, which a header says, and a page that
nobody could read is no text but a problem. ``GET /health`` for these clients is in ``api.health``.
"""

from __future__ import annotations

import re
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from copyist.api import examples, openapi, uploads
from copyist.api.callers import Asks, Caller, Scope, needs
from copyist.api.ratelimits import count_files, has_a_place
from copyist.api.results import read_document
from copyist.api.schemas import JobBody
from copyist.api.schemas import shown as with_example
from copyist.api.service import Here, Service
from copyist.api.sources import FETCHES, take_in_named
from copyist.api.synchronous import failure, nobody_there, wait_unless_gone
from copyist.document import Decoding, Mode
from copyist.errors import NoPageRead, NoResult, OnlyPlaceholder, StillReading, Unavailable
from copyist.exports import markdown
from copyist.queue.routing import Priority

router = APIRouter(tags=["Nougat"])

ENGINE = "nougat"
JOB_HEADER, ENGINE_HEADER, WARNING_HEADER = "X-Copyist-Job", "X-Copyist-Engine", "X-Copyist-Warning"
HEADERS = (JOB_HEADER, ENGINE_HEADER, WARNING_HEADER)

_HOUSE_MATHS = re.compile(
    r"(?P<as_it_is>\\begin\{(?P<table>table\*?|tabular\*?)\}.*?\\end\{(?P=table)\})|(?P<escaped>\\.)"
    r"|\$\$\n(?P<display>.*?)\n\$\$|\$(?P<inline>(?:\\.|[^$\\])+)\$",
    re.DOTALL,
)
_ESCAPED_HERE = ("\\$", "\\<", "\\:")


class OcrRequest(BaseModel):
    """What to read, and how the model is to choose its tokens. ``null`` is the default everywhere."""

    model_config = ConfigDict(protected_namespaces=()) | with_example(examples.OCR)

    filename: str = Field(description="A `file://` URI, an `http(s)://` URL or a `data:` URI of an image or a PDF.")
    model: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="A Nougat model in the weights folder, by its name; else the one that is there."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(default=None, description="0: the likeliest token.")
    top_p: Annotated[float, Field(ge=0, le=1)] | None = Field(default=None, description="0: no token is left out.")
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None

    def decoding(self) -> Decoding:
        """The same for an engine; zeros, which ask for nothing, as nothing."""
        return Decoding(
            model=self.model or None,
            temperature=self.temperature or None,
            top_p=self.top_p or None,
            repetition_penalty=self.repetition_penalty,
        )


def _header(description: str) -> dict[str, object]:
    return {"description": description, "schema": {"type": "string"}}


TEXT: openapi.Responses = {
    200: openapi.file("The text", {"text/plain": examples.OCR_TEXT})
    | {
        "headers": {
            JOB_HEADER: _header("The job behind it, as in `/api/jobs/{id}`."),
            ENGINE_HEADER: _header("Who read it; not always Nougat."),
            WARNING_HEADER: _header("What is missing or doubtful, if anything."),
        }
    }
}
FAILURES = openapi.answers(
    *openapi.FETCH, *openapi.UPLOAD_AS_JSON, NoPageRead, NoResult, StillReading, OnlyPlaceholder, Unavailable
)


@router.post(
    "/ocr",
    response_class=PlainTextResponse,
    summary="Read a paper and wait for its text",
    dependencies=[needs(Scope.WRITE), has_a_place],
    responses=FAILURES | TEXT,
)
async def ocr(here: Here, caller: Asks, request: Request, counted: Response, wish: OcrRequest) -> Response:
    """Nougat's Markdown of an image, or of all pages of a PDF. If that takes longer than `WAIT_MAX_S`: 503, with the
    job's `Location`, where it goes on. If the client hangs up, it is cancelled.
    """
    job_id = await to_thread.run_sync(_submit, here, caller, counted, wish, limiter=FETCHES)
    job = await wait_unless_gone(here, caller, request, job_id, here.settings.wait_max_s)
    if job is None:
        return nobody_there()
    problem = failure(here, job)
    response: Response = problem if problem else await run_in_threadpool(_text, here, caller, job)
    response.headers.update(counted.headers)
    response.headers[JOB_HEADER] = job_id
    response.headers[ENGINE_HEADER] = ", ".join(job.engines)
    response.headers["X-Content-Type-Options"] = "nosniff"
    if warnings := [*job.warnings, *_not_nougat(job.engines)]:
        response.headers[WARNING_HEADER] = " ".join(" ".join(warnings).split()).encode("ascii", "replace").decode()
    return response


def _not_nougat(engines: list[str]) -> list[str]:
    others = [name for name in engines if name != ENGINE]
    return [f"Read by {', '.join(others)}, not by Nougat; the job's pages say why."] if others else []


def _submit(service: Service, caller: Caller, counted: Response, wish: OcrRequest) -> str:
    """Fetch the file and make a job of it; the job's id."""
    nougat = service.engines().get(ENGINE)
    form = uploads.Form(
        mode=Mode.PAPER.value,
        engine=ENGINE if nougat and nougat["ready"] else None,
        priority=Priority.INTERACTIVE.value,
        decoding=wish.decoding(),
    )
    count_files(service, caller, 1, counted)
    return take_in_named(service, caller, wish.filename, form).id


def _text(service: Service, caller: Caller, job: JobBody) -> PlainTextResponse:
    document = read_document(service, caller, job.id)
    return PlainTextResponse(nougat_flavour(markdown.markdown(document.pages)))


def nougat_flavour(text: str) -> str:
    """The house's Markdown with its formulas between ``\\(`` ``\\)`` and ``\\[`` ``\\]``."""
    return _HOUSE_MATHS.sub(_as_nougat_writes, text)


def _as_nougat_writes(match: re.Match[str]) -> str:
    if match["as_it_is"]:
        return match[0]
    if (escaped := match["escaped"]) is not None:
        return escaped[1] if escaped in _ESCAPED_HERE else escaped
    return f"\\[{match['display']}\\]" if match["display"] is not None else f"\\({match['inline']}\\)"
