"""Page ranges as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copyist.errors import InvalidOption, PagesOutOfRange
from copyist.pageranges import parse_pages, read_ranges


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("1", (1,)),
        ("1-3,5", (1, 2, 3, 5)),
        (" 2 - 4 , 1 ", (1, 2, 3, 4)),
        ("7-", (7, 8, 9)),
        ("5,5,4-6", (4, 5, 6)),
        ("9-9", (9,)),
    ],
)
def test_ranges_name_pages_in_order_and_once(text: str, pages: tuple[int, ...]) -> None:
    assert parse_pages(text, 9) == pages


@pytest.mark.parametrize(
    "text", ["0", "0-2", "", " ", "a", "1;2", "3-1", "-3", "1--2", "1,", ",", "1-2-3", "１", "1.5", "+1", "12345678"]
)
def test_anything_else_is_an_invalid_option(text: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        read_ranges(text)
    assert "1-3,5" in raised.value.detail


@pytest.mark.parametrize("text", ["10", "1-10", "10-", "8-9999999"])
def test_pages_that_are_not_there_are_out_of_range(text: str) -> None:
    with pytest.raises(PagesOutOfRange) as raised:
        parse_pages(text, 9)
    assert "9 pages" in raised.value.detail


def test_an_absurdly_long_text_is_refused_and_not_repeated_in_full() -> None:
    with pytest.raises(InvalidOption) as raised:
        read_ranges("1," * 100_000)
    assert len(raised.value.detail) < 300


@given(st.sets(st.integers(1, 60), min_size=1), st.integers(60, 200))
def test_any_set_of_pages_can_be_written_down(pages: set[int], total: int) -> None:
    assert parse_pages(",".join(map(str, pages)), total) == tuple(sorted(pages))


@given(st.text(alphabet="0123456789-, ", max_size=20), st.integers(1, 50))
def test_any_text_gives_pages_of_the_document_or_a_clear_error(text: str, total: int) -> None:
    try:
        pages = parse_pages(text, total)
    except (InvalidOption, PagesOutOfRange):
        return
    assert pages and pages[0] >= 1 and pages[-1] <= total
    assert list(pages) == sorted(set(pages))
