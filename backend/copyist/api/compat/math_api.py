"""The handwritten math API: ``POST /predict`` and ``/predict/batch`` give the LaTeX of pictures of formulas.

Its clients send ``X-API-Key``, one picture as the form's ``file`` or up to ten as base64 in JSON, and read ``formula``,
``confidence``, ``processing_time`` (seconds) and ``timestamp`` (UTC). Where its documents show no shape (a batch's
answer, ``/status``, ``/model/info``), the fields are ours, named in its manner.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, File, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from copyist import __version__, errors
from copyist.api import openapi, problems, ratelimits, uploads
from copyist.api.callers import Asks, Caller, Scope, Tier, needs
from copyist.api.compat import examples, formulas
from copyist.api.compat.intellinote import as_data
from copyist.api.ratelimits import count_files, has_a_place
from copyist.api.schemas import JobBody
from copyist.api.schemas import shown as with_example
from copyist.api.service import Here, Service
from copyist.api.sources import FETCHES, take_in_named
from copyist.api.synchronous import failure, nobody_there, wait_for_all_unless_gone, wait_unless_gone
from copyist.errors import CopyistError, TooManyPictures

router = APIRouter(tags=["math API"])

MAX_IMAGES = 10
_STARTED = time.monotonic()


class Prediction(BaseModel):
    """One formula."""

    model_config = with_example(examples.PREDICTION, examples.UNSURE)

    formula: str = Field(description="LaTeX; of several formulas one a line.")
    confidence: float | None = Field(description="0 to 1; null where the engine does not say.")
    processing_time: float = Field(description="Seconds from the upload to the end.")
    timestamp: str = Field(description="UTC, as in `2025-07-15 21:00:03`.")
    warnings: list[str] = Field(
        default=[], description="Why the formula may be wrong; left out where there is nothing to say."
    )


class BatchRequest(BaseModel):
    """Pictures of formulas."""

    model_config = with_example(examples.PREDICT_BATCH)

    images: list[str] = Field(
        min_length=1, description="Base64, or `data:` URLs.", json_schema_extra={"maxItems": MAX_IMAGES}
    )


class BatchItem(BaseModel):
    """One picture of a batch: its formula, or the problem that ``/predict`` would have answered."""

    index: int
    formula: str | None = None
    confidence: float | None = None
    processing_time: float | None = None
    warnings: list[str] = []
    error: dict[str, Any] | None = None


class BatchAnswer(BaseModel):
    """All pictures of a batch, in their order."""

    model_config = with_example(examples.PREDICTIONS)

    results: list[BatchItem]
    total: int
    successful: int
    failed: int
    processing_time: float
    timestamp: str


class ApiStatus(BaseModel):
    """Whether formulas can be read now."""

    model_config = with_example(examples.MATH_STATUS)

    status: Literal["healthy", "unavailable"]
    model_loaded: bool = Field(description="Whether an engine that reads formulas is ready.")
    engines: list[str] = Field(description="Those that are.")
    version: str
    uptime: float = Field(description="Seconds since this process started.")
    timestamp: str


class ModelInfo(BaseModel):
    """The engine that reads formulas; where none is ready its fields are null and ``architecture`` is empty."""

    model_config = with_example(examples.MODEL_INFO)

    model_name: str | None
    engine: str | None
    version: str | None
    device: str | None
    state: str | None = Field(description="unloaded, loading, loaded or failed; it is loaded with the first picture.")
    model_loaded: bool = Field(description="Whether it is ready, as in `/status`.")
    architecture: dict[str, str] = Field(
        description="Encoder, decoder, parameters and what it was measured to do, as far as the engine tells."
    )


class LimitWindow(BaseModel):
    """How many files a caller may send within a stretch of time."""

    limit: int
    remaining: int
    reset: int = Field(description="Seconds until more may be sent.")


class ConcurrentLimit(BaseModel):
    """How many uploads and waiting calls a caller may have at once."""

    limit: int
    active: int


class RateLimitStatus(BaseModel):
    """What is left for this caller; asking counts for nothing."""

    model_config = with_example(examples.RATE_LIMIT_STATUS)

    enabled: bool = Field(description="Whether this caller has limits at all.")
    tier: Tier
    windows: dict[str, LimitWindow] = Field(description="`minute`, `hour` and `day`.")
    concurrent: ConcurrentLimit | None


FAILURES = openapi.answers(*openapi.UPLOAD, *formulas.FAILURES)
BATCH_FAILURES = openapi.answers(
    *openapi.UPLOAD_AS_JSON, errors.InvalidSource, errors.TooManyPictures, *formulas.FAILURES
)


@router.post(
    "/predict",
    response_model=Prediction,
    response_model_exclude_defaults=True,
    summary="Read the picture of a formula",
    dependencies=[needs(Scope.WRITE), has_a_place],
    responses=FAILURES,
)
async def predict(
    here: Here,
    caller: Asks,
    request: Request,
    response: Response,
    file: Annotated[UploadFile, File(json_schema_extra={"format": "binary"})],
) -> Prediction | Response:
    """If that takes longer than `WAIT_MAX_S`: 503, and the job goes on. If the client hangs up, it is cancelled."""

    def submit() -> str:
        form = formulas.form(here.engines())
        count_files(here, caller, 1, response)
        return uploads.submit(here, caller, file, form).id

    job = await wait_unless_gone(here, caller, request, await run_in_threadpool(submit), here.settings.wait_max_s)
    if job is None:
        return nobody_there()
    if problem := failure(here, job):
        return problem
    return await run_in_threadpool(_prediction, here, caller, job)


def _prediction(service: Service, caller: Caller, job: JobBody) -> Prediction:
    found = formulas.found(service, caller, job)
    return Prediction(
        formula=found.latex,
        confidence=found.confidence,
        processing_time=_seconds(job),
        timestamp=_now(),
        warnings=[*found.warnings],
    )


def _seconds(job: JobBody) -> float:
    return round(((job.finished_at or datetime.now(UTC)) - job.created_at).total_seconds(), 3)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


@router.post(
    "/predict/batch",
    response_model=BatchAnswer,
    summary="Read up to ten pictures of formulas",
    dependencies=[needs(Scope.WRITE), has_a_place],
    responses=BATCH_FAILURES,
)
async def predict_batch(
    here: Here, caller: Asks, request: Request, response: Response, wish: BatchRequest
) -> BatchAnswer | Response:
    """Each picture counts as a file, and has its own result or error. Where all fail: the first one's status."""
    if len(wish.images) > MAX_IMAGES:
        raise TooManyPictures(limit=MAX_IMAGES, sent=len(wish.images))
    began = time.monotonic()
    taken = await to_thread.run_sync(_submit_all, here, caller, response, wish, limiter=FETCHES)
    ids = [one for one in taken if isinstance(one, str)]
    jobs = await wait_for_all_unless_gone(here, caller, request, ids, here.settings.wait_max_s)
    if jobs is None:
        return nobody_there()
    items = await run_in_threadpool(_items, here, caller, taken, jobs)
    failed = sum(item.error is not None for item in items)
    answer = BatchAnswer(
        results=items,
        total=len(items),
        successful=len(items) - failed,
        failed=failed,
        processing_time=round(time.monotonic() - began, 3),
        timestamp=_now(),
    )
    first = items[0].error
    if first is None or failed < len(items):
        return answer
    return JSONResponse(first | answer.model_dump(), first["status"], media_type=problems.MEDIA_TYPE)


def _submit_all(service: Service, caller: Caller, response: Response, wish: BatchRequest) -> list[str | CopyistError]:
    """The job of each picture, or what is wrong with it."""
    engines = service.engines()
    forms = [formulas.form(engines) for _ in wish.images]
    count_files(service, caller, len(wish.images), response)
    taken: list[str | CopyistError] = []
    for number, (image, form) in enumerate(zip(wish.images, forms, strict=True), 1):
        try:
            taken.append(take_in_named(service, caller, as_data(image), form, filename=f"formula {number}").id)
        except CopyistError as error:
            taken.append(error)
    return taken


def _items(service: Service, caller: Caller, taken: list[str | CopyistError], jobs: list[JobBody]) -> list[BatchItem]:
    ended = {job.id: job for job in jobs}
    return [
        _refused(index, one) if isinstance(one, CopyistError) else _item(service, caller, index, ended[one])
        for index, one in enumerate(taken)
    ]


def _refused(index: int, error: CopyistError) -> BatchItem:
    return BatchItem(index=index, error=problems.body(error))


def _item(service: Service, caller: Caller, index: int, job: JobBody) -> BatchItem:
    if problem := failure(service, job):
        return BatchItem(index=index, error=json.loads(bytes(problem.body)))
    try:
        found = _prediction(service, caller, job)
    except CopyistError as error:
        return _refused(index, error)
    return BatchItem(index=index, **found.model_dump(exclude={"timestamp"}))


@router.get("/status", summary="Whether formulas can be read", responses=openapi.answers(errors.Unavailable))
def status(here: Here) -> ApiStatus:
    """Needs no key, as in the old service."""
    ready = formulas.readers(here.engines())
    return ApiStatus(
        status="healthy" if ready else "unavailable",
        model_loaded=bool(ready),
        engines=ready,
        version=__version__,
        uptime=round(time.monotonic() - _STARTED, 1),
        timestamp=_now(),
    )


@router.get("/model/info", summary="Which engine reads formulas", responses=openapi.answers(errors.Unavailable))
def model_info(here: Here) -> ModelInfo:
    """Needs no key, as in the old service."""
    engines = here.engines()
    name = next(iter(formulas.readers(engines)), None)
    facts = engines[name] if name else {}
    return ModelInfo(
        model_name=(facts.get("model") or name) if name else None,
        engine=name,
        version=facts.get("version"),
        device=facts.get("device"),
        state=facts.get("state"),
        model_loaded=name is not None,
        architecture=facts.get("details", {}),
    )


@router.get(
    "/rate-limit/status",
    summary="What is left of your limits",
    responses=openapi.answers(errors.KeyMissing, errors.Unavailable),
)
def rate_limit_status(here: Here, caller: Asks) -> RateLimitStatus:
    """Of the key that is sent, or else of the address; a key is needed only where nobody gets in without one."""
    windows = ratelimits.status(here, caller)
    places = ratelimits.places_in_use(here, caller)
    return RateLimitStatus(
        enabled=bool(windows),
        tier=caller.tier,
        windows={one.name: LimitWindow(limit=one.limit, remaining=one.remaining, reset=one.reset_s) for one in windows},
        concurrent=ConcurrentLimit(limit=places.limit, active=places.taken) if places else None,
    )
