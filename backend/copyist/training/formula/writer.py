"""Writers: what is the same in all that one of them writes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from copyist.training.formula.boxes import Spacing


@dataclass(frozen=True)
class Writer:
    """How one writer writes. Lengths are in heights of a capital, spreads are standard deviations.

    ``slant`` is the run per rise, ``width`` stretches symbols, ``middles`` is the height of small letters, ``signs``
    the size of operators, both against the form's. ``bend`` is how far points of a form are moved in the writer's own
    way, ``jitter`` how far each time, ``turn`` (radians) and ``uneven`` (of sizes) what else differs each time,
    ``slope`` that of the whole line, ``drift`` how far it leaves its baseline in waves. ``second`` is how often another
    form than the usual one is taken, ``hooks`` how often the pen leaves a tick where it is put down or lifted, ``over``
    how much strokes are longer or shorter than they should be. ``shake`` is the pen's tremor. A device records
    ``units`` for a capital in steps of ``quantum`` units, a point every ``step``; where ``coarse`` is not 0, only the
    points that a line needs that may be so far off: a mouse, or a picture drawn with few points.
    """

    seed: int
    spacing: Spacing
    slant: float
    width: float
    middles: float
    signs: float
    bend: float
    jitter: float
    turn: float
    uneven: float
    slope: float
    drift: float
    second: float
    hooks: float
    over: float
    shake: float
    units: float
    quantum: float
    step: float
    coarse: float

    @classmethod
    def of(cls, seed: int) -> Writer:
        """A random writer: neat or careless in everything at once, more or less."""
        dice = np.random.default_rng([seed, 21])
        care = float(dice.choice([0.5, 0.8, 1.0, 1.3, 1.7], p=[0.15, 0.25, 0.3, 0.2, 0.1]))
        few = dice.random() < 0.25
        return cls(
            seed=seed,
            spacing=_spacing(dice, care),
            slant=float(np.clip(dice.normal(0.06, 0.14), -0.3, 0.5)),
            width=float(np.exp(dice.normal(0.0, 0.16))),
            middles=float(np.clip(dice.normal(1.05, 0.13), 0.75, 1.4)),
            signs=float(np.exp(dice.normal(0.0, 0.2))),
            bend=float(dice.uniform(0.01, 0.045)) * care,
            jitter=float(dice.uniform(0.008, 0.028)) * care,
            turn=float(dice.uniform(0.01, 0.06)) * care,
            uneven=float(dice.uniform(0.03, 0.14)) * care,
            slope=float(dice.uniform(0.005, 0.035)) * care,
            drift=float(dice.uniform(0.0, 0.1)) * care,
            second=float(dice.choice([0.0, 0.1, 0.3])),
            hooks=float(dice.choice([0.0, 0.0, 0.08, 0.25])),
            over=float(dice.uniform(0.0, 0.05)) * care,
            shake=float(dice.choice([0.0, 0.006, 0.012, 0.02], p=[0.3, 0.4, 0.2, 0.1])),
            units=(units := float(np.exp(dice.uniform(math.log(20 if few else 40), math.log(70 if few else 400))))),
            quantum=min(float(dice.choice([1.0, 2.0, 3.0], p=[0.6, 0.2, 0.2])), units / 16) if few else 0.5,
            step=float(dice.uniform(0.08, 0.17)) if few else float(dice.uniform(0.03, 0.12)),
            coarse=float(dice.uniform(0.02, 0.06)) if few and dice.random() < 0.6 else 0.0,
        )


def _spacing(dice: np.random.Generator, care: float) -> Spacing:
    loose = float(np.exp(dice.normal(0.1, 0.45)))
    return Spacing(
        letters=0.13 * loose * float(dice.uniform(0.7, 1.4)),
        operators=0.24 * loose * float(dice.uniform(0.7, 1.5)),
        relations=0.3 * loose * float(dice.uniform(0.7, 1.5)),
        script=float(np.clip(dice.normal(0.64, 0.09), 0.45, 0.85)),
        rise=float(dice.uniform(-0.05, 0.5)),
        drop=float(dice.uniform(-0.05, 0.3)),
        fraction=float(dice.uniform(0.65, 1.0)),
        gap=float(dice.uniform(0.1, 0.32)),
        over=float(dice.uniform(-0.05, 0.35)),
        under=bool(dice.random() < 0.85),
        under_integrals=bool(dice.random() < 0.3),
        tall=bool(dice.random() < 0.85),
        columns=float(dice.uniform(0.5, 1.6)),
        rows=float(dice.uniform(0.25, 0.9)),
        uneven=float(dice.uniform(0.15, 0.35)) * min(care, 1.2),
        wander=float(dice.uniform(0.01, 0.06)) * care,
    )
