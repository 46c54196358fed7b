"""The process ``train`` of a run: from the base model and corrected lines to a merged model (``order``)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import resource
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from copyist import __version__
from copyist.engines.base import NotReady, Stop
from copyist.engines.checkpoints import Checkpoint, CheckpointUnusable
from copyist.engines.trocr_models import trocr_checkpoint
from copyist.training import checkpoint
from copyist.training.events import Failed, Stopped, reported, tell
from copyist.training.general import general_set, replay_lines
from copyist.training.lessons import Lesson, Lessons, Picture, general_lessons, lessons
from copyist.training.loop import Loop, Progress
from copyist.training.lora import adapted, blend, trained_parameters
from copyist.training.merging import save_merged
from copyist.training.order import (
    CHECKPOINT,
    EXAMPLES,
    MERGED,
    ORDER,
    TRAINED,
    Event,
    Golden,
    Order,
    Phase,
    Trained,
)
from copyist.training.reading import LearningReader
from copyist.training.views import Views, replay_lines_an_epoch

log = logging.getLogger(__name__)

_GOLDEN, _CANDIDATES = 8, 16
_LIBRARIES = ("torch", "transformers", "peft")

Replay = Callable[[Order, int], list[tuple[Picture, str]]]
"""Gives so many general lines to learn from beside those of the run."""


def main(folder: Path) -> int:
    """Train in ``folder`` as ``order.json`` there says; the exit code of the process."""
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: stop.ask(Stopped()))
    replay = partial(replay_lines, examples=folder / EXAMPLES)
    return reported(lambda: train(folder, stop=stop, replay=replay))


def train(folder: Path, *, stop: Stop, replay: Replay) -> None:
    """Train, merge and save, going on from a checkpoint where there is one.

    Raises ``Failed`` with a code and a reason, ``Stopped`` when ``stop`` is asked to, and what a full disk or too
    little memory make torch and the system raise.
    """
    if (folder / TRAINED).is_file() and (folder / MERGED).is_dir():
        tell(Event(event="done"))
        return
    tell(Event(event="phase", phase=Phase.LOADING))
    order = _order(folder)
    base = _base(order.base)
    if order.general_set is not None:
        general_set(order)  # A broken folder is told of now, and not after hours.
    reader = _reader(order)
    found = lessons(folder, reader.vocabulary())
    learner = adapted(reader.model, order.parameters)
    sha256 = _sha256(base.files)
    mark = _mark(order, sha256, folder / EXAMPLES)
    views = Views(folder, order, reader, found)
    try:
        reader.states_of = views.states
        loop = Loop(
            learner=learner,
            reader=reader,
            views=views,
            lessons=found,
            replay=_replayed(order, views, replay, reader),
            replay_per_epoch=replay_lines_an_epoch(len(found.train), order),
            parameters=order.parameters,
            stop=stop,
            save=lambda state: checkpoint.save(folder / CHECKPOINT, mark, state),
        )
        saved = checkpoint.load(folder / CHECKPOINT, mark)
        if saved:
            loop.restore(saved)
        tell(Event(event="phase", phase=Phase.TRAINING, device=reader.device))
        progress = loop.run()
        tell(Event(event="phase", phase=Phase.MERGING))
        blend(learner, order.parameters.blend)
        golden = _golden(learner, reader, found, stop)
    finally:
        views.close()
    trained = _trained(learner, reader, loop, progress, golden, found, sha256)
    save_merged(learner, order.base, folder / MERGED)
    checkpoint.write_whole(folder / TRAINED, trained.model_dump_json(indent=1).encode())
    tell(Event(event="done", step=progress.step))


def _order(folder: Path) -> Order:
    try:
        return Order.model_validate_json((folder / ORDER).read_bytes())
    except (OSError, ValueError) as error:
        raise Failed("broken", f"{ORDER} cannot be read; start the run again.") from error


def _base(folder: Path) -> Checkpoint:
    try:
        return trocr_checkpoint(folder)
    except CheckpointUnusable as error:
        raise Failed("base_unusable", str(error)) from error


def _reader(order: Order) -> LearningReader:
    try:
        return LearningReader(order.base, use_gpu=order.use_gpu, threads=order.threads)
    except NotReady as error:
        code = "out_of_memory" if "too little memory" in str(error) else "base_unusable"
        raise Failed(code, str(error)) from error


def _replayed(order: Order, views: Views, replay: Replay, reader: LearningReader) -> list[Lesson]:
    count = views.replayed(order)
    return general_lessons(replay(order, count), reader.vocabulary()) if count else []


def _golden(learner: Any, reader: LearningReader, found: Lessons, stop: Stop) -> tuple[Golden, ...]:
    """Lines to try the saved model on; those first that the base reads otherwise, which a lost adapter shows on."""
    lines = (*found.dev, *found.train)[:_CANDIDATES]
    read = reader.texts(lines, stop)
    with learner.disable_adapter():
        before = reader.texts(lines, stop)
    alike = [text == other for text, other in zip(read, before, strict=True)]
    chosen = sorted(range(len(lines)), key=lambda number: alike[number])[:_GOLDEN]
    return tuple(Golden(sha256=lines[number].key, text=read[number]) for number in chosen)


def _trained(
    learner: Any,
    reader: LearningReader,
    loop: Loop,
    progress: Progress,
    golden: tuple[Golden, ...],
    found: Lessons,
    base_sha256: str,
) -> Trained:
    encoder, decoder = trained_parameters(learner)
    return Trained(
        device=reader.device,
        base_sha256=base_sha256,
        steps=progress.step,
        epochs=progress.epoch,
        best_epoch=progress.best_epoch,
        dev_cer=progress.best if loop.by_dev_lines else None,
        dev_cer_before=progress.before if loop.by_dev_lines else None,
        train_loss=progress.best_loss,
        encoder_parameters=encoder,
        decoder_parameters=decoder,
        seconds=progress.seconds,
        resumed=progress.resumed,
        peak_memory_bytes=_peak_memory(reader.device),
        golden=golden,
        libraries={"copyist": __version__, **{name: importlib.metadata.version(name) for name in _LIBRARIES}},
        left_out=found.left_out,
    )


def _peak_memory(device: str) -> int:
    """Of the GPU, or of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _sha256(files: Sequence[Path]) -> str:
    """Of the weights, file after file."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _mark(order: Order, base_sha256: str, examples: Path) -> str:
    """Changes with all that decides what is learned, so that no checkpoint of another order is gone on from."""
    general = f"{order.general_set} {order.general_lines}"
    parts = (order.parameters.model_dump_json(), general, base_sha256, _sha256([examples]))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
