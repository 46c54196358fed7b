"""Documents for the exports' tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from copyist.document import Block, BlockKind, Box, Document, Line, Page

Write = Callable[..., Document]


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
