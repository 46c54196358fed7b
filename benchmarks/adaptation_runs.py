"""What the adaptation benchmark does with a model: read lines, tune it by the trainer, tune all of its weights."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import jiwer
import numpy as np
import numpy.typing as npt
import torch
import transformers
from safetensors.torch import load_file, save_file

from benchmarks.adaptation_base import as_seen, pixel_values, token_labels, write_model, write_processor
from copyist.engines.base import Stop
from copyist.engines.trocr_reader import TrOcrReader
from copyist.training.augment import augmented
from copyist.training.examples import Example, Split
from copyist.training.general import replay_lines
from copyist.training.order import EXAMPLES, LINES, MERGED, ORDER, Order, Parameters
from copyist.training.views import replay_lines_an_epoch

SHARE = 0.6
"""Of the tuned model in a blended one. Settled on the hands of the benchmark; ``docs/learning.md`` says how three more
hands and another general set, which nothing was chosen on, came out."""
ROOT = Path(__file__).resolve().parent.parent
_LINES_A_PAGE = 10
_DEV = 8
"""One corrected line in so many is kept for the dev set, as the split does it with pages."""


@dataclass(frozen=True)
class Lines:
    """Pictures of lines, grey, and what they say."""

    pictures: Sequence[npt.NDArray[np.uint8]]
    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, count: int) -> Lines:
        """The first ``count`` of them."""
        return Lines(self.pictures[:count], self.texts[:count])


@dataclass(frozen=True)
class Tuned:
    """A model that was made from the base, and the seconds that it took."""

    folder: Path
    seconds: float


def read_cer(folder: Path, *sets: Lines) -> list[float]:
    """The CER of the checkpoint in ``folder`` on each of ``sets``, over all characters, read as Copyist reads."""
    reader = TrOcrReader(folder, use_gpu=False)
    try:
        return [
            float(jiwer.cer(list(lines.texts), [found.text for found in reader.read(lines.pictures, Stop())]))
            for lines in sets
        ]
    finally:
        reader.close()


def tune_lora(base: Path, lines: Lines, folder: Path, parameters: Parameters) -> Tuned:
    """Train by ``python -m copyist.training train`` in ``folder``; raises ``RuntimeError`` with what it said last."""
    _write_order(base, lines, folder, parameters)
    began = time.monotonic()
    command = [sys.executable, "-m", "copyist.training", "train", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ})
    if ended.returncode:
        raise RuntimeError(f"The trainer ended with {ended.returncode}: {ended.stdout[-500:]} {ended.stderr[-1500:]}")
    return Tuned(folder / MERGED, time.monotonic() - began)


def tune_fully(base: Path, lines: Lines, folder: Path, parameters: Parameters) -> Tuned:
    """Train every weight on the lines that LoRA learns from, in the same views and mixed with as many general lines."""
    began = time.monotonic()
    torch.manual_seed(parameters.seed)
    model = transformers.VisionEncoderDecoderModel.from_pretrained(base)
    processor = transformers.ViTImageProcessor.from_pretrained(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    own = [pair for number, pair in enumerate(zip(lines.pictures, lines.texts, strict=True)) if not _is_dev(number)]
    order = _order(base, folder, parameters)
    replay = replay_lines(order, replay_lines_an_epoch(len(own), order))
    steps = math.ceil((len(own) + len(replay)) / parameters.batch) * parameters.epochs
    optimizer = torch.optim.AdamW(model.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, round(parameters.warmup * steps), steps)
    model.train()
    for epoch in range(parameters.epochs):
        shown = [(_view(picture, epoch + number, parameters), text) for number, (picture, text) in enumerate(own)]
        shown += replay
        dice = np.random.default_rng([parameters.seed, epoch])
        for chosen in np.array_split(dice.permutation(len(shown)), steps // parameters.epochs):
            values = pixel_values(as_seen(processor, [shown[at][0] for at in chosen]))
            loss = model(pixel_values=values, labels=token_labels(tokenizer, [shown[at][1] for at in chosen])).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), parameters.clip)
            optimizer.step()
            schedule.step()
    write_processor(folder)
    write_model(model, folder)
    return Tuned(folder, time.monotonic() - began)


def blend(base: Path, tuned: Path, folder: Path) -> Path:
    """A model whose weights lie between those of both, ``SHARE`` of the way to ``tuned``.

    Wortsman et al. (arXiv 2109.01903) found that most of what was learned stays so, and that what was forgotten comes
    back. For LoRA it is the same as merging the matrices with that factor.
    """
    shutil.copytree(tuned, folder)
    old, new = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    both = {name: old[name] + SHARE * (new[name] - old[name]) for name in old}
    save_file(both, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _view(picture: npt.NDArray[np.uint8], number: int, parameters: Parameters) -> npt.NDArray[np.uint8]:
    key, variant = hashlib.sha256(picture.tobytes()).hexdigest(), number % max(1, parameters.variants)
    return augmented(picture, seed=parameters.seed, key=key, variant=variant)


def _is_dev(number: int) -> bool:
    return number % _DEV == _DEV - 1


def _order(base: Path, folder: Path, parameters: Parameters) -> Order:
    return Order(run_id=folder.name, base=base.resolve(), parameters=parameters, use_gpu=False)


def _write_order(base: Path, lines: Lines, folder: Path, parameters: Parameters) -> None:
    """The folder of a run: its order, its examples and their pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / LINES).mkdir(parents=True)
    rows = []
    for number, (picture, text) in enumerate(zip(lines.pictures, lines.texts, strict=True)):
        png = cv2.imencode(".png", picture)[1].tobytes()
        sha256 = hashlib.sha256(png).hexdigest()
        (folder / LINES / f"{sha256}.png").write_bytes(png)
        page, at = divmod(number, _LINES_A_PAGE)
        example = Example(
            sha256=sha256,
            text=text,
            page=hashlib.sha256(f"page {page}".encode()).hexdigest(),
            split=Split.DEV if _is_dev(number) else Split.TRAIN,
            corrected=True,
            read="",
            line=f"drawn.{page + 1}.{at}",
            revision=number + 1,
        )
        rows.append(example.model_dump_json())
    (folder / EXAMPLES).write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / ORDER).write_text(_order(base, folder, parameters).model_dump_json(), encoding="utf-8")
