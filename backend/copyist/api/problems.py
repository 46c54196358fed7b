"""Errors as RFC 9457 ``application/problem+json``: a stable ``code`` and a ``detail`` that a person can act on.

No exception text and no path ever leaves through here: what is not a ``CopyistError`` is logged and answered in general
words.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from copyist.api.schemas import FieldProblem, Problem
from copyist.errors import CopyistError, MalformedForm, MissingFile, NotFound, StorageFull, Unavailable
from copyist.reasons import is_full

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2


# What pydantic finds, in our words: its own may hold the text of an exception.
WORDS: Mapping[str, str] = {
    "missing": "This field is missing.",
    "string_type": "This is not text.",
    "int_parsing": "This is not a whole number.",
    "int_parsing_size": "This number is too large.",
    "float_parsing": "This is not a number.",
    "float_type": "This is not a number.",
    "json_invalid": "The body is not JSON.",
    "model_attributes_type": "This must be a JSON object, sent with Content-Type: application/json.",
    "too_long": "These are too many: the most is {max_length}.",
    "too_short": "These are too few: the least is {min_length}.",
    "string_too_long": "This is too long: the most is {max_length} characters.",
    "string_too_short": "This is too short: the least is {min_length} characters.",
    "greater_than": "This is too small: it must be more than {gt}.",
    "greater_than_equal": "This is too small: the least is {ge}.",
    "less_than_equal": "This is too large: the most is {le}.",
    "enum": "This is none of: {expected}.",
}
OTHER_WORDS = "This value cannot be used."

# The one field of a form that holds the file, by the names it has.
FILE_FIELDS = {("body", "file"), ("body", "image")}


class InvalidRequest(CopyistError):
    """Fields or parameters of the wrong kind."""

    code, status, title = "invalid_request", 422, "The request is not valid"
    template = "Check these fields: {fields}."

    def __init__(self, errors: Sequence[FieldProblem] = (), **fields: object) -> None:
        super().__init__(**fields)
        self.errors = list(errors)


def body(error: CopyistError) -> dict[str, Any]:
    """An error as the JSON of a problem."""
    errors = error.errors if isinstance(error, InvalidRequest) and error.errors else None
    found = Problem(title=error.title, status=error.status, code=error.code, detail=error.detail, errors=errors)
    return found.model_dump(exclude_none=True)


def retry_headers(error: CopyistError) -> dict[str, str] | None:
    """When to ask again, for an error that goes away."""
    return {"Retry-After": str(RETRY_AFTER_S)} if error.retry and error.status in (409, 429, 503) else None


def of(error: CopyistError) -> JSONResponse:
    """An error of our own as a response."""
    return JSONResponse(body(error), status_code=error.status, media_type=MEDIA_TYPE, headers=retry_headers(error))


def of_job(code: str, detail: str) -> JSONResponse:
    """What a job failed of, in its own words, as the response of a route that waited for it."""
    kind = next((kind for kind in _kinds(CopyistError) if kind.code == code), CopyistError)
    found = Problem(title=kind.title, status=kind.status, code=code, detail=detail)
    return JSONResponse(found.model_dump(exclude_none=True), status_code=kind.status, media_type=MEDIA_TYPE)


def _kinds(kind: type[CopyistError]) -> Iterator[type[CopyistError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)


def refusal(error: RequestValidationError) -> CopyistError:
    """What is wrong with a request, without a word of the exception's own."""
    found = error.errors()
    places = [_place(one) for one in found]
    for place in places:
        # A text under the file's name is no file, either.
        if isinstance(error.body, FormData) and place in FILE_FIELDS:
            return MissingFile(field=place[-1])
    errors = [
        FieldProblem(
            pointer="/" + "/".join(map(str, place)),
            detail=WORDS.get(one["type"], OTHER_WORDS).format_map(one.get("ctx", {})),
        )
        for place, one in zip(places, found, strict=True)
    ]
    names = (next(part for part in reversed(place) if isinstance(part, str)) for place in places)
    return InvalidRequest(errors, fields=", ".join(dict.fromkeys(names)))


def _place(found: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Where it is: of a body that is no JSON pydantic gives the number of the letter, which is no field."""
    return ("body",) if found["type"] == "json_invalid" else tuple(found["loc"])


def register(app: FastAPI) -> None:
    """Answer every failure of ``app`` with a problem."""

    @app.exception_handler(CopyistError)
    def ours(_request: Request, error: CopyistError) -> JSONResponse:
        if error.status >= 500:
            cause = str(error.__cause__ or "").partition("\n")[0]
            log.error("%s: %s %s", error.code, error.detail, cause)
        return of(error)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return of(refusal(error))

    @app.exception_handler(HTTPException)
    def http(_request: Request, error: HTTPException) -> Response:
        if error.status_code == 413:
            # The body was over the limit; ``limits`` knows the limit and makes this a problem.
            return PlainTextResponse(error.detail, status_code=413)
        if error.status_code == 400 and is_full(error):
            log.error("no room for an upload: %s", error.__cause__)
            return of(StorageFull())
        if error.status_code == 400:
            return of(MalformedForm())
        if error.status_code == 404:
            return of(NotFound(what="page or route"))
        phrase = HTTPStatus(error.status_code).phrase
        found = Problem(
            title=phrase,
            status=error.status_code,
            code=phrase.lower().replace(" ", "_"),
            detail=f"{phrase}. See /docs for the routes and what they take.",
        )
        content = found.model_dump(exclude_none=True)
        return JSONResponse(content, status_code=found.status, media_type=MEDIA_TYPE, headers=error.headers)

    @app.exception_handler(DBAPIError)
    @app.exception_handler(NoConnectionFree)
    def database(_request: Request, error: DBAPIError | NoConnectionFree) -> JSONResponse:
        log.error("the database: %s", error)
        return of(Unavailable(what="The database"))

    @app.exception_handler(OSError)
    def system(request: Request, error: OSError) -> JSONResponse:
        if not is_full(error):
            return unexpected(request, error)
        log.error("no room: %s", error)
        return of(StorageFull())

    @app.exception_handler(Exception)
    def unexpected(_request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected", exc_info=error)
        return of(CopyistError())
