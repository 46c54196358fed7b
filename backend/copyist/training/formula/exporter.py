"""Makes of a trained model what ONNX Runtime reads: ``python -m copyist.training.formula export ORDER``."""

from __future__ import annotations

import sys

from safetensors.torch import load_file

from copyist.engines.formula.config import TENSORS, ModelConfig
from copyist.engines.formula.network import from_weights
from copyist.engines.formula.vocabulary import Vocabulary
from copyist.training.events import Failed
from copyist.training.formula.evaluate import questions
from copyist.training.formula.export import Example, Exported, export
from copyist.training.formula.order import ExportOrder
from copyist.training.formula.saying import in_words
from copyist.training.formula.sets import FormulaSet, open_set

COMPARED = 300
"""So many formulas of the split ``valid`` decide whether 8 bits are enough."""


def main(order: str) -> int:
    """Export as the JSON object ``order`` says; the exit code of the process."""
    return in_words(lambda: sys.stdout.write(f"{_exported(ExportOrder.model_validate_json(order))}\n"))


def _exported(order: ExportOrder) -> Exported:
    try:
        config, vocabulary = ModelConfig.load(order.model), Vocabulary.load(order.model)
        network = from_weights(config, len(vocabulary), load_file(order.model / TENSORS))
    except (OSError, ValueError, RuntimeError) as error:
        raise Failed("base_unusable", f"There is no trained model in {order.model}: {error}") from error
    return export(network, order.model, vocabulary, compared(open_set(order.data)) if order.data else ())


def compared(formulas: FormulaSet) -> list[Example]:
    """Pictures and labels of the split ``valid`` for ``export``."""
    asked = questions(formulas, "valid", most=COMPARED, left_out=lambda *_: None)
    return [(each.picture, each.truth) for each in asked]
