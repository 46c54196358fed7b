"""From a folder of formulas to a folder with a model: ``python -m copyist.training.formula train ORDER``."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import torch
from safetensors.torch import load_file
from safetensors.torch import save as packed

from copyist import __version__
from copyist.engines import calibration as calibrations
from copyist.engines.base import Stop
from copyist.engines.formula import latex
from copyist.engines.formula.config import PRESETS, TENSORS, ModelConfig
from copyist.engines.formula.network import FormulaNetwork, parameters
from copyist.engines.formula.reader import ModelFolder, Search
from copyist.engines.formula.torch_reader import TorchDecoder, TorchReader
from copyist.engines.formula.vocabulary import FILE as VOCABULARY
from copyist.engines.formula.vocabulary import SPECIAL, Vocabulary
from copyist.errors import FormulaDataMissing
from copyist.training import calibration, checkpoint, tracking
from copyist.training.checkpoint import write_whole
from copyist.training.events import Failed
from copyist.training.formula import report
from copyist.training.formula.evaluate import Exam, Figures, examined, figures, questions
from copyist.training.formula.examples import ExampleUnusable
from copyist.training.formula.export import export
from copyist.training.formula.exporter import compared, tensors_of
from copyist.training.formula.lessons import Course, Lessons, Split
from copyist.training.formula.loop import Loop, Progress, State, Told
from copyist.training.formula.order import CHECKPOINT, HISTORY, PAGE, REPORT, FormulaOrder
from copyist.training.formula.progress import Display
from copyist.training.formula.saying import in_words, listening
from copyist.training.formula.sets import FormulaSet, open_set

log = logging.getLogger(__name__)

CALIBRATED_ON = 2000
"""So many formulas of the split ``valid`` say how sure the model may be."""
_EXAMINED: tuple[Split, ...] = ("test", "valid")
_GREEDY = Search(beam=1)
_POINTS = 1000
"""Points of the curve of the loss in ``history.json``, at most."""


def main(order: str) -> int:
    """Train as the JSON object ``order`` says; the exit code of the process."""
    stop = listening()
    told = FormulaOrder.model_validate_json(order)

    def work() -> None:
        with Display() as display:
            folder = train(told, stop=stop, display=display)
        sys.stdout.write(f"{folder}\n")

    return in_words(work, stopped=f"Stopped; the same command goes on with what is in {told.out / CHECKPOINT}.")


def train(order: FormulaOrder, *, stop: Stop, display: Display) -> Path:
    """Train, or go on; returns the folder of the model.

    Raises ``FormulaDataMissing``, ``NotReady`` for a model that cannot be begun with, ``Failed`` with a code and a
    sentence, and ``Stopped`` when ``stop`` is asked.
    """
    order.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)  # Several get in each other's way where others compute.
    # With fewer cores than threads, those that wait for each other take the time of those that work.
    torch.set_num_threads(order.threads or max(1, len(os.sched_getaffinity(0)) - order.processes))
    formulas = open_set(order.data)
    config = PRESETS[order.recipe.preset]
    if order.fresh:
        shutil.rmtree(order.out / CHECKPOINT, ignore_errors=True)
    vocabulary, unusable = _vocabulary(order, config, formulas, stop, display)
    mark = hashlib.sha256(f"{config} {vocabulary.words}".encode()).hexdigest()
    saved = checkpoint.load(order.out / CHECKPOINT, mark)
    if saved is None and (order.out / CHECKPOINT).is_dir():
        raise Failed(
            "broken", f"{order.out / CHECKPOINT} cannot be read. Begin anew with --fresh, or name another --out."
        )
    torch.manual_seed(order.recipe.seed)
    network = FormulaNetwork(config, len(vocabulary))
    if order.warm_start and not saved:
        display.say(_warmed(network, vocabulary, order.warm_start))
    course = Course(
        order.data, vocabulary, config.frame, config.longest, order.recipe.seed, augment=order.recipe.augment
    )
    lessons = Lessons(course, processes=order.processes)
    device = "cuda" if order.use_gpu and torch.cuda.is_available() else "cpu"
    facts = {"run": uuid4().hex, "recipe": order.recipe.model_dump(), "formulas": len(lessons)}
    try:
        loop = Loop(network, lessons, order.recipe, stop=stop, device=device, time_limit_s=order.time_limit_s)
        loop.progress.left_out |= unusable
        if saved:
            facts |= _gone_on(loop, saved, order, len(lessons), display)
        display.say(
            f"{order.recipe.preset}: {parameters(network) / 1e6:.2f} million weights, {len(vocabulary)} tokens, "
            f"{len(lessons)} formulas, on {device} with {torch.get_num_threads()} threads"
        )
        watched = _watched(order, config, vocabulary, formulas)
        _trained(order, loop, watched, stop, display, lambda state: _keep(order, mark, state, facts))
    finally:
        lessons.close()
    _finished(order, loop, vocabulary, formulas, facts, device, stop, display)
    return order.out


def _trained(order: FormulaOrder, loop: Loop, watched: Exam, stop: Stop, display: Display, keep: Any) -> None:
    """Run ``loop``; the best network so far lies in the order's folder at any time."""

    def told(step: Told) -> None:
        display.step(
            epoch=step.progress.place.epoch + 1,
            step=step.progress.step,
            loss=step.loss,
            lessons=step.lessons,
            share=step.share,
        )

    def read(network: FormulaNetwork) -> Figures:
        found = figures(watched.cases(TorchDecoder(network), stop))
        done = loop.progress
        loss = done.losses[done.epoch_from :]
        display.say(
            f"epoch {done.place.epoch + 1} of {order.recipe.epochs}: loss {sum(loss) / max(1, len(loss)):.3f}, "
            f"CER {100 * found.cer:.2f} %, exact {100 * found.exact:.1f} % of {found.formulas}"
        )
        return found

    def better(network: FormulaNetwork) -> None:
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        write_whole(order.out / TENSORS, packed(tensors))

    def save(state: State) -> None:
        keep(state)
        write_whole(order.out / HISTORY, json.dumps(_history(loop.progress), indent=1).encode())

    loop.run(told=told, read=read, better=better, save=save)


def _keep(order: FormulaOrder, mark: str, state: State, facts: State) -> None:
    checkpoint.save(order.out / CHECKPOINT, mark, {**state, **facts})


def _gone_on(loop: Loop, saved: State, order: FormulaOrder, formulas: int, display: Display) -> State:
    """Go on from what was ``saved``; returns what is known of that training. Raises ``Failed`` where it was another."""
    before, now = saved["recipe"], order.recipe
    if (before["seed"], before["epoch_size"]) != (now.seed, now.epoch_size):
        raise Failed(
            "broken",
            f"{order.out} holds a training with --seed {before['seed']} --epoch-size {before['epoch_size']}. Go on "
            "with these, name another --out, or begin anew with --fresh.",
        )
    if saved["formulas"] != formulas:
        log.warning("there were %d formulas when this training began, and %d are there", saved["formulas"], formulas)
    loop.restore(saved)
    done = loop.progress
    display.say(f"going on after step {done.step}, in epoch {min(done.place.epoch + 1, now.epochs)} of {now.epochs}")
    return {"run": saved["run"]}


def _vocabulary(
    order: FormulaOrder, config: ModelConfig, formulas: FormulaSet, stop: Stop, display: Display
) -> tuple[Vocabulary, dict[str, tuple[str, str]]]:
    """The tokens of the split ``train``, or those of the training to go on with; and which formulas have no label."""
    if (order.out / CHECKPOINT).is_dir() and (order.out / VOCABULARY).is_file():
        if ModelConfig.load(order.out) != config:
            raise Failed(
                "broken",
                f"{order.out} holds a training of another model than {order.recipe.preset}. Name its --preset, "
                "another --out, or begin anew with --fresh.",
            )
        return Vocabulary.load(order.out), {}
    labels: list[tuple[str, ...]] = []
    unusable: dict[str, tuple[str, str]] = {}
    for name, label in formulas.labels("train", max(1, order.processes)):
        stop.check()
        if isinstance(label, ExampleUnusable):
            unusable[name] = label.code, str(label)
        elif len(label) <= config.longest:
            labels.append(tuple(label))
        else:
            unusable[name] = "label_too_long", f"The formula has {len(label)} tokens, more than {config.longest}."
    if not labels:
        raise FormulaDataMissing(reason=f"Not one formula in {order.data} can be learned. {_counted(unusable)}".strip())
    if unusable:
        display.say(f"{len(unusable)} of {len(unusable) + len(labels)} formulas are left out. {_counted(unusable)}")
    vocabulary = Vocabulary.of(labels)
    config.save(order.out)
    vocabulary.save(order.out)
    return vocabulary, unusable


def _counted(unusable: dict[str, tuple[str, str]]) -> str:
    """How often each code is there, with its first sentence."""
    first = dict(reversed(unusable.values()))
    counts = Counter(code for code, _ in unusable.values())
    return " ".join(f"{code}: {count} ({first[code]})" for code, count in counts.most_common())


def _warmed(network: FormulaNetwork, vocabulary: Vocabulary, folder: Path) -> str:
    """Take over the weights of the model in ``folder`` as far as they fit, token by token; says how many did.

    Raises ``NotReady``.
    """
    model = ModelFolder.open(folder)
    theirs, tensors = model.vocabulary, tensors_of(model)
    ours = network.state_dict()
    rows = [(number, theirs.ids([word])[0]) for number, word in enumerate(vocabulary.words, start=len(SPECIAL))]
    known = [(mine, other) for mine, other in rows if other >= len(SPECIAL)]
    known += [(number, number) for number in range(len(SPECIAL))]
    mine, other = (torch.tensor(side) for side in zip(*known, strict=True))
    taken = 0
    for name, tensor in tensors.items():
        if name in {"embedding.weight", "head.weight", "head.bias"} and tensor.shape[1:] == ours[name].shape[1:]:
            ours[name][mine] = tensor[other]
            taken += 1
        elif name in ours and ours[name].shape == tensor.shape:
            ours[name].copy_(tensor)
            taken += 1
    return f"begins with {taken} of {len(ours)} tensors of {folder}, and knows {len(known)} of its tokens"


def _watched(order: FormulaOrder, config: ModelConfig, vocabulary: Vocabulary, formulas: FormulaSet) -> Exam:
    """What is read after each epoch: of the split ``valid``; where that is empty, of what is learned from."""
    for split in ("valid", "train"):
        asked = list(questions(formulas, split, most=order.recipe.watched, left_out=_not_asked))
        if asked:
            break
    return Exam(asked, config.frame, vocabulary, config.longest)


def _not_asked(name: str, code: str, reason: str) -> None:
    log.info("%s is left out as %s: %s", name, code, reason)


def _finished(
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
        shown["left out of training"] = _counted(done.left_out)
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


def _history(done: Progress) -> dict[str, Any]:
    """What ``history.json`` holds: epochs, and the curve of the loss, each point the mean of ``every`` steps."""
    every = max(1, math.ceil(len(done.losses) / _POINTS))
    means = [
        sum(part) / len(part) for part in (done.losses[at : at + every] for at in range(0, len(done.losses), every))
    ]
    return {"epochs": done.epochs, "every": every, "losses": [round(mean, 5) for mean in means]}
