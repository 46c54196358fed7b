"""What readers of models that others published have in common: from pictures to their text, and from it to LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from copyist.engines.base import Stop
from copyist.engines.calibration import Calibration
from copyist.engines.formula.decoding import Found, ReadFormula
from copyist.engines.formula.latex import LatexProblem, joined, normalize, tokens
from copyist.engines.formula.picture import Picture, PictureUnusable
from copyist.engines.formula.reader import CUT_AT_MOST
from copyist.engines.generation import Finish

_Prepared = TypeVar("_Prepared")


def read_usable(
    pictures: Sequence[Picture],
    stop: Stop,
    *,
    prepare: Callable[[Picture], _Prepared],
    read: Callable[[Sequence[_Prepared]], Sequence[ReadFormula]],
) -> list[ReadFormula | PictureUnusable]:
    """What ``read`` makes of ``pictures`` after ``prepare``, or why ``prepare`` refused one, in order."""
    found: list[ReadFormula | PictureUnusable | None] = []
    usable: list[_Prepared] = []
    for picture in pictures:
        stop.check()
        try:
            usable.append(prepare(picture))
            found.append(None)
        except PictureUnusable as error:
            found.append(error)
    readings = iter(read(usable))
    return [next(readings) if one is None else one for one in found]


def formula(text: str, found: Found, calibration: Calibration | None) -> ReadFormula:
    """The formula that a model wrote as ``text``, in the canonical LaTeX where it is LaTeX, else as it came."""
    plain = " ".join(text.split())
    try:
        canonical = normalize(plain)
        latex = joined(canonical)
    except LatexProblem:
        canonical, latex = _as_it_came(plain), plain
    sure = calibration.apply(found.mean) if calibration and found.log_probabilities else found.mean
    if found.finish is not Finish.STOP:
        sure = min(sure, CUT_AT_MOST)
    return ReadFormula(latex, sure, found.least, canonical, found.finish)


def _as_it_came(latex: str) -> tuple[str, ...]:
    try:
        return tuple(tokens(latex))
    except LatexProblem:
        return ()
