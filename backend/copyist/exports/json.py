"""The whole document tree as JSON: ``{"version": 1, "pages": [...]}``, and back.

Fields are those of ``copyist.document``; boxes are ``[left, top, right, bottom]`` in pixels of the page as uploaded.
"""

from __future__ import annotations

from typing import IO, Literal

from copyist.document import Document, Page, Record
from copyist.exports.material import Material


class Tree(Record):
    """What the file holds. ``version`` goes up when a field changes its meaning or goes away."""

    version: Literal[1] = 1
    pages: tuple[Page, ...] = ()


def write(material: Material, into: IO[bytes]) -> None:
    """The document as UTF-8 JSON on one line; indenting a book of words would double its size."""
    head, tail = Tree().model_dump_json().encode().split(b"[]")
    into.write(head + b"[")
    for place, page in enumerate(material.pages()):
        into.write((b"," if place else b"") + page.model_dump_json().encode())
    into.write(b"]" + tail)


def read(data: bytes) -> Document:
    """The document that ``write`` wrote; raises ``pydantic.ValidationError`` for anything else."""
    return Document(pages=Tree.model_validate_json(data).pages)
