"""What is sent and listed of corrections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from copyist.client.transport import Transport, body_of


def content_of(text: str | bytes | Path) -> bytes:
    """The bytes of a corrected text; raises ``OSError`` for a file that cannot be opened."""
    if isinstance(text, Path):
        return text.read_bytes()
    return text.encode() if isinstance(text, str) else text


def list_corrections(transport: Transport, job_id: str) -> Iterator[dict[str, Any]]:
    """All revisions of the lines of a job, part by part of the list."""
    after: int | None = 0
    while after is not None:
        body = body_of(transport.ask("GET", f"/api/jobs/{job_id}/corrections", params={"after": after}))
        yield from body.get("corrections", ())
        after = body.get("next_after")
