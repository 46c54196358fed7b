"""Which texts a tokenizer can hold: a model cannot learn to write what it has no tokens for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from copyist.training.normal import plain


class Unlearnable(Exception):
    """An example that nothing can be learned from; the message is the reason it is counted under."""


class Vocabulary:
    """Texts as the tokens that a model is to write, its end token last.

    ``positions`` are those of the decoder: with the token that starts an answer, so many fit.
    """

    def __init__(self, tokenizer: Any, *, end: int, positions: int) -> None:
        self._tokenizer, self._end = tokenizer, end
        self._most = positions - 2
        """As many as are written when a line is read."""

    def tokens(self, text: str) -> tuple[int, ...]:
        """The tokens of ``text``; raises ``Unlearnable`` where they would say something else, or are too many."""
        wished = plain(text)
        if not wished:
            raise Unlearnable("empty")
        row = self._tokenizer(wished, add_special_tokens=False).input_ids
        if self._tokenizer.unk_token_id in row or plain(self.text(row)) != wished:
            raise Unlearnable("unknown_characters")
        if len(row) + 1 > self._most:
            raise Unlearnable("too_long")
        return (*row, self._end)

    def text(self, tokens: Sequence[int]) -> str:
        """What ``tokens`` say, as it is decoded when a line is read."""
        said = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return " ".join(str(said).split())
