"""IntelliNote's local service: ``POST /recognize`` takes the picture of a formula and answers with its LaTeX.

Its client runs in a browser on the user's own machine, at another port or inside an app, and calls from there: see
``LocalOrigins``. It sends small pictures as data URLs, and reads ``latex`` and ``confidence``, of an error ``detail``.
"""

from __future__ import annotations

from collections.abc import Sequence

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from copyist import errors
from copyist.api import openapi
from copyist.api.callers import Asks, Caller, needs
from copyist.api.callers import Scope as KeyScope
from copyist.api.compat import examples, formulas
from copyist.api.ratelimits import count_files, has_a_place
from copyist.api.schemas import shown as with_example
from copyist.api.service import Here, Service
from copyist.api.sources import FETCHES, take_in_named
from copyist.api.synchronous import failure, nobody_there, wait_unless_gone

router = APIRouter(tags=["IntelliNote"])

PATHS = ("/recognize", "/health")
LOCAL = (
    r"https?://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?"
    r"|tauri://localhost|https?://tauri\.localhost|capacitor://localhost|app://[\w.-]+"
)
"""Pages of this machine's own servers, and of apps that are installed on it: no website can have such an origin.

``null`` is not among them, as any website gets it by a sandboxed frame; nor are browser extensions, each of which may
be let in by its own address in ``CORS_ORIGINS``.
"""


class RecognizeRequest(BaseModel):
    """The picture of a formula."""

    model_config = with_example(examples.RECOGNIZE)

    image: str = Field(description="A `data:` URL of a picture, or its bare base64.")


class Recognized(BaseModel):
    """What stands there."""

    model_config = with_example(examples.RECOGNIZED)

    latex: str = Field(description="Of several formulas one a line.")
    confidence: float | None = Field(description="0 to 1; null where the engine does not say.")
    warnings: list[str] = Field(
        default=[], description="Why the formula may be wrong; left out where there is nothing to say."
    )


FAILURES = openapi.answers(*openapi.UPLOAD_AS_JSON, errors.InvalidSource, *formulas.FAILURES)


@router.post(
    "/recognize",
    response_model=Recognized,
    response_model_exclude_defaults=True,
    summary="Read the picture of a formula and wait for its LaTeX",
    dependencies=[needs(KeyScope.WRITE), has_a_place],
    responses=FAILURES,
)
async def recognize(
    here: Here, caller: Asks, request: Request, response: Response, wish: RecognizeRequest
) -> Recognized | Response:
    """If that takes longer than `WAIT_MAX_S`: 503, and the job goes on. If the client hangs up, it is cancelled."""
    job_id = await to_thread.run_sync(_submit, here, caller, response, wish, limiter=FETCHES)
    job = await wait_unless_gone(here, caller, request, job_id, here.settings.wait_max_s)
    if job is None:
        return nobody_there()
    if problem := failure(here, job):
        return problem
    found = await run_in_threadpool(formulas.found, here, caller, job)
    return Recognized(latex=found.latex, confidence=found.confidence, warnings=[*found.warnings])


def _submit(service: Service, caller: Caller, response: Response, wish: RecognizeRequest) -> str:
    form = formulas.form(service.engines())
    count_files(service, caller, 1, response)
    return take_in_named(service, caller, as_data(wish.image), form, filename="formula").id


def as_data(image: str) -> str:
    """A picture that came as a data URL or as bare base64, as a data URL; no other address is looked at."""
    image = image.strip()
    return image if image[:5].lower() == "data:" else f"data:;base64,{image}"


class LocalOrigins:
    """Cross-origin calls of ``PATHS`` from local clients and from ``others``; all other routes are left as they are."""

    def __init__(self, app: ASGIApp, others: Sequence[str]) -> None:
        self.app = app
        self.open = CORSMiddleware(
            app,
            allow_origins=others,
            allow_origin_regex=LOCAL,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=["Location", "Retry-After"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_open = scope["type"] == "http" and scope["path"] in PATHS
        await (self.open if is_open else self.app)(scope, receive, send)


def let_local_clients_in(app: FastAPI, others: Sequence[str]) -> None:
    """Open ``PATHS`` to local clients; to be called after every other middleware that answers by itself."""
    app.add_middleware(LocalOrigins, others=others)
