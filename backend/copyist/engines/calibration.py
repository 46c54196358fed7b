"""Makes a model's confidence mean what it says: of the words it is 90 % sure of, nine in ten are right.

Platt's scaling of a probability's log odds (Guo et al., "On Calibration of Modern Neural Networks", arXiv 1706.04599).
The two numbers are fitted after training and lie beside the model in ``calibration.json``.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)

FILE = "calibration.json"
SUREST = 1e-6
"""No probability is nearer to 0 or 1: the log odds of these have no end."""


@dataclass(frozen=True)
class Calibration:
    """The probability p becomes that of the log odds ``a * logit(p) + b``; ``a`` is positive, so that order is kept."""

    a: float = 1.0
    b: float = 0.0

    def apply(self, probability: float) -> float:
        """The calibrated probability, 0 to 1."""
        kept = min(max(probability, SUREST), 1 - SUREST)
        odds = self.a * math.log(kept / (1 - kept)) + self.b
        # In two ways, so that neither overflows.
        return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))

    def as_json(self) -> str:
        """What is written beside the model."""
        return json.dumps(self.as_dict())

    def as_dict(self) -> dict[str, float]:
        """The two numbers by name."""
        return asdict(self)


def load(folder: Path) -> Calibration | None:
    """What lies beside the model in ``folder``, if anything.

    A file that cannot be read is passed over with a line in the log: confidence then is what the model says itself.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        a, b = float(content["a"]), float(content["b"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        a = b = math.nan
    if not (math.isfinite(a) and math.isfinite(b) and a > 0):
        log.warning("%s/%s holds no calibration; confidence stays as the model gives it", folder.name, FILE)
        return None
    return Calibration(a, b)
