"""The one way in which LaTeX is written here, cut into tokens and compared: shared by data, metric and API.

A canonical formula is a row of tokens. Scripts and arguments are always braced, ``_`` stands before ``^``, hardly any
other braces are left; what a hand does not write (fonts, spaces, sizes) is not there, and of several names for one sign
there is one. ``latex_words`` holds the lists, ``latex_commands`` says what is done. ``NORMAL`` is the version of the
rules: figures of models are to be compared only where it is the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from copyist.engines.formula.latex_commands import HANDLERS
from copyist.engines.formula.latex_reader import LatexProblem as LatexProblem
from copyist.engines.formula.latex_reader import Reader

NORMAL = 1

_TOKEN = re.compile(
    r"\\(?:begin|end)\s*\{\s*[A-Za-z]+\*?\s*\}"
    r"|\\(?:operatorname|[hv]space|tag)\*"
    r"|\\\\\*?(?:\[\s*-?[0-9.]+\s*(?:pt|em|ex|mm|cm|in|mu|pc|sp)\s*\])?"
    r"|\\[A-Za-z]+|\\.|[^\s\\]|\\",
    re.DOTALL,
)
_LONGEST = 20_000
"""Characters; nobody writes a formula of so many."""


def tokens(latex: str) -> list[str]:
    r"""Cut ``latex`` into commands, ``\begin{...}``, ``\end{...}``, ``\\`` and single characters, without white space.

    Nothing is changed in meaning. Raises ``LatexProblem`` for what is no LaTeX at all: a backslash at the end,
    ``\begin`` without a name, a text that is too long.
    """
    if len(latex) > _LONGEST:
        raise LatexProblem("bad_latex", f"The LaTeX has more than {_LONGEST} characters.")
    found = _TOKEN.findall(latex)
    for at, word in enumerate(found):
        if len(word) > 2 and word[0] == "\\":
            if word[1] == "\\":
                found[at] = "\\\\"
            elif word in (r"\begin", r"\end"):
                raise LatexProblem("unknown_environment", f"{word} stands without the name of an environment.")
            elif word[-1] == "}":
                found[at] = "".join(word.split())
    if found and found[-1] == "\\":
        raise LatexProblem("bad_latex", "The LaTeX ends with a backslash.")
    return found


def normalize(latex: str) -> tuple[str, ...]:
    """The canonical tokens of ``latex``; the same again for ``joined`` of them.

    Raises ``LatexProblem`` where braces are not balanced, an argument is missing, an environment is not known or not
    closed.
    """
    return tuple(Reader(tokens(latex), HANDLERS, strict=True).formula())


def joined(tokens: Sequence[str]) -> str:
    """LaTeX of ``tokens`` that a renderer takes; spaces stand only where they are needed."""
    parts = []
    after_command = False
    after_break = False
    for word in tokens:
        if (after_command and word[0].isalpha()) or (after_break and word in "[*"):
            parts.append(" ")
        parts.append(word)
        after_break = word == "\\\\"
        after_command = word[0] == "\\" and word[-1].isalpha()
    return "".join(parts)


def problem(tokens: Sequence[str]) -> LatexProblem | None:
    """What is wrong with ``tokens`` that a model wrote, or None."""
    try:
        Reader(tokens, HANDLERS, strict=True).formula()
    except LatexProblem as found:
        return found
    return None


def mended(tokens: Sequence[str]) -> list[str]:
    """Canonical tokens of what a model wrote: what is open is closed, what closes nothing is dropped."""
    return Reader(tokens, HANDLERS, strict=False).formula()
