"""Tasks in a note: what is to be done, by whom, until when, how urgent, and where on the page it stands.

The fields are named as in the task-note service whose place Copyist takes. Boxes are in pixels of the page as uploaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from statistics import median
from typing import IO, Literal

from copyist.document import Block, BlockKind, Box, Document, Line, Page, Record, Source
from copyist.exports.marks import Mark, mark_of, misread_mark_of
from copyist.exports.material import Material
from copyist.exports.task_line import Priority, TaskLine, read_task_line


class Task(Record):
    """One task. ``confidence_score`` is the mean of its lines by their length, ``None`` where the engine gives none."""

    task_name: str
    description: str = ""
    assignee: str | None = None
    due_date: date | None = None
    priority: Priority = Priority.MEDIUM
    done: bool = False
    position_index: int
    confidence_score: float | None = None
    page: int = 1
    box: Box


class TaskList(Record):
    """What ``todo.json`` holds."""

    version: Literal[1] = 1
    tasks: tuple[Task, ...] = ()


def write(material: Material, into: IO[bytes]) -> None:
    """The document's tasks as UTF-8 JSON. Whether a line is one depends on all others, so all lines are held."""
    document = Document(pages=tuple(map(_without_words, material.pages())))
    into.write(TaskList(tasks=find_tasks(document, material.uploaded)).model_dump_json().encode())


def _without_words(page: Page) -> Page:
    """The page with its lines only: the words of a book are most of what there is to hold."""
    bare = [
        block.model_copy(update={"lines": tuple(line.model_copy(update={"words": ()}) for line in block.lines)})
        for block in page.blocks
    ]
    return page.model_copy(update={"blocks": tuple(bare)})


def find_tasks(document: Document, uploaded: date) -> tuple[Task, ...]:
    """All tasks in reading order; dates without a year count from ``uploaded``.

    In a note with marks (checkboxes, bullets, numbers) each marked line is a task, and what continues it is its
    description. In a note without any, every line that is no heading is a task.
    """
    rows = _with_marks([row for page in document.pages for row in _rows(page)])
    groups = (
        _marked(rows, uploaded)
        if any(row.mark for row in rows)
        else ([row] for row in rows if not _is_heading(row, rows))
    )
    found = (task for group in groups if (task := _task(group, uploaded)))
    return tuple(task.model_copy(update={"position_index": index}) for index, task in enumerate(found))


# --- lines ------------------------------------------------------------------------------------------------------

_HEADINGS = frozenset({BlockKind.TITLE, BlockKind.HEADER, BlockKind.FOOTER, BlockKind.CAPTION})
_SKIPPED = frozenset({BlockKind.FORMULA, BlockKind.PICTURE})
_LIST_TITLE = re.compile(
    r"(?i:(?:[\w'’]+ )?(?:to[- ]?dos?|tasks?|checklist|(?:shopping|check|task|to[- ]?do) lists?"
    r"|action (?:items|points))(?: (?:for|of) .*)?)"
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A line with what decides its part in the note; ``indent`` and ``height`` in pixels of the upright page."""

    line: Line
    page: Page
    block: Block
    mark: Mark | None
    indent: int
    height: int


def _rows(page: Page) -> Iterator[_Row]:
    for block in page.blocks:
        for line in block.lines:
            mark = mark_of(line.text)
            # A box or number may stand alone, its text in the next line; a lone dash is a rule or a speck.
            alone = mark is not None and (mark.checked is not None or mark.number is not None)
            if block.kind not in _SKIPPED and (alone or _has_word(line.text)):
                height = min(line.box.width, line.box.height)
                yield _Row(line, page, block, mark, _indent(page, line), height)


def _has_word(text: str) -> bool:
    return any(map(str.isalnum, text))


def _indent(page: Page, line: Line) -> int:
    """How far the line starts from the upright page's left edge; leading spaces count too."""
    box = line.box
    lefts = {0: box.left, 90: page.height - box.bottom, 180: page.width - box.right, 270: box.top}
    spaces = len(line.text) - len(line.text.lstrip())
    return lefts.get(page.turned, box.left) + spaces * min(box.width, box.height) // 2


def _with_marks(rows: list[_Row]) -> list[_Row]:
    """The rows, with letters that may be misread marks taken for such where at least two lines of the note have one."""
    read = [row if row.mark else replace(row, mark=misread_mark_of(row.line.text)) for row in rows]
    return read if sum(row.mark is not None for row in read) > 1 else rows


def _is_heading(row: _Row, rows: list[_Row]) -> bool:
    text = row.line.text.strip()
    if row.block.kind in _HEADINGS or text.startswith("#") or text.endswith(":"):
        return True
    # The first line of a note is its title when it is written clearly larger than the rest.
    larger = row is rows[0] and len(rows) > 2 and row.height >= 1.5 * median(other.height for other in rows[1:])
    return larger or _LIST_TITLE.fullmatch(text) is not None


# --- tasks ------------------------------------------------------------------------------------------------------


def _marked(rows: list[_Row], uploaded: date) -> Iterator[list[_Row]]:
    """Each marked row with the rows that continue it. A heading, or a new block that is not indented, ends the task."""
    group: list[_Row] = []
    for row in rows:
        numbered_title = row.mark and row.mark.number is not None and row.block.kind in _HEADINGS
        if (row.mark and not numbered_title) or _lost_its_mark(row, group, rows, uploaded):
            if group:
                yield group
            group = [row]
        elif group and _continues(row, group, rows):
            group.append(row)
        elif group:
            yield group
            group = []
    if group:
        yield group


def _lost_its_mark(row: _Row, group: list[_Row], rows: list[_Row], uploaded: date) -> bool:
    """Whether a line without a mark is a task all the same, because it names its own person or day.

    Engines lose a drawn box altogether at times (RapidOCR each one), so this is asked where no task is open, or where
    the open one's mark was drawn or lost. The first line of a note that has a date is its title.
    """
    suspect = not group or group[0].mark is None or group[0].mark.drawn
    if row.mark or not suspect or row is rows[0] or row.page.source is not Source.OCR or _is_heading(row, rows):
        return False
    read = read_task_line(row.line.text, uploaded)
    begins = not row.line.text.strip()[0].islower()
    return begins and _has_word(read.name) and bool(read.assignee or read.due_date)


def _continues(row: _Row, group: list[_Row], rows: list[_Row]) -> bool:
    first = group[0]
    if row.page is not first.page or _is_heading(row, rows):
        return False
    indented = row.indent >= first.indent + first.height // 2
    return row.block is first.block or indented or row.line.text.strip()[0].islower()


def _task(group: list[_Row], uploaded: date) -> Task | None:
    first, *more = group
    text = first.mark.text if first.mark else first.line.text
    if not _has_word(text) and more:
        text = more.pop(0).line.text
    head = read_task_line(text, uploaded)
    name = head.name if _has_word(head.name) else " ".join(text.split())
    if not _has_word(name):
        return None
    parts, description = _continued(head, [row.line.text for row in more], uploaded)
    checked = first.mark.checked if first.mark and first.mark.checked is not None else head.checked
    return Task(
        task_name=name,
        description=description,
        assignee=next((part.assignee for part in parts if part.assignee), None),
        due_date=next((part.due_date for part in parts if part.due_date), None),
        priority=next((part.priority for part in parts if part.priority), Priority.MEDIUM),
        done=checked or False,
        position_index=0,
        confidence_score=_confidence(row.line for row in group),
        page=first.page.number,
        box=Box.around(row.line.box for row in group),
    )


def _continued(head: TaskLine, lines: list[str], uploaded: date) -> tuple[list[TaskLine], str]:
    """The head with those lines that only say who, when or how urgent, and the other lines as they stand."""
    parts, description = [head], []
    for line in lines:
        part = read_task_line(line, uploaded)
        if _has_word(part.name):
            description.append(" ".join(line.split()))
        else:
            parts.append(part)
    return parts, "\n".join(description)


def _confidence(lines: Iterable[Line]) -> float | None:
    weighed = [(line.confidence, len(line.text)) for line in lines if line.confidence is not None]
    characters = sum(count for _, count in weighed)
    return round(sum(value * count for value, count in weighed) / characters, 4) if characters else None
