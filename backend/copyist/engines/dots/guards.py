"""Whether an answer is a reading: models that write fall into loops, stop early, or see one box where a page is.

A *fault* is a reason to ask again, whatever it costs; a *doubt* is one to ask again once, and to believe the model
when it says the same twice. Both are half sentences for the page's trail; an empty one means that all is well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from copyist.engines.dots.backend import Answer
from copyist.engines.dots.crops import Shown
from copyist.engines.dots.parse.cells import Category, Cell, Layout
from copyist.engines.garbage import is_loop
from copyist.engines.generation import Finish, repeats

_SAME_BLOCK = 5
"""The same words in the same kind of block this often are a loop, or a form; a loop puts them in one place."""
_SAME_BOX = 4
_TAIL_PATTERN, _TAIL_TIMES = 60, 20
"""A text that ends in a pattern of at most 60 characters, said 20 times, ends in a loop."""
_TAIL_LOOKED_AT = _TAIL_PATTERN * _TAIL_TIMES
_WHOLE_PAGE = 0.8
_PIXELS_PER_CHARACTER = 10_000
"""A block with less text for its area than one character in 100 x 100 pixels has hardly any; print has 50."""
_LARGE = 250_000
"""Pixels from which an image counts as a page; a line cut out of one is full of one block, and rightly so."""
_TAG = re.compile(r"<[^>]{0,200}>")

_ENDS = {
    Finish.REPETITION: "The answer went in circles and was stopped",
    Finish.TIME: "The answer took too long and was stopped",
    Finish.ASKED: "The answer was stopped",
}


def end_fault(answer: Answer, max_tokens: int) -> str:
    """What is wrong with how an answer ended; one that was asked for with ``max_tokens`` at most."""
    if answer.finish is Finish.STOP:
        return ""
    cut = f"The answer was cut at {answer.tokens_out or max_tokens:,} tokens"
    return _ENDS.get(answer.finish, cut)


def text_fault(answer: Answer, max_tokens: int) -> str:
    """What is wrong with an answer in plain text."""
    return end_fault(answer, max_tokens) or ("The answer repeats itself" if _circles(answer.text) else "")


def layout_fault(answer: Answer, layout: Layout, max_tokens: int) -> str:
    """What is wrong with an answer in boxes and texts."""
    fault = end_fault(answer, max_tokens)
    if fault:
        return fault
    if not layout.whole:
        return "The answer was no whole layout"
    if layout.cells and not any(cell.text or cell.category is Category.PICTURE for cell in layout.cells):
        return "The blocks came without their text"
    if any(cell.category is not Category.TABLE and _circles(cell.text or "") for cell in layout.cells):
        return "The answer repeats itself"
    times = _times_in_one_place(layout.cells)
    return f"The same block came {times} times in one place" if times else ""


def layout_doubt(layout: Layout, shown: Shown, *, inked: bool) -> str:
    """What is odd about a whole layout of the page ``shown``."""
    if not layout.cells:
        return "No block was found on a page with ink" if inked else ""
    often = max(Counter((cell.category, cell.text) for cell in layout.cells if cell.text).values(), default=0)
    if often >= _SAME_BLOCK:
        return f"The same block came {often} times"
    return "One block over the whole page holds hardly any text" if _is_collapsed(layout.cells, shown) else ""


def without_loops(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """``cells`` of an answer that went wrong, without what it said twice and without texts that go in circles."""
    kept: dict[tuple[Category, str], Cell] = {}
    for cell in cells:
        if cell.text and not _circles(cell.text):
            kept.setdefault((cell.category, cell.text), cell)
    return tuple(kept.values())


def _circles(text: str) -> bool:
    """Whether ``text`` is a loop or ends in one; dots that lead to a page number and empty fields are none."""
    plain = _TAG.sub(" ", text)
    tail = plain.rstrip()[-_TAIL_LOOKED_AT:]
    if not any(character.isalnum() for character in tail[-_TAIL_PATTERN:]):
        return is_loop(plain)
    return is_loop(plain) or repeats(list(map(ord, tail)), longest=_TAIL_PATTERN, times=_TAIL_TIMES)


def _times_in_one_place(cells: Sequence[Cell]) -> int:
    """How often in a row one box, or one text in boxes over each other, comes; 0 when not often enough for a loop."""
    most = run = 1
    for before, cell in pairwise(cells):
        same = cell.box == before.box and cell.category == before.category
        run = run + 1 if same or (cell.text == before.text and _overlap(cell, before)) else 1
        most = max(most, run)
    return most if most >= _SAME_BOX else 0


def _overlap(one: Cell, other: Cell) -> bool:
    """Whether two boxes share more than half of the smaller one."""
    wide = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    high = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    smaller = min(_area(one), _area(other))
    return wide > 0 and high > 0 and wide * high > smaller / 2


def _area(cell: Cell) -> float:
    return abs((cell.box[2] - cell.box[0]) * (cell.box[3] - cell.box[1]))


def _is_collapsed(cells: Sequence[Cell], shown: Shown) -> bool:
    page = float(shown.pixels.shape[0] * shown.pixels.shape[1])
    if len(cells) != 1 or cells[0].category is Category.PICTURE or page < _LARGE:
        return False
    return _area(cells[0]) >= _WHOLE_PAGE * page and len(cells[0].text or "") * _PIXELS_PER_CHARACTER < page
