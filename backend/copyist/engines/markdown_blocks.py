"""From Markdown with LaTeX, as models write whole pages, to blocks.

Understood is what Nougat writes: headings, paragraphs, lists, formulas between ``\\[`` and ``\\]`` or ``$$``, tables as
LaTeX environments or with pipes, code between fences. Every block keeps its source in ``markup`` where its lines, which
hold plain text, would lose something; so the Markdown comes back whole, and the text can be read.

In ``markup`` inline formulas stand between dollar signs, as GitHub has them: ``\\(x\\)`` becomes ``$x$``, and a dollar
sign of the text is escaped. Formulas have their LaTeX alone. What would be HTML in a browser is defused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from copyist.document import Block, BlockKind, Box, Line, Word
from copyist.engines.harmless import harmless_latex, harmless_markdown
from copyist.engines.reading_order import mean_confidence, words_along

ConfidenceOf = Callable[[str], float | None]
"""How sure a word is, 0 to 1; asked word by word, in the order of the page."""

_HEADING = re.compile(r" {0,3}#{1,6}(?:\s|$)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s")
_FENCE = re.compile(r"\s*(```+|~~~+)")
_FENCE_ALONE = re.compile(r"\s*(?:```+|~~~+)\s*")
_LANGUAGE = re.compile(r"[\w.+#-]{0,30}")
"""What may stand behind the first fence; anything else is a row of the code."""
_TABLE_BEGIN = re.compile(r"\\begin\{(table\*?|tabular\*?|longtable)\}")
_TABLE_FRAME = re.compile(
    r"\\(?:begin|end)\{(?:table|tabular|longtable)\*?\}(?:\[[^\]]*\])?(?:\{(?:[^{}]|\{[^{}]*\})*\})?"
    r"|\\(?:hline|toprule|midrule|bottomrule|centering)\b|\\c(?:midrule|line)\{[^{}]*\}"
)
"""What of a table is no cell."""
_SPANNING = re.compile(r"\\multi(?:column|row)\{[^{}]*\}\{[^{}]*\}\{((?:[^{}]|\{[^{}]*\})*)\}")
_PIPE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_DISPLAY = (("\\[", "\\]"), ("$$", "$$"))
_OPENINGS = (
    (BlockKind.CAPTION, re.compile(r"\**(?:Figure|Fig\.|Table|Algorithm)\s+[\dA-Z][\w.]*\s*[:.]", re.IGNORECASE)),
    (BlockKind.FOOTNOTE, re.compile(r"\**Footnote\s+\S+?\s*:", re.IGNORECASE)),
)
_INLINE = re.compile(r"\\\((.+?)\\\)", re.DOTALL)
_MARKED = re.compile(r"[\\`*\[\]<~$|#&_]|^\s*(?:[-+>=]|\d+[.)])", re.MULTILINE)
"""What Markdown could take for more than text."""


@dataclass(frozen=True)
class _Piece:
    """A block without its place: plain ``texts``, one a line, and the ``markup`` if they do not say all."""

    kind: BlockKind
    texts: tuple[str, ...]
    markup: str | None = None


def blocks_of_markdown(markdown: str, area: Box, confidence_of: ConfidenceOf) -> tuple[Block, ...]:
    """The blocks of ``markdown``, in order, as bands of ``area``: each as high as its share of the characters."""
    pieces = [piece for piece in _pieces(markdown) if any(piece.texts)]
    weights = [sum(_weight(text) for text in piece.texts) for piece in pieces]
    return tuple(_block(piece, band, confidence_of) for piece, band in zip(pieces, bands(area, weights), strict=True))


def bands(area: Box, weights: Sequence[int]) -> list[Box]:
    """``area`` cut across into boxes as high as their ``weights``; in one lower than their number they overlap."""
    whole, above, cut = sum(weights), 0, []
    for weight in weights:
        top = area.top + min(area.height * above // whole, area.height - 1)
        above += weight
        cut.append(Box(area.left, top, area.right, max(area.top + area.height * above // whole, top + 1)))
    return cut


def _weight(text: str) -> int:
    """Characters count for height, and so does a line's end: a short line is as high as a long one."""
    return len(text) + 40


def _block(piece: _Piece, band: Box, confidence_of: ConfidenceOf) -> Block:
    texts = [text for text in piece.texts if text]
    places = bands(band, [_weight(text) for text in texts])
    lines = [_line(text, place, confidence_of) for text, place in zip(texts, places, strict=True)]
    return Block(kind=piece.kind, box=band, lines=tuple(lines), markup=piece.markup)


def _line(text: str, place: Box, confidence_of: ConfidenceOf) -> Line:
    words = tuple(_sure(word, confidence_of) for word in words_along(text, place))
    confidence = mean_confidence((word.confidence, len(word.text)) for word in words)
    return Line(text=text, box=place, confidence=confidence, words=words)


def _sure(word: Word, confidence_of: ConfidenceOf) -> Word:
    return word.model_copy(update={"confidence": confidence_of(word.text)})


def _pieces(markdown: str) -> Iterator[_Piece]:
    """The parts of a page, in order; whatever is unfinished at its end is taken to end there."""
    rows = markdown.splitlines()
    at = 0
    while at < len(rows):
        end = _end_of_part(rows, at)
        part = rows[at:end]
        if any(row.strip() for row in part):
            found, rest = _read_part(part)
            yield from found
            # What stands behind a formula or a table is a part of its own.
            rows[at:end] = rest.splitlines()
        else:
            at = end


def _end_of_part(rows: Sequence[str], at: int) -> int:
    """Where the part that begins with row ``at`` ends: the row after its last."""
    row = rows[at].strip()
    if fence := _FENCE.match(row):
        return _row_with(rows, at + 1, fence[1]) + 1
    if table := _TABLE_BEGIN.match(row):
        return _row_with(rows, at, f"\\end{{{table[1]}}}") + 1
    for opening, closing in _DISPLAY:
        if row.startswith(opening):
            ends_here = closing in row[len(opening) :]
            return at + 1 if ends_here else _row_with(rows, at + 1, closing, until_blank=True) + 1
    if not row or _HEADING.match(row):
        return at + 1
    end = at + 1
    while end < len(rows) and rows[end].strip() and not _begins_part(rows[end], in_list=bool(_ITEM.match(rows[at]))):
        end += 1
    return end


def _row_with(rows: Sequence[str], at: int, closing: str, *, until_blank: bool = False) -> int:
    """The first row from ``at`` on that holds ``closing``, else the last; or the last before a blank one."""
    for index in range(at, len(rows)):
        if closing in rows[index]:
            return index
        if until_blank and not rows[index].strip():
            return max(index - 1, at)
    return len(rows) - 1


def _begins_part(row: str, *, in_list: bool) -> bool:
    text = row.strip()
    special = any(pattern.match(text) for pattern in (_HEADING, _FENCE, _TABLE_BEGIN))
    return special or text.startswith(("\\[", "$$")) or (not in_list and bool(_ITEM.match(row)))


def _read_part(part: Sequence[str]) -> tuple[list[_Piece], str]:
    """The pieces of a part, and what of it is still to be read."""
    head = part[0].strip()
    if _FENCE.match(head):
        return [_code(part)], ""
    if _TABLE_BEGIN.match(head):
        return _latex_tables("\n".join(part).strip())
    if any(head.startswith(opening) for opening, _ in _DISPLAY):
        return _formulas("\n".join(part).strip())
    if len(part) > 1 and "|" in head and _PIPE_RULE.match(part[1]):
        cells = [row.strip().strip("|").split("|") for index, row in enumerate(part) if index != 1]
        return [_Piece(BlockKind.TABLE, tuple(_cells(row) for row in cells), markup_of("\n".join(part)))], ""
    return [_prose(part)], ""


def _prose(part: Sequence[str]) -> _Piece:
    head, source = part[0].strip(), "\n".join(row.rstrip() for row in part)
    kind = BlockKind.LIST if _ITEM.match(part[0]) else BlockKind.TEXT
    if _HEADING.match(head):
        return _Piece(BlockKind.TITLE, (plain(head.lstrip("#")),), markup_of(source.strip()))
    kind = next((named for named, pattern in _OPENINGS if pattern.match(head)), kind)
    marked = kind is BlockKind.LIST or _MARKED.search(source)
    return _Piece(kind, tuple(plain(row) for row in part), markup_of(source) if marked else None)


def _code(part: Sequence[str]) -> _Piece:
    """The rows between fences, in fences that nothing in them can close."""
    fence = _FENCE.match(part[0])
    assert fence is not None
    language = part[0][fence.end() :].strip()
    ends = len(part) > 1 and _FENCE_ALONE.fullmatch(part[-1])
    rows = [*part[1 : -1 if ends else None]]
    if not _LANGUAGE.fullmatch(language):
        rows, language = [language, *rows], ""
    longest = max(map(len, re.findall(r"`{3,}", "\n".join(rows))), default=2)
    fences = "`" * (longest + 1)
    texts = tuple(" ".join(row.split()) for row in (language, *rows))
    return _Piece(BlockKind.TEXT, texts, "\n".join((fences + language, *rows, fences)))


def _formulas(source: str) -> tuple[list[_Piece], str]:
    """Formulas on lines of their own, and the text that may follow behind the last one's end."""
    found = []
    while opened := next((pair for pair in _DISPLAY if source.startswith(pair[0])), None):
        latex, _, source = source[len(opened[0]) :].partition(opened[1])
        latex, source = latex.strip(), source.strip()
        found.append(_Piece(BlockKind.FORMULA, (" ".join(latex.split()),), harmless_latex(latex, alone=True)))
    return found, source


def _latex_tables(source: str) -> tuple[list[_Piece], str]:
    """Tables, a line for each row, cells parted by tabs; and the text that may follow behind the last one's end."""
    found = []
    while begin := _TABLE_BEGIN.match(source):
        closing = f"\\end{{{begin[1]}}}"
        at = source.find(closing)
        end = len(source) if at < 0 else at + len(closing)
        table, source = source[:end], source[end:].strip()
        body = _TABLE_FRAME.sub(" ", table)
        rows = (_cells(re.split(r"(?<!\\)&", row)) for row in body.split("\\\\"))
        found.append(_Piece(BlockKind.TABLE, tuple(row for row in rows if row), harmless_latex(table, alone=True)))
    return found, source


def _cells(cells: Sequence[str]) -> str:
    return "\t".join(plain(_SPANNING.sub(r"\1", cell)) for cell in cells).strip()


def plain(markdown: str) -> str:
    """One line of Markdown as text: no emphasis, no escapes, links by their words; formulas between dollar signs."""
    parts = re.split(r"(\\\(.+?\\\)|(?<![\\$])\$[^$]+\$)", markdown)
    words = (_dollars(part) if index % 2 else _plain_words(part) for index, part in enumerate(parts))
    return " ".join("".join(words).split())


def _dollars(formula: str) -> str:
    return f"${formula[2:-2].strip()}$" if formula.startswith("\\(") else formula


def _plain_words(text: str) -> str:
    text = re.sub(r"\[([^\]]+)\]\((?:https?|ftp)://[^)\s]*\)", r"\1", text)
    text = re.sub(r"\*\*(?=\S)(.+?)(?<=\S)\*\*", r"\1", text)
    text = re.sub(r"(?<![\w*\\])([*_])(?=[^\s*_])(.+?)(?<=\S)\1(?![\w*])", r"\2", text)
    return re.sub(r"\\([\\`*_{}\[\]<>()#+.!|$&~-])", r"\1", text)


def markup_of(source: str) -> str:
    """Markdown as a block keeps it: inline formulas between dollar signs, nothing that a browser would run."""
    parts = _INLINE.split(source)
    # A tag may begin in one formula and end behind it.
    latex = partial(harmless_latex, alone=">" not in source)
    return "".join(_inline(latex(part)) if index % 2 else _text(part) for index, part in enumerate(parts))


def _inline(latex: str) -> str:
    # Dollar signs inside of a formula would end it.
    return f"\\({latex}\\)" if "$" in latex.replace("\\$", "") else f"${latex.strip()}$"


def _text(markdown: str) -> str:
    return harmless_markdown(re.sub(r"(?<!\\)\$", r"\\$", markdown))
