"""From a folder of formulas to a folder with a model: ``python -m copyist.training.formula train ORDER``."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import torch
from safetensors.torch import save as packed

from copyist.engines.base import Stop
from copyist.engines.formula.config import PRESETS, TENSORS, ModelConfig
from copyist.engines.formula.network import FormulaNetwork, parameters
from copyist.engines.formula.reader import ModelFolder
from copyist.engines.formula.torch_reader import TorchDecoder
from copyist.engines.formula.vocabulary import FILE as VOCABULARY
from copyist.engines.formula.vocabulary import SPECIAL, Vocabulary
from copyist.errors import FormulaDataMissing
from copyist.training import checkpoint
from copyist.training.checkpoint import write_whole
from copyist.training.events import Failed
from copyist.training.formula.evaluate import Exam, Figures, figures, questions
from copyist.training.formula.examples import ExampleUnusable
from copyist.training.formula.exporter import tensors_of
from copyist.training.formula.finishing import finished
from copyist.training.formula.lessons import Course, Lessons
from copyist.training.formula.loop import Loop, Progress, State, Told
from copyist.training.formula.order import CHECKPOINT, HISTORY, FormulaOrder
from copyist.training.formula.progress import Display
from copyist.training.formula.report import counted
from copyist.training.formula.saying import in_words, listening
from copyist.training.formula.sets import FormulaSet, open_set

log = logging.getLogger(__name__)

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
    finished(order, loop, vocabulary, formulas, facts, device, stop, display)
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
        raise FormulaDataMissing(reason=f"Not one formula in {order.data} can be learned. {counted(unusable)}".strip())
    if unusable:
        display.say(f"{len(unusable)} of {len(unusable) + len(labels)} formulas are left out. {counted(unusable)}")
    vocabulary = Vocabulary.of(labels)
    config.save(order.out)
    vocabulary.save(order.out)
    return vocabulary, unusable


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


def _history(done: Progress) -> dict[str, Any]:
    """What ``history.json`` holds: epochs, and the curve of the loss, each point the mean of ``every`` steps."""
    every = max(1, math.ceil(len(done.losses) / _POINTS))
    means = [
        sum(part) / len(part) for part in (done.losses[at : at + every] for at in range(0, len(done.losses), every))
    ]
    return {"epochs": done.epochs, "every": every, "losses": [round(mean, 5) for mean in means]}
