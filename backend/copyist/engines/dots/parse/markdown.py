r"""The model's Markdown, both ways: as plain text for lines, and as safe Markdown where plain text loses its maths.

The model writes headings, emphasis and, between ``$`` or ``\(`` and ``\)``, LaTeX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from copyist.document import BlockKind
from copyist.engines.dots.parse import latex
from copyist.engines.harmless import harmless_latex

_HEADING = re.compile(r"(?m)^[ \t]{0,3}#{1,6}[ \t]+")
_DEEP_HEADING = re.compile(r"(?m)^[ \t]{0,3}#{2,6}[ \t]+")
_COMMAND = re.compile(r"\\[A-Za-z]")
_ESCAPED = re.compile(r"\\([*_#$`~])")
# CommonMark 0.31, 6.2, as far as one line goes: what opens stands before a letter, what closes after one. A single star
# or any underscore inside a word is none: products and names of programs have those.
_STRONG = re.compile(r"(?<![*\\])(\*{2,3})(?=[^\s*])([^*\n]{0,2000}[^\s*\\])\1(?!\*)")
_STARS = re.compile(r"(?<![\w*\\])(\*)(?=[^\s*])([^*\n]{0,2000}[^\s*\\])\1(?![\w*])")
_UNDERSCORES = re.compile(r"(?<![\w\\])(_{1,3})(?=[^\s_])([^_\n]{0,2000}[^\s_\\])\1(?!\w)")

_SPECIAL = re.compile(r"[\\`*\[\]<~$|]|(?<![^\W_])_|_(?![^\W_])|&(?=#|\w+;)")
_OPENING = re.compile(r"(?=#{1,6}(?: |$)|>|[-+](?: |$)|=+$|:?-[- ]*:?$)")
_NUMBERED = re.compile(r"([0-9]{1,9})(?=[.)](?: |$))")
_ITEM = re.compile(r"(?:\\?[-*+•]|[0-9]{1,9}[.)])\s+")
_BULLET = re.compile(r"^\\?[-*+•]\s+")


@dataclass(frozen=True)
class _Part:
    """A piece of a text without marks of Markdown: maths with its delimiters, or words."""

    text: str
    is_maths: bool


@dataclass(frozen=True)
class Reading:
    """A text as its ``plain`` lines, and as Markdown if there is maths in it, else ``None``."""

    plain: str
    markup: str | None


def read(text: str, kind: BlockKind) -> Reading:
    """``text`` without the hashes of headings and the marks of emphasis; maths stays byte for byte.

    A single hash is a heading's only in a title: elsewhere it may as well be a number sign. The Markdown is that of a
    block of ``kind``, and nothing in it is HTML.
    """
    parts = _parts((_HEADING if kind is BlockKind.TITLE else _DEEP_HEADING).sub("", text))
    plain = "".join(part.text for part in parts)
    if not any(part.is_maths for part in parts):
        return Reading(plain, None)
    written = "".join(_shown(part.text) if part.is_maths else _SPECIAL.sub(r"\\\g<0>", part.text) for part in parts)
    return Reading(plain, _laid_out([line.strip() for line in written.splitlines() if line.strip()], kind))


def _parts(text: str) -> list[_Part]:
    parts: list[_Part] = []
    done = 0
    for start, end in latex.maths_in(text):
        parts += [_Part(_unmarked(text[done:start]), is_maths=False), _Part(text[start:end], is_maths=True)]
        done = end
    return [*parts, _Part(_unmarked(text[done:]), is_maths=False)]


def _unmarked(text: str) -> str:
    if _COMMAND.search(text):
        # Maths without its delimiters, where a star or an underscore is no emphasis.
        return text
    for marks in (_STRONG, _STARS, _UNDERSCORES):
        text = marks.sub(r"\2", text)
    return _ESCAPED.sub(r"\1", text)


def _shown(maths: str) -> str:
    r"""Maths between dollar signs, which GitHub and most others show; ``\(`` and ``\[`` they do not."""
    bare = maths[2:-2].strip()
    if maths.startswith("\\") and "$" not in bare:
        maths = f"${bare}$" if maths.startswith(r"\(") else f"$${bare}$$"
    return harmless_latex(maths)


def _laid_out(lines: list[str], kind: BlockKind) -> str:
    if kind is BlockKind.TITLE:
        return f"## {' '.join(lines)}"
    if kind is BlockKind.LIST:
        return "\n".join(_item(line, first=index == 0) for index, line in enumerate(lines))
    return "\n".join(_text(line) for line in lines)


def _item(line: str, *, first: bool) -> str:
    if _ITEM.match(line):
        return _BULLET.sub("- ", line)
    return f"- {line}" if first else f"  {_text(line)}"


def _text(line: str) -> str:
    """A line that begins no heading, quote or list."""
    if number := _NUMBERED.match(line):
        return f"{number[0]}\\{line[number.end() :]}"
    return f"\\{line}" if _OPENING.match(line) else line
