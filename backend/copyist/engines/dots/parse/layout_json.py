"""The layout JSON that dots.ocr answers with, as cells: whatever comes, nothing is raised and no whole block is lost.

A model's answer is JSON most of the time. It may also be cut, stand in prose or a fence, or be broken in one place;
then it is read object by object (``broken_json``).
"""

from __future__ import annotations

import re
from collections import Counter

from copyist.engines.dots.parse import broken_json
from copyist.engines.dots.parse.cells import Category as Category
from copyist.engines.dots.parse.cells import Cell as Cell
from copyist.engines.dots.parse.cells import Layout as Layout
from copyist.engines.dots.parse.cells import cells_of, objects_in

_FENCE = re.compile(r"```(?:json|markdown|md|html|latex|text)?+\s*+")

NO_LAYOUT = "The answer holds no layout."
NOT_CLOSED = "The answer ends before its list does."


def parse(answer: str) -> Layout:
    """Read an answer; an empty list is a blank page. Never raises, and takes time in proportion to the answer."""
    answer = unfenced(answer)
    problems: list[str] = []
    try:
        value, whole = broken_json.DECODER.decode(answer), True
        blank = value == [] or (isinstance(value, dict) and [] in value.values())
    except (ValueError, RecursionError):
        value, whole = _in_pieces(answer, problems)
        blank = _ends_in_empty_list(answer)
    cells = cells_of(objects_in(value), problems)
    if not cells and not blank:
        problems.append(NO_LAYOUT)
    return Layout(cells, whole=whole and bool(cells or blank), problems=_counted(problems))


def _in_pieces(answer: str, problems: list[str]) -> tuple[list[object], bool]:
    before, *pieces = broken_json.pieces_of(answer)
    results = [broken_json.read_stray(before, problems, last=not pieces)]
    results += [broken_json.read(piece, problems, last=index == len(pieces)) for index, piece in enumerate(pieces, 1)]
    listed = before.rstrip().endswith("[")
    closed = not listed or results[-1].rest.lstrip(" \t\r\n,}").startswith("]")
    if not closed:
        problems.append(NOT_CLOSED)
    return [found for result in results for found in result.objects], closed and all(one.whole for one in results)


def unfenced(answer: str) -> str:
    """``answer`` without the fence of a Markdown code block around all of it."""
    answer = answer.strip("\ufeff \t\r\n")
    fence = _FENCE.match(answer)
    return answer[fence.end() :].removesuffix("```").strip() if fence else answer


def _ends_in_empty_list(answer: str) -> bool:
    """Whether a model that talks says last that nothing is there."""
    lines = [line.strip() for line in answer.splitlines() if line.strip(" \t`")]
    return bool(lines) and lines[-1] in ("[]", "[ ]")


def _counted(problems: list[str]) -> tuple[str, ...]:
    return tuple(f"{text} ({times} times)" if times > 1 else text for text, times in Counter(problems).items())
