"""Marks at the head of a line: checkboxes, bullets and numbers, as people write them and engines read them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

# Engines read a drawn checkbox as any of these; the last two stand for a box whose right side was lost.
_OPEN_BOX = r"\[\s?[_.\-]?\s?\]|\(\s?\)|\[\s?[|Jl](?=\s)|[☐□▢◻❏❑⬜○◯]"
_DONE_BOX = r"\[\s?[xX×✓✔√vV*]\s?\]|\([xX×✓✔]\)|[☑☒✅✓✔√🗹]"
_BOX = re.compile(rf"\s*(?:(?P<done>{_DONE_BOX})|{_OPEN_BOX})\s*")
_LAST_BOX = re.compile(rf"\s*(?:(?P<done>{_DONE_BOX})|{_OPEN_BOX})\s*$")

# Glyphs that only ever are bullets need no space after them; a hyphen does, or "-5" would lose its sign.
_BULLET = re.compile(
    r"\s*(?:(?:[-–—=]>|[→⇒➔➜➤►▶•●◦‣▪■∙·✗✘])\s*"
    r"|(?P<dash>[–—])(?:\s+|$|(?=[^\W\d_]))"
    r"|[-*](?:\s+|$|(?=[^\W\d_]))"
    r"|[+>»](?:\s+|$))"
)
_NUMBER = re.compile(r"\s*(?:\((?P<round>[0-9]{1,3})\)|(?P<plain>[0-9]{1,3})[.)])(?:\s+|$|(?=[^\W\d_]))")

# What Tesseract makes of drawn circles, boxes and round bullets. Letters that are words in some language ("e", "D") and
# pairs of strokes need a capital or a digit after them.
_MISREAD = re.compile(
    r"\s*(?:[Oo0©®¢«][)\]]?\s+(?=[^\W_])|(?:[eDQ]|[CL(\[][J\]Il|)])\s+(?=[^\W_])(?P<capital>))",
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A line's mark, taken off. ``text`` is what follows it; ``checked`` is ``None`` where there is no checkbox.

    ``drawn`` marks are no keys of a keyboard, so engines often misread or lose them. ``dash`` is an en or em dash.
    """

    text: str
    number: int | None = None
    checked: bool | None = None
    dash: bool = False
    drawn: bool = False


def mark_of(line: str) -> Mark | None:
    """The mark that ``line`` begins with, or ``None``. A box after a bullet or number ("- [x]") belongs to the mark."""
    if box := _BOX.match(line):
        return Mark(line[box.end() :].rstrip(), checked=box["done"] is not None, drawn=not box[0].isascii())
    if number := _NUMBER.match(line):
        mark = Mark(line[number.end() :].rstrip(), number=int(number["round"] or number["plain"]))
    elif bullet := _BULLET.match(line):
        dash = bullet["dash"] is not None
        mark = Mark(line[bullet.end() :].rstrip(), dash=dash, drawn=not dash and not bullet[0].isascii())
    else:
        return None
    if box := _BOX.match(mark.text):
        mark = replace(mark, text=mark.text[box.end() :], checked=box["done"] is not None)
    return mark


def misread_mark_of(line: str) -> Mark | None:
    """A drawn mark that an engine took for a letter or sign ("O Buy milk"): a guess, unless the line is in a list."""
    sign = _MISREAD.match(line)
    if sign is None or (sign["capital"] is not None and line[sign.end()].islower()):
        return None
    return Mark(line[sign.end() :].rstrip(), drawn=True)


def last_box(line: str) -> tuple[str, bool | None]:
    """``line`` without the checkbox that ends it, and whether that was ticked (``None``: there was none)."""
    box = _LAST_BOX.search(line)
    return (line[: box.start()], box["done"] is not None) if box else (line, None)
