"""Fits the calibration of a new model on lines it has not learned from (the split ``dev``), word by word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from copyist.engines.calibration import SUREST, Calibration

FEWEST = 100
"""Words that it takes: with fewer, the numbers would say more of chance than of the model."""
_PULL = 1.0
"""How strongly the numbers are held to 1 and 0: as much as a few words weigh."""
_STEPS, _HALVINGS, _SMALL = 50, 30, 1e-9

Numbers = npt.NDArray[np.float64]


def fit(probabilities: Sequence[float], right: Sequence[bool]) -> Calibration | None:
    """The calibration under which ``right`` is likeliest, by Newton's method, held to the identity.

    ``probabilities`` are the model's own, one a word. ``None`` for fewer than ``FEWEST`` words, and where nothing
    sensible comes out. The log loss on the words is never worse than without.
    """
    if len(right) < FEWEST:
        return None
    kept = np.clip(np.asarray(probabilities, float), SUREST, 1 - SUREST)
    inputs = np.stack([np.log(kept / (1 - kept)), np.ones(len(kept))], axis=1)
    wanted = np.asarray(right, float)
    found = _newton(inputs, wanted)
    if not np.isfinite(found).all() or found[0] <= 0 or _loss(inputs, wanted, found) > _loss(inputs, wanted, _SAME):
        return None
    return Calibration(float(found[0]), float(found[1]))


_SAME: Numbers = np.array([1.0, 0.0])


def _newton(inputs: Numbers, wanted: Numbers) -> Numbers:
    """Where the penalised loss is least; it is convex, so that steps that are halved until it falls lead there."""
    at, best = _SAME.copy(), _penalised(inputs, wanted, _SAME)
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(inputs @ at, -500, 500)))
        slope = inputs.T @ (likely - wanted) + _PULL * (at - _SAME)
        bend = (inputs * (likely * (1 - likely))[:, None]).T @ inputs + _PULL * np.eye(2)
        step = np.linalg.solve(bend, slope)
        for _ in range(_HALVINGS):
            tried = _penalised(inputs, wanted, at - step)
            if tried <= best:
                break
            step = step / 2
        else:
            return at
        at, gained, best = at - step, best - tried, tried
        if gained < _SMALL:
            return at
    return at


def _penalised(inputs: Numbers, wanted: Numbers, at: Numbers) -> float:
    return _loss(inputs, wanted, at) + _PULL / 2 * float(np.sum((at - _SAME) ** 2))


def _loss(inputs: Numbers, wanted: Numbers, at: Numbers) -> float:
    """The log loss of all words together."""
    odds = inputs @ at
    return float(np.sum(np.logaddexp(0, odds) - wanted * odds))
