"""Documents for the exports' tests, and their exports as bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pytest

from copyist.document import Block, BlockKind, Box, Document, Line, Page
from copyist.exports import find_export
from copyist.exports.material import Material
from copyist.media import MediaKind

Write = Callable[..., Document]
UPLOADED = date(2025, 12, 1)


def material(document: Document, **facts: object) -> Material:
    """What an export takes, made of a document; ``facts`` are fields of ``Material``."""
    fields: dict[str, object] = {
        "pages": lambda: iter(document.pages),
        "numbers": [page.number for page in document.pages],
        "filename": "note.png",
        "uploaded": UPLOADED,
        "kind": MediaKind.PNG,
        "original": lambda: nullcontext(Path("note.png")),
    }
    return Material(**fields | facts)  # type: ignore[arg-type]


def exported(document: Document, extension: str, **facts: object) -> bytes:
    """A document in one of the formats."""
    into = io.BytesIO()
    find_export(extension).write(material(document, **facts), into)
    return into.getvalue()


def block(text: str, kind: BlockKind = BlockKind.TEXT, markup: str | None = None, top: int = 0) -> Block:
    """A block with a line per line of ``text``; four leading spaces show in the boxes, as on paper."""
    lines = tuple(
        Line(
            text=line.strip(),
            box=Box(100 + 10 * (len(line) - len(line.lstrip())), top + 40 * row, 700, top + 40 * row + 30),
            confidence=0.5 if "blurry" in line else 1.0,
        )
        for row, line in enumerate(text.split("\n"))
        if line.strip()
    )
    return Block(kind=kind, box=Box(100, top, 700, top + 1000), lines=lines, markup=markup)


def page(*blocks: Block, number: int = 1, **fields: object) -> Page:
    """A page of 1000 x 2000 pixels."""
    shape = {"width": 1000, "height": 2000, "engine": "fake", "engine_version": "1"} | fields
    return Page.model_validate({"number": number, "blocks": blocks, **shape})


@pytest.fixture
def write() -> Write:
    """Return a maker of documents: each text is a page, a blank line parts its blocks."""

    def make(*texts: str, **fields: object) -> Document:
        pages = (
            page(*(block(part, top=500 * row) for row, part in enumerate(text.split("\n\n"))), number=number, **fields)
            for number, text in enumerate(texts, start=1)
        )
        return Document(pages=tuple(pages))

    return make
