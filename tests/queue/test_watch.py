"""The watch over a piece of work: it asks an engine to stop, or ends the process that would not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from copyist.engines.base import TimedOut
from copyist.queue import watch as watches
from copyist.queue.watch import Cancelled, Watch


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(watches, "TICK_S", 0.05)
    monkeypatch.setattr(watches, "GRACE_S", 0.3)
    yield


def watch(*, ours: Callable[[], bool] = lambda: True, overrun: Callable[..., None] = lambda *_: None) -> Watch:
    return Watch(extend=ours, overrun=overrun, give_back=lambda: None)


def wait_for_stop(watching: Watch) -> None:
    """What an engine that heeds the stop does."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        watching.stop.check()
        time.sleep(0.01)
    raise AssertionError("nobody asked")


def test_an_engine_that_takes_too_long_is_asked_to_leave_with_the_reason() -> None:
    with watch() as watching:
        watching.stage("dots", 0.1, stops=True)
        with pytest.raises(TimedOut, match=r"within 0\.1 s"):
            wait_for_stop(watching)


def test_the_next_engine_begins_afresh() -> None:
    with watch() as watching:
        watching.stage("dots", 0.1, stops=True)
        with pytest.raises(TimedOut):
            wait_for_stop(watching)
        watching.stage("tesseract", 10, stops=False)
        assert not watching.stop.asked
        time.sleep(0.5)
        assert not watching.stop.asked


def test_a_page_that_is_ours_no_more_is_cancelled() -> None:
    with watch(ours=lambda: False) as watching:
        watching.stage("dots", 60, stops=True)
        with pytest.raises(Cancelled):
            wait_for_stop(watching)


@pytest.mark.parametrize("stops", [True, False], ids=["one that promised to stop", "one that cannot"])
def test_an_engine_that_does_not_leave_is_ended_with_its_process(stops: bool) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        other = Watch(extend=lambda: True, overrun=lambda *_: None, give_back=lambda: tell(write, "other given back;"))
        hanging = watch(overrun=lambda name, limit_s: tell(write, f"{name} over {limit_s:g} s;"))
        with other, hanging:
            hanging.stage("hang", 0.1, stops=stops)
            time.sleep(30)
        os._exit(0)
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert os.read(read, 1000).decode() == "hang over 0.1 s;other given back;"
    os.close(read)


def tell(pipe: int, sentence: str) -> None:
    os.write(pipe, sentence.encode())


def test_a_page_that_is_ours_no_more_begins_no_further_stage() -> None:
    ours = True
    with watch(ours=lambda: ours) as watching:
        watching.stage("rendering", 60, stops=True)
        ours = False
        time.sleep(0.15)
        with pytest.raises(Cancelled):
            watching.stage("tesseract", 60, stops=False)


def test_work_that_is_late_itself_is_not_given_back_uncounted() -> None:
    """It may be what holds the others up: a page that PDFium never finishes drawing, which all the others wait for."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        slow, fresh = (
            Watch(extend=lambda: True, overrun=lambda *_: None, give_back=lambda name=name: tell(write, name))  # type: ignore[misc]
            for name in ("slow;", "fresh;")
        )
        waiting = watch()
        with slow, fresh, waiting:
            waiting.stage("rendering", 0.6)
            time.sleep(0.02)
            slow.stage("rendering", 0.6)
            time.sleep(0.4)
            fresh.stage("rendering", 0.6)
            time.sleep(30)
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert os.read(read, 1000).decode() == "fresh;"
    os.close(read)
