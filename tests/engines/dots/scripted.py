"""A model that answers as it is told to, one answer after the other, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable

from copyist.document import Block
from copyist.engines.base import DotsSettings, PageImage, ReadOptions
from copyist.engines.dots.backend import Answer, Prompt, Question
from copyist.engines.dots.ladder import read_page
from copyist.engines.generation import Finish
from copyist.engines.notes import noting
from tests.engines.drawing import drawn

PAGE = PageImage(drawn("First line", "Second line", "Third line", width=700, height=560), dpi=200)

Said = Answer | Exception | Callable[[Question], Answer]


def layout(*texts: str, finish: Finish = Finish.STOP, tokens: int = 1240, category: str = "Text") -> Answer:
    """A layout with a block for every text, one below the other, 300 x 30 pixels each."""
    cells = [
        {"bbox": [20, 20 + 50 * row, 320, 50 + 50 * row], "category": category, "text": text}
        for row, text in enumerate(texts)
    ]
    return Answer(json.dumps(cells), finish, tokens_in=500, tokens_out=tokens, confidence=0.9)


def boxes(*categories: str, size: int = 30) -> Answer:
    """A layout without text."""
    cells = [
        {"bbox": [20, 20 + 50 * row, 320, 20 + 50 * row + size], "category": category}
        for row, category in enumerate(categories)
    ]
    return Answer(json.dumps(cells), Finish.STOP, tokens_out=40, confidence=0.9)


def text(said: str, finish: Finish = Finish.STOP) -> Answer:
    """An answer in plain text."""
    return Answer(said, finish, tokens_out=30, confidence=0.8)


def cut(*texts: str) -> Answer:
    """A layout that was cut in its last block."""
    whole = layout(*texts, finish=Finish.LENGTH, tokens=8192)
    return Answer(whole.text[:-10], Finish.LENGTH, tokens_out=8192, confidence=0.9)


class Scripted:
    """A backend. ``said`` is used up in order; the last of it is said over and over."""

    version = "scripted"

    def __init__(self, *said: Said) -> None:
        self._said = list(said)
        self.questions: list[Question] = []
        self.closed = 0

    @property
    def prompts(self) -> list[Prompt]:
        """What was asked for, in order."""
        return [question.prompt for question in self.questions]

    def ask(self, question: Question) -> Answer:
        self.questions.append(question)
        said = self._said.pop(0) if len(self._said) > 1 else self._said[0]
        if isinstance(said, Exception):
            raise said
        return said(question) if callable(said) else said

    def close(self) -> None:
        self.closed += 1


def read(
    backend: Scripted, page: PageImage = PAGE, *, options: ReadOptions | None = None, **settings: object
) -> tuple[tuple[Block, ...], list[str]]:
    """The blocks of a page as ``backend`` reads it, and the page's notes."""
    with noting() as notes:
        reading = read_page(backend, DotsSettings(**settings), page, options or ReadOptions())  # type: ignore[arg-type]
    return reading.blocks, notes


def words(blocks: tuple[Block, ...]) -> list[str]:
    """The text of every block."""
    return [block.text for block in blocks]
