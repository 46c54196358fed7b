"""Reading a page block by block: a model that loses its way on the whole page mostly finds it in one block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from copyist.engines.base import NotReady, TimedOut
from copyist.engines.dots.backend import Answer, Prompt
from copyist.engines.dots.crops import Pixels, Shown, cut_out, edge_share, show_part
from copyist.engines.dots.guards import text_fault
from copyist.engines.dots.interview import Asked, Interview, NoQuestionsLeft, QuestionFailed
from copyist.engines.dots.parse.cells import Category, Cell
from copyist.engines.notes import note

BLOCK_TOKENS = 4096
"""A block that takes more is a loop, or a page in one block."""
MAX_BLOCKS = 40
MAX_AGAIN = 8
_CROPPED = frozenset({Category.TABLE, Category.FORMULA})
"""Kinds that are read better close up than within their page."""
_PICTURE_SIDE = 64
"""Pixels of the page; a smaller picture is a logo or a rule."""
_PICTURE_EDGES = 0.001
"""A picture with fewer edges than this shows sky, or a stain: one line of text on half a page has as many."""
_TEMPERATURE, _AGAIN = 0.1, 0.3
"""The temperature of the first and of the second try at a block."""


class BlockReader:
    """Reads blocks of ``page`` (grey or RGB pixels), of which the model is shown ``shown``."""

    def __init__(self, interview: Interview, page: Pixels, shown: Shown, *, max_pixels: int, max_tokens: int) -> None:
        self._interview, self._page, self._shown = interview, page, shown
        self._max_pixels = max_pixels
        self._tokens = min(BLOCK_TOKENS, max_tokens)
        self.answers: list[Answer] = []

    def read(self, cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], int]:
        """``cells`` with their text, and how many there were whose text could not be read; these are left out.

        It ends where half of them could not: then there is no point in asking for the rest.
        """
        kept: list[Cell] = []
        unread = 0
        for cell in cells:
            found = cell if cell.category is Category.PICTURE else self._read(cell)
            if found is not None:
                kept.append(found)
                continue
            unread += 1
            if unread * 2 >= len(cells):
                break
        return tuple(kept), unread

    def complete(self, cells: Sequence[Cell]) -> tuple[Cell, ...]:
        """``cells`` of a whole answer, with the text of those that came without: pictures, mostly.

        Drawings and forms are full of text that the model leaves in a picture. Nothing that goes wrong here takes from
        what was read; a note says what was left as it was.
        """
        found = list(cells)
        lacking = [at for at, cell in enumerate(cells) if self._lacks_text(cell)]
        again = lacking[:MAX_AGAIN]
        for at in again:
            try:
                found[at] = self._read(cells[at]) or cells[at]
            except (NotReady, TimedOut) as error:
                self._interview.check_stop()
                note(f"Pictures and blocks without text were not read again: {error}")
                return tuple(found)
        if again:
            texts = sum(bool(found[at].text) for at in again)
            left = f"; {len(lacking) - len(again)} more were not" if len(lacking) > len(again) else ""
            note(f"Pictures and blocks without text, read again: {len(again)}; {texts} of them hold text{left}.")
        return tuple(found)

    def _read(self, cell: Cell) -> Cell | None:
        """One block with its text: within its page, else close up; tables and formulas the other way about.

        A picture is read close up alone: it may well hold no text.
        """
        ways = [self._text_of_part, self._text_in_place]
        if cell.category is Category.PICTURE:
            ways.pop()
        elif cell.category not in _CROPPED:
            ways.reverse()
        for way, temperature in zip(ways, (_TEMPERATURE, _AGAIN), strict=False):
            text = way(cell, temperature=temperature)
            if text:
                return replace(cell, text=text)
        return None

    def _text_in_place(self, cell: Cell, *, temperature: float) -> str:
        region = self._shown.within(cell.box)
        return self._text(self._shown, Prompt.REGION, temperature, region) if region else ""

    def _text_of_part(self, cell: Cell, *, temperature: float) -> str:
        part = show_part(self._page, self._shown.on_page(cell.box), self._max_pixels)
        return self._text(part, Prompt.TEXT, temperature) if part else ""

    def _text(
        self, shown: Shown, prompt: Prompt, temperature: float, region: tuple[int, int, int, int] | None = None
    ) -> str:
        """What the model reads; empty for a failure, a loop or a cut answer."""
        try:
            answer = self._interview.ask(shown, Asked(prompt, self._tokens, temperature), region)
        except (QuestionFailed, NoQuestionsLeft):
            return ""
        if text_fault(answer, self._tokens):
            return ""
        self.answers.append(answer)
        return answer.text.strip()

    def _lacks_text(self, cell: Cell) -> bool:
        """Whether a block came without text and should have some; a picture, if it is large and has sharp edges."""
        if cell.text or cell.category is not Category.PICTURE:
            return not cell.text
        left, top, right, bottom = self._shown.on_page(cell.box)
        if min(abs(right - left), abs(bottom - top)) < _PICTURE_SIDE:
            return False
        part = cut_out(self._page, (left, top, right, bottom))
        return part is not None and edge_share(part) >= _PICTURE_EDGES
