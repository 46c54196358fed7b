"""Drawn handwriting: the same for the same seed, another for another hand, readable by its contrast."""

from __future__ import annotations

import string

import cv2
import numpy as np
import pytest

from copyist.training.strokes import GENERAL_FONTS, UNSEEN_FONTS, Hand, Picture, general_lines, texts, write
from copyist.training.strokes_texts import LONGEST

TEXT = "by the harbour, 9 March 1894"


def drawn(text: str, hand: Hand, *, chance: int = 0) -> Picture:
    return write(text, hand, np.random.default_rng(chance))


def test_the_same_seed_writes_the_same_lines() -> None:
    first, again, longer = general_lines(6, seed=3), general_lines(6, seed=3), general_lines(9, seed=3)
    for one, other, third in zip(first, again, longer, strict=False):
        assert one[1:] == other[1:] == third[1:]
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[0], third[0])
    assert [line[1] for line in general_lines(6, seed=4)] != [line[1] for line in first]


def test_the_general_set_has_several_lines_of_each_of_many_writers() -> None:
    writers = [writer for _, _, writer in general_lines(40)]
    assert len(set(writers)) == 10
    assert all(writers.count(writer) == 4 for writer in writers)


def test_a_hand_forms_a_letter_its_own_way_each_time_and_never_twice_alike() -> None:
    mine, yours = Hand.of(1, ["futural"], strength=2), Hand.of(2, ["futural"], strength=2)
    once, again, other = drawn(TEXT, mine), drawn(TEXT, mine, chance=1), drawn(TEXT, yours)
    assert not np.array_equal(_shape(once), _shape(again))
    assert _apart(once, again) < _apart(once, other)


@pytest.mark.parametrize("font", [*GENERAL_FONTS, *UNSEEN_FONTS])
def test_every_letter_digit_and_mark_leaves_dark_ink_on_bright_paper(font: str) -> None:
    hand = Hand.of(5, [font])
    for character in string.ascii_letters + string.digits + ".,'-:;":
        picture = drawn(character, hand)
        assert picture.ndim == 2 and picture.dtype == np.uint8
        assert picture.min() < hand.paper - 40, character
        assert np.quantile(picture, 0.75) > hand.paper - 40, character


def test_a_line_is_cut_close_around_its_ink_and_as_high_as_asked() -> None:
    hand = Hand.of(7, ["futural"])
    small, large = (write("Apply", hand, np.random.default_rng(0), height_px=height) for height in (24, 96))
    for picture in (small, large):
        ink = picture < (hand.paper + hand.ink) / 2
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        assert rows[0] < 9 and picture.shape[0] - rows[-1] < 9
        assert columns[0] < 9 and picture.shape[1] - columns[-1] < 9
    assert 3 < large.shape[0] / small.shape[0] < 4.2


def test_what_has_no_strokes_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no strokes for é"):
        drawn("café", Hand.of(1))
    with pytest.raises(ValueError, match="empty line"):
        drawn("  ", Hand.of(1))


def test_texts_are_short_lines_of_several_words() -> None:
    lines = texts(300, 1)
    assert all(2 <= len(line.split()) <= 8 and len(line) <= LONGEST for line in lines)
    used = set("".join(lines))
    assert used >= set(string.ascii_lowercase + string.digits + ".,'-:; ")
    assert len(set(lines)) == 300


def _shape(picture: Picture) -> Picture:
    """The ink alone, on a grid that all lines share, so that lines of any length can be laid on each other."""
    return np.asarray(cv2.resize(picture, (400, 40), interpolation=cv2.INTER_AREA) < np.median(picture) - 40)


def _apart(one: Picture, other: Picture) -> float:
    return float((_shape(one) != _shape(other)).mean())
