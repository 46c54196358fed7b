"""The loop: what it learns, how it goes on, and what it does with its learning rate and its averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from copyist.engines.base import Stop
from copyist.engines.formula.network import FormulaNetwork
from copyist.engines.formula.vocabulary import Vocabulary
from copyist.training.events import Failed, Stopped
from copyist.training.formula.evaluate import Figures, figures
from copyist.training.formula.lessons import Course, Lessons
from copyist.training.formula.loop import Loop, Told
from copyist.training.formula.order import Recipe
from tests.training.formula.small_sets import SMALL, texts, write_set

CONFIG = SMALL["tiny"]
FORMULAS = 16
RECIPE: dict[str, Any] = {"preset": "tiny", "epochs": 3, "batch": 8, "warmup_steps": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("formulas"), train=FORMULAS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Watched:
    """A loop that can be listened to; ``stop_at`` is the step after which somebody asks for an end."""

    def __init__(self, folder: Path, *, stop_at: int = 0, time_limit_s: float = 0.0, **changes: Any) -> None:
        vocabulary = Vocabulary.of(tuple(text) for text in texts(FORMULAS))
        course = Course(folder, vocabulary, CONFIG.frame, CONFIG.longest)
        self.stop, self._stop_at = Stop(), stop_at
        torch.manual_seed(0)
        self.loop = Loop(
            FormulaNetwork(CONFIG, len(vocabulary)),
            Lessons(course, processes=0),
            Recipe(**RECIPE | changes),
            stop=self.stop,
            time_limit_s=time_limit_s,
        )
        self.states: list[dict[str, Any]] = []
        self.rates: list[float] = []
        self.better: list[int] = []
        self.cer = iter((0.9, 0.5, 0.7, 0.6))

    def run(self) -> Watched:
        self.loop.run(told=self._told, read=self._read, better=self._better, save=self.states.append)
        return self

    def _told(self, step: Told) -> None:
        self.rates.append(step.rate)
        if step.progress.step == self._stop_at:
            self.stop.ask(Stopped())

    def _read(self, network: FormulaNetwork) -> Figures:
        assert network is self.loop.averaged and not network.training
        return Figures(1, next(self.cer), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def _better(self, network: FormulaNetwork) -> None:
        self.better.append(self.loop.progress.place.epoch + 1)


def test_stopped_within_an_epoch_it_goes_on_with_the_same_losses_and_weights(folder: Path) -> None:
    whole = Watched(folder).run()
    within_the_second = whole.loop.progress.epochs[0]["step"] + 2
    stopped = Watched(folder, stop_at=within_the_second)
    with pytest.raises(Stopped):
        stopped.run()
    done = stopped.loop.progress
    assert (done.step, done.place.epoch) == (within_the_second, 1) and done.place.waiting
    again = Watched(folder)
    again.loop.restore(stopped.states[-1])
    again.cer = iter((0.5, 0.7))
    again.run()
    assert again.loop.progress.losses == whole.loop.progress.losses
    for ours, theirs in ((again.loop.averaged, whole.loop.averaged), (again.loop.network, whole.loop.network)):
        other = theirs.state_dict()
        assert all(torch.equal(tensor, other[name]) for name, tensor in ours.state_dict().items())
    assert again.loop.progress.resumed == 1
    epochs = [{**each, "seconds": 0} for each in whole.loop.progress.epochs]
    assert [{**each, "seconds": 0} for each in again.loop.progress.epochs] == epochs


def test_it_learns_and_keeps_the_best_epoch(folder: Path) -> None:
    watched = Watched(folder, augment=False, epochs=4, learning_rate=1e-2, smoothing=0.0).run()
    done = watched.loop.progress
    assert done.epochs[-1]["loss"] < 0.85 * done.epochs[0]["loss"]
    assert (watched.better, done.best, done.best_epoch) == ([1, 2], 0.5, 2)
    assert (len(done.epochs), done.seen, done.place.epoch) == (4, 4 * FORMULAS, 4)


def test_the_rate_rises_and_falls_to_a_fiftieth(folder: Path) -> None:
    rates = Watched(folder, epochs=4, learning_rate=1e-3, warmup_steps=500).run().rates
    highest = rates.index(max(rates))
    assert 0 <= highest < len(rates) / 3 and 0.9e-3 < rates[highest] <= 1e-3
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    assert 2e-5 <= rates[-1] < 2e-4


def test_a_step_of_several_batches_takes_the_rest_at_the_end_of_an_epoch(folder: Path) -> None:
    batches = Watched(folder, epochs=1).run().loop.progress
    steps = Watched(folder, epochs=1, accumulate=3).run().loop.progress
    assert (steps.seen, steps.step) == (batches.seen, math.ceil(batches.step / 3))


def test_a_time_limit_ends_training_with_the_lowest_rate_and_a_saved_state(folder: Path) -> None:
    watched = Watched(folder, time_limit_s=1e-3, epochs=1000)
    watched.run()
    assert watched.loop.progress.step == 1 and watched.loop.progress.over
    assert watched.better == [1] and len(watched.states) == 1


def test_a_loss_that_is_no_number_ends_training_with_the_way_out(folder: Path) -> None:
    watched = Watched(folder)
    with torch.no_grad():
        watched.loop.network.head.bias.fill_(math.nan)
    with pytest.raises(Failed, match="--learning-rate"):
        watched.run()


def test_averaged_weights_lag_behind_and_norms_do_not_decay(folder: Path) -> None:
    watched = Watched(folder).run()
    network, averaged = watched.loop.network.head.weight, watched.loop.averaged.head.weight
    assert not torch.equal(network, averaged) and averaged.isfinite().all()
    decaying, others = watched.loop._optimizer.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    assert all(weights.ndim > 1 for weights in decaying["params"])
    assert any(weights is watched.loop.network.embedding.weight for weights in others["params"])


def test_no_formula_at_all_has_no_figures() -> None:
    assert figures([]).formulas == 0
