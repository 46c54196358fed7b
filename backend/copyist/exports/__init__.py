"""What a document can be taken away as: one file each, and the table that names them.

A new format is one module with ``write(material, into)`` and one row here. It writes page by page, so that a long
document costs no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import IO

from copyist.errors import InvalidOption
from copyist.exports import alto, docx, hocr, json, markdown, pagexml, pdf, text, todo
from copyist.exports import zip as archive
from copyist.exports.material import Material


@dataclass(frozen=True, slots=True)
class Export:
    """One format."""

    extension: str
    media_type: str
    write: Callable[[Material, IO[bytes]], None]
    is_text: bool = True
    """Whether it can be shown in a terminal."""


_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_ONE_BY_ONE = (
    Export("txt", "text/plain; charset=utf-8", text.write),
    Export("md", "text/markdown; charset=utf-8", markdown.write),
    Export("json", "application/json", json.write),
    Export("hocr", "text/html; charset=utf-8", hocr.write),
    Export("alto.xml", "application/xml", alto.write),
    Export("page.xml", "application/xml", pagexml.write),
    Export("pdf", "application/pdf", pdf.write, is_text=False),
    Export("docx", _WORD, docx.write, is_text=False),
    Export("todo.json", "application/json", todo.write),
)
_TOGETHER = partial(archive.write, formats={export.extension: export.write for export in _ONE_BY_ONE})

EXPORTS: Mapping[str, Export] = MappingProxyType(
    {export.extension: export for export in (*_ONE_BY_ONE, Export("zip", "application/zip", _TOGETHER, is_text=False))}
)


def find_export(extension: str) -> Export:
    """The export of this extension ("md", "todo.json"); raises ``InvalidOption`` with the list of those there are."""
    if extension not in EXPORTS:
        raise InvalidOption(option="format", value=extension, allowed=", ".join(EXPORTS))
    return EXPORTS[extension]
