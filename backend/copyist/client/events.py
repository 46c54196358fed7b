"""Server-sent events, as a job tells them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from copyist.client.transport import no_answer_of_ours


@dataclass(frozen=True)
class Event:
    """One event: what it is about, what it says, and its id, with which the stream is taken up again."""

    name: str
    data: Mapping[str, Any]
    id: str | None


@dataclass(frozen=True)
class PageEvent:
    """A page was settled: ``status`` is ``done``, ``failed`` or ``skipped``; ``confidence`` is 0 to 1."""

    number: int
    status: str
    engine: str | None
    confidence: float | None
    error: Mapping[str, Any] | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> PageEvent:
        """The event as the server writes it."""
        try:
            return cls(data["number"], data["status"], data.get("engine"), data.get("confidence"), data.get("error"))
        except KeyError as error:
            raise no_answer_of_ours("event") from error


def events_of(lines: Iterable[str]) -> Iterator[Event | None]:
    """Events from the lines of a stream (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    ``None`` stands for a sign of life without news.
    """
    name, data, last_id = "message", list[str](), None
    for line in lines:
        if not line:
            if data:
                yield Event(name, _object("\n".join(data)), last_id)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value
        elif not field:
            yield None


def _object(data: str) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise no_answer_of_ours("event")
    return found
