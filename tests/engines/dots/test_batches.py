"""How questions of many threads come together in batches, with a model of no size at all."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest

from copyist.engines.base import NotReady, Stop, TimedOut
from copyist.engines.dots.backend import Answer, Prompt, Question
from copyist.engines.dots.local.batches import Batches
from copyist.engines.generation import Finish


def question(side: int = 28, tokens: int = 10, stop: Stop | None = None) -> Question:
    pixels = np.zeros((side, 28, 3), np.uint8)
    return Question(pixels=pixels, prompt=Prompt.TEXT, stop=stop or Stop(), max_tokens=tokens)


@dataclass
class SlowModel:
    """Answers with the height of the image; a batch takes as much memory as its rows times its highest image.

    ``opened`` lets batches begin; ``fits`` is the memory that there really is; ``poison`` is a height that breaks it.
    """

    memory: int = 10_000
    fits: int = 10_000
    poison: int = 0
    opened: threading.Event = field(default_factory=threading.Event)
    batches: list[list[int]] = field(default_factory=list)
    at_work: int = 0
    deliver_first: bool = False

    def cost(self, questions: Sequence[Question]) -> int:
        return len(questions) * max(one.pixels.shape[0] for one in questions)

    def room(self) -> int:
        return self.memory

    def run(self, questions: Sequence[Question], deliver: Callable[[int, Answer], None]) -> None:
        assert self.opened.wait(10)
        self.at_work += 1
        assert self.at_work == 1
        heights = [one.pixels.shape[0] for one in questions]
        self.batches.append(heights)
        try:
            if self.deliver_first:
                deliver(0, answer(heights[0]))
            if self.cost(questions) > self.fits:
                raise MemoryError(f"{len(questions)} did not fit")
            if self.poison in heights:
                raise ArithmeticError("poison")
            for place, one in enumerate(questions):
                if one.stop.asked:
                    deliver(place, Answer("", Finish.ASKED))
                deliver(place, answer(heights[place]))
        finally:
            self.at_work -= 1


def answer(height: int) -> Answer:
    return Answer(str(height), Finish.STOP)


class Crowd:
    """Threads that ask at the same time."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._pool = ThreadPoolExecutor(32)

    def ask(self, *questions: Question) -> list[Future[Answer]]:
        return [self._pool.submit(contextvars.copy_context().run, self._batches.ask, one) for one in questions]

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def model() -> SlowModel:
    return SlowModel()


@pytest.fixture
def gather(model: SlowModel) -> Iterator[Callable[..., Crowd]]:
    made: list[tuple[Crowd, Batches]] = []

    def make(at_once: int = 16, gather_s: float = 0.1) -> Crowd:
        batches = Batches(model, at_once=at_once, gather_s=gather_s)
        made.append((Crowd(batches), batches))
        return made[-1][0]

    yield make
    model.opened.set()
    for crowd, batches in made:
        crowd.close()
        batches.close()


def texts(futures: list[Future[Answer]]) -> list[str]:
    return [future.result(10).text for future in futures]


def test_questions_of_several_threads_are_answered_in_one_batch(model: SlowModel, gather: Callable[..., Crowd]) -> None:
    model.opened.set()
    asked = gather().ask(question(28), question(56), question(84))
    assert texts(asked) == ["28", "56", "84"]
    assert sorted(model.batches[0]) == [28, 56, 84]


def test_one_question_does_not_wait_for_others_that_cannot_join_it(
    model: SlowModel, gather: Callable[..., Crowd]
) -> None:
    model.opened.set()
    started = time.monotonic()
    assert texts(gather(at_once=1, gather_s=30).ask(question())) == ["28"]
    assert time.monotonic() - started < 5


def test_a_batch_has_no_more_questions_than_are_wanted_at_once(model: SlowModel, gather: Callable[..., Crowd]) -> None:
    crowd = gather(at_once=3)
    asked = crowd.ask(*(question() for _ in range(7)))
    time.sleep(0.3)
    model.opened.set()
    assert texts(asked) == ["28"] * 7
    assert sorted(map(len, model.batches), reverse=True) == [3, 3, 1]


def test_images_of_one_size_are_read_together(model: SlowModel, gather: Callable[..., Crowd]) -> None:
    crowd = gather(at_once=3)
    first = crowd.ask(question(28))
    time.sleep(0.4)
    rest = crowd.ask(*(question(side) for side in (560, 28, 560, 28, 560, 28)))
    time.sleep(0.2)
    model.opened.set()
    assert len(texts([*first, *rest])) == 7
    assert sorted(map(sorted, model.batches)) == [[28], [28, 28, 28], [560, 560, 560]]


def test_a_batch_stays_within_the_memory_that_there_is(model: SlowModel, gather: Callable[..., Crowd]) -> None:
    model.memory = 4 * 28
    model.opened.set()
    crowd = gather()
    assert texts(crowd.ask(*(question() for _ in range(9)))) == ["28"] * 9
    assert max(map(len, model.batches)) == 4


def test_a_question_that_is_larger_than_the_memory_is_tried_alone(
    model: SlowModel, gather: Callable[..., Crowd]
) -> None:
    model.memory = 100
    model.opened.set()
    assert texts(gather().ask(question(280), question(28))) == ["280", "28"]
    assert sorted(map(len, model.batches)) == [1, 1]


def test_when_memory_runs_out_the_batch_is_halved_and_the_size_remembered(
    model: SlowModel, gather: Callable[..., Crowd]
) -> None:
    model.fits = 2 * 28
    model.opened.set()
    crowd = gather()
    assert texts(crowd.ask(*(question() for _ in range(8)))) == ["28"] * 8
    assert [len(batch) for batch in model.batches] == [8, 4, 2, 2, 2, 2]
    model.batches.clear()
    assert texts(crowd.ask(*(question() for _ in range(4)))) == ["28"] * 4
    assert [len(batch) for batch in model.batches] == [2, 2]


def test_a_question_for_which_memory_never_does_fails_alone(model: SlowModel, gather: Callable[..., Crowd]) -> None:
    model.fits = 500
    model.opened.set()
    small, large = question(28), question(560)
    asked = gather().ask(small, large, question(28))
    assert asked[0].result(10).text == asked[2].result(10).text == "28"
    with pytest.raises(MemoryError, match="1 did not fit"):
        asked[1].result(10)


def test_answers_handed_out_before_memory_ran_out_stand(model: SlowModel, gather: Callable[..., Crowd]) -> None:
    model.deliver_first, model.fits = True, 28
    model.opened.set()
    assert texts(gather().ask(*(question() for _ in range(4)))) == ["28"] * 4
    assert [len(batch) for batch in model.batches] == [4, 2, 1, 1]


def test_a_question_that_breaks_the_model_fails_nobody_else(model: SlowModel, gather: Callable[..., Crowd]) -> None:
    model.poison = 56
    model.opened.set()
    asked = gather().ask(question(28), question(56), question(28))
    assert texts([asked[0], asked[2]]) == ["28", "28"]
    with pytest.raises(ArithmeticError, match="poison"):
        asked[1].result(10)


def test_a_question_leaves_within_a_second_of_being_stopped(model: SlowModel, gather: Callable[..., Crowd]) -> None:
    stop = Stop()
    crowd = gather()
    running, waiting = crowd.ask(question(stop=stop)), crowd.ask(question(56))
    time.sleep(0.3)
    started = time.monotonic()
    stop.ask(TimedOut("enough"))
    with pytest.raises(TimedOut, match="enough"):
        running[0].result(10)
    assert time.monotonic() - started < 1
    model.opened.set()
    assert texts(waiting) == ["56"]


def test_a_question_that_was_stopped_while_it_waited_is_never_run(
    model: SlowModel, gather: Callable[..., Crowd]
) -> None:
    stop = Stop()
    crowd = gather(at_once=1)
    first = crowd.ask(question(28))
    time.sleep(0.1)
    waiting = crowd.ask(question(56, stop=stop))
    stop.ask(TimedOut("enough"))
    with pytest.raises(TimedOut):
        waiting[0].result(10)
    model.opened.set()
    assert texts(first) == ["28"]
    assert texts(crowd.ask(question(84))) == ["84"]
    assert model.batches == [[28], [84]]


def test_after_close_nobody_is_answered(model: SlowModel) -> None:
    model.opened.set()
    batches = Batches(model, at_once=2)
    batches.close()
    batches.close()
    with pytest.raises(NotReady, match="unloaded"):
        batches.ask(question())


def test_closing_refuses_those_that_wait_and_lets_the_batch_end(model: SlowModel) -> None:
    batches = Batches(model, at_once=1)
    crowd = Crowd(batches)
    running = crowd.ask(question(28))
    time.sleep(0.2)
    waiting = crowd.ask(question(56))
    time.sleep(0.1)
    threading.Timer(0.2, model.opened.set).start()
    batches.close()
    assert texts(running) == ["28"]
    with pytest.raises(NotReady):
        waiting[0].result(10)
    crowd.close()


def test_a_model_that_cannot_tell_its_memory_leaves_nobody_waiting(
    model: SlowModel, gather: Callable[..., Crowd], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> int:
        raise RuntimeError("the device is lost")

    model.opened.set()
    crowd = gather()
    with monkeypatch.context() as broken:
        broken.setattr(model, "room", lost)
        for one in crowd.ask(question(), question()):
            with pytest.raises(RuntimeError, match="lost"):
                one.result(10)
    assert texts(crowd.ask(question())) == ["28"]
