"""What formulas, their pictures and their LaTeX have in common where they cannot be used: a code, and a sentence."""

from __future__ import annotations


class Unusable(ValueError):
    """``code`` says why in a word, for counting; the text is a sentence for a person. It may go between processes."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence
