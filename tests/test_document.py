"""The page tree holds nothing that cannot be written down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from copyist.document import Box, Line, Word

BOX = Box(0, 0, 1, 1)


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF)))
def test_any_text_comes_out_whole(text: str) -> None:
    word = Word(text=text, box=BOX)
    assert Word.model_validate_json(word.model_dump_json()) == word
    assert "\0" not in word.text
    word.text.encode()


def test_halves_are_joined_and_lone_ones_marked() -> None:
    assert Line(text="a\ud83d\ude00b\ud83dc\0", box=BOX).text == "a\U0001f600b\ufffdc"
