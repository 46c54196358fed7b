"""Errors as RFC 9457 ``application/problem+json``: a stable ``code`` and a ``detail`` that a person can act on.

No exception text and no path ever leaves through here: what is not a ``CopyistError`` is logged and answered in general
words.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from copyist.errors import CopyistError, NotFound, Unavailable

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2


def problem(
    status: int, code: str, title: str, detail: str, *, retry: bool = False, errors: list[dict[str, Any]] | None = None
) -> JSONResponse:
    """One problem as a response."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    if errors is not None:
        body["errors"] = errors
    headers = {"Retry-After": str(RETRY_AFTER_S)} if retry and status in (409, 429, 503) else None
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def of(error: CopyistError) -> JSONResponse:
    """An error of our own as a response."""
    return problem(error.status, error.code, error.title, error.detail, retry=error.retry)


def register(app: FastAPI) -> None:
    """Answer every failure of ``app`` with a problem."""

    @app.exception_handler(CopyistError)
    def ours(_request: Request, error: CopyistError) -> JSONResponse:
        if error.status >= 500:
            log.error("%s: %s", error.code, error.detail)
        return of(error)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {"pointer": "/" + "/".join(str(part) for part in one["loc"]), "detail": one["msg"]}
            for one in error.errors()
        ]
        where = ", ".join(one["pointer"].rsplit("/", 1)[-1] for one in errors)
        return problem(
            422, "invalid_request", "The request is not valid", f"Check these fields: {where}.", errors=errors
        )

    @app.exception_handler(HTTPException)
    def http(_request: Request, error: HTTPException) -> Response:
        if error.status_code == 413:
            # The body was over the limit; ``limits`` knows the limit and makes this a problem.
            return PlainTextResponse(error.detail, status_code=413)
        if error.status_code == 404:
            return of(NotFound(what="page or route"))
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_")
        return problem(error.status_code, code, phrase, f"{phrase}. See /docs for the routes and what they take.")

    @app.exception_handler(DBAPIError)
    def database(_request: Request, error: DBAPIError) -> JSONResponse:
        log.error("the database: %s", error)
        return of(Unavailable(what="The database"))

    @app.exception_handler(Exception)
    def unexpected(_request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected", exc_info=error)
        return of(CopyistError())
