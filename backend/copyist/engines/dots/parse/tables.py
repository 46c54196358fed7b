"""A model's HTML table, made safe and sound: built anew from its rows and cells, and nothing else comes through.

The model's HTML may be cut, unbalanced or full of other tags. It is read tag by tag in one pass, written again from
scratch, and given to nh3, a sanitiser on an HTML5 parser, which would otherwise need time that grows with the square of
the depth of unclosed tags. Text is never dropped, and LaTeX in cells stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape, unescape
from html.entities import html5

import nh3

_SECTIONS = frozenset({"thead", "tbody", "tfoot"})
_INLINE = {"sup": "sup", "sub": "sub", "b": "b", "strong": "b", "i": "i", "em": "i"}
_SPANS = ("rowspan", "colspan")
_ALLOWED = {"table", "caption", "tr", "td", "th", "br", *_SECTIONS, *_INLINE.values()}
_ATTRIBUTES = {"td": set(_SPANS), "th": set(_SPANS)}
_MOST_SPANNED = 1000

_BREAKS = frozenset({"br", "p", "div", "li"})
_UNSEEN = frozenset({"script", "style"})
_DROPPED = (
    "html|head|body|colgroup|col|ul|ol|span|font|a|img|u|s|small|big|center|code|pre|hr|h[1-6]|iframe|object|embed|form"
    "|input|button|svg|math|link|meta|base|label|select|option|textarea|video|audio|source|title|template|noscript"
)
_NAMES = "|".join(sorted({"table", "caption", "tr", "td", "th", *_SECTIONS, *_INLINE, *_BREAKS, *_UNSEEN}))
# A name must be followed by what may follow it: "$a<b$" and "$i<b and c>0$" are no tags.
_TAG = re.compile(
    rf"<(?P<end>/?)(?P<name>{_NAMES}|{_DROPPED})(?P<attributes>\s[^<>=]{{0,60}}=[^<>]{{0,2000}})?\s{{0,20}}/?>",
    re.IGNORECASE,
)
_CUT_TAG = re.compile(rf"</?(?:[a-z]{{0,7}}|(?:{_NAMES})\s[^<>]{{0,300}})\Z", re.IGNORECASE)
_SPAN = re.compile(r"(rowspan|colspan)\s{0,9}=\s{0,9}[\"']?\s{0,9}([0-9]{1,4})(?![0-9])", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));")


@dataclass
class _Cell:
    """A cell as it is read: pieces of HTML for its markup, and pieces of text for its line."""

    tag: str = "td"
    spans: str = ""
    html: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    gap: str = ""

    def say(self, text: str) -> None:
        """Add a text, parted from what stands before it if something stood between."""
        if text.isspace() and self.gap:
            return
        self._part()
        self.html.append(escape(text, quote=False))
        self.text.append(text)

    def leave(self, gap: str) -> None:
        """Part what follows by ``gap``, which is HTML; a line break is more than a space."""
        self.gap = gap if self.text and self.gap != "<br>" else self.gap

    def _part(self) -> None:
        if self.gap:
            self.html.append(self.gap)
            self.text.append(" ")
            self.gap = ""

    def begin(self, tag: str) -> None:
        self._part()
        if tag not in self.open:
            self.open.append(tag)
            self.html.append(f"<{tag}>")

    def end(self, tag: str) -> None:
        """Close ``tag``, with all that was opened in it."""
        while tag in self.open:
            self.html.append(f"</{self.open.pop()}>")

    def written(self) -> str:
        for tag in tuple(self.open):
            self.end(tag)
        return f"<{self.tag}{self.spans}>{''.join(self.html).strip()}</{self.tag}>"

    def line(self) -> str:
        return " ".join("".join(self.text).split())


@dataclass
class _Table:
    """A table as it is read: rows with the section that each stands in, and what stands in no row."""

    rows: list[tuple[str, list[_Cell]]] = field(default_factory=list)
    caption: _Cell = field(default_factory=lambda: _Cell("caption"))

    def written(self) -> str:
        parts = [self.caption.written()] if self.caption.line() else []
        section = ""
        for of, cells in self.rows:
            if of != section:
                parts.append(f"</{section}><{of}>" if section else f"<{of}>")
                section = of
            parts.append(f"<tr>{''.join(cell.written() for cell in cells)}</tr>")
        return f"<table>{''.join(parts)}{f'</{section}>' if section else ''}</table>"


class _Reader:
    """Takes tags and texts in order, and holds the tables that they make up."""

    def __init__(self) -> None:
        self.tables = [_Table()]
        self._section = "tbody"
        self._cell: _Cell | None = None
        self._in_row = False
        self._inner = 0
        self._unseen = ""

    def text(self, text: str) -> None:
        """Add to the cell; what stands in a row is a cell, and what stands in none belongs to the caption."""
        if self._unseen or not (text.strip() or (self._cell and text)):
            return
        if self._cell is None and self._in_row:
            self._begin_cell("td", "")
        if self._cell is None:
            self.tables[-1].caption.leave(" ")
        (self._cell or self.tables[-1].caption).say(text)

    def tag(self, name: str, spans: str, *, ends: bool) -> None:
        """Follow a tag."""
        if self._unseen or name in _UNSEEN:
            self._unseen = "" if ends and name == self._unseen else self._unseen or ("" if ends else name)
        elif name in _INLINE and self._cell:
            (self._cell.end if ends else self._cell.begin)(_INLINE[name])
        elif name in _BREAKS and self._cell:
            self._cell.leave("<br>")
        elif name == "table":
            self._table(ends=ends)
        elif self._inner and self._cell:
            # A table in a cell is text in that cell.
            self._cell.leave("<br>" if name == "tr" else " ")
        elif name in ("td", "th", "caption"):
            self._begin_cell(name, "" if name == "caption" else spans) if not ends else self._end_cell()
        elif name == "tr" or name in _SECTIONS:
            self._end_cell()
            self._in_row = False
            if name != "tr":
                self._section = "tbody" if ends else name
            elif not ends:
                self._begin_row()

    def _table(self, *, ends: bool) -> None:
        if self._cell and not (ends and not self._inner):
            self._inner += -1 if ends else 1
            self._cell.leave("<br>")
            return
        self._end_cell()
        self._in_row, self._inner, self._section = False, 0, "tbody"
        if not ends and self.tables[-1].rows:
            self.tables.append(_Table())

    def _begin_row(self) -> None:
        self.tables[-1].rows.append((self._section, []))
        self._in_row = True

    def _begin_cell(self, name: str, spans: str) -> None:
        self._end_cell()
        if name == "caption":
            self._cell = self.tables[-1].caption
            return
        if not self._in_row:
            self._begin_row()
        self._cell = _Cell(name, spans)
        self.tables[-1].rows[-1][1].append(self._cell)

    def _end_cell(self) -> None:
        self._cell, self._inner = None, 0


def sanitised(html: str) -> str:
    """The tables in ``html`` as sound HTML of ``table``, ``caption``, sections, rows, cells and marks within text.

    Only ``rowspan`` and ``colspan`` from 1 to 1000 are left of the attributes. Text beside the tables is their caption.
    Empty where there is no row.
    """
    written = "".join(table.written() for table in _tables(html))
    return nh3.clean(written, tags=_ALLOWED, attributes=_ATTRIBUTES, link_rel=None)


def rows_of(html: str) -> list[list[str]]:
    """The texts of the cells, row by row and without markup; a caption is a row of one cell. Spaces are single."""
    rows: list[list[str]] = []
    for table in _tables(html):
        rows += [[caption]] if (caption := table.caption.line()) else []
        rows += [[cell.line() for cell in cells] for _, cells in table.rows]
    return rows


def without_tags(html: str) -> str:
    """The text of what was to be a table and has no row."""
    return _plain(_CUT_TAG.sub("", _TAG.sub(" ", html)))


def _tables(html: str) -> list[_Table]:
    reader, done = _Reader(), 0
    for tag in _TAG.finditer(html):
        reader.text(_plain(html[done : tag.start()]))
        reader.tag(tag["name"].lower(), _spans(tag["attributes"] or ""), ends=bool(tag["end"]))
        done = tag.end()
    reader.text(_plain(_CUT_TAG.sub("", html[done:])))
    return [table for table in reader.tables if table.rows]


def _spans(attributes: str) -> str:
    found = {name.lower(): int(number) for name, number in _SPAN.findall(attributes)}
    return "".join(f' {name}="{span}"' for name, span in sorted(found.items()) if 1 < span <= _MOST_SPANNED)


def _plain(text: str) -> str:
    """``text`` with its entities as characters; an ampersand of LaTeX is none."""
    return _ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    decimal, hexadecimal, name = entity.groups()
    if name:
        return html5.get(f"{name};", entity[0])
    return unescape(f"&#{int(decimal) if decimal else int(hexadecimal, 16)};")
