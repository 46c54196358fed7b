r"""The model's JSON where it is no JSON: cut, or broken in the ways that models break it.

An answer is taken apart where its objects begin, so that what is broken in one cannot harm another, and every piece is
read once: the time is in proportion to the answer, whatever it holds. An object that is JSON is read as JSON, byte for
byte. One that is not is searched for the model's three keys, and a string ends at the quote that is followed by what
may follow a string: line breaks and quotes may stand in it unescaped, and so may the backslashes of LaTeX.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from copyist.engines.dots.parse import latex
from copyist.engines.dots.parse.cells import BBOX, KEYS, TEXT

_KEY_NAMES = "|".join(KEYS)
_KEY = re.compile(rf"([\"'])({_KEY_NAMES})\1\s*:\s*")
_START = re.compile(rf"\{{\s*\"(?:{_KEY_NAMES})\"\s*:")
_SINGLE_START = re.compile(rf"\{{\s*'(?:{_KEY_NAMES})'\s*:")
_STRAY = re.compile(rf"\"(?:{_KEY_NAMES})\"\s*:")

# What may follow the quote that ends a string.
_STRING_ENDS = re.compile(
    rf"""
    \s*+(?:,\s*+)?([\"'])(?:{_KEY_NAMES})\1\s*+:        # another key
    | \s*+(?:,\s*+)?\}}\s*+(?: \] | ``` | (?:,\s*+)?\Z)  # its object's end, and the list's, a fence or no more
    | [\s,]*+\Z                                        # nothing
    | \s*+,\s*+[\"'][a-z]{{0,8}}[\"']?\s*+\Z             # the beginning of a key
    """,
    re.VERBOSE,
)
_BRACE_FOLLOWS = re.compile(r"\s*+\}")
_QUOTES = {quote: re.compile(rf"\\.|{quote}", re.DOTALL) for quote in "\"'"}
_LOST_END = re.compile(r"[\"']?\s*(?:\}[\s,]*|\}?\s*\]\s*(?:```\s*)?|,\s*)\Z")
_LOST_LAST_END = re.compile(r"[\"']?\s*\}\s*\]\s*(?:```\s*)?\Z")
_TAIL = 60
"""How much of a text without an end is searched for what is left of its end."""

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CUT_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*+)\\(?:u[0-9a-fA-F]{0,3})?\Z")
_DOUBLED = re.compile(r"(?<!\\)(?:\\\\)+(?=[A-Za-z(\[])")
_PLAIN = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "'": "'"}
_HIGH_HALVES = "".join(map(chr, range(0xD800, 0xDC00)))

BROKEN = "A block was broken and was read as far as it could be."
NO_END = "A block had no end and was kept up to the next block."
CUT = "The answer ends in the middle of a block, which was kept up to there."
NO_BRACE = "A block's beginning was lost."


@dataclass(frozen=True)
class Piece:
    """What one piece of an answer says: ``objects``; whether all of it is there; and what follows behind them."""

    objects: list[object]
    whole: bool
    rest: str


def pieces_of(answer: str) -> list[str]:
    """``answer`` parted where objects begin; the first piece is what stands before them all, and may be empty."""
    # Inside a string of JSON no such beginning can stand: its quotes would be escaped. Those of Python could.
    starts = [match.start() for match in _START.finditer(answer)]
    starts = starts or [match.start() for match in _SINGLE_START.finditer(answer)]
    return [answer[start:end] for start, end in zip([0, *starts], [*starts, len(answer)], strict=True)]


def read(piece: str, problems: list[str], *, last: bool) -> Piece:
    """Read a piece that begins with its object; ``last`` says that no other follows. Adds to ``problems``."""
    try:
        value, end = DECODER.raw_decode(piece)
    except (ValueError, RecursionError):
        return _read_broken(piece, problems, last=last)
    stray = read_stray(piece[end:], problems, last=last)
    return Piece([value, *stray.objects], whole=stray.whole, rest=stray.rest)


def read_stray(piece: str, problems: list[str], *, last: bool) -> Piece:
    """Read what stands outside of all objects: mostly nothing, or an object whose brace was lost."""
    stray = _STRAY.search(piece)
    if not stray:
        return Piece([], whole=True, rest=piece)
    problems.append(NO_BRACE)
    return _read_broken(piece[stray.start() :], problems, last=last)


def _split_repeats(members: Iterable[tuple[str, object]]) -> object:
    """An object, or several where a key comes again with another value: the seam between two blocks was lost."""
    objects: list[dict[str, object]] = [{}]
    for key, value in members:
        if key in objects[-1] and objects[-1][key] != value:
            objects.append({})
        objects[-1][key] = value
    return objects[0] if len(objects) == 1 else objects


DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_split_repeats)
"""JSON in which line breaks may stand in strings, and objects are parted where a key comes twice."""


def _read_broken(piece: str, problems: list[str], *, last: bool) -> Piece:
    members: list[tuple[str, object]] = []
    position, ended = 0, True
    while ended and (key := _KEY.search(piece, position)):
        value, position, ended = _value(piece, key.end(), last=last)
        # The text of a cut answer is worth keeping, half a category or box is not.
        if ended or key[2] == TEXT:
            members.append((key[2], value))
    _, brace, rest = piece[position:].partition("}")
    names = {name for name, _ in members}
    # A brace that was lost between two blocks hides nothing.
    whole = bool(brace) or (ended and not last and len(names) == len(KEYS))
    problems.append(BROKEN if whole else CUT if last else NO_END)
    return Piece([_split_repeats(members)] if names - {BBOX} else [], whole=whole, rest=rest)


def _value(piece: str, start: int, *, last: bool) -> tuple[object, int, bool]:
    """The value that begins at ``start``, where it ends, and whether it has an end."""
    if piece[start : start + 1] in _QUOTES:
        return _string(piece, start, last=last)
    key = _KEY.search(piece, start)
    value, brace, _ = piece[start : key.start() if key else len(piece)].partition("}")
    bare = value.strip(" \t\r\n,\"'")
    return None if bare == "null" else bare, start + len(value), bool(key or brace)


def _string(piece: str, start: int, *, last: bool) -> tuple[str, int, bool]:
    quote, braced = piece[start], 0
    for found in _QUOTES[quote].finditer(piece, start + 1):
        end = found.end()
        if found[0] == quote and _STRING_ENDS.match(piece, end):
            return _decoded(piece[start + 1 : end - 1], quote), end, True
        if found[0] == quote and _BRACE_FOLLOWS.match(piece, end):
            braced = end
    if braced:
        return _decoded(piece[start + 1 : braced - 1], quote), braced, True
    tail = (_LOST_LAST_END if last else _LOST_END).search(piece, max(start + 1, len(piece) - _TAIL))
    text = piece[start + 1 : tail.start() if tail else len(piece)]
    return _decoded(_CUT_ESCAPE.sub(r"\1", text), quote).rstrip(_HIGH_HALVES), len(piece), False


def _decoded(raw: str, quote: str) -> str:
    r"""A string's text; an escape that JSON does not know is no escape.

    Where such backslashes stand and none is doubled before a command, none is escaped: two of them are then a line
    break of LaTeX, which in JSON would be four.
    """
    if "\\" not in raw:
        return raw
    bare = not _DOUBLED.search(raw) and any(_is_bare(raw, escape, quote) for escape in _ESCAPE.finditer(raw))

    def plain(escape: re.Match[str]) -> str:
        letter = escape[1]
        if len(letter) > 1:
            return chr(int(letter[1:], 16))
        if (bare and letter == "\\") or (letter == "'" != quote):
            return escape[0]
        return _PLAIN.get(letter, escape[0])

    text = _ESCAPE.sub(plain, raw)
    # Characters beyond the first 65,536 are escaped as two halves.
    return latex.restored(text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"), bare=bare)


def _is_bare(raw: str, escape: re.Match[str], quote: str) -> bool:
    """Whether an escape is LaTeX rather than JSON."""
    letter = escape[1]
    if letter in "bf":
        return raw[escape.end() : escape.end() + 1].isalpha()
    return len(letter) == 1 and letter not in _PLAIN and letter != quote
