"""The Nougat sidecar: ``POST /ocr`` names a file, waits, and gets its text as ``text/plain``.

Its clients send JSON and read the body as Nougat writes it: Markdown, formulas between ``\\(`` and ``\\)``, ``\\[`` and
``\\]``. They know one engine; here Nougat may be missing and another one read, which a header says, and a page that
nobody could read is no text but a problem. ``GET /health`` for these clients is in ``api.health``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from copyist import errors, fetch
from copyist.api import examples, openapi, problems, uploads
from copyist.api.documents import read_document
from copyist.api.jobs import wait_for_end
from copyist.api.schemas import JobBody
from copyist.api.schemas import shown as with_example
from copyist.api.service import Here, Service
from copyist.db.states import JOB_OPEN, JobStatus
from copyist.document import Decoding, Mode
from copyist.errors import NoPageRead, NoResult, OnlyPlaceholder, StillReading, Unavailable
from copyist.exports import markdown
from copyist.queue.routing import Priority

router = APIRouter(tags=["Nougat"])

ENGINE = "nougat"
FETCHES = CapacityLimiter(8)
"""Slow servers at the other end may keep so many threads busy, and not those that everybody else waits for."""
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
REFUSED = tuple(kind for kind in openapi.UPLOAD if kind not in (errors.MalformedForm, errors.MissingFile))
FAILURES = openapi.answers(*openapi.FETCH, *REFUSED, NoPageRead, NoResult, StillReading, OnlyPlaceholder, Unavailable)


@router.post(
    "/ocr",
    response_class=PlainTextResponse,
    summary="Read a paper and wait for its text",
    responses=FAILURES | TEXT,
)
async def ocr(here: Here, wish: OcrRequest) -> Response:
    """Nougat's Markdown of an image, or of all pages of a PDF. If that takes longer than `WAIT_MAX_S`: 503, with the
    job's `Location`, where it goes on.
    """
    job_id = await to_thread.run_sync(_submit, here, wish, limiter=FETCHES)
    job = await wait_for_end(here, job_id, here.settings.wait_max_s)
    response = await run_in_threadpool(_answer, here, job)
    response.headers[JOB_HEADER] = job_id
    response.headers[ENGINE_HEADER] = ", ".join(job.engines)
    response.headers["X-Content-Type-Options"] = "nosniff"
    if warnings := [*job.warnings, *_not_nougat(job.engines)]:
        response.headers[WARNING_HEADER] = " ".join(" ".join(warnings).split()).encode("ascii", "replace").decode()
    return response


def _not_nougat(engines: list[str]) -> list[str]:
    others = [name for name in engines if name != ENGINE]
    return [f"Read by {', '.join(others)}, not by Nougat; the job's pages say why."] if others else []


def _submit(service: Service, wish: OcrRequest) -> str:
    """Fetch the file and make a job of it; the job's id."""
    settings = service.settings
    allowed = fetch.Sources(
        folders=tuple(Path(folder) for folder in settings.fetch_folders),
        urls=settings.fetch_urls,
        max_bytes=settings.max_bytes,
    )
    nougat = service.engines().get(ENGINE)
    form = uploads.Form(
        mode=Mode.PAPER.value,
        engine=ENGINE if nougat and nougat["ready"] else None,
        priority=Priority.INTERACTIVE.value,
        decoding=wish.decoding(),
    )
    with fetch.fetched(wish.filename.strip(), allowed) as file:
        return uploads.take_in(service, file.content, file.name, form).id


def _answer(service: Service, job: JobBody) -> Response:
    """The text of a job, or why there is none, with the way to what there is."""
    if job.status is JobStatus.FAILED and job.error:
        response: Response = problems.of_job(job.error.code, job.error.detail)
    elif job.status in JOB_OPEN:
        seconds = service.settings.wait_max_s
        response = problems.of(StillReading(job=job.id, state=job.status.value, seconds=seconds))
    elif job.status is not JobStatus.COMPLETED:
        response = problems.of(NoResult(status=job.status.value))
    elif job.degraded:
        response = problems.of(OnlyPlaceholder(job=job.id))
    else:
        text = markdown.markdown(read_document(service, job.id), numbered=False)
        return PlainTextResponse(nougat_flavour(text))
    response.headers["Location"] = job.links.self
    return response


def nougat_flavour(text: str) -> str:
    """The house's Markdown with its formulas between ``\\(`` ``\\)`` and ``\\[`` ``\\]``."""
    return _HOUSE_MATHS.sub(_as_nougat_writes, text)


def _as_nougat_writes(match: re.Match[str]) -> str:
    if match["as_it_is"]:
        return match[0]
    if (escaped := match["escaped"]) is not None:
        return escaped[1] if escaped in _ESCAPED_HERE else escaped
    return f"\\[{match['display']}\\]" if match["display"] is not None else f"\\({match['inline']}\\)"
