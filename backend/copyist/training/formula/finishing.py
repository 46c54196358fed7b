"""The end of a training: the best network is calibrated, examined, described, exported, and told to MLflow."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import torch
from safetensors.torch import load_file

from copyist import __version__
from copyist.engines import calibration as calibrations
from copyist.engines.base import Stop
from copyist.engines.formula import latex
from copyist.engines.formula.config import TENSORS
from copyist.engines.formula.network import parameters
from copyist.engines.formula.reader import Search
from copyist.engines.formula.torch_reader import TorchReader
from copyist.engines.formula.vocabulary import Vocabulary
from copyist.training import calibration, tracking
from copyist.training.checkpoint import write_whole
from copyist.training.formula import report
from copyist.training.formula.evaluate import examined
from copyist.training.formula.export import export
from copyist.training.formula.exporter import compared
from copyist.training.formula.lessons import Split
from copyist.training.formula.loop import Loop, Progress, State
from copyist.training.formula.order import PAGE, REPORT, FormulaOrder
from copyist.training.formula.progress import Display
from copyist.training.formula.report import counted
from copyist.training.formula.sets import FormulaSet

CALIBRATED_ON = 2000
"""So many formulas of the split ``valid`` say how sure the model may be."""
_EXAMINED: tuple[Split, ...] = ("test", "valid")
_GREEDY = Search(beam=1)


def finished(
    order: FormulaOrder,
    loop: Loop,
    vocabulary: Vocabulary,
    formulas: FormulaSet,
    facts: State,
    device: str,
    stop: Stop,
    display: Display,
) -> None:
    """Calibrate, examine, describe and export the best network, which lies in the order's folder."""
    fitted = _calibrated(order, formulas, device, stop)
    split: Split = next((each for each in _EXAMINED if formulas.names(each)), "train")
    reader = TorchReader(order.out, device, _GREEDY)
    answers = examined(reader, formulas, split, stop=stop, most=order.tested)
    reader.close()
    done = loop.progress
    found = report.as_json(answers)
    told = {
        "preset": order.recipe.preset,
        "parameters": parameters(loop.network),
        "data": order.data.resolve().name,
        "split": split,
        **found,
        "trained_on": facts["formulas"],
        "trained_without": done.left_out_by_code,
        "best_epoch": done.best_epoch,
        "best_valid_cer": done.best,
        "epochs": done.place.epoch,
        "steps": done.step,
        "seen": done.seen,
        "seconds": round(done.seconds, 1),
        "resumed": done.resumed,
        "recipe": order.recipe.model_dump(),
        "calibration": fitted.as_dict() if fitted else None,
        "latex": latex.NORMAL,
        "libraries": {"copyist": __version__, "torch": str(torch.__version__), "timm": version("timm")},
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    network = loop.averaged.cpu()
    network.load_state_dict(load_file(order.out / TENSORS))
    exported = export(network, order.out, vocabulary, compared(formulas))
    told["onnx"] = asdict(exported)
    write_whole(order.out / REPORT, json.dumps(told, indent=1, ensure_ascii=False).encode())
    shown = {name: value for name, value in told.items() if isinstance(value, str | int | float) and name not in found}
    if done.left_out:
        shown["left out of training"] = counted(done.left_out)
    page = report.page(f"Formula model {order.recipe.preset} on {split}", shown, answers, network.config.frame)
    write_whole(order.out / PAGE, page.encode())
    if problem := tracking.report(_facts(order, done, facts, device, found), order.tracking_uri):
        display.say(problem)
    display.say(
        f"{split}: CER {100 * found['cer']:.2f} %, exact {100 * found['exact']:.1f} % of {found['formulas']}; "
        f"the report is {order.out / PAGE}"
    )


def _facts(order: FormulaOrder, done: Progress, facts: State, device: str, found: dict[str, Any]) -> tracking.Facts:
    """What MLflow is told: the figures, and a point of the curves for each epoch."""
    ended = datetime.now(UTC)
    began = ended - timedelta(seconds=done.seconds)
    return tracking.Facts(
        experiment=tracking.FORMULA,
        run_id=f"{facts['run']}-{done.step}",
        status="completed",
        trigger="command line",
        created_at=began,
        finished_at=ended,
        base=str(order.warm_start) if order.warm_start else None,
        code_version=__version__,
        libraries={"torch": str(torch.__version__)},
        device=device,
        parameters=order.recipe.model_dump() | {"data": order.data.resolve().name, "formulas": facts["formulas"]},
        figures={name: value for name, value in found.items() if name not in {"by_length", "left_out"}},
        steps=tuple(
            tracking.Step(
                step=each["step"],
                epoch=each["epoch"],
                loss=each["loss"],
                learning_rate=each["rate"],
                dev_cer=each["cer"],
                at=began + timedelta(seconds=each["seconds"]),
            )
            for each in done.epochs
        ),
    )


def _calibrated(order: FormulaOrder, formulas: FormulaSet, device: str, stop: Stop) -> calibrations.Calibration | None:
    """What makes confidence mean what it says, fitted on the split ``valid`` and saved; ``None`` with too little."""
    path = order.out / calibrations.FILE
    path.unlink(missing_ok=True)
    reader = TorchReader(order.out, device, _GREEDY)
    cases = examined(reader, formulas, "valid", stop=stop, most=CALIBRATED_ON).cases
    reader.close()
    fitted = calibration.fit([each.confidence for each in cases], [each.exact for each in cases])
    if fitted:
        write_whole(path, fitted.as_json().encode())
    return fitted
