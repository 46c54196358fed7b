"""What is due is done once in a period, by whoever asks first, without holding up who asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from copyist.queue import periodic
from copyist.queue.context import Context
from copyist.queue.periodic import Work, start_due

NAME = "counting"


class Counting:
    """A work that counts its turns, and hangs while it is told to."""

    def __init__(self) -> None:
        self.holders: list[str] = []
        self.more = False
        self.error: Exception | None = None
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, context: Context) -> bool:
        self.holders.append(context.holder)
        self.may_end.wait(20)
        if self.error:
            raise self.error
        return self.more


Due = Callable[[float], Counting]


@pytest.fixture
def due(monkeypatch: pytest.MonkeyPatch) -> Iterator[Due]:
    """Let one work be due every so many seconds."""
    counting = Counting()

    def every(seconds: float) -> Counting:
        monkeypatch.setattr(periodic, "works", lambda _: (Work(NAME, seconds, counting),))
        return counting

    yield every
    counting.may_end.set()
    await_end()


def await_end() -> None:
    for thread in threading.enumerate():
        if thread.name == NAME:
            thread.join(20)


def ask(*contexts: Context) -> None:
    """Ask as beats do after a sweep, and wait until what was due is done."""
    for context in contexts:
        start_due(context)
    await_end()


def test_two_beats_that_ask_again_and_again_do_it_once_in_a_period(context: Context, due: Due) -> None:
    work, other = due(600), replace(context, holder="another beat")
    for _ in range(5):
        ask(context, other)
    assert work.holders == [context.holder]


def test_when_one_beat_is_gone_another_takes_the_next_turn(context: Context, due: Due) -> None:
    work = due(0.5)
    ask(context)
    time.sleep(0.6)
    ask(replace(context, holder="another beat"))
    assert work.holders == [context.holder, "another beat"]


def test_who_asks_does_not_wait_and_what_takes_long_is_not_begun_twice(context: Context, due: Due) -> None:
    work = due(0.1)
    work.may_end.clear()
    began = time.monotonic()
    for _ in range(3):
        start_due(context)
        time.sleep(0.15)
    assert (len(work.holders), time.monotonic() - began < 10) == (1, True)


def test_a_work_that_has_more_to_do_goes_on_before_its_next_period(context: Context, due: Due) -> None:
    work = due(600)
    work.more = True
    ask(context)
    work.more = False
    ask(context)
    ask(context)
    assert len(work.holders) == 2


def test_a_work_that_fails_is_told_of_and_waits_for_its_next_period(
    context: Context, due: Due, caplog: pytest.LogCaptureFixture
) -> None:
    work = due(600)
    work.error = ValueError("no")
    ask(context)
    ask(context)
    assert len(work.holders) == 1
    assert f"{NAME} failed" in caplog.text
