"""Lists, as the exports that know them write them: where one begins in a text, and what its items are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from copyist.document import Block, BlockKind, Line
from copyist.exports.marks import Mark, mark_of


def text_and_lists(block: Block) -> Iterator[Block]:
    """The block, a text with a list in it parted in two.

    A list begins where the block does or where two lines running are marked, and half of its lines are marked. A dash
    is no mark here: French and Spanish books begin every speech with one.
    """
    is_text = block.kind is BlockKind.TEXT and not block.markup
    marks = [mark_of(line.text) for line in block.lines] if is_text else []
    marked = [mark is not None and not mark.dash and mark.text != "" for mark in marks]
    starts = (index for index, mark in enumerate(marked) if mark and (not index or any(marked[index + 1 : index + 2])))
    start = next(starts, len(marked))
    if 2 * sum(marked[start:]) < len(marked) - start or start == len(marked):
        yield block
        return
    if start:
        yield block.model_copy(update={"lines": block.lines[:start]})
    yield block.model_copy(update={"lines": block.lines[start:], "kind": BlockKind.LIST})


def list_items(lines: Iterable[Line]) -> Iterator[tuple[Mark, list[str]]]:
    """Each item's mark with the lines that follow under it. In a list without any mark every line is an item."""
    read = [(mark_of(line.text), line.text) for line in lines if line.text.strip()]
    marked = any(mark for mark, _ in read)
    item: tuple[Mark, list[str]] | None = None
    for mark, text in read:
        if mark is None and marked and item:
            item[1].append(text)
            continue
        if item:
            yield item
        item = (mark or Mark(text), [])
    if item:
        yield item
