"""The loop of training: epochs of lines in several views, each followed by reading lines that are not learned from.

It is no ``transformers.Trainer``: that one hands pictures to the whole model, and here the encoder's lower part is
computed once and kept (``frozen``), which is what makes a run on a CPU several times shorter. On a CPU the same order
gives the same weights bit by bit, also over a kill: every step seeds its own dropout, and every epoch its own shuffle.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from copyist.engines.base import Stop
from copyist.training.events import Failed, tell
from copyist.training.lessons import Lesson, Lessons
from copyist.training.lora import adapter, put_back
from copyist.training.order import Event, Parameters
from copyist.training.reading import LearningReader, character_error_rate
from copyist.training.views import View, Views

log = logging.getLogger(__name__)

_DEV_ENOUGH = 32
"""With fewer dev lines chance decides which epoch is the best; lines that are learned from are looked at then, too, as
Kohut and Hradis (arXiv 2503.19546) do where there is nothing to validate on."""
_WATCHED = 64
_WINDOW = 8
"""Batches whose lines are sorted by length together: less padding, and still other neighbours in each epoch."""


@dataclass
class Progress:
    """Where training stands; all of it is in a checkpoint. ``batch`` is the next one of epoch number ``epoch``."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    losses: float = 0.0
    before: float | None = None
    best: float = math.inf
    best_epoch: int = 0
    best_loss: float = 0.0
    worse: int = 0
    over: bool = False
    seconds: float = 0.0
    resumed: int = 0


class Loop:
    """Trains ``learner`` (a ``PeftModel`` around ``reader``'s model) on ``lessons`` and on ``replay``, general lines.

    ``save`` is called with all that is needed to go on: after each epoch, and before the end when ``stop`` is asked.
    """

    def __init__(
        self,
        *,
        learner: Any,
        reader: LearningReader,
        views: Views,
        lessons: Lessons,
        replay: Sequence[Lesson],
        replay_per_epoch: int,
        parameters: Parameters,
        stop: Stop,
        save: Callable[[dict[str, Any]], None],
    ) -> None:
        self._learner, self._reader, self._views = learner, reader, views
        self._lessons, self._replay, self._replay_per_epoch = lessons, replay, replay_per_epoch
        self._parameters, self._stop, self._save = parameters, stop, save
        self._trained = [weights for weights in learner.parameters() if weights.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._trained, lr=parameters.learning_rate, weight_decay=parameters.weight_decay
        )
        self._best = adapter(learner)
        self._parts = 1
        self.progress = Progress()
        self.by_dev_lines = len(lessons.dev) >= _DEV_ENOUGH
        self._watched = lessons.dev if self.by_dev_lines else (*lessons.dev, *lessons.train)[:_WATCHED]
        self._steps = parameters.epochs * len(self._batches(0))

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``save`` was called with."""
        put_back(self._learner, state["adapter"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._best, self._parts = state["best"], state["parts"]
        self.progress = Progress(**state["progress"])
        self.progress.resumed += 1

    def run(self) -> Progress:
        """Train to the end and leave the best epoch's matrices in the model. Raises ``Stopped`` when that is asked."""
        done = self.progress
        if done.before is None:
            done.before = self._error_rate()
            done.best = done.before if self.by_dev_lines else math.inf
        while not done.over:
            self._epoch()
        put_back(self._learner, self._best)
        self._learner.eval()
        return done

    def _epoch(self) -> None:
        """What is left of the present epoch, and a look at what it brought."""
        done, started = self.progress, time.monotonic()
        batches = self._batches(done.epoch)
        self._learner.train()
        while done.batch < len(batches):
            self._told_step(batches[done.batch])
            if self._stop.asked:
                self._keep()
                self._stop.check()
        self._keep()
        error_rate = self._error_rate()
        loss = done.losses / len(batches)
        self._judge(error_rate, loss)
        done.epoch, done.batch, done.losses = done.epoch + 1, 0, 0.0
        done.over |= done.epoch == self._parameters.epochs
        self._keep()
        tell(
            Event(
                event="epoch",
                epoch=done.epoch,
                step=done.step,
                steps=self._steps,
                loss=loss,
                dev_cer=error_rate if self.by_dev_lines else None,
                seconds=time.monotonic() - started,
            )
        )

    def _judge(self, error_rate: float, loss: float) -> None:
        """Keep the matrices of an epoch that read better; end after ``patience`` epochs that did not."""
        done = self.progress
        if error_rate < done.best:
            self._best = adapter(self._learner)
            done.best, done.best_epoch, done.best_loss, done.worse = error_rate, done.epoch + 1, loss, 0
        else:
            done.worse += 1
            done.best_loss = done.best_loss if done.best_epoch else loss
        nothing_left = error_rate == 0 and not self.by_dev_lines
        done.over = done.worse >= self._parameters.patience or nothing_left

    def _told_step(self, batch: Sequence[View]) -> None:
        done, started = self.progress, time.monotonic()
        rate = self._rate(done.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._step(batch)
        done.batch, done.step, done.losses = done.batch + 1, done.step + 1, done.losses + loss
        seconds = time.monotonic() - started
        done.seconds += seconds
        tell(
            Event(
                event="step",
                step=done.step,
                steps=self._steps,
                epoch=done.epoch + 1,
                loss=loss,
                learning_rate=rate,
                seconds=seconds,
            )
        )

    def _step(self, batch: Sequence[View]) -> float:
        """One step; where a GPU has too little memory for the batch, in two halves from then on."""
        try:
            return self._learned(batch)
        except torch.OutOfMemoryError:
            if self._parts > 1 or len(batch) == 1:
                raise
        log.warning("the GPU's memory is too small for %d lines at once; it goes on in halves", len(batch))
        self._parts = 2
        self._optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        return self._learned(batch)

    def _learned(self, batch: Sequence[View]) -> float:
        torch.manual_seed(self._parameters.seed * 1_000_003 + self.progress.step)
        self._optimizer.zero_grad(set_to_none=True)
        tokens = sum(len(lesson.tokens) for lesson, _ in batch)
        size = math.ceil(len(batch) / self._parts)
        total = 0.0
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            loss = self._loss(part) * (sum(len(lesson.tokens) for lesson, _ in part) / tokens)
            loss.backward()
            total += float(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self._parameters.clip)
        if not math.isfinite(total) or not math.isfinite(norm):
            raise Failed("broken", "The loss is no number any more. Train again with a lower learning rate.")
        self._optimizer.step()
        return total

    def _loss(self, batch: Sequence[View]) -> Any:
        device = self._reader.device
        labels = padded([lesson.tokens for lesson, _ in batch]).to(device)
        half = device == "cuda" and torch.cuda.is_bf16_supported()
        with torch.autocast(device, torch.bfloat16, enabled=half):
            return self._reader.model(encoder_outputs=(self._views.states(batch),), labels=labels).loss

    def _error_rate(self) -> float:
        """CER on the lines that are looked at after each epoch."""
        started = time.monotonic()
        read = self._reader.texts(self._watched, self._stop)
        self.progress.seconds += time.monotonic() - started
        return character_error_rate(read, self._watched)

    def _rate(self, step: int) -> float:
        """Rises for the first steps, then half a cosine down to nothing."""
        warm = round(self._parameters.warmup * self._steps)
        if step < warm:
            return self._parameters.learning_rate * (step + 1) / (warm + 1)
        return self._parameters.learning_rate * (1 + math.cos(math.pi * (step - warm) / (self._steps - warm))) / 2

    def _batches(self, epoch: int) -> list[list[View]]:
        """The batches of ``epoch``, the same each time: all lines in one view, and the general lines of its turn."""
        shown = list(self._shown(epoch))
        dice = np.random.default_rng([self._parameters.seed, epoch])
        order = dice.permutation(len(shown)).tolist()
        window = self._parameters.batch * _WINDOW
        batches = []
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=lambda number: len(shown[number][0].tokens))
            batches += [near[at : at + self._parameters.batch] for at in range(0, len(near), self._parameters.batch)]
        return [[shown[number] for number in batches[place]] for place in dice.permutation(len(batches))]

    def _shown(self, epoch: int) -> Iterator[View]:
        for number, lesson in enumerate(self._lessons.train):
            yield lesson, (epoch + number) % self._views.count
        first = epoch * self._replay_per_epoch
        for number in range(self._replay_per_epoch if self._replay else 0):
            yield self._replay[(first + number) % len(self._replay)], 0

    def _keep(self) -> None:
        self._save(
            {
                "adapter": adapter(self._learner),
                "optimizer": self._optimizer.state_dict(),
                "best": self._best,
                "parts": self._parts,
                "progress": vars(self.progress).copy(),
            }
        )


def padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Tokens as labels, shape (rows, longest); -100 stands where there is nothing to learn."""
    labels = torch.full((len(rows), max(map(len, rows))), -100)
    for label, row in zip(labels, rows, strict=True):
        label[: len(row)] = torch.tensor(row)
    return labels
