"""Markdown and LaTeX of a model in which a browser finds nothing to run or to fetch, whatever stands on the page.

A renderer that knows nothing of formulas takes what stands in them for Markdown, too.
"""

from __future__ import annotations

import re

_TAG = re.compile(r"(?<!\\)(\\*)<(?=[A-Za-z/!?])")
"""What could begin a tag of HTML, with the backslashes before it."""
_PICTURE = re.compile(r"(?<!\\)(\\*)!(?=\[)")
_TARGET = re.compile(r"\]:")
"""What could be the target of links elsewhere on the page: anywhere, since labels may be broken and nested."""
_TAG_IN_LATEX = re.compile(r"()<(?=[A-Za-z/!?])")
_WHOLE_TAG_IN_LATEX = re.compile(r"(?m)(^[\s>*+\d.)-]*)<(?=[A-Za-z/!?])|<(?=[A-Za-z/!?][^>]*>)")
"""The same with an end somewhere, or where none is needed: at the beginning of a line, of a quote or of an item."""
_LINK_IN_LATEX = re.compile(r"\](?=[(:])|!(?=\[)")


def harmless_markdown(markdown: str) -> str:
    """``markdown`` in which no HTML begins, no picture is fetched and no link leads but to the web."""
    markdown = _TAG.sub(_escaped, markdown)
    markdown = _TARGET.sub(r"]\\:", markdown)
    markdown = _PICTURE.sub(_escaped, markdown)
    return re.sub(r"\]\((?!(?:https?|ftp)://)", "] (", markdown)


def harmless_latex(latex: str, *, alone: bool = False) -> str:
    """LaTeX in which nothing is a tag, a link or a picture; to TeX a space more or less in a formula is the same.

    ``alone`` says that no tag can end behind the formula; then a sign that only means "less" is left as it is.
    """
    tag = _WHOLE_TAG_IN_LATEX if alone else _TAG_IN_LATEX
    return _LINK_IN_LATEX.sub(r"\g<0> ", tag.sub(r"\1< ", latex))


def _escaped(sign: re.Match[str]) -> str:
    """The beginning of a tag or picture behind one backslash, which it may have already."""
    return sign[0] if len(sign[1]) % 2 else f"{sign[1]}\\{sign[0][-1]}"
