"""Which line of a text is which that was read."""

from __future__ import annotations

from copyist.corrections.alignment import align


def test_a_line_that_looks_like_another_ones_text_stays_in_its_place() -> None:
    read = ["three storms", "three lanterns", "thre storm"]
    sent = ["three lanterns", "harbour master", "the old map"]
    assert align(read, sent) == [(0, 0), (1, 1), (2, 2)]


def test_lines_that_have_moved_are_found_where_they_are_now() -> None:
    read = ["by the harbour", "lantern light", "nine bottles", "the old map"]
    sent = ["lantern light", "nine bottles", "the old map", "winter storm"]
    assert align(read, sent) == [(1, 0), (2, 1), (3, 2)]
