from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from copyist.document import BlockKind, Box, Document
from copyist.exports.task_line import Priority
from copyist.exports.todo import Task, find_tasks
from tests.exports.conftest import Write, block, exported, page

UPLOADED = date(2025, 11, 20)
MARKS = (
    "- ",
    "* ",
    "• ",
    "– ",
    "— ",
    "•",
    "-",
    "1. ",
    "12) ",
    "(3) ",
    "[ ] ",
    "[] ",
    "[_] ",
    "☐ ",
    "→ ",
    "- [ ] ",
    "1. ☐ ",
)
DONE = ("[x] ", "[X] ", "☑ ", "✓ ", "✓", "- [x] ", "2) ✓ ", "(x) ")


def _tasks(text: str, **fields: object) -> list[Task]:
    blocks = (block(part, top=500 * row) for row, part in enumerate(text.split("\n\n")))
    return list(find_tasks(Document(pages=(page(*blocks, **fields),)), UPLOADED))


def _names(text: str, **fields: object) -> list[str]:
    return [task.task_name for task in _tasks(text, **fields)]


@pytest.mark.parametrize("mark", MARKS + DONE)
def test_marks_start_a_task_and_leave_its_name(mark: str) -> None:
    (task,) = _tasks(f"Not a task\n{mark}Buy milk")
    assert (task.task_name, task.done, task.assignee) == ("Buy milk", mark in DONE, None)


def test_a_task_has_all_that_the_line_says() -> None:
    (task,) = _tasks("☑ Call the bank → Maria Lopez !!! due 17/12")
    assert task == Task(
        task_name="Call the bank",
        assignee="Maria Lopez",
        due_date=date(2025, 12, 17),
        priority=Priority.URGENT,
        done=True,
        position_index=0,
        confidence_score=1.0,
        box=Box(100, 0, 700, 30),
    )


def test_lines_under_a_task_are_its_description() -> None:
    first, second = _tasks("- Paint the door\n    Two coats, (see Ann's list) by 3 May\n    Green\n- Oil the gate")
    assert first.description == "Two coats, (see Ann's list) by 3 May\nGreen"
    assert (first.assignee, first.due_date) == (None, None)
    assert first.box == Box(100, 0, 700, 110)
    assert (second.task_name, second.description, second.position_index) == ("Oil the gate", "", 1)


def test_a_line_that_only_says_who_and_when_belongs_to_the_task() -> None:
    (task,) = _tasks("- Paint the door\n    due Dec 17 → Ann !!")
    assert (task.task_name, task.description) == ("Paint the door", "")
    assert (task.assignee, task.due_date, task.priority) == ("Ann", date(2025, 12, 17), Priority.HIGH)


def test_headings_and_paragraphs_that_follow_are_no_description() -> None:
    tasks = _tasks("- Paint the door\nLater:\nnothing\n\n- Oil the gate\n\nThank you all")
    assert [(task.task_name, task.description) for task in tasks] == [("Paint the door", ""), ("Oil the gate", "")]


def test_an_indented_line_in_a_block_of_its_own_continues_even_on_a_turned_page() -> None:
    boxes = {0: (60, 0), 90: (0, -60), 180: (-60, 0), 270: (0, 60)}
    for turned, (right, down) in boxes.items():
        head, more = block("- Paint the door"), block("Two coats", top=80)
        box = Box(300 + right, 300 + down, 400 + right, 400 + down)
        head = head.model_copy(update={"lines": (head.lines[0].model_copy(update={"box": Box(300, 300, 400, 400)}),)})
        more = more.model_copy(update={"lines": (more.lines[0].model_copy(update={"box": box}),)})
        (task,) = find_tasks(Document(pages=(page(head, more, turned=turned),)), UPLOADED)
        assert task.description == "Two coats"


def test_without_marks_every_line_but_headings_is_a_task() -> None:
    assert _names("To-do list\nBuy milk\nGarden:\nCut the hedge (Ann)\n\n* * *") == ["Buy milk", "Cut the hedge"]


def test_titles_and_large_first_lines_are_no_tasks() -> None:
    title = block("Saturday", BlockKind.TITLE)
    note = block("Saturday\nBuy milk\nCall Tom")
    large = note.lines[0].model_copy(update={"box": Box(100, 0, 700, 60)})
    note = note.model_copy(update={"lines": (large, *note.lines[1:])})
    for blocks in ((title, block("Buy milk\nCall Tom", top=80)), (note,)):
        tasks = find_tasks(Document(pages=(page(*blocks),)), UPLOADED)
        assert [task.task_name for task in tasks] == ["Buy milk", "Call Tom"]


@pytest.mark.parametrize("read", ["O ", "o ", "0 ", "O) ", "¢ ", "e ", "[J "])
def test_a_misread_box_counts_in_a_list(read: str) -> None:
    assert _names(f"{read}Buy milk\n{read}Call Tom") == ["Buy milk", "Call Tom"]


def test_a_lone_letter_is_no_mark() -> None:
    assert _names("O Tannenbaum\nCall Tom") == ["O Tannenbaum", "Call Tom"]


def test_a_task_whose_box_was_lost_is_found_by_its_person_or_day() -> None:
    assert _names("Fair 3 May\nBook the hall @ann\n☐ Print posters\nRent a van by Dec 17\nnot the red one") == [
        "Book the hall",
        "Print posters",
        "Rent a van",
    ]
    assert len(_tasks("- Print posters\nAnn wrote on 3 May")) == 1
    assert len(_tasks("☐ Print posters\nAnn wrote on 3 May", source="text_layer")) == 1


@pytest.mark.parametrize(
    "marks", [("O ", "", "O ", "¢ ", "e "), ("", "", "", "• ", "• ")], ids=["tesseract", "rapidocr"]
)
def test_the_sample_note_gives_its_tasks_as_the_engines_read_it(marks: tuple[str, ...]) -> None:
    lines = (
        "Book the town hall > Maria !!!",
        "Print 200 posters (Tom) 17/12/2025",
        "Ask the bakery for a quote @nadia",
        "Order chairs and tables [Paul Meyer]",
        "Rent a van, due Dec 17",
    )
    note = "\n".join(mark + line for mark, line in zip(marks, lines, strict=True))
    tasks = _tasks(f"Tasks for the spring fair\n{note}\n- Call the florist, assigned to: Irene")
    assert [(task.task_name, task.assignee) for task in tasks] == [
        ("Book the town hall", "Maria"),
        ("Print 200 posters", "Tom"),
        ("Ask the bakery for a quote", "nadia"),
        ("Order chairs and tables", "Paul Meyer"),
        ("Rent a van", None),
        ("Call the florist", "Irene"),
    ]


def test_a_box_on_a_line_of_its_own_takes_the_next_line() -> None:
    assert _names("[ ]\nBuy milk\n[x]\nCall Tom") == ["Buy milk", "Call Tom"]


def test_a_task_of_nothing_but_tokens_keeps_them_as_its_name() -> None:
    assert _names("- urgent\n- 17/12/2025\n- ???\n- @ann") == ["urgent", "17/12/2025", "@ann"]


def test_positions_count_over_pages_and_confidence_is_weighed(write: Write) -> None:
    first, second = find_tasks(write("- One thing\n  blurry", "- Another"), UPLOADED)
    assert (first.page, first.position_index, second.page, second.position_index) == (1, 0, 2, 1)
    assert first.confidence_score == pytest.approx((11 * 1.0 + 6 * 0.5) / 17, abs=1e-4)


def test_the_file_has_dates_and_levels_as_text(write: Write) -> None:
    (task,) = json.loads(exported(write("- Pay rent by Dec 17!!"), "todo.json", uploaded=UPLOADED))["tasks"]
    assert (task["due_date"], task["priority"], task["box"]) == ("2025-12-17", "high", [100, 0, 700, 30])


@given(st.lists(st.text() | st.text(alphabet="-*•[]()xX☐☑✓O01.) \n@→!Annadue17/12"), max_size=6), st.dates())
@example(["-", "", "[ ]"], UPLOADED)
def test_no_note_is_too_odd(texts: list[str], uploaded: date) -> None:
    line = block("x").lines[0]
    lines = tuple(line.model_copy(update={"text": text}) for text in texts)
    document = Document(pages=(page(block("").model_copy(update={"lines": lines})),))
    tasks = find_tasks(document, uploaded)
    assert all(any(map(str.isalnum, task.task_name)) for task in tasks)
    assert [task.position_index for task in tasks] == list(range(len(tasks)))
    assert json.loads(exported(document, "todo.json", uploaded=uploaded))["version"] == 1
