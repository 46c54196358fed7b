"""A corrected text beside the lines that were read: what is found, what is left out for doubt, what is refused."""

from __future__ import annotations

import time

import pytest

from copyist.corrections.alignment import align
from copyist.corrections.text_file import Matched, Shown, match
from copyist.errors import EmptyCorrection, LinesDoNotMatch, NoLines

READ = [
    "Men we saw the old house",
    "by the rivar in the evening",
    "nobody had lived there",
    "for more than ten yeers",
    "the garden was full of nettels",
    "and a cat looked at us",
    "from the broken windaw",
]
RIGHT = [
    "Then we saw the old house",
    "by the river in the evening",
    "nobody had lived there",
    "for more than ten years",
    "the garden was full of nettles",
    "and a cat looked at us",
    "from the broken window",
]


def pages(*lines: list[str]) -> list[list[Shown]]:
    return [[Shown(number, place, text) for place, text in enumerate(some)] for number, some in enumerate(lines, 1)]


def found(matched: Matched) -> list[tuple[int, int | None, str]]:
    return [(line.page, line.line, text) for line, text in matched.pairs]


def test_as_many_lines_are_taken_one_for_one_however_they_are_spaced() -> None:
    text = "\r\n".join([RIGHT[0], "", *RIGHT[1:4], "", "", *RIGHT[4:]]) + "\r\n\r\n"
    assert found(match(text, pages(READ))) == [(1, place, line) for place, line in enumerate(RIGHT)]


def test_a_line_that_was_read_as_nonsense_is_still_the_one_in_its_place() -> None:
    read = [*READ[:3], "j~q 7x", *READ[4:]]
    assert found(match("\n".join(RIGHT), pages(read)))[3] == (1, 3, RIGHT[3])


def test_pages_are_parted_by_form_feeds_and_those_without_text_keep_their_place() -> None:
    text = "\n".join(RIGHT) + "\n\f\f" + "\n".join(RIGHT[:3]) + "\n"
    matched = match(text, pages(READ, [], READ[:3]))
    assert [one[:2] for one in found(matched)] == [(1, place) for place in range(7)] + [
        (3, place) for place in range(3)
    ]


def test_without_its_form_feeds_the_text_is_found_all_the_same() -> None:
    matched = match("\n".join([*RIGHT, *RIGHT[:3]]), pages(READ, READ[:3]))
    assert [line.page for line, _ in matched.pairs] == [1] * 7 + [2] * 3


def test_lines_that_are_missing_or_new_are_told_and_hold_up_no_other() -> None:
    text = "\n".join([*RIGHT[:2], *RIGHT[3:5], "a line nobody read", *RIGHT[5:], "and another of those"])
    matched = match(text, pages(READ))
    assert [one[1] for one in found(matched)] == [0, 1, 3, 4, 5, 6]
    assert [line.line for line in matched.unmatched] == [2]
    assert matched.unmatched_text == ("a line nobody read", "and another of those")


def test_as_many_lines_that_have_moved_are_not_taken_one_for_one() -> None:
    text = "\n".join([*RIGHT[1:], "a line that nobody has read here"])
    assert [one[1:] for one in found(match(text, pages(READ)))] == list(enumerate(RIGHT))[1:]


@pytest.mark.parametrize(
    ("sent", "doubtful"),
    [
        ([*RIGHT[:3], "for more than", "ten years", *RIGHT[4:]], 3),
        ([*RIGHT[:3], "for more than ten years the garden was full of nettles", *RIGHT[5:]], 4),
        ([*RIGHT[:4], "for more than ten year", *RIGHT[4:]], 3),
    ],
    ids=["cut in two", "two made one", "there twice"],
)
def test_a_pair_that_might_as_well_be_another_is_none(sent: list[str], doubtful: int) -> None:
    matched = match("\n".join(sent), pages(READ))
    assert doubtful not in [one[1] for one in found(matched)]
    assert doubtful in [line.line for line in matched.unmatched]
    assert {0, 1, 2, 5, 6} <= {one[1] for one in found(matched)}


def test_the_text_of_a_block_without_lines_counts_but_is_not_corrected() -> None:
    table = [Shown(1, None, "1\t2"), Shown(1, None, "3\t4")]
    read = [*pages(READ)[0][:2], *table, *pages(READ)[0][2:]]
    matched = match("\n".join([*RIGHT[:2], "1\t2", "3\t4", *RIGHT[2:]]), [read])
    assert [one[1] for one in found(matched)] == list(range(7))
    assert (matched.unmatched, matched.unmatched_text) == ((), ())


OTHER = [f"{word} is nothing that stood on it" for word in ("zebra", "quartz", "jukebox", "oxygen", "kiwi", "fjord")]


@pytest.mark.parametrize(
    "sent",
    [OTHER, [*OTHER, "wholly unlike"], RIGHT[:3], [*RIGHT, *OTHER], ["the"] * 10_000, ["the"] * 7],
    ids=["another text", "as many lines", "less than half", "too much beside", "one line ten thousand times", "seven"],
)
def test_a_text_of_something_else_is_refused(sent: list[str]) -> None:
    before = time.monotonic()
    with pytest.raises(LinesDoNotMatch) as refused:
        match("\n".join(sent), pages(READ))
    assert str(len(sent)) in refused.value.detail
    assert time.monotonic() - before < 2


def test_a_text_without_text_is_empty_and_pages_without_lines_have_none() -> None:
    with pytest.raises(EmptyCorrection):
        match(" \n\f\n", pages(READ))
    with pytest.raises(NoLines):
        match("something", pages([], ["  "]))


def test_what_would_take_for_ever_is_not_tried() -> None:
    before = time.monotonic()
    assert align(["a b", "b a"] * 2000, ["a b", "b a", "c"] * 2000) == []
    assert align([f"read {place} xyz" for place in range(900)], [f"{place} sent" for place in range(800)]) == []
    assert len(align([str(place) for place in range(9000)], [str(place) for place in range(9000)])) == 9000
    assert time.monotonic() - before < 5
