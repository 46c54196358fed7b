"""Loose pieces of text become lines and blocks in reading order."""

from __future__ import annotations

import random

from copyist.document import Block, Box, Line, Word
from copyist.engines.broken_lines import SURE_AT_MOST, mended
from copyist.engines.reading_order import blocks_of, joined, line_of, words_along


def piece(text: str, left: int, top: int, width: int | None = None, height: int = 20) -> Line:
    return Line(text=text, box=Box(left, top, left + (width or 10 * len(text)), top + height), confidence=0.9)


def texts(*pieces: Line) -> list[list[str]]:
    shuffled = random.Random(1).sample(pieces, len(pieces))
    return [[line.text for line in block.lines] for block in blocks_of(shuffled)]


def test_pieces_of_a_row_are_one_line_from_left_to_right() -> None:
    assert texts(piece("second", 80, 12), piece("first", 10, 10)) == [["first second"]]


def test_a_wide_gap_keeps_the_cells_of_a_row_apart() -> None:
    rows = [piece("Tea", 10, 10), piece("3.20", 300, 11), piece("Bread", 10, 40), piece("2.75", 300, 41)]
    assert texts(*rows) == [["Tea", "3.20", "Bread", "2.75"]]


def test_rows_of_a_tilted_page_do_not_mix() -> None:
    rows = [
        piece(f"{name}{part}", 10 + 110 * part, 10 + top + 8 * part, width=100)
        for part in range(4)
        for name, top in (("a", 0), ("b", 30))
    ]
    assert texts(*rows) == [["a0 a1 a2 a3", "b0 b1 b2 b3"]]


def test_a_vertical_gap_parts_blocks() -> None:
    rows = [piece("one", 10, 10), piece("two", 10, 36), piece("three", 10, 90)]
    assert texts(*rows) == [["one", "two"], ["three"]]


def test_columns_of_prose_are_read_one_after_the_other() -> None:
    title = piece("A title over both of the columns", 10, 0, width=620, height=30)
    left = [piece(f"left {row}", 10, 60 + 26 * row, width=300) for row in range(6)]
    right = [piece(f"right {row}", 330, 60 + 26 * row, width=300) for row in range(6)]
    assert texts(title, *left, *right) == [
        [title.text],
        [line.text for line in left],
        [line.text for line in right],
    ]


def test_no_pieces_are_no_blocks() -> None:
    assert blocks_of([]) == ()


def test_words_are_joined_with_spaces_except_in_scripts_without() -> None:
    assert joined(["one", "two"]) == "one two"
    assert joined(["你好", "世界"]) == "你好世界"
    assert joined(["한국", "사람"]) == "한국 사람"
    assert joined(["the", "世界"]) == "the 世界"


def test_a_lines_confidence_is_the_mean_of_its_words_by_characters() -> None:
    sure = Word(text="aaa", box=Box(0, 0, 30, 10), confidence=1.0)
    unsure = Word(text="b", box=Box(40, 0, 50, 10), confidence=0.0)
    unknown = Word(text="cc", box=Box(60, 0, 80, 10))
    line = line_of([sure, unsure, unknown])
    assert (line.text, line.confidence, line.box) == ("aaa b cc", 0.75, Box(0, 0, 80, 10))
    assert line_of([unknown]).confidence is None


def test_words_are_laid_along_a_line_by_their_characters() -> None:
    words = words_along("ab  cdef", Box(100, 5, 170, 25), 0.5)
    assert [(word.text, word.box) for word in words] == [("ab", Box(100, 5, 120, 25)), ("cdef", Box(130, 5, 170, 25))]


def test_lines_in_pieces_are_put_together_and_doubted() -> None:
    tilted = [
        piece("a line that goes", 10, 30, width=200, height=24),
        piece("on up here", 214, 20, width=120, height=24),
    ]
    whole = piece("a line of its own", 10, 80, width=300, height=24)
    broken = tuple(Block(box=line.box, lines=(line,)) for line in (*tilted, whole))
    lines = [line for block in mended(broken) for line in block.lines]
    assert [(line.text, line.confidence) for line in lines] == [
        ("a line that goes on up here", SURE_AT_MOST),
        ("a line of its own", 0.9),
    ]


def test_lines_that_are_whole_are_left_as_they_are() -> None:
    columns = [piece("left", 10, 10, width=200), piece("right", 250, 10, width=200), piece("left again", 10, 36)]
    whole = tuple(Block(box=line.box, lines=(line,)) for line in columns)
    assert mended(whole) is whole


def test_long_tilted_lines_whose_boxes_overlap_stay_apart() -> None:
    lines = [piece(f"a long line {row}", 10, 10 + 40 * row, width=1000, height=90) for row in range(5)]
    assert texts(*lines) == [[line.text for line in lines]]
