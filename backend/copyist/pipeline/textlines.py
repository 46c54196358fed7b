"""Characters of a text layer joined to words, lines and blocks.

PDFium gives characters in the order of the page's content and puts in the spaces and line ends it sees in the gaps. Two
things it leaves out: the end of a line that ends in a hyphen, and the jump to another column in the same row.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np

from copyist.document import Block, Box, Line, Word
from copyist.pipeline.glyphs import Glyphs

_HYPHENS: Final = frozenset({0x02, 0xAD, 0xFFFE})
"""PDFium's sign for a hyphen at the end of a line, in its ways, and the soft hyphen, which shows only there."""
_LIGATURES: Final = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_LINE_ENDS: Final = frozenset({0x0A, 0x0D})
_NEW_BLOCK: Final = 1.5
"""Lines farther apart than this, in usual distances, are of different blocks."""
_SAME_ROW: Final = 0.3
_OTHER_SIZE: Final = 1.6
_INVISIBLE: Final = frozenset({0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF})

_Sides = list[float]


@dataclass
class _Draft:
    """A line while it grows: where it is, upright, and its words as indices of characters."""

    quarter: int = 0
    left: float = float("inf")
    top: float = float("inf")
    right: float = float("-inf")
    bottom: float = float("-inf")
    words: list[list[int]] = field(default_factory=list)

    def grow(self, sides: _Sides) -> None:
        """Take in a character."""
        left, top, right, bottom = sides
        self.left, self.top = min(self.left, left), min(self.top, top)
        self.right, self.bottom = max(self.right, right), max(self.bottom, bottom)

    def is_left_by(self, sides: _Sides, quarter: int) -> bool:
        """Whether a character is of another line: turned otherwise, before it, or back and wholly above or below."""
        if not self.words:
            return False
        left, top, right, bottom = sides
        outside = top >= self.bottom or bottom <= self.top
        back = left < self.right - (self.bottom - self.top)
        return quarter != self.quarter or right < self.left or (outside and back)

    def continues(self, above: _Draft, usual: float) -> bool:
        """Whether this line goes on with the block of the line ``above``, where lines are ``usual`` apart."""
        step = self.bottom - above.bottom
        low, high = sorted((self.bottom - self.top, above.bottom - above.top))
        in_row = abs(step) <= _SAME_ROW * usual
        return (
            self.quarter == above.quarter
            and -_SAME_ROW * usual < step <= _NEW_BLOCK * usual
            and (in_row or (self.left < above.right and above.left < self.right))
            and high <= _OTHER_SIZE * max(low, 1.0)
        )


def text_blocks(glyphs: Glyphs, size: tuple[int, int]) -> tuple[Block, ...]:
    """The text on a page of ``size`` pixels, in the text layer's order. What lies outside of the page is left out.

    Lines that follow each other at the usual distance, in one column and of one size, are a block.
    """
    letters = [_letter(code) for code in glyphs.codes]
    drafts = _drafts(glyphs)
    steps = [after.bottom - before.bottom for before, after in pairwise(drafts)]
    usual = median([step for step in steps if step > 0] or [1.0])
    blocks: list[list[Line]] = []
    last: _Draft | None = None
    for draft in drafts:
        line = _line([_word(word, letters, glyphs, size) for word in draft.words])
        if line is None:
            continue
        if last is None or not draft.continues(last, usual):
            blocks.append([])
        blocks[-1].append(line)
        last = draft
    return tuple(Block(box=Box.around(line.box for line in lines), lines=tuple(lines)) for lines in blocks)


def _drafts(glyphs: Glyphs) -> list[_Draft]:
    """Characters, by their indices, in words in lines."""
    line = _Draft()
    lines = [line]
    new_word = True
    upright, quarters = glyphs.upright.tolist(), glyphs.quarters.tolist()
    for index, code in enumerate(glyphs.codes):
        if code in _LINE_ENDS:
            lines.append(line := _Draft())
        elif chr(code).isspace():
            new_word = True
        elif code > 32 or code in _HYPHENS:
            sides, quarter = upright[index], quarters[index]
            if line.is_left_by(sides, quarter):
                lines.append(line := _Draft())
            if new_word or not line.words:
                line.quarter = quarter
                line.words.append([])
                new_word = False
            line.words[-1].append(index)
            line.grow(sides)
    filled = [line for line in lines if line.words]
    return filled[::-1] if _runs_upwards(filled) else filled


def _runs_upwards(lines: list[_Draft]) -> bool:
    """Whether each line lies above the one before: PDFium's order of lines that are sideways on the page as shown."""
    return len(lines) > 1 and all(
        after.quarter == before.quarter and after.bottom <= before.top for before, after in pairwise(lines)
    )


def _letter(code: int) -> str:
    if code in _HYPHENS:
        return "-"
    return "" if code in _INVISIBLE else _LIGATURES.get(code) or chr(code)


def _word(indices: list[int], letters: list[str], glyphs: Glyphs, size: tuple[int, int]) -> Word | None:
    """A word of these characters, its box rounded outwards; ``None`` where it lies outside of the page."""
    text = unicodedata.normalize("NFC", "".join(letters[index] for index in indices))
    boxes = glyphs.boxes[indices[0] : indices[-1] + 1]
    left, top = np.floor(boxes[:, :2].min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(boxes[:, 2:].max(axis=0)).astype(int).tolist()
    box = Box(left, top, right, bottom).within(*size)
    return Word(text=text, box=box) if text and box.width and box.height else None


def _line(drafts: list[Word | None]) -> Line | None:
    words = tuple(word for word in drafts if word is not None)
    if not words:
        return None
    return Line(text=" ".join(word.text for word in words), box=Box.around(word.box for word in words), words=words)
