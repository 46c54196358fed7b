"""How well a model reads a folder of formulas: ``python -m copyist.training.formula evaluate ORDER``."""

from __future__ import annotations

import json
import sys

import cv2

from copyist.engines.base import EngineSettings, Stop
from copyist.engines.formula import models
from copyist.engines.formula.config import PRESETS, Frame, ModelConfig
from copyist.engines.formula.decoding import FormulaReader
from copyist.engines.formula.engine import open_reader
from copyist.errors import FormulaDataMissing
from copyist.training.checkpoint import write_whole
from copyist.training.formula import report
from copyist.training.formula.evaluate import examined
from copyist.training.formula.order import EvaluationOrder
from copyist.training.formula.saying import in_words, listening
from copyist.training.formula.sets import open_set


def main(order: str) -> int:
    """Evaluate as the JSON object ``order`` says and print the figures as JSON; the exit code of the process."""
    stop = listening()
    return in_words(lambda: print_evaluation(EvaluationOrder.model_validate_json(order), stop))


def print_evaluation(order: EvaluationOrder, stop: Stop) -> None:
    """Read the formulas, write the page if one is wanted, print the figures.

    Raises ``FormulaDataMissing``, ``CheckpointUnusable`` and ``NotReady`` where the model cannot be used.
    """
    cv2.setNumThreads(1)
    formulas = open_set(order.data)
    if not formulas.names(order.split):
        raise FormulaDataMissing(reason=f"{order.data} has no formulas in the split {order.split}.")
    reader, frame = opened(order)
    try:
        answers = examined(reader, formulas, order.split, stop=stop, most=order.most)
    finally:
        reader.close()
    facts = {"model": order.model.resolve().name, "version": reader.version, "data": order.data.resolve().name}
    facts |= {"split": order.split}
    if order.page:
        title = f"{facts['model']} on {order.split} of {facts['data']}"
        write_whole(order.page, report.page(title, facts, answers, frame).encode())
    sys.stdout.write(json.dumps(facts | report.as_json(answers), indent=1, ensure_ascii=False) + "\n")


def opened(order: EvaluationOrder) -> tuple[FormulaReader, Frame]:
    """The reader of a folder, whichever kind of model it holds, and what its pictures are shown in."""
    settings = EngineSettings(formula=order.model, use_gpu=order.use_gpu)
    model = models.open_model(order.model)
    is_ours = model.kind is models.Kind.COPYIST
    frame = ModelConfig.load(order.model).frame if is_ours else PRESETS["compact"].frame
    return open_reader(model, models.place_of(model, settings), settings), frame
