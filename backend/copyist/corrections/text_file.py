"""A corrected text file: what ``result.txt`` is, after somebody has been at it.

Pages are parted by form feeds, blocks by blank lines (``exports.text``). Blank lines count for nothing, so they may be
added and deleted. Where the form feeds are gone the text is taken as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from copyist.corrections.alignment import align
from copyist.errors import EmptyCorrection, LinesDoNotMatch, NoLines

LEAST = 0.6
"""The share of all lines that must have found their place, or the text is taken for another one."""
_WAY_OUT = (
    "Fewer than six in ten of them could be laid beside each other. Send the text of some pages alone with their "
    "numbers (?pages=2)."
)


@dataclass(frozen=True)
class Shown:
    """A line of the text as it was given out; ``line`` counts from 0 in the page's reading.

    ``None``: it is of a block that has no lines (the text of a table, a formula), and cannot be corrected.
    """

    page: int
    line: int | None
    text: str


@dataclass(frozen=True)
class Matched:
    """Lines that found each other, as (line that was read, text that was sent), and what is left on both sides."""

    pairs: tuple[tuple[Shown, str], ...]
    unmatched: tuple[Shown, ...]
    unmatched_text: tuple[str, ...]


def match(text: str, pages: Sequence[Sequence[Shown]]) -> Matched:
    """Lay ``text`` beside the lines of ``pages``, which are all that it is of: those without a line, too.

    Raises ``EmptyCorrection``, ``NoLines``, and ``LinesDoNotMatch`` where fewer than ``LEAST`` of the lines match.
    """
    known = [[line for line in page if line.text.strip()] for page in pages]
    # As many as there are pages, or the last of them is followed by one; else they are no breaks between pages.
    parts = text.split("\f") if text.count("\f") <= len(known) else [text.replace("\f", "\n")]
    sent = [_lines(part) for part in parts]
    if not any(sent):
        raise EmptyCorrection
    if not any(line.line is not None for page in known for line in page):
        raise NoLines
    while len(sent) > len(known) and not sent[-1]:
        sent.pop()
    if len(sent) != len(known):
        known, sent = [[line for page in known for line in page]], [[line for part in sent for line in part]]
    return _laid_out(known, sent)


def _lines(part: str) -> list[str]:
    lines = part.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [plain for line in lines if (plain := line.strip())]


def _laid_out(pages: Sequence[Sequence[Shown]], parts: Sequence[Sequence[str]]) -> Matched:
    """Each page beside its part of the text; the lines that cannot be corrected count, and are in no answer."""
    read, sent = sum(map(len, pages)), sum(map(len, parts))
    if min(read, sent) < LEAST * max(read, sent):
        raise LinesDoNotMatch(sent=sent, read=read, problem=_WAY_OUT)
    pairs: list[tuple[Shown, str]] = []
    left: list[Shown] = []
    rest: list[str] = []
    lost = 0
    for page, part in zip(pages, parts, strict=True):
        found = dict(align([line.text for line in page], part)) if page and part else {}
        taken = set(found.values())
        pairs += [(page[place], part[other]) for place, other in found.items()]
        left += [line for place, line in enumerate(page) if place not in found]
        rest += [text for other, text in enumerate(part) if other not in taken]
        lost += max(len(page), len(part)) - len(found)
        # It is not read to its end for nothing.
        if lost > (1 - LEAST) * max(read, sent):
            raise LinesDoNotMatch(sent=sent, read=read, problem=_WAY_OUT)
    lines = tuple(pair for pair in pairs if pair[0].line is not None)
    return Matched(lines, tuple(line for line in left if line.line is not None), tuple(rest))
