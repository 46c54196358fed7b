"""Where a list goes on: a moment and an id, so that what comes or goes meanwhile shifts nothing."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from uuid import UUID

from fastapi import Request, Response

from copyist.errors import InvalidOption

MAX_LIST = 200


def cursor(created_at: datetime, row_id: str) -> str:
    """The place after a row."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()}|{row_id}".encode()).decode()


def position(text: str | None) -> tuple[datetime, str] | None:
    """The row that a cursor is after; raises ``InvalidOption`` for what is none."""
    if text is None:
        return None
    try:
        moment, row_id = base64.urlsafe_b64decode(text).decode().split("|")
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError("a time of no zone")
        return at.astimezone(UTC), str(UUID(row_id))
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InvalidOption(value=text[:40], option="cursor", allowed="the next_cursor of a list") from error


def link_next(request: Request, response: Response, following: str | None) -> None:
    """Say in the header, too, where the list goes on (RFC 8288): as a path, for a proxy knows better who we are."""
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
