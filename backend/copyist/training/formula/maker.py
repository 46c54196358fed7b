"""Makes a folder of formulas: ``python -m copyist.training.formula generate ORDER``."""

from __future__ import annotations

import os
import sys

from copyist.engines.base import Stop
from copyist.training.formula.generate import generate
from copyist.training.formula.order import GenerationOrder
from copyist.training.formula.saying import in_words, listening

_EVERY = 10
"""Percent between two lines."""


def main(order: str) -> int:
    """Generate as the JSON object ``order`` says; the exit code of the process."""
    asked = GenerationOrder.model_validate_json(order)
    stop = listening()
    return in_words(lambda: _generated(asked, stop))


def _generated(order: GenerationOrder, stop: Stop) -> None:
    shown = 0

    def told(done: int, of: int) -> None:
        nonlocal shown
        stop.check()
        if 100 * done // of >= shown + _EVERY:
            shown = 100 * done // of
            sys.stderr.write(f"{done} of {of} formulas\n")

    generate(
        order.folder,
        count=order.count,
        seed=order.seed,
        valid=order.valid,
        test=order.test,
        processes=order.processes or len(os.sched_getaffinity(0)),
        told=told,
    )
    sys.stdout.write(f"{order.folder}\n")
