"""A guard against output that is no reading: a model that fell into a loop and says one thing over and over."""

from __future__ import annotations

import re

_LOOP = re.compile(r"(.{1,60}?)\1{39,}", re.DOTALL)
"""A fragment of at most 60 characters, at least 40 times in a row."""
_MOSTLY = 0.8


def is_loop(text: str) -> bool:
    """Whether one short fragment with a letter or digit in it, said 40 times or more, is most of ``text``.

    Dots that lead to page numbers and the lines of a blank form repeat as well, so that fragments without a letter or
    digit do not count.
    """
    text = " ".join(text.split())
    loops = (match for match in _LOOP.finditer(text) if any(map(str.isalnum, match[1])))
    return bool(text) and sum(len(match[0]) for match in loops) >= _MOSTLY * len(text)
