from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copyist.exports.dates import take_date

UPLOADED = date(2025, 11, 20)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("17/12/2025", "2025-12-17"),
        ("12/17/2025", "2025-12-17"),
        ("5/6/2026", "2026-06-05"),
        ("17/12/25", "2025-12-17"),
        ("17.12.2025", "2025-12-17"),
        ("17-12-2025", "2025-12-17"),
        ("2025-12-17", "2025-12-17"),
        ("2025/12/17", "2025-12-17"),
        ("Dec 17", "2025-12-17"),
        ("17 Dec", "2025-12-17"),
        ("dec 17th", "2025-12-17"),
        ("17th of December", "2025-12-17"),
        ("December 17, 2025", "2025-12-17"),
        ("17 December 2027", "2027-12-17"),
        ("Wed, 17 Dec", "2025-12-17"),
        ("Sept. 3", "2026-09-03"),
        ("May 5", "2026-05-05"),
    ],
)
def test_dates_are_read_as_people_write_them(text: str, day: str) -> None:
    found, rest = take_date(f"Call {text} again", UPLOADED)
    assert found == date.fromisoformat(day)
    assert rest.split() == ["Call", "again"]


@pytest.mark.parametrize("text", ["due", "by", "due by", "due on", "Due:", "before", "until", "deadline:", "on"])
def test_the_word_before_the_date_goes_with_it(text: str) -> None:
    assert take_date(f"Call {text} Dec 17", UPLOADED) == (date(2025, 12, 17), "Call  ")


@pytest.mark.parametrize(
    "text",
    [
        "24/7 helpdesk",
        "1/2 cup",
        "version 1.2.25",
        "31/02/2025",
        "13/13/2025",
        "Dec 45",
        "may 5 people",
        "10.1.20.255",
        "room 2025-1",
        "1,5 kg",
        "17/12/0025",
        "call 12-34-56",
        "Decker 17",
    ],
)
def test_other_numbers_are_no_dates(text: str) -> None:
    assert take_date(text, UPLOADED) == (None, text)


def test_a_short_date_counts_after_a_word_that_says_so() -> None:
    assert take_date("Pay rent by 1/2", UPLOADED)[0] == date(2026, 2, 1)


def test_a_date_without_a_year_is_the_next_one() -> None:
    assert take_date("Nov 20", UPLOADED)[0] == date(2025, 11, 20)
    assert take_date("Nov 19", UPLOADED)[0] == date(2026, 11, 19)
    assert take_date("Feb 29", UPLOADED)[0] == date(2028, 2, 29)
    assert take_date("Jan 1", date(9999, 12, 31))[0] is None


def test_the_date_that_is_due_is_preferred() -> None:
    assert take_date("Sent 3/11/2025, due 17/12/2025", UPLOADED) == (date(2025, 12, 17), "Sent 3/11/2025,  ")


@given(st.text(alphabet="0123456789/.-, decmay17thof"), st.dates())
def test_no_text_and_no_day_of_upload_is_too_odd(text: str, uploaded: date) -> None:
    found, rest = take_date(text, uploaded)
    assert (found is None) == (rest == text)
