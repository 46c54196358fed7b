"""Lists that go on by a cursor: a moment and an id, so that what comes or goes meanwhile shifts nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Protocol, TypeVar
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from copyist.errors import InvalidOption

MAX_LIST = 200


class Listed(Protocol):
    """A row of a list."""

    id: str
    created_at: datetime


Row = TypeVar("Row", bound=Listed)


class _Paging:
    def __init__(
        self,
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=MAX_LIST)] = 50,
        cursor: str | None = None,
    ) -> None:
        self._request, self._response, self._limit = request, response, limit
        self.before = position(cursor)
        """Creation time and id of the last row that the client has seen."""
        self.limit = limit + 1
        """Rows to fetch: one more than are shown, which tells whether there are more."""

    def cut(self, found: Sequence[Row]) -> tuple[Sequence[Row], str | None]:
        """The rows to show, and the cursor that goes on after them; it stands in the header, too (RFC 8288)."""
        shown = found[: self._limit]
        if len(found) <= self._limit:
            return shown, None
        following = _cursor(shown[-1])
        # A path only: a proxy knows better who we are.
        url = self._request.url.include_query_params(cursor=following)
        self._response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return shown, following


Paging = Annotated[_Paging, Depends()]
"""The part of a list that is asked for. Raises ``InvalidOption`` for a cursor that is none."""


def _cursor(row: Listed) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()}|{row.id}".encode()).decode()


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
