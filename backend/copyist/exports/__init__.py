"""What a document can be taken away as: one file each, and the table that names them.

A new format is one module with ``write(material, into)`` and one row here. It writes page by page, so that a long
document costs no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO

from copyist.errors import InvalidOption
from copyist.exports import json, markdown, text, todo
from copyist.exports.material import Material


@dataclass(frozen=True, slots=True)
class Export:
    """One format."""

    extension: str
    media_type: str
    write: Callable[[Material, IO[bytes]], None]
    is_text: bool = True
    """Whether it can be shown in a terminal."""


_ALL = (
    Export("txt", "text/plain; charset=utf-8", text.write),
    Export("md", "text/markdown; charset=utf-8", markdown.write),
    Export("json", "application/json", json.write),
    Export("todo.json", "application/json", todo.write),
)

EXPORTS: Mapping[str, Export] = MappingProxyType({export.extension: export for export in _ALL})


def find_export(extension: str) -> Export:
    """The export of this extension ("md", "todo.json"); raises ``InvalidOption`` with the list of those there are."""
    if extension not in EXPORTS:
        raise InvalidOption(option="format", value=extension, allowed=", ".join(EXPORTS))
    return EXPORTS[extension]
