"""One formula to learn from or to be examined on, and why one cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from copyist.engines.formula.unusable import Unusable
from copyist.training.formula.ink import Ink

CODES = frozenset(
    (
        *("broken_inkml", "no_strokes", "no_label", "unbalanced_braces", "bad_latex", "unknown_token"),
        *("label_too_long", "broken_image", "no_ink", "too_thin", "too_small"),
    )
)
"""Why an example cannot be used; reports count by them."""


class ExampleUnusable(Unusable):
    """An example that is left out; ``code`` is one of ``CODES``, the text is a sentence for a person."""


@dataclass(frozen=True, eq=False)
class Example:
    """A formula in ink or as a picture, one of the two, and its canonical ``label`` (``latex.normalize``).

    ``picture`` is grey (height, width) or RGB (height, width, 3), 8 bits. ``name`` is the one it has in its set;
    ``writer`` is empty where nobody says whose hand it is. ``notes`` are sentences on what was left out of the ink.
    """

    label: tuple[str, ...]
    ink: Ink | None
    picture: npt.NDArray[np.uint8] | None
    name: str
    writer: str = ""
    notes: tuple[str, ...] = ()
