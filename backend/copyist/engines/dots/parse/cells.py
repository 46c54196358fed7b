"""What dots.ocr says of a page: a list of cells in reading order, each with a box, a category and mostly a text.

The model's own words for them are ``bbox``, ``category`` and ``text`` (its prompt, ``dots_ocr/utils/prompts.py``). Here
the objects of its answer become cells, whatever they hold: nothing with a text in it is thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from math import inf, isfinite

BBOX, CATEGORY, TEXT = KEYS = ("bbox", "category", "text")
"""The keys of an object, as the model writes them."""

CellBox = tuple[float, float, float, float]

_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?")
_LONGEST_BOX = 200
"""More characters than this are no four numbers."""

NO_BOX = "A block had no usable box and was put beside its neighbour."
NO_TEXT = "A block had no text."
NO_CATEGORY = "A block had no known category and was taken for text."
NOT_TEXT = "A block's text was no text."
NOTHING = "A block with neither a box nor a text was left out."


class Category(StrEnum):
    """What a cell is: the model's eleven categories."""

    CAPTION = "Caption"
    FOOTNOTE = "Footnote"
    FORMULA = "Formula"
    LIST_ITEM = "List-item"
    PAGE_FOOTER = "Page-footer"
    PAGE_HEADER = "Page-header"
    PICTURE = "Picture"
    SECTION_HEADER = "Section-header"
    TABLE = "Table"
    TEXT = "Text"
    TITLE = "Title"


_CATEGORIES = {category.value.lower(): category for category in Category}


@dataclass(frozen=True)
class Cell:
    """One piece of a page. ``box`` is left, top, right, bottom as the model wrote them, finite, in pixels of its image.

    ``text`` is Markdown, LaTeX of a formula, HTML of a table, or ``None`` where the model gave none.
    """

    box: CellBox
    category: Category
    text: str | None


@dataclass(frozen=True)
class Layout:
    """What could be read of an answer. ``whole`` says that nothing is missing, as far as can be seen.

    ``problems`` are sentences for a person about what was mended or left out.
    """

    cells: tuple[Cell, ...]
    whole: bool
    problems: tuple[str, ...]


def objects_in(value: object) -> Iterator[Mapping[str, object]]:
    """All objects with the model's keys in a JSON value, however they are wrapped or nested, in order."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        inner = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else []
        nested = [item for item in inner if isinstance(item, dict | list)]
        if isinstance(found, dict) and (BBOX in found or CATEGORY in found or (TEXT in found and not nested)):
            yield found
        waiting.extend(reversed(nested))


def cells_of(objects: Iterable[Mapping[str, object]], problems: list[str]) -> tuple[Cell, ...]:
    """The cells of ``objects``; what was wrong with them is added to ``problems``."""
    drafts = [draft for found in objects if (draft := _draft(found, problems))]
    boxes = _placed([box for box, _, _ in drafts])
    if any(text is not None for _, _, text in drafts):
        # Where no cell has a text, none was asked for.
        bare = (draft for draft in drafts if draft[2] is None and draft[1] is not Category.PICTURE)
        problems.extend(NO_TEXT for _ in bare)
    return tuple(Cell(box, category, text) for box, (_, category, text) in zip(boxes, drafts, strict=True))


def _draft(found: Mapping[str, object], problems: list[str]) -> tuple[CellBox | None, Category, str | None] | None:
    box, text = _box(found.get(BBOX)), _text(found.get(TEXT))
    category = _category(found.get(CATEGORY))
    if text is None and found.get(TEXT) is not None:
        problems.append(NOT_TEXT)
    if box is None and not text:
        problems.append(NOTHING)
        return None
    if box is None:
        problems.append(NO_BOX)
    if category is None:
        problems.append(NO_CATEGORY)
    return box, category or Category.TEXT, text


def _category(value: object) -> Category | None:
    return _CATEGORIES.get(re.sub(r"[\s_-]+", "-", value[:40].strip()).lower()) if isinstance(value, str) else None


def _box(value: object) -> CellBox | None:
    match list(islice(_numbers(value), 5)):
        case [left, top, right, bottom] if all(map(isfinite, (left, top, right, bottom))):
            return left, top, right, bottom
        case _:
            return None


def _numbers(value: object, depth: int = 3) -> Iterator[float]:
    """The numbers in ``value``: bare, in strings, in lists within lists. A number too large to be one is infinite."""
    if isinstance(value, list):
        for item in value if depth else ():
            yield from _numbers(item, depth - 1)
    elif isinstance(value, str) and len(value) <= _LONGEST_BOX:
        yield from map(float, _NUMBER.findall(value))
    elif isinstance(value, float):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield float(value) if abs(value) < 2**63 else inf


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return None


def _placed(boxes: list[CellBox | None]) -> list[CellBox]:
    """``boxes`` with each missing one put on the lower edge of the box before it, or the upper edge of the first."""
    known = next((box for box in boxes if box), (0.0, 0.0, 0.0, 0.0))
    edge = (known[0], min(known[1], known[3]), known[2], min(known[1], known[3]))
    placed = []
    for box in boxes:
        placed.append(box or edge)
        if box:
            edge = (box[0], max(box[1], box[3]), box[2], max(box[1], box[3]))
    return placed
