r"""LaTeX in a model's text: where it is, its bare formulas, and commands whose backslash JSON has eaten.

A model that writes ``"\frac"`` into JSON where ``"\\frac"`` was due means a command, and JSON reads a form feed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

# Every command of LaTeX, AMS and plain TeX that a formula is likely to hold and that begins like an escape of JSON.
_AFTER_N = (
    r"abla|earrow|egthinspace|eq|ewline|exists|geq|gtr|leq|olimits|onumber|ormalsize|otag|otin|preceq|rightarrow"
    r"|leftarrow|simeq|subseteq|succeq|supseteq|triangleleft|triangleright|warrow"
)
# After a line break a formula may as well go on with something that reads like the rest of one of these.
_AFTER_N_OR_LINE_BREAK = r"atural|e|eg|i|less|mid|ot|parallel|prec|sim|succ|u"
_AFTER_R = (
    r"aise|angle|brace|brack|ceil|estriction|floor|group|ho|ight|ightarrow|ightarrowtail|ightharpoondown|ightharpoonup"
    r"|ightleftarrows|ightleftharpoons|ightrightarrows|isingdotseq|m|oot|times|ule|vert|Vert"
)
_AFTER_T = (
    r"ag|an|anh|arget|au|binom|ext[a-z]*|frac|herefore|heta|hickapprox|hicksim|hinspace|ilde|imes|iny|o|op|riangle[a-z]*"
    r"|woheadleftarrow|woheadrightarrow"
)


def _lost(after_n: str) -> re.Pattern[str]:
    rests = ((r"\n", after_n), (r"\r", _AFTER_R), (r"\t", _AFTER_T))
    return re.compile("|".join(rf"{control}(?=(?:{rest})(?![A-Za-z]))" for control, rest in rests))


_LOST, _MAYBE_LOST = _lost(_AFTER_N), _lost(f"{_AFTER_N}|{_AFTER_N_OR_LINE_BREAK}")
_NEVER_TEXT = re.compile(r"[\b\f](?=[A-Za-z])")
_LETTERS = {"\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t"}

_DELIMITER = re.compile(r"\\[()\[\]]|\\.|\$\$?", re.DOTALL)
_LAST_SPACE = re.compile(r"(?<!\\)(?:\\\\)*\\\s+\Z")
_CLOSING = {r"\(": r"\)", r"\[": r"\]", "$$": "$$", "$": "$"}


def restored(text: str, *, maths: bool = False, bare: bool = False) -> str:
    r"""``text`` with commands whose backslash was read as JSON's: a form feed and ``rac`` are ``\frac``.

    Backspace and form feed stand in no text. Tabs and line breaks do, so that they are only looked at inside maths;
    ``maths`` says that all of ``text`` is. ``bare`` says that backslashes are known to stand alone in this text, so
    that a short word after a line break is a command as well.
    """
    text, lost = _NEVER_TEXT.sub(_command, text), _MAYBE_LOST if bare else _LOST
    if not lost.search(text):
        return text
    if maths:
        return lost.sub(_command, text)
    parts: list[str] = []
    done = 0
    # A dollar before what only looks like a space opens maths all the same.
    for start, end in maths_in(lost.sub("?", text)):
        parts += text[done:start], lost.sub(_command, text[start:end])
        done = end
    return "".join((*parts, text[done:]))


def _command(lost: re.Match[str]) -> str:
    return _LETTERS[lost[0]]


def maths_in(text: str) -> list[tuple[int, int]]:
    r"""Where maths stands in ``text``, delimiters included: ``$...$``, ``$$...$$``, ``\(...\)``, ``\[...\]``.

    A single dollar opens before what is no space; the next one must follow what is no space and stand before no digit
    (Pandoc's rule), so that prices are no maths. Takes time in proportion to the text.
    """
    marks = list(_DELIMITER.finditer(text))
    closings: dict[str, list[int]] = {closing: [] for closing in _CLOSING.values()}
    for index, mark in enumerate(marks):
        if mark[0] in closings:
            closings[mark[0]].append(index)
    spans, index = [], 0
    while index < len(marks):
        mark, index = marks[index], index + 1
        ends = closings[_CLOSING[mark[0]]] if mark[0] in _CLOSING else []
        at = bisect_left(ends, index)
        if at < len(ends) and (mark[0] != "$" or _are_maths(text, mark.end(), marks[ends[at]].start())):
            spans.append((mark.start(), marks[ends[at]].end()))
            index = ends[at] + 1
    return spans


def _are_maths(text: str, start: int, end: int) -> bool:
    """Whether single dollars around this part of ``text`` are delimiters."""
    spaced = text[start].isspace() or (text[end - 1].isspace() and text[end - 2] != "\\")
    return not spaced and not text[end + 1 : end + 2].isdigit()


@dataclass(frozen=True)
class Part:
    """A formula without its delimiters, byte for byte, or what stands beside formulas."""

    text: str
    is_formula: bool


def parts_of(text: str) -> list[Part]:
    """The formulas of a cell and the text between them, in order; LaTeX without delimiters is one formula.

    Inline formulas are parts of their own only where nothing else stands.
    """
    text = text.strip()
    spans = maths_in(text)
    if not spans:
        # Where the answer was cut, the formula has a beginning only.
        bare = text.removeprefix("$$").removeprefix(r"\[").strip()
        return [Part(bare, is_formula=True)] if bare else []
    parts: list[Part] = []
    done = 0
    shown = [(start, end) for start, end in spans if text.startswith(("$$", r"\["), start)]
    for start, end in shown if _says(_without(text, spans)) else spans:
        _add_between(parts, text[done:start])
        parts.append(Part(_bare(text[start:end]), is_formula=True))
        done = end
    _add_between(parts, text[done:])
    return [part for part in parts if part.text]


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    starts, ends = zip(*spans, strict=True)
    return "".join(text[end:start] for end, start in zip((0, *ends), (*starts, len(text)), strict=True))


def _says(text: str) -> bool:
    """Whether there is more to ``text`` than stops and spaces."""
    return any(map(str.isalnum, text))


def _add_between(parts: list[Part], text: str) -> None:
    """Add what stands between formulas; a full stop belongs to the formula before it."""
    text = text.strip()
    if parts and parts[-1].is_formula and not _says(text):
        parts[-1] = Part(parts[-1].text + text, is_formula=True)
    elif text:
        parts.append(Part(text, is_formula=False))


def _bare(formula: str) -> str:
    width = 1 if formula[0] == "$" and formula[1:2] != "$" else 2
    bare = formula[width:-width]
    # The space of a last "\\ " belongs to the formula.
    return bare.strip() + (" " if _LAST_SPACE.search(bare[-100:]) else "")
