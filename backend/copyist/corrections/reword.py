"""A reading with other words on some of its lines.

Words that stay keep their boxes. What stands between two of them now has the place of what stood there before, shared
out by letters; so every box of a line lies where something was found.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from copyist.document import Block, BlockKind, Box, Line, Page, Word

NOTHING = ""
"""The text of a line of which somebody said that nothing stands there."""
SURE = 1.0
"""How sure a line is that a person has looked at."""
_RIGHT_TO_LEFT = frozenset({"R", "AL"})


def apply(page: Page, texts: Mapping[int, str]) -> Page:
    """``page`` with ``texts`` on its lines, which count from 0 in reading order.

    Those lines and their words are sure, also where the text is the same. A block of which a line changed loses its
    markup, which says something else now, unless the line is the markup, as that of a formula is. Numbers of lines
    that the page has not are passed over.
    """
    if not texts:
        return page
    blocks, first = [], 0
    for block in page.blocks:
        here = {number - first: text for number, text in texts.items() if first <= number < first + len(block.lines)}
        blocks.append(_block(block, here, page.turned) if here else block)
        first += len(block.lines)
    return page.model_copy(update={"blocks": tuple(blocks)})


def shown(page: Page, texts: Mapping[int, str]) -> Page:
    """The same as it is given out: without lines where ``NOTHING`` stands, and blocks that had no others.

    A line that an engine left empty, and nobody has looked at, stays; so does a picture.
    """
    if NOTHING not in texts.values():
        return apply(page, texts)
    blocks, first = [], 0
    for block in apply(page, texts).blocks:
        kept = tuple(line for number, line in enumerate(block.lines, first) if texts.get(number) != NOTHING)
        if kept or len(kept) == len(block.lines) or block.markup or block.kind is BlockKind.PICTURE:
            blocks.append(block.model_copy(update={"lines": kept}))
        first += len(block.lines)
    return page.model_copy(update={"blocks": tuple(blocks)})


def numbers(page: Page, texts: Mapping[int, str]) -> list[int]:
    """The numbers that the lines ``shown`` have in ``page``."""
    return [number for number, _ in enumerate(page.lines()) if texts.get(number) != NOTHING]


def _block(block: Block, texts: Mapping[int, str], turned: int) -> Block:
    lines = tuple(
        _line(line, texts[number], turned) if number in texts else line for number, line in enumerate(block.lines)
    )
    return block.model_copy(update={"lines": lines, "markup": _markup(block, lines)})


def _markup(block: Block, lines: Sequence[Line]) -> str | None:
    """What the markup of ``block`` is when it has ``lines`` in place of its own."""
    if [line.text for line in lines] == [line.text for line in block.lines]:
        return block.markup
    is_the_line = block.kind is BlockKind.FORMULA and [line.text for line in block.lines] == [block.markup]
    return lines[0].text if is_the_line else None


def _line(line: Line, text: str, turned: int) -> Line:
    words = line.words if text == line.text else tuple(_words(line, text.split(), turned))
    sure = tuple(word.model_copy(update={"confidence": SURE}) for word in words)
    return Line(text=text, box=line.box, confidence=SURE, words=sure)


def _words(line: Line, texts: Sequence[str], turned: int) -> Iterator[Word]:
    """The words of a line that says ``texts`` now; none where its engine told of none."""
    old = line.words
    if not old:
        return
    before = [word.text.strip() for word in old]
    for what, start, end, first, last in SequenceMatcher(None, before, texts, autojunk=False).get_opcodes():
        if what == "equal":
            yield from old[start:end]
        elif first < last:
            along = _Direction(turned, " ".join(texts[first:last]))
            yield from along.share_out(along.place(line, start, end), texts[first:last])


class _Direction:
    """The way that letters follow each other on the page as uploaded: along x or y, up or down the numbers."""

    def __init__(self, turned: int, text: str) -> None:
        self._is_upright = turned in (90, 270)
        backwards = turned in (90, 180)
        self._backwards = backwards != _runs_right_to_left(text)

    def _span(self, box: Box) -> tuple[int, int]:
        return (box.top, box.bottom) if self._is_upright else (box.left, box.right)

    def _cut(self, box: Box, low: int, high: int) -> Box:
        if self._is_upright:
            return Box(box.left, low, box.right, high)
        return Box(low, box.top, high, box.bottom)

    def place(self, line: Line, start: int, end: int) -> Box:
        """Where the words from ``start`` to ``end`` of a line stand; where there are none, the gap between two."""
        words = line.words
        if start < end:
            return Box.around(word.box for word in words[start:end])
        before = [self._span(word.box) for word in words[:start][-1:]]
        after = [self._span(word.box) for word in words[end:][:1]]
        if self._backwards:
            before, after = after, before
        low, high = self._span(line.box)
        low, high = (before[0][1] if before else low), (after[0][0] if after else high)
        return self._cut(line.box, low, max(high, low + 1))

    def share_out(self, box: Box, texts: Sequence[str]) -> Iterator[Word]:
        """Words side by side in ``box``, each as long as its letters, with a letter's place between two."""
        low, high = self._span(box)
        letters = sum(map(len, texts)) + len(texts) - 1
        done = 0
        for text in texts:
            begin, end = (low + (high - low) * place // letters for place in (done, done + len(text)))
            if self._backwards:
                begin, end = low + high - end, low + high - begin
            yield Word(text=text, box=self._cut(box, begin, max(end, begin + 1)))
            done += len(text) + 1


def _runs_right_to_left(text: str) -> bool:
    kinds = (unicodedata.bidirectional(sign) for sign in text)
    return next((kind in _RIGHT_TO_LEFT for kind in kinds if kind in _RIGHT_TO_LEFT or kind == "L"), False)
