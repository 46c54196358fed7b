"""A page's text as the operators of a PDF: drawn invisibly, each word stretched to its box.

Words stand in reading order with a real space behind each, also where the next one lies to the left of it. In a PDF
text runs as it is seen, so words of scripts that run from right to left have their characters the other way round.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from copyist.document import Block, Box, Line, Page
from copyist.exports.pdf_font import ADVANCE, ASCENT, DESCENT, InvisibleFont
from copyist.exports.text import page_text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SIGNS = {"L": "a", "EN": "a", "AN": "a", "ES": "-", "CS": "-"}
"""Kinds of characters (Unicode's annex 9, table 4): those that run to the right, and what may stand between them."""
_RUN_TO_RIGHT = re.compile("a(?:[a-]*a)?")
_TALLEST = 3.0
"""A line is written no taller than this many times what a character is wide, or gaps between words look like none."""
_LEAST_GAP = 0.2
"""Readers see a space from 0.15 font sizes on (Poppler's ``minWordSpacing``)."""


class Affine(NamedTuple):
    """``x' = a x + c y + e``, ``y' = b x + d y + f``, in the order of a PDF's matrices."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float


class _Span(NamedTuple):
    """A word's text and where it stands along its line and across it, in pixels; whether a space follows."""

    text: str
    start: float
    end: float
    top: float
    bottom: float
    spaced: bool = True


@dataclass(frozen=True)
class _Direction:
    """How the lines of a page run: ``along`` and ``down`` are unit vectors in pixels of the page as uploaded."""

    turned: int
    along: tuple[float, float]
    down: tuple[float, float]
    sine: float
    cosine: float

    @classmethod
    def of(cls, page: Page) -> _Direction:
        angle = math.radians(page.skew - page.turned)
        skew = math.radians(abs(page.skew))
        across, down = math.cos(angle), math.sin(angle)
        return cls(page.turned, (across, down), (-down, across), math.sin(skew), math.cos(skew))

    def extent(self, box: Box) -> tuple[float, float, float, float]:
        """Start, end, top and bottom along the line of what the upright ``box`` on the page was drawn around."""
        sides = (box.height, box.width) if self.turned in (90, 270) else (box.width, box.height)
        wide, high = map(float, sides)
        stretch = self.cosine**2 - self.sine**2
        if stretch > 0.5:  # tilted by more than 30 degrees, a box says nothing of what is in it
            wide, high = (
                (wide * self.cosine - high * self.sine) / stretch,
                (high * self.cosine - wide * self.sine) / stretch,
            )
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        middle, level = x * self.along[0] + y * self.along[1], x * self.down[0] + y * self.down[1]
        half, rise = max(wide, 1) / 2, max(high, 1) / 2
        return middle - half, middle + half, level - rise, level + rise


def text_operators(page: Page, to_page: Affine, font: InvisibleFont, name: str) -> bytes:
    """What draws the page's text; nothing where there is none.

    ``to_page`` maps pixels of the page as uploaded to the PDF's page, ``name`` is the font's in the page's resources.
    """
    direction = _Direction.of(page)
    lines = [line for block in page.blocks for line in _lines(page, block) if line.text.strip()]
    drawn = "".join(_line(_spans(line, direction), direction, font, name) for line in lines)
    if not drawn:
        return b""
    matrix = " ".join(f"{value:.6f}" for value in to_page)
    return f"q {matrix} cm BT 3 Tr\n{drawn}ET Q\n".encode()


def _lines(page: Page, block: Block) -> Iterator[Line]:
    """The block's lines; of one that has markup only, its text cut into bands of its box."""
    if block.text:
        yield from block.lines
        return
    texts = [text for text in page_text(page.model_copy(update={"blocks": (block,)})).splitlines() if text.strip()]
    for row, text in enumerate(texts):
        top, bottom = (block.box.top + block.box.height * at // len(texts) for at in (row, row + 1))
        yield Line(text=text, box=Box(block.box.left, top, block.box.right, bottom))


def _spans(line: Line, direction: _Direction) -> list[_Span]:
    tokens = line.text.split()
    read = [(" ".join(word.text.split()), word.box) for word in line.words if word.text.strip()]
    ends = list(accumulate(len(text.replace(" ", "")) for text, _ in read))
    if "".join(text for text, _ in read).replace(" ", "") != "".join(tokens):
        return _spread(tokens, direction.extent(line.box))
    spaces = set(accumulate(map(len, tokens)))
    return [
        _Span(text, *direction.extent(box), spaced=end in spaces) for (text, box), end in zip(read, ends, strict=True)
    ]


def _spread(tokens: list[str], extent: tuple[float, float, float, float]) -> list[_Span]:
    """Words over a whole line, each as wide as its share of the characters."""
    start, end, top, bottom = extent
    each = (end - start) / (sum(map(len, tokens)) + len(tokens) - 1)
    mirrored = _runs_left(" ".join(tokens))
    spans, at = [], start
    for token in tokens:
        stop = at + len(token) * each
        sides = (start + end - stop, start + end - at) if mirrored else (at, stop)
        spans.append(_Span(token, *sides, top, bottom))
        at = stop + each
    return spans


def _line(spans: list[_Span], direction: _Direction, font: InvisibleFont, name: str) -> str:
    top, bottom = min(span.top for span in spans), max(span.bottom for span in spans)
    size = bottom - top
    if len(spans) > 1:
        width = sum(span.end - span.start for span in spans) / sum(len(span.text) for span in spans)
        size = min(size, _TALLEST * width)
    level = (top + bottom) / 2 + size * (ASCENT - DESCENT) / 2
    (right, down), (under_right, under_down) = direction.along, direction.down
    origin = f"{spans[0].start * right + level * under_right:.2f} {spans[0].start * down + level * under_down:.2f}"
    drawn = [f"/{name} {size:.2f} Tf {right:.5f} {down:.5f} {-under_right:.5f} {-under_down:.5f} {origin} Tm"]
    follows = [*(span.start for span in spans[1:]), None]
    for (before, span), following in zip(pairwise([spans[0], *spans]), follows, strict=True):
        drawn.append(_word(span, following, before.start, size, font))
    return "\n".join(drawn) + "\n"


def _word(span: _Span, following: float | None, before: float, size: float, font: InvisibleFont) -> str:
    """One word and the space behind it, stretched to where the next word begins."""
    end = span.end
    if following is not None and following > span.start:
        end = min(end, following - _LEAST_GAP * size) if span.spaced else following
        end = max(end, span.start + (following - span.start) / 2)
    text = _as_seen(_CONTROL.sub("", span.text)) or " "
    stretch = 100 / (ADVANCE * size)
    wide = max((end - span.start) / len(text) * stretch, 0.01)
    word = f"{span.start - before:.2f} 0 Td {wide:.2f} Tz <{font.encode(text)}> Tj"
    if not span.spaced:
        return word
    gap = following - end if following is not None else ADVANCE * size / 2
    return f"{word} {max(gap * stretch, 1):.2f} Tz <{font.encode(' ')}> Tj"


def _runs_left(text: str) -> bool:
    """Whether the first character with a direction has that of Hebrew or Arabic."""
    return next((kind != "L" for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL")), False)


def _as_seen(text: str) -> str:
    """A word's characters from left to right as they stand on the page; numbers run to the right in every script."""
    if text.isascii():
        return text
    kinds = [unicodedata.bidirectional(character) for character in text]
    if "R" not in kinds and "AL" not in kinds:
        return text
    signs = "".join(_SIGNS.get(kind, " ") for kind in kinds)
    seen, at = "", 0
    for run in _RUN_TO_RIGHT.finditer(signs):
        seen = text[run.start() : run.end()] + text[at : run.start()][::-1] + seen
        at = run.end()
    return text[at:][::-1] + seen
