"""The OpenAPI document and the page that shows it: which problems a route answers, in the words they come in.

The entries are made from the error classes themselves, so that the document cannot say anything else than the answers.
``/docs`` shows it with the Swagger UI of the ``fastapi-swagger`` package: nothing is asked of the internet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from copyist import errors
from copyist.api import problems
from copyist.api.schemas import Problem
from copyist.errors import CopyistError, MalformedForm

Responses = dict[int | str, dict[str, Any]]

# What stands in the templates of the errors where the document shows them.
_FIELDS: Mapping[type[CopyistError], Mapping[str, object]] = {
    errors.MissingFile: {"field": "file"},
    errors.InvalidOption: {"value": "slow", "option": "priority", "allowed": "one of: batch, interactive, normal"},
    errors.FileTooLarge: {"limit_mb": 100.0},
    errors.TooManyPixels: {"width": 40000, "height": 30000, "limit_mp": 200.0},
    errors.DamagedFile: {"kind": "a WebP picture"},
    errors.PagesOutOfRange: {"pages": "7-9", "total": 3},
    errors.NotFound: {"what": "job"},
    errors.NotReady: {"status": "processing"},
    errors.AlreadyEnded: {"status": "completed"},
    errors.NoResult: {"status": "cancelled"},
    errors.Unavailable: {"what": "The database"},
    errors.FetchingOff: {"what": "web addresses", "setting": "FETCH_URLS=true"},
    errors.FetchFailed: {"reason": "It answered 404."},
    errors.NoPageRead: {"pages": 3},
    errors.StillReading: {"job": "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11", "state": "processing", "seconds": 60},
    errors.OnlyPlaceholder: {"job": "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11"},
    errors.NothingFound: {"reason": "Nothing is written in this picture."},
    errors.TooManyPictures: {"limit": 10, "sent": 11},
    errors.ConversionTooLong: {"job": "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11", "seconds": 60},
    problems.InvalidRequest: {"fields": "limit"},
    errors.Forbidden: {"scope": "write"},
    errors.KeyMissing: {"why": "None was sent."},
    errors.TooManyRequests: {"limit": 10, "window": "a minute", "seconds": 41},
    errors.TooManyAtOnce: {"limit": 5, "seconds": 1},
    errors.TooManyOpenJobs: {"limit": 100000},
    errors.UploadStalled: {"seconds": 30},
    errors.TimeLimit: {"seconds": 600},
    errors.NotEnded: {"status": "processing"},
    errors.NothingToRetry: {"status": "completed"},
    errors.InvalidWebhook: {"limit": 2000},
    errors.OnePageOnly: {"format": "PAGE XML", "pages": 3},
    errors.CorrectionTooLong: {"limit": 2000, "length": 2300},
    errors.StaleCorrection: {"text": "Invoices", "revision": 12},
    errors.LinesDoNotMatch: {"sent": 12, "read": 40, "problem": "Fewer than six in ten of them are alike."},
    errors.TooFewLines: {"have": 20, "needed": 32, "missing": 12, "hint": "Correct or confirm more lines."},
    errors.RunActive: {"run": "9f2d7c1e-4f0a-4a57-8a3d-1d5a4f0f9c22", "status": "running"},
    errors.RunEnded: {"status": "completed"},
    errors.CannotPromote: {"version": 3, "reason": "it serves already."},
    errors.NotAcceptable: {"allowed": "text/plain, application/json, application/pdf"},
}

# What the check of an upload may answer, whatever route it came in by.
UPLOAD = (
    MalformedForm,
    errors.MissingFile,
    errors.EmptyUpload,
    errors.FileTooLarge,
    errors.TooManyPixels,
    errors.UnsupportedMedia,
    errors.InvalidOption,
    errors.DamagedFile,
    errors.Encrypted,
    errors.StorageFull,
    errors.TooManyOpenJobs,
    errors.TooManyRequests,
    errors.TooManyAtOnce,
    errors.KeyMissing,
    errors.Forbidden,
    errors.UploadStalled,
    problems.InvalidRequest,
)

# The same for a file that comes in JSON, by its address or as text.
UPLOAD_AS_JSON = tuple(kind for kind in UPLOAD if kind not in (MalformedForm, errors.MissingFile))

# What may be wrong with a file that is named by its address.
FETCH = (
    errors.InvalidSource,
    errors.FetchingOff,
    errors.FolderRefused,
    errors.SourceMissing,
    errors.AddressRefused,
    errors.FetchFailed,
)

# What may be wrong with an address that is to be told of something.
WEBHOOK = (errors.InvalidWebhook, errors.WebhookRefused, errors.WebhooksOff)

# What an Idempotency-Key may meet.
IDEMPOTENCY = (errors.IdempotencyConflict, errors.IdempotencyInFlight)

LOCATION = {"Location": {"description": "Where the job is: poll there.", "schema": {"type": "string"}}}
RETRY_AFTER = {"Retry-After": {"description": "Seconds until it is worth asking again.", "schema": {"type": "integer"}}}

_SCHEMA = {"$ref": "#/components/schemas/Problem"}
ANYTHING_ELSE: Responses = {
    "default": {"description": "Anything else", "content": {problems.MEDIA_TYPE: {"schema": _SCHEMA}}}
}


def answers(*kinds: type[CopyistError]) -> Responses:
    """The entries for these errors, one for each status, with an example of each ``code``."""
    by_status = defaultdict(list)
    for kind in kinds:
        by_status[kind.status].append(kind(**_FIELDS.get(kind, {})))
    return {status: _answer(found) for status, found in sorted(by_status.items())}


def _answer(found: list[CopyistError]) -> dict[str, Any]:
    examples = {error.code: {"summary": error.title, "value": problems.body(error)} for error in found}
    entry: dict[str, Any] = {
        "description": ". ".join(error.title for error in found),
        "content": {problems.MEDIA_TYPE: {"schema": _SCHEMA, "examples": examples}},
    }
    if any(problems.retry_headers(error) for error in found):
        entry["headers"] = RETRY_AFTER
    return entry


def file(description: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a route that answers with a file: media type to an example, ``None`` for bytes."""
    schema = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
    shown = {
        kind: {"schema": schema} if example is None else {"schema": {}, "example": example}
        for kind, example in content.items()
    }
    return {"description": description, "content": shown}


def example(value: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an entry that shows one JSON body."""
    return {"content": {"application/json": {"example": value}}}


class Described(FastAPI):
    """An application whose document has the model of its problems, and whose ``/docs`` work without the internet."""

    needs_keys = False

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        model = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= model.pop("$defs") | {"Problem": model}
        if not self.needs_keys:
            _let_everybody_in(document)
        return document


def _let_everybody_in(document: dict[str, Any]) -> None:
    """Say that a key may be sent to an operation, and need not be."""
    for operation in (one for operations in document["paths"].values() for one in operations.values()):
        if {} not in operation.get("security", [{}]):
            operation["security"].append({})


def serve_docs(app: FastAPI) -> None:
    """``/docs``, its addresses relative, so that they hold behind a proxy's prefix, too."""
    app.mount("/docs/assets", StaticFiles(packages=[("fastapi_swagger", "resources")]), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            title=f"{app.title}: the API",
            openapi_url="openapi.json",
            swagger_js_url="docs/assets/swagger-ui-bundle.js",
            swagger_css_url="docs/assets/swagger-ui.css",
            swagger_favicon_url="docs/assets/favicon-32x32.png",
            # Else Swagger UI sends the document's address to a validator on the internet.
            swagger_ui_parameters={"validatorUrl": None},
        )
