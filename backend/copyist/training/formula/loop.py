"""The loop of training: epoch after epoch of batches, each followed by reading formulas that are not learned from.

On a CPU the same recipe gives the same losses bit by bit, also over a kill: every step seeds its own dropout, and the
lessons are the same whenever they are made. What is evaluated and kept are averaged weights (EMA).
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import copy
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from copyist.engines.base import Stop
from copyist.engines.formula.network import FormulaNetwork
from copyist.engines.formula.vocabulary import END, PAD, START
from copyist.training.events import Failed
from copyist.training.formula.batches import Batch, Batches, Place, padded
from copyist.training.formula.evaluate import Figures
from copyist.training.formula.lessons import Lessons
from copyist.training.formula.order import Recipe
from copyist.training.formula.weights import groups, half, laid_out, pairs

_LOWEST = 0.02
"""Of the highest learning rate, at the end."""
_WARM_SHARE = 0.03
_NO_NUMBER = "The loss is no number any more. Train again with a lower --learning-rate."

State = dict[str, Any]


@dataclass
class Progress:
    """Where training stands; all of it is in a checkpoint. ``seen`` counts lessons, ``seconds`` those of training."""

    place: Place = field(default_factory=Place)
    step: int = 0
    seen: int = 0
    losses: list[float] = field(default_factory=list)
    """Of each step, a token's."""
    epoch_from: int = 0
    """The step with which the epoch began."""
    seconds: float = 0.0
    best: float = math.inf
    best_epoch: int = 0
    epochs: list[State] = field(default_factory=list)
    """What is told of each epoch."""
    left_out: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Formulas that cannot be learned: code and sentence, by name."""
    over: bool = False
    resumed: int = 0

    def as_dict(self) -> State:
        """Plain values."""
        return asdict(self)

    @classmethod
    def of(cls, content: State) -> Progress:
        """From what ``as_dict`` gave."""
        known = {name: value for name, value in content.items() if name in cls.__dataclass_fields__}
        place = Place(**known.pop("place"))
        place = Place(place.epoch, place.next, tuple(place.waiting))
        return cls(place=place, **known)

    @property
    def left_out_by_code(self) -> dict[str, int]:
        """How many formulas were left out, by code."""
        return dict(sorted(Counter(code for code, _ in self.left_out.values()).items()))


@dataclass(frozen=True)
class Told:
    """What a step did. ``share`` of the training is done, 0 to 1."""

    progress: Progress
    loss: float
    rate: float
    share: float
    lessons: int


class Loop:
    """Trains ``network`` on ``lessons`` by ``recipe``. All that it finds out on the way is in ``progress``."""

    def __init__(
        self,
        network: FormulaNetwork,
        lessons: Lessons,
        recipe: Recipe,
        *,
        stop: Stop,
        device: str = "cpu",
        time_limit_s: float = 0.0,
    ) -> None:
        self.network, self.progress, self.recipe = network.to(device), Progress(), recipe
        network.encoder.to(memory_format=torch.channels_last)  # A fifth quicker on a CPU.
        self._lessons, self._stop, self._device = lessons, stop, device
        self._epoch_size = recipe.epoch_size or len(lessons)
        self._time_limit_s = time_limit_s
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        self._optimizer = torch.optim.AdamW(groups(network, recipe.weight_decay), lr=recipe.highest_rate, fused=True)
        self._half = half(device)
        self._scaler = torch.amp.GradScaler(device, enabled=self._half is torch.float16)
        self._total = recipe.epochs * self._epoch_size
        self._warm = min(recipe.warmup_steps * recipe.batch * recipe.accumulate, round(_WARM_SHARE * self._total))
        self._pairs = pairs(self.averaged, network)
        self._clock = time.monotonic()

    def run(
        self,
        *,
        told: Callable[[Told], None],
        read: Callable[[FormulaNetwork], Figures],
        better: Callable[[FormulaNetwork], None],
        save: Callable[[State], None],
    ) -> Progress:
        """Train to the end; raises ``Failed``, and what ``stop`` was asked to raise, after saving.

        ``read`` says after each epoch how well the averaged network reads; ``better`` is given the one that reads
        better than all before, and ``save`` all that is needed to go on.
        """
        done, self._clock = self.progress, time.monotonic()
        batches = Batches(
            self._lessons,
            done.place,
            size=self.recipe.batch,
            epoch_size=self._epoch_size,
            left_out=lambda left: done.left_out.setdefault(left.name, (left.code, left.reason)) and None,
        )
        while not done.over:
            self._epoch(batches.epoch(), told, save)
            self._end_epoch(read, better, save)
            save(self.state())
        return done

    def state(self) -> State:
        """All that is needed to go on."""
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "progress": self.progress.as_dict(),
        }

    def restore(self, state: State) -> None:
        """Go on from what ``state`` gave."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        laid_out(self._optimizer)
        self._scaler.load_state_dict(state["scaler"])
        self.progress = Progress.of(state["progress"])
        self.progress.resumed += 1
        self.progress.over = self._ends()

    def _epoch(self, batches: Iterator[Batch], told: Callable[[Told], None], save: Callable[[State], None]) -> None:
        done = self.progress
        self.network.train()
        while group := list(islice(batches, self.recipe.accumulate)):
            rate = self._rate()
            for settings in self._optimizer.param_groups:
                settings["lr"] = rate
            loss = self._step(group)
            count = sum(len(batch.numbers) for batch in group)
            done.step, done.seen, done.place = done.step + 1, done.seen + count, group[-1].after
            done.losses.append(loss)
            self._tick()
            told(Told(done, loss, rate, self._share(), count))
            if self._stop.asked:
                save(self.state())
                self._stop.check()
            if self._late():
                return

    def _end_epoch(
        self,
        read: Callable[[FormulaNetwork], Figures],
        better: Callable[[FormulaNetwork], None],
        save: Callable[[State], None],
    ) -> None:
        done = self.progress
        losses = done.losses[done.epoch_from :]
        if not done.losses:
            reasons = ", ".join(f"{count} {code}" for code, count in done.left_out_by_code.items())
            raise Failed("broken", f"Not one formula of the folder can be learned ({reasons}).")
        try:
            figures = read(self.averaged)
        except BaseException:
            if self._stop.asked:
                save(self.state())
            raise
        self._tick()
        if figures.cer < done.best:
            done.best, done.best_epoch = figures.cer, done.place.epoch + 1
            better(self.averaged)
        done.epochs.append(
            {
                "epoch": done.place.epoch + 1,
                "step": done.step,
                "seen": done.seen,
                "loss": sum(losses) / max(1, len(losses)),
                "rate": self._rate(),
                "cer": figures.cer,
                "exact": figures.exact,
                "seconds": round(done.seconds, 3),
            }
        )
        late = self._late()
        if not late or done.place.next >= (done.place.epoch + 1) * self._epoch_size:
            done.place, done.epoch_from = Place(done.place.epoch + 1, done.place.next), done.step
        done.over = self._ends()

    def _ends(self) -> bool:
        return self.progress.place.epoch >= self.recipe.epochs or self._late()

    def _late(self) -> bool:
        return bool(self._time_limit_s) and self.progress.seconds >= self._time_limit_s

    def _step(self, group: list[Batch]) -> float:
        """Learn from ``group``; the loss of a token."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.progress.step)
        self._optimizer.zero_grad(set_to_none=True)
        tokens = sum(len(row) + 1 for batch in group for row in batch.ids)
        total = 0.0
        for batch in group:
            loss = self._loss(batch) / tokens
            self._scaler.scale(loss).backward()
            total += float(loss.detach())
        self._scaler.unscale_(self._optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip))
        if not math.isfinite(total) or not (math.isfinite(norm) or self._scaler.is_enabled()):
            raise Failed("broken", _NO_NUMBER)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._average()
        return total

    def _loss(self, batch: Batch) -> Tensor:
        """Of all tokens of ``batch`` together."""
        # As ``picture.batch`` does it, but only a quarter as much goes to a GPU.
        shown = torch.from_numpy(batch.pixels).to(self._device)[:, None].float().mul(1 / 255)
        rows = torch.from_numpy(padded(batch.ids, first=START, last=END, fill=PAD)).to(self._device)
        with torch.autocast(self._device, self._half or torch.bfloat16, enabled=self._half is not None):
            logits = self.network(shown, rows[:, :-1])
        loss: Tensor = functional.cross_entropy(
            logits.float().flatten(0, 1),
            rows[:, 1:].flatten(),
            ignore_index=PAD,
            label_smoothing=self.recipe.smoothing,
            reduction="sum",
        )
        return loss

    def _average(self) -> None:
        """Move the averaged weights, and what batch norms count, towards the present ones."""
        step = self.progress.step
        decay = min(self.recipe.ema, (1 + step) / (10 + step))
        ours, theirs, counts = self._pairs
        with torch.no_grad():
            torch._foreach_lerp_(ours, theirs, 1 - decay)
            for ours_count, theirs_count in counts:
                ours_count.copy_(theirs_count)

    def _tick(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now

    @property
    def _gone(self) -> int:
        """Lessons that are over and done with, those that were left out too."""
        return self.progress.place.next - len(self.progress.place.waiting)

    def _share(self) -> float:
        """How much of the training is done, 0 to 1: of the lessons, or of the time if that is less."""
        by_lessons = self._gone / self._total
        by_time = self.progress.seconds / self._time_limit_s if self._time_limit_s else 0.0
        return min(1.0, max(by_lessons, by_time))

    def _rate(self) -> float:
        """Rises first, then falls along half a cosine."""
        highest = self.recipe.highest_rate
        if self._gone < self._warm:
            return highest * (self._gone + self.recipe.batch) / (self._warm + self.recipe.batch)
        start = self._warm / self._total
        share = max(0.0, (self._share() - start) / (1 - start))
        return highest * (_LOWEST + (1 - _LOWEST) * (1 + math.cos(math.pi * share)) / 2)
