"""What an earlier OCR left on a page: text that is drawn invisibly, to be taken away before new text comes.

Text that is seen stays, and so does a text object in which some is seen, for the place of each piece hangs on the one
before. Fields and comments are not touched. All else stays to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pikepdf

_INVISIBLE: Final = 3
_SHOWS: Final = frozenset({b"Tj", b"TJ", b"'", b'"'})
_PAINTS: Final = frozenset({b"f", b"F", b"f*", b"B", b"B*", b"b", b"b*", b"S", b"s", b"sh", b"Do", b"ID"})
_MOST_BYTES: Final = 1_000_000
"""Content of a page that is looked through: five times a full page of words, each at its place."""
_UNPACKED: Final = frozenset({"/FlateDecode", "/ASCII85Decode", "/ASCIIHexDecode", "/RunLengthDecode"})
"""Filters whose result qpdf can be told to hold within limits, which ``exports.pdf`` does."""

_END: Final = rb"\0\t\n\f\r\x20()<>\[\]{}/%"
_TOKEN: Final = re.compile(
    rb"""(?:[\0\t\n\f\r\x20]|%%[^\r\n]*)+
    |(?P<string>\()
    |(?P<operand>\[|\]|<<|>>|<[^<>]*>|/[^%(end)b]*|[-+.0-9][^%(end)b]*|(?:true|false|null)(?![^%(end)b]))
    |(?P<operator>[^%(end)b]+)"""
    % {b"end": _END},
    re.VERBOSE,
)
"""What content is made of (ISO 32000-1, 7.2 and 7.8.2)."""
_BRACKETS: Final = re.compile(rb"\\.|[()]", re.DOTALL)
_END_OF_IMAGE: Final = re.compile(rb"[\0\t\n\f\r ]EI(?=[\0\t\n\f\r ]|$)")


class _Operation(NamedTuple):
    """An operator with the last of its operands, and where in the content both stand."""

    operator: bytes
    operand: bytes
    start: int
    end: int


def without_invisible_text(page: pikepdf.Object, resources: pikepdf.Object) -> bytes | None:
    """The page's content without the invisible text in it; ``None`` where there is none, or none that can be told."""
    forms = _forms(resources)
    room = _Room(_MOST_BYTES)
    try:
        content = room.unpacked(page.get("/Contents"))
        if content is None or (b"Tr" not in content and not forms):
            return None
        kept = _kept(content, forms, room)
    except (pikepdf.PdfError, RuntimeError, ValueError, TypeError, KeyError, IndexError):
        return None  # content too odd to be understood stays as it is
    return None if kept == content else kept


@dataclass
class _Room:
    """How many bytes of content may still be looked through. A small file can unpack to more than there is memory."""

    left: int

    def unpacked(self, found: Any) -> bytes | None:
        """The bytes of a stream, or of several one behind the other; ``None`` where they are too many."""
        data = bytearray()
        for stream in found if isinstance(found, pikepdf.Array) else [found]:
            if isinstance(stream, pikepdf.Stream):
                if self.left < 0 or not _filters(stream) <= _UNPACKED:
                    return None
                piece = stream.read_bytes()
                self.left -= len(piece)
                data += piece + b"\n"
        return bytes(data) if self.left >= 0 else None


def _filters(stream: pikepdf.Object) -> set[str]:
    found = stream.get("/Filter")
    return set(map(str, found if isinstance(found, pikepdf.Array) else [found] if found is not None else []))


def _forms(resources: pikepdf.Object) -> dict[bytes, pikepdf.Object]:
    found = resources.get("/XObject")
    items = found.items() if isinstance(found, pikepdf.Dictionary) else ()
    return {
        name.encode(): item
        for name, item in items
        if isinstance(item, pikepdf.Stream) and item.get("/Subtype") == "/Form"
    }


def _kept(content: bytes, forms: Mapping[bytes, pikepdf.Object], room: _Room) -> bytes:
    seen = {place for place, mode, _ in _with_modes(content) if mode not in (None, _INVISIBLE)}
    hidden: dict[bytes, bool] = {}
    kept, at = bytearray(), 0
    for place, mode, (operator, operand, start, end) in _with_modes(content):
        gone = mode == _INVISIBLE and place not in seen
        if operator == b"Do" and operand in forms:
            if operand not in hidden:
                hidden[operand] = _is_invisible_text(room.unpacked(forms[operand]) or b"")
            gone = hidden[operand]
        if gone:
            kept += content[at:start]
            at = end
    return bytes(kept + content[at:])


def _is_invisible_text(form: bytes) -> bool:
    modes = {mode for _, mode, _ in _with_modes(form) if mode is not None}
    return modes == {_INVISIBLE} and not any(each.operator in _PAINTS for each in _operations(form))


def _with_modes(content: bytes) -> Iterator[tuple[int, int | None, _Operation]]:
    """Each operation with the number of its text object and, if it shows text, the render mode it does so in."""
    place, mode = 0, 0
    outer: list[int] = []
    for operation in _operations(content):
        operator = operation.operator
        if operator == b"q":
            outer.append(mode)
        elif operator == b"Q" and outer:
            mode = outer.pop()
        elif operator == b"Tr":
            mode = int(float(operation.operand))
        place += operator == b"BT"
        yield place, mode if operator in _SHOWS else None, operation


def _operations(content: bytes) -> Iterator[_Operation]:
    """The operations in their order, one at a time: a list of all would be a hundred times the content's size.

    Raises ``ValueError`` where the content cannot be told apart.
    """
    at, start, operand = 0, -1, b""
    while at < len(content):
        found = _TOKEN.match(content, at)
        if found is None:
            raise ValueError(f"no content at {at}")
        here, at = found.span()
        if found.lastgroup is None:
            continue
        start = here if start < 0 else start
        if found.lastgroup == "operator":
            at = _after(_END_OF_IMAGE, content, at) if found[0] == b"ID" else at
            yield _Operation(found[0], operand, start, at)
            start, operand = -1, b""
        else:
            at = _after_string(content, here) if found.lastgroup == "string" else at
            operand = content[here:at]


def _after(end: re.Pattern[bytes], content: bytes, at: int) -> int:
    found = end.search(content, at)
    if found is None:
        raise ValueError(f"no end of what begins at {at}")
    return found.end()


def _after_string(content: bytes, start: int) -> int:
    depth = 0
    for bracket in _BRACKETS.finditer(content, start):
        depth += {b"(": 1, b")": -1}.get(bracket[0], 0)
        if not depth:
            return bracket.end()
    raise ValueError(f"no end of the string at {start}")
