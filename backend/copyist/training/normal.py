"""One spelling for texts that mean the same, before they are compared or learned: both sides of every score go through.

Without it a curly apostrophe counts as an error, and so does an accent that is stored as a sign of its own.
"""

from __future__ import annotations

import unicodedata

VERSION = 1
"""Raise it when ``plain`` changes: figures of two versions cannot be compared."""

_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "\u2026": "...",
    }
)


def plain(text: str) -> str:
    """``text`` in NFC, with straight quotes, one kind of dash, and single spaces between its words.

    No sign vanishes but white space, so that a word stays a word.
    """
    return " ".join(unicodedata.normalize("NFC", text).translate(_ALIKE).split())
