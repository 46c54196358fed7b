"""What a document can be taken away as: one file each, and the table that names them.

A new format is one module with ``write(document) -> bytes`` and one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType

from copyist.document import Document
from copyist.errors import InvalidOption
from copyist.exports import json, markdown, text, todo


@dataclass(frozen=True, slots=True)
class Export:
    """One format. ``function`` gets the document and the day it was uploaded, from which dates without a year count."""

    extension: str
    media_type: str
    function: Callable[[Document, date], bytes]


_ALL = (
    Export("txt", "text/plain; charset=utf-8", lambda document, _: text.write(document)),
    Export("md", "text/markdown; charset=utf-8", lambda document, _: markdown.write(document)),
    Export("json", "application/json", lambda document, _: json.write(document)),
    Export("todo.json", "application/json", todo.write),
)

EXPORTS: Mapping[str, Export] = MappingProxyType({export.extension: export for export in _ALL})


def find_export(extension: str) -> Export:
    """The export of this extension ("md", "todo.json"); raises ``InvalidOption`` with the list of those there are."""
    if extension not in EXPORTS:
        raise InvalidOption(option="format", value=extension, allowed=", ".join(EXPORTS))
    return EXPORTS[extension]


def export(document: Document, extension: str, *, uploaded: date | None = None) -> bytes:
    """The document in one format. ``uploaded`` is today (UTC) where it is not given."""
    return find_export(extension).function(document, uploaded or datetime.now(UTC).date())
