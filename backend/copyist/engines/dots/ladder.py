"""The way of a page through dots.ocr: asked again, otherwise each time, until an answer is a reading.

The whole page at once; hotter, which breaks loops; at another size; its boxes first, then block by block; its plain
text. What a rung found wrong, and what was done about it, goes into the page's notes. When every rung has failed, the
blocks that were complete in a cut answer are given as a part of the page, for want of a better reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from copyist.document import Block
from copyist.engines.base import DotsSettings, GarbageError, PageImage, ReadOptions
from copyist.engines.dots.backend import Answer, Backend, Prompt
from copyist.engines.dots.blockwise import MAX_BLOCKS, BlockReader
from copyist.engines.dots.crops import Shown, has_ink, is_flat, show
from copyist.engines.dots.guards import end_fault, layout_doubt, layout_fault, text_fault, without_loops
from copyist.engines.dots.interview import Asked, Interview, NoQuestionsLeft, QuestionFailed
from copyist.engines.dots.parse.cells import Cell
from copyist.engines.dots.parse.layout import blocks_of, text_blocks
from copyist.engines.dots.parse.layout_json import parse
from copyist.engines.notes import note

FIRST_TOKENS = 8192
"""Where a first answer is cut: a full A4 page takes some 2,000 tokens, and a loop takes all it gets."""
_TEMPERATURE, _TOP_P = 0.1, 0.9
_HOTTER, _HOTTEST = 0.3, 0.5
_SMALLER, _LARGER = 0.75, 1.5
_SMALL_PAGE = 1_000_000
"""Pixels under which another size means a larger one."""
_LEAST_SALVAGE = 20
"""Characters under which what is left of a cut answer is not worth the name of a reading."""
_MOST_PROBLEMS = 3


@dataclass(frozen=True)
class _Found:
    """What a rung made of the page: cells in pixels of what was shown, or plain text."""

    shown: Shown
    cells: tuple[Cell, ...] = ()
    text: str = ""
    confidence: float | None = None
    summary: str = ""
    """What it cost and how it ended."""


@dataclass(frozen=True)
class _Rung:
    """One way to ask. ``words`` say it in the notes; ``same`` marks one that a failed question would fail again."""

    words: str
    climb: Callable[[], _Found | None]
    same: bool = False


@dataclass(frozen=True)
class Reading:
    """The blocks of a page, in pixels of its image; ``complete`` is false where it is known that some are missing."""

    blocks: tuple[Block, ...] = ()
    complete: bool = True


def read_page(backend: Backend, dots: DotsSettings, image: PageImage, options: ReadOptions) -> Reading:
    """Read a page; a blank one has no blocks.

    Raises ``GarbageError`` when no answer is a reading, what the backend raised when there was no answer at all, the
    reason when the page is stopped, and ``NotReady`` or ``TimedOut`` as the backend does.
    """
    if is_flat(image.pixels):
        return Reading()
    return _Page(backend, dots, image, options).read()


class _Page:
    """One page on its way."""

    def __init__(self, backend: Backend, dots: DotsSettings, image: PageImage, options: ReadOptions) -> None:
        self._dots, self._image = dots, image
        self._interview = Interview(backend, options.stop)
        decoding = options.decoding
        self._temperature = _TEMPERATURE if decoding.temperature is None else decoding.temperature
        self._top_p = _TOP_P if decoding.top_p is None else decoding.top_p
        self._shown = show(image.pixels, dots.max_pixels)
        self._fault = ""
        self._failure: QuestionFailed | None = None
        self._doubtful: tuple[str, _Found] | None = None
        self._salvage: _Found | None = None

    def read(self) -> Reading:
        """Climb until a rung holds; see ``read_page``."""
        for rung in self._rungs():
            if rung.same and self._failure:
                continue
            if self._fault and rung.words:
                note(f"{self._fault}; {rung.words}.")
            try:
                self._failure = None
                found = rung.climb()
            except QuestionFailed as error:
                self._fault, self._failure = str(error), error
            except NoQuestionsLeft:
                self._fault = f"{self._interview.questions} questions were asked about this page"
                break
            else:
                if found is not None:
                    return Reading(self._blocks(found))
        return self._rest()

    def _rungs(self) -> Sequence[_Rung]:
        """The ways to ask, from the first one that ``prompt`` allows."""
        other, size = self._other_size()
        blockwise = _Rung("asked for its boxes, then for each block", self._block_by_block)
        plain = _Rung("asked for the plain text", self._plain_text)
        if self._dots.prompt == Prompt.TEXT:
            return plain, _Rung(f"asked again at temperature {_HOTTER}", lambda: self._plain_text(_HOTTER), same=True)
        if self._dots.prompt == Prompt.LAYOUT_ONLY:
            return blockwise, plain
        hotter, hottest = max(_HOTTER, self._temperature), max(_HOTTEST, self._temperature)
        return (
            _Rung("", lambda: self._whole(self._shown, self._temperature, FIRST_TOKENS)),
            _Rung(f"asked again at temperature {hotter:g}", lambda: self._whole(self._shown, hotter), same=True),
            _Rung(f"asked again at {size} and temperature {hottest:g}", lambda: self._whole(other(), hottest)),
            _Rung("", self._believed),
            blockwise,
            plain,
        )

    def _other_size(self) -> tuple[Callable[[], Shown], str]:
        height, width = self._shown.pixels.shape[:2]
        zoom = _SMALLER if height * width >= _SMALL_PAGE else _LARGER
        factor = zoom * width / max(self._image.width, 1)
        return lambda: show(self._image.pixels, self._dots.max_pixels, zoom=factor), f"{zoom:g} times the size"

    def _whole(self, shown: Shown, temperature: float, cap: int | None = None) -> _Found | None:
        """The whole page in one answer, if that is a reading."""
        tokens = min(cap or self._dots.max_tokens, self._dots.max_tokens)
        answer = self._interview.ask(shown, Asked(Prompt.LAYOUT, tokens, temperature, self._top_p))
        layout = parse(answer.text)
        self._fault = layout_fault(answer, layout, tokens)
        found = _Found(shown, layout.cells, confidence=answer.confidence, summary=_summary(Prompt.LAYOUT, answer))
        if self._fault:
            self._keep_what_is_whole(found)
            return None
        doubt = layout_doubt(layout, shown, inked=has_ink(self._image.pixels))
        if doubt and not (self._doubtful and self._doubtful[0] == doubt):
            self._fault, self._doubtful = doubt, (doubt, found)
            return None
        for problem in list(dict.fromkeys(layout.problems))[:_MOST_PROBLEMS]:
            note(problem)
        if doubt:
            note(f"{doubt}; the second answer says the same, and it was kept.")
        return found

    def _believed(self) -> _Found | None:
        """The whole answer that was only odd, now that no other one was better."""
        if self._doubtful is None:
            return None
        doubt, found = self._doubtful
        note(f"{doubt}; no other answer was better, and it was kept.")
        return found

    def _block_by_block(self) -> _Found | None:
        """The boxes of the page, then the text in each."""
        tokens = min(FIRST_TOKENS, self._dots.max_tokens)
        answer = self._interview.ask(self._shown, Asked(Prompt.LAYOUT_ONLY, tokens, self._temperature, self._top_p))
        layout = parse(answer.text)
        self._fault = end_fault(answer, tokens) or ("" if layout.whole else "The answer was no whole layout")
        if self._fault:
            return None
        if not 0 < len(layout.cells) <= MAX_BLOCKS:
            self._fault = f"{len(layout.cells)} blocks were found"
            return None
        reader = self._reader(self._shown)
        cells, unread = reader.read(layout.cells)
        if unread * 2 >= len(layout.cells):
            self._fault = "Half of the blocks or more could not be read"
            return None
        if unread:
            note(f"{unread} of {len(layout.cells)} blocks could not be read and are left out.")
        summary = f"{Prompt.LAYOUT_ONLY} and {len(cells)} blocks: {self._interview.tokens:,} tokens in all"
        return _Found(self._shown, cells, confidence=_mean_confidence(reader.answers), summary=summary)

    def _plain_text(self, temperature: float | None = None) -> _Found | None:
        """The text of the page without its boxes."""
        tokens = self._dots.max_tokens
        temperature = self._temperature if temperature is None else temperature
        answer = self._interview.ask(self._shown, Asked(Prompt.TEXT, tokens, temperature, self._top_p))
        self._fault = text_fault(answer, tokens)
        if not self._fault and not answer.text.strip() and has_ink(self._image.pixels):
            self._fault = "No text was found on a page with ink"
        if self._fault:
            return None
        summary = _summary(Prompt.TEXT, answer)
        return _Found(self._shown, text=answer.text, confidence=answer.confidence, summary=summary)

    def _keep_what_is_whole(self, found: _Found) -> None:
        cells = without_loops(found.cells)
        size = sum(len(cell.text or "") for cell in cells)
        best = sum(len(cell.text or "") for cell in self._salvage.cells) if self._salvage else _LEAST_SALVAGE - 1
        if size > best:
            summary = f"{found.summary}; {len(cells)} blocks of it were kept"
            self._salvage = _Found(found.shown, cells, confidence=found.confidence, summary=summary)

    def _rest(self) -> Reading:
        """What is left when every rung has failed."""
        if self._salvage is None:
            note(f"{self._fault}; {self._interview.questions} questions, {self._interview.tokens:,} tokens.")
            if self._failure and not self._interview.answers:
                # What it gave back is no garbage: it gave nothing back.
                raise self._failure.__cause__ or self._failure
            raise GarbageError(self._fault)
        note(f"{self._fault}; the blocks of a broken answer are kept, and parts of the page are missing.")
        return Reading(self._blocks(self._salvage), complete=False)

    def _reader(self, shown: Shown) -> BlockReader:
        dots = self._dots
        return BlockReader(
            self._interview, self._image.pixels, shown, max_pixels=dots.max_pixels, max_tokens=dots.max_tokens
        )

    def _blocks(self, found: _Found) -> tuple[Block, ...]:
        width, height = self._image.width, self._image.height
        cells = self._reader(found.shown).complete(found.cells)
        note(f"{found.summary}.")
        if found.text:
            return text_blocks(found.text, width=width, height=height, confidence=found.confidence)
        return blocks_of(
            cells,
            scale_x=found.shown.scale_x,
            scale_y=found.shown.scale_y,
            width=width,
            height=height,
            confidence=found.confidence,
        )


def _summary(prompt: Prompt, answer: Answer) -> str:
    return f"{prompt}: {answer.tokens_out:,} tokens, finished by {answer.finish}"


def _mean_confidence(answers: Sequence[Answer]) -> float | None:
    """The confidence of several answers, each weighed by its tokens."""
    known = [(answer.confidence, max(answer.tokens_out, 1)) for answer in answers if answer.confidence is not None]
    tokens = sum(count for _, count in known)
    return sum(value * count for value, count in known) / tokens if tokens else None
