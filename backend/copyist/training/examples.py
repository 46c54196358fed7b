"""Examples and datasets."""

from __future__ import annotations

from enum import StrEnum

from copyist.document import Record


class Split(StrEnum):
    """What a page's lines are for: decided once, by the hash of the page's pixels, and never again."""

    TRAIN = "train"
    DEV = "dev"
    HOLDOUT = "holdout"


class Example(Record):
    """One line to learn from, or to be examined on."""

    sha256: str
    """Of the picture, a PNG."""
    text: str
    """What stands there, as a person says."""
    page: str
    """Hash of the page's pixels."""
    split: Split
    corrected: bool
    """A person changed what was read; else it was found to be right."""
    read: str
    """What was read before anybody looked."""
    line: str
    """The line's id."""
    revision: int
