from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copyist.exports.task_line import Priority, read_task_line

UPLOADED = date(2025, 11, 20)


@pytest.mark.parametrize(
    ("text", "assignee"),
    [
        ("Buy milk → Maria", "Maria"),
        ("Buy milk -> maria lopez", "maria lopez"),
        ("Buy milk => Bob.", "Bob"),
        ("Buy milk —> Ann", "Ann"),
        ("Buy milk > Ann", "Ann"),
        ("Buy milk (Maria)", "Maria"),
        ("Buy milk [Anna Lee Jones]", "Anna Lee Jones"),
        ("Buy milk (O'Neill)", "O'Neill"),
        ("Buy milk @bob", "bob"),
        ("@bob: buy milk", "bob"),
        ("Buy milk assigned to: Jean-Luc", "Jean-Luc"),
        ("Buy milk assigned to Ann", "Ann"),
        ("Buy milk, owner: bob", "bob"),
        ("Buy milk (Owner: Bob Smith)", "Bob Smith"),
        ("Buy milk → Maria !!! 17/12/2025", "Maria"),
        ("Buy milk (Maria, due Dec 17)", "Maria"),
        ("Buy milk [Maria] ASAP", "Maria"),
        ("Buy milk → 張偉", "張偉"),
    ],
)
def test_the_person_is_found_and_taken_out(text: str, assignee: str) -> None:
    task = read_task_line(text, UPLOADED)
    assert task.assignee == assignee
    assert task.name.lower() == "buy milk"


@pytest.mark.parametrize(
    "text",
    [
        "Send plan (draft)",
        "Return book [X]",
        "Dentist (May)",
        "Meet (Monday)",
        "Mail a@b.com",
        "Ask (Ann) about it",
        "Read rooms (one to nine)",
        "Turn it -> wait 5 minutes",
        "Give it to the assigned to the printer",
        "Meet @ 5",
        "Book (The Long Way Home Again)",
        "x > 3",
    ],
)
def test_other_words_are_nobody(text: str) -> None:
    assert read_task_line(text, UPLOADED).assignee is None


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("!!! Fix leak", Priority.URGENT),
        ("Fix leak!!!!", Priority.URGENT),
        ("URGENT: Fix leak", Priority.URGENT),
        ("Fix leak ASAP", Priority.URGENT),
        ("Fix leak (critical)", Priority.URGENT),
        ("!! Fix leak", Priority.HIGH),
        ("Important - Fix leak", Priority.HIGH),
        ("Fix leak, high priority", Priority.HIGH),
        ("Fix leak (high)", Priority.HIGH),
        ("Fix leak !", Priority.LOW),
        ("Fix leak! → Ann", Priority.LOW),
        ("Fix leak whenever", Priority.LOW),
        ("Fix leak [minor]", Priority.LOW),
        ("Priority: low. Fix leak", Priority.LOW),
        ("Fix leak ! (urgent)", Priority.URGENT),
        ("Fix leak, priority: medium", Priority.MEDIUM),
        ("Fix leak", None),
    ],
)
def test_urgency_is_found_and_taken_out(text: str, priority: Priority | None) -> None:
    task = read_task_line(text, UPLOADED)
    assert task.priority is priority
    assert task.name == "Fix leak"


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("Read the important mail", Priority.HIGH),
        ("Buy low fat milk", None),
        ("Visit High Street", None),
        ("Close Yahoo! account", None),
    ],
)
def test_words_within_a_sentence_stay(text: str, priority: Priority | None) -> None:
    task = read_task_line(text, UPLOADED)
    assert (task.name, task.priority) == (text, priority)


@pytest.mark.parametrize(("text", "checked"), [("Post it [x]", True), ("Post it ☐", False), ("Post it", None)])
def test_a_box_at_the_end_counts(text: str, checked: bool | None) -> None:
    task = read_task_line(text, UPLOADED)
    assert (task.name, task.checked, task.assignee) == ("Post it", checked, None)


def test_all_at_once_leaves_a_clean_name() -> None:
    task = read_task_line("Renew passport – Dec 17, 2025 – !! (Tom Hall), [ ]", UPLOADED)
    assert task.name == "Renew passport"
    assert (task.assignee, task.due_date, task.priority) == ("Tom Hall", date(2025, 12, 17), Priority.HIGH)


@given(st.text(), st.dates())
def test_any_text_can_be_read(text: str, uploaded: date) -> None:
    name = read_task_line(text, uploaded).name
    assert name == " ".join(name.split())
