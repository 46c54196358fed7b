"""Makes of a trained model what ONNX Runtime reads: ``python -m copyist.training.formula export ORDER``."""

from __future__ import annotations

import sys
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from copyist.engines.formula.config import TENSORS
from copyist.engines.formula.network import from_weights
from copyist.engines.formula.reader import ModelFolder
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
    model = ModelFolder.open(order.model)
    network = from_weights(model.config, len(model.vocabulary), tensors_of(model))
    return export(network, order.model, model.vocabulary, compared(open_set(order.data)) if order.data else ())


def tensors_of(model: ModelFolder) -> dict[str, Any]:
    """The weights of a model for torch; raises ``NotReady``."""
    try:
        tensors: dict[str, Any] = load_file(model.folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise model.refused(TENSORS, "is missing or damaged") from error
    return tensors


def compared(formulas: FormulaSet) -> list[Example]:
    """Pictures and labels of the split ``valid`` for ``export``."""
    asked = questions(formulas, "valid", most=COMPARED, left_out=lambda *_: None)
    return [(each.picture, each.truth) for each in asked]
