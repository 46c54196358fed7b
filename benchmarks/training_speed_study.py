"""What ``benchmarks.training_speed`` measures."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.adaptation_base import write_model, write_processor
from benchmarks.adaptation_runs import Lines, _is_dev, _write_order, read_cer
from benchmarks.report import Figure, at_least, at_most, console, median, plain
from benchmarks.training_plain import PlainTrainer
from copyist.engines.base import Stop
from copyist.engines.torchvision_shim import import_torchvision
from copyist.training.general import replay_lines
from copyist.training.lessons import general_lessons, lessons
from copyist.training.loop import Loop
from copyist.training.lora import adapted
from copyist.training.order import MERGED, ORDER, Order, Parameters
from copyist.training.reading import LearningReader
from copyist.training.strokes import Hand, texts, write
from copyist.training.trainer import train
from copyist.training.views import Views, replay_lines_an_epoch

BASE = "COPYIST_BENCHMARK_BASE"
LINES = 500
_DEV_SHARE = 0.1
_SIDE, _LETTERS = 384, 24
"""Of the published small model's pictures, and about as many tokens as a line of it has."""
_VOCABULARY = 64_044
_TIMES = 3.0
OTHERS: tuple[dict[str, Any], ...] = tuple(
    {"encoder_layers": layers, "dropout": 0.0, "variants": variants} for layers, variants in ((2, 2), (3, 2), (4, 2))
)
"""What else is tried on the real shape, beside the defaults."""
_ALIKE_POINTS = 0.5
_BATCH = 8


@dataclass(frozen=True)
class Costs:
    """CPU seconds per line: ``once`` for each view that is kept, ``step`` for learning it, ``read`` for a dev line."""

    once: float
    step: float
    read: float

    def run(self, *, lines: int, dev: int, epochs: int, views: int) -> float:
        """Of a whole run."""
        return self.once * (lines * min(views, epochs) + dev) + epochs * (self.step * lines + self.read * dev)


def study(*, quick: bool) -> list[Figure]:
    """All figures."""
    import_torchvision()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as work:
        figures = _of_real_shape(Path(work), rounds=1 if quick else 3)
        if given := os.environ.get(BASE):
            figures += _of_small_model(Path(given), Path(work), count=40 if quick else LINES, quick=quick)
    return figures


def _of_real_shape(work: Path, *, rounds: int) -> list[Figure]:
    base = work / "trocr-shape"
    write_shape(base)
    usual = Parameters()
    theirs = _plain_costs(base, rounds)
    console.print(f"  plain trainer, CPU seconds a line: {theirs}")
    figures = []
    dev = round(LINES * _DEV_SHARE)
    own = LINES - dev
    for number, changes in enumerate(({}, *OTHERS)):
        parameters = usual.model_copy(update=changes)
        ours = _our_costs(base, work / f"run-{number}", parameters, rounds)
        named = (
            f"encoder_layers={parameters.encoder_layers} dropout={parameters.dropout} variants={parameters.variants}"
        )
        console.print(f"  {named}, CPU seconds a line: {ours}")
        order = Order(run_id="shape", base=base, parameters=parameters)
        lines = own + replay_lines_an_epoch(own, order)
        given = {"lines": lines, "dev": dev, "epochs": parameters.epochs}
        plain_s, ours_s = theirs.run(views=0, **given), ours.run(views=1 + parameters.variants, **given)
        name = f"shape of trocr-small, {LINES} lines, {named}: plain / ours"
        note = f"CPU s: {plain_s:.0f} / {ours_s:.0f}"
        if changes:
            figures.append(plain(name, f"{plain_s / ours_s:.3g}", note))
        else:
            figures.append(at_least(name, plain_s / ours_s, _TIMES, note=f"{note}; the default"))
    return figures


def _plain_costs(base: Path, rounds: int) -> Costs:
    trainer = PlainTrainer(base, longest=_LETTERS)
    count = _BATCH * (1 + rounds)
    trainer.train(_pairs(count), [], batch=_BATCH, epochs=1, learning_rate=1e-4, most=1 + rounds)
    trainer.model.eval()
    pixels = torch.randn(_BATCH, 3, _SIDE, _SIDE)

    def read() -> None:
        with torch.inference_mode():
            trainer.model.generate(pixel_values=pixels, max_new_tokens=_LETTERS, min_new_tokens=_LETTERS)

    return Costs(0.0, median(trainer.steps.seconds[1:]) / _BATCH, _seconds(read, rounds) / _BATCH)


def _our_costs(base: Path, folder: Path, parameters: Parameters, rounds: int) -> Costs:
    pairs = _pairs(2 * _BATCH)
    _write_order(base, Lines([picture for picture, _ in pairs], [text for _, text in pairs]), folder, parameters)
    order = Order.model_validate_json((folder / ORDER).read_text())
    reader = LearningReader(base, use_gpu=False, threads=1)
    found = lessons(folder, reader.vocabulary())
    learner = adapted(reader.model, parameters)
    views = Views(folder, order, reader, found)
    loop = Loop(
        learner=learner,
        reader=reader,
        views=views,
        lessons=found,
        replay=general_lessons([], reader.vocabulary()),
        replay_per_epoch=0,
        parameters=parameters,
        stop=Stop(),
        save=lambda _: None,
    )
    fresh = [(lesson, 0) for lesson in found.train[:_BATCH]]
    with torch.no_grad():
        whole = _seconds(lambda: views.states(fresh), 1, warm=False)
        above = _seconds(lambda: views.states(fresh), rounds)
    learner.train()
    step = _seconds(lambda: loop._learned(fresh), rounds)
    learner.eval()

    def read() -> None:
        with torch.inference_mode():
            reader.model.generate(
                encoder_outputs=transformers.modeling_outputs.BaseModelOutput(last_hidden_state=views.states(fresh)),
                max_new_tokens=_LETTERS,
                min_new_tokens=_LETTERS,
            )

    costs = Costs((whole - above) / _BATCH, step / _BATCH, _seconds(read, rounds) / _BATCH)
    views.close()
    return costs


def _of_small_model(base: Path, work: Path, *, count: int, quick: bool) -> list[Figure]:
    """Both to the end on the same lines of one hand, and what both read of others."""
    hand = Hand.of(1, ["scriptc"], strength=1.6)
    said = texts(count + 100, 31)
    chance = np.random.default_rng(31)
    pictures = [write(text, hand, chance) for text in said]
    lines, unseen = Lines(pictures[:count], said[:count]), Lines(pictures[count:], said[count:])
    parameters = Parameters(epochs=2 if quick else Parameters().epochs, patience=99, encoder_layers=1)
    ours, ours_s = _run_ours(base, lines, work / "ours", parameters)
    theirs, theirs_s = _run_plain(base, lines, work / "plain", parameters)
    before, after, beside = (read_cer(folder, unseen)[0] for folder in (base, ours, theirs))
    points = 100 * (after - beside)
    return [
        plain(f"small model, {count} lines: plain / ours", f"{theirs_s / ours_s:.3g}", _seconds_note(theirs_s, ours_s)),
        plain("small model, CER on unseen lines: before", f"{before:.2%}"),
        plain("small model, CER on unseen lines: plain trainer", f"{beside:.2%}"),
        at_most("small model, CER on unseen lines: ours less plain", points, _ALIKE_POINTS, unit=" points"),
    ]


def _run_ours(base: Path, lines: Lines, folder: Path, parameters: Parameters) -> tuple[Path, float]:
    _write_order(base, lines, folder, parameters)
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        train(folder, stop=Stop(), replay=replay_lines)
    return folder / MERGED, time.process_time() - began


def _run_plain(base: Path, lines: Lines, folder: Path, parameters: Parameters) -> tuple[Path, float]:
    pairs = list(zip(lines.pictures, lines.texts, strict=True))
    dev = [pair for number, pair in enumerate(pairs) if _is_dev(number)]
    own = [pair for number, pair in enumerate(pairs) if not _is_dev(number)]
    order = Order(run_id="plain", base=base, parameters=parameters)
    began = time.process_time()
    trainer = PlainTrainer(base, longest=max(map(len, lines.texts)) + 8)
    trainer.train(
        [*own, *replay_lines(order, replay_lines_an_epoch(len(own), order))],
        dev,
        batch=parameters.batch,
        epochs=parameters.epochs,
        learning_rate=parameters.learning_rate,
    )
    took = time.process_time() - began
    write_processor(folder)
    write_model(trainer.model.merge_and_unload(), folder)
    return folder, took


def write_shape(folder: Path) -> None:
    """A checkpoint of the shape of ``microsoft/trocr-small-handwritten`` with random weights."""
    encoder = transformers.DeiTConfig(
        image_size=_SIDE,
        patch_size=16,
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        intermediate_size=1536,
    )
    decoder = transformers.TrOCRConfig(
        vocab_size=_VOCABULARY,
        d_model=256,
        decoder_layers=6,
        decoder_attention_heads=8,
        decoder_ffn_dim=1024,
        max_position_embeddings=512,
        cross_attention_hidden_size=384,
        activation_function="relu",
        scale_embedding=True,
        tie_word_embeddings=False,
    )
    both = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, tie_word_embeddings=False
    )
    torch.manual_seed(0)
    write_processor(folder)
    settings = folder / "preprocessor_config.json"
    size = {"height": _SIDE, "width": _SIDE}
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"size": size}))
    write_model(transformers.VisionEncoderDecoderModel(both), folder)


def _pairs(count: int) -> list[tuple[Any, str]]:
    hand, chance = Hand.of(3), np.random.default_rng(3)
    words = [(text * 3)[: _LETTERS - 1].replace(" ", "n") for text in texts(count, 3)]
    return [(write(text, hand, chance), text) for text in words]


def _seconds(work: Callable[[], Any], rounds: int, *, warm: bool = True) -> float:
    """CPU seconds of ``work``, of several rounds the middle one."""
    if warm:
        work()
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return median(taken)


def _seconds_note(theirs: float, ours: float) -> str:
    return f"CPU s: {math.ceil(theirs)} / {math.ceil(ours)}, with 1 of 4 encoder layers trained"
