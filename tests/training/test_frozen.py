"""The frozen part, computed once: loss and gradients as of the whole model, and no more disk than given."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from copyist.engines.base import Stop
from copyist.training.frozen import FILE, Halves, Shelf, views_that_fit
from copyist.training.lessons import Lessons, lessons
from copyist.training.loop import padded
from copyist.training.lora import adapted
from copyist.training.order import ORDER, Order
from copyist.training.reading import LearningReader
from copyist.training.views import Views
from tests.training.conftest import RunWriter


class Run:
    """A run up to the moment before it trains."""

    def __init__(self, folder: Path) -> None:
        self.order = Order.model_validate_json((folder / ORDER).read_text())
        self.reader = LearningReader(self.order.base, use_gpu=False, threads=1)
        self.lessons: Lessons = lessons(folder, self.reader.vocabulary())
        self.learner = adapted(self.reader.model, self.order.parameters)
        self.views = Views(folder, self.order, self.reader, self.lessons)

    def gradients(self, **encoded: Any) -> list[torch.Tensor]:
        """Of a step on the first four lines: the loss, then every trained matrix's gradient."""
        self.learner.train()
        self.learner.zero_grad()
        # Matrices that start at zero hide the gradients of those beside them.
        dice = torch.Generator().manual_seed(1)
        trained = [weights for weights in self.learner.parameters() if weights.requires_grad]
        with torch.no_grad():
            for weights in trained:
                weights.copy_(torch.randn(weights.shape, generator=dice) * 0.05)
        torch.manual_seed(5)
        labels = padded([lesson.tokens for lesson in self.lessons.train[:4]])
        states = encoded.pop("states", None)
        if states is not None:
            encoded = {"encoder_outputs": (states(),)}
        loss = self.reader.model(labels=labels, **encoded).loss
        loss.backward()
        return [loss.detach(), *(weights.grad.clone() for weights in trained)]


def test_loss_and_gradients_with_the_kept_part_are_those_of_the_whole_model(run_folder: RunWriter) -> None:
    folder = run_folder(dropout=0.0)
    run = Run(folder)
    chosen = [(lesson, 0) for lesson in run.lessons.train[:4]]
    pixels = torch.cat([run.reader.pixels(lesson.picture()) for lesson, _ in chosen])
    whole = run.gradients(pixel_values=pixels)
    first = run.gradients(states=lambda: run.views.states(chosen))
    assert (folder / FILE).stat().st_size > 0
    run.reader.pixels = None  # type: ignore[method-assign,assignment]
    again = run.gradients(states=lambda: run.views.states(chosen))
    for one, two, three in zip(whole, first, again, strict=True):
        assert float(one.abs().max()) > 0
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-4)
        assert torch.equal(two, three)


def test_decoding_from_the_kept_part_reads_what_decoding_from_the_picture_reads(run_folder: RunWriter) -> None:
    run = Run(run_folder())
    plain = run.reader.texts(run.lessons.dev, Stop())
    run.reader.states_of = run.views.states
    assert run.reader.texts(run.lessons.dev, Stop()) == plain


def test_a_frozen_part_with_dropout_is_not_kept(run_folder: RunWriter) -> None:
    run = Run(run_folder())
    encoder, example = run.reader.model.encoder, torch.rand(1, 3, 48, 48)
    assert Halves(encoder, 1, example).kept
    assert not any(Halves(encoder, trained, example).kept for trained in (0, 2, 3)), "nothing is frozen"
    encoder.layers[0].dropout.p = 0.1
    assert not Halves(encoder, 1, example).kept


def test_an_encoder_that_computes_otherwise_is_used_whole(run_folder: RunWriter) -> None:
    run = Run(run_folder())
    encoder, example = run.reader.model.encoder.eval(), torch.rand(1, 3, 48, 48)
    encoder.register_forward_hook(lambda _module, _given, result: result.__class__(result.last_hidden_state + 1))
    halves = Halves(encoder, 1, example)
    assert not halves.kept
    assert torch.equal(halves.above(halves.below(example)), encoder(pixel_values=example).last_hidden_state)


def test_where_space_is_short_fewer_views_are_kept_and_then_none(run_folder: RunWriter) -> None:
    row = 4 * 37 * 48
    order = {"cache_bytes": row * (4 + 2 * 12)}
    assert Run(run_folder("roomy", variants=4)).views.count == 5
    short = run_folder("short", variants=4, order=order)
    assert Run(short).views.count == 2
    assert (short / FILE).stat().st_size <= order["cache_bytes"]
    none = run_folder("none", variants=4, order={"cache_bytes": row})
    assert Run(none).views.count == 5
    assert not (none / FILE).exists()


def test_what_a_killed_run_left_takes_no_room_from_the_next(
    run_folder: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, room = run_folder(variants=1), 4 * 37 * 48 * (4 + 2 * 12)
    left = folder / FILE
    left.write_bytes(bytes(room))

    def disk_usage(_: Path) -> SimpleNamespace:
        return SimpleNamespace(free=2 * room - (left.stat().st_size if left.exists() else 0))

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    assert Run(folder).views.count == 2


def test_space_that_is_not_there_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = views_that_fit(tmp_path, lines=10, once=0, row_bytes=10**15, limit=10**18, wished=3)
    assert fitting == 0

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        Shelf(tmp_path / FILE, 10, (3, 4))
    assert not (tmp_path / FILE).exists()
