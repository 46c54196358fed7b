"""The registry: engines by name, plugins by the same door, one loaded instance per process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from copyist.engines.base import Availability, EngineSettings, NotReady, Stop
from copyist.engines.registry import BUILT_IN, Registry, State
from copyist.errors import ConfigurationError, InvalidOption
from tests.faulty_engines import PLUGINS, Faulty


class Rude(Faulty):
    """Breaks its word never to raise in a check, nor in closing."""

    name = "rude"

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        raise RuntimeError("/opt/secret")

    def close(self) -> None:
        raise RuntimeError("/opt/secret")


class Heavy(Faulty):
    """Reads two pages at once, and is unloaded when nobody needs it."""

    name = "heavy"
    heavy = True

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        return Availability(ready=True, version="1", at_once=2)


class Unloadable(Faulty):
    """Looks ready, and cannot be loaded."""

    name = "unloadable"
    tries = 0

    def __init__(self, settings: EngineSettings) -> None:
        Unloadable.tries += 1
        raise NotReady("Its weights are another model's; pull them again.")


RUDE = f"{__name__}:Rude"
HEAVY = f"{__name__}:Heavy"
UNLOADABLE = f"{__name__}:Unloadable"


def test_survey_covers_every_engine_and_never_raises() -> None:
    found = Registry(EngineSettings(), (*PLUGINS, RUDE)).survey()
    assert set(found) == {*BUILT_IN, "crash", "crash-on-wide", "hang", "garbage", "broken", "slow", "on-gpu", "rude"}
    assert found["mock"].ready
    assert not found["rude"].ready
    assert "/opt" not in found["rude"].reason


def test_an_engine_is_loaded_once_and_anew_after_closing() -> None:
    registry = Registry(EngineSettings(), (RUDE,))
    first = registry.load("mock")
    assert registry.load("mock") is first
    registry.load("rude")
    registry.close()
    assert registry.load("mock") is not first


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    registry = Registry(EngineSettings())
    for ask in (registry.engine_class, registry.check, registry.load):
        with pytest.raises(InvalidOption, match=r'"abbyy" is not a value for engine.*tesseract'):
            ask("abbyy")


@pytest.mark.parametrize(
    "door", ["nowhere:Engine", "tests.faulty_engines:Nobody", "tests.faulty_engines", "os:path", ""]
)
def test_a_plugin_that_is_none_is_a_wrong_setting(door: str) -> None:
    with pytest.raises(ConfigurationError, match="OCR_PLUGINS names"):
        Registry(EngineSettings(), (door,))


def test_a_forked_child_loads_its_own_engines() -> None:
    registry = Registry(EngineSettings())
    ours = registry.load("mock")
    child = os.fork()
    if child == 0:
        os._exit(0 if registry.load("mock") is not ours else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_heavy_engine_is_unloaded_when_idle_and_loaded_again_when_it_is_wanted() -> None:
    told: list[tuple[str, State]] = []
    registry = Registry(EngineSettings(), (HEAVY,), idle_s=0.2, on_state=lambda *news: told.append(news))
    first = registry.load("heavy")
    await_true(lambda: not registry.is_loaded("heavy"))
    with registry.turn("heavy") as again:
        assert again is not first
    loaded, unloaded = [("heavy", State.LOADING), ("heavy", State.LOADED)], [("heavy", State.UNLOADED)]
    assert told[:5] == [*loaded, *unloaded, *loaded]


def test_an_engine_is_not_unloaded_while_somebody_reads_with_it() -> None:
    registry = Registry(EngineSettings(), (HEAVY,), idle_s=0.05)
    with registry.turn("heavy") as engine:
        time.sleep(0.3)
        assert registry.load("heavy") is engine
    await_true(lambda: not registry.is_loaded("heavy"))


def test_a_light_engine_stays() -> None:
    registry = Registry(EngineSettings(), idle_s=0.01)
    registry.load("mock")
    time.sleep(0.05)
    registry.unload_idle()
    assert registry.is_loaded("mock")


def test_an_engine_that_cannot_be_loaded_is_not_ready_and_not_tried_for_every_page() -> None:
    registry = Registry(EngineSettings(), (UNLOADABLE,))
    assert registry.check("unloadable").ready
    for _ in range(3):
        with pytest.raises(NotReady, match="another model's"):
            registry.load("unloadable")
    assert Unloadable.tries == 1
    found = registry.check("unloadable")
    assert (found.ready, found.reason) == (False, "Its weights are another model's; pull them again.")


def test_as_many_read_at_once_as_the_engine_takes() -> None:
    registry = Registry(EngineSettings(), (HEAVY,))
    inside, most, lock = 0, 0, threading.Lock()

    def read() -> None:
        nonlocal inside, most
        with registry.turn("heavy"):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_whoever_waits_for_a_turn_can_be_stopped() -> None:
    registry, stop = Registry(EngineSettings()), Stop()
    threading.Timer(0.1, stop.ask, (InterruptedError("cancelled"),)).start()
    with registry.turn("mock"), pytest.raises(InterruptedError, match="cancelled"):
        in_a_thread(lambda: registry.turn("mock", stop).__enter__())
    with registry.turn("mock"):
        pass


class Slowly(Faulty):
    """Takes its time to be loaded, and memory that it then lacks."""

    name = "slowly"
    begun, may_end = threading.Event(), threading.Event()

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        return Availability(ready=not cls.begun.is_set(), reason="There is too little memory.", version="1", at_once=2)

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        Slowly.begun.set()
        Slowly.may_end.wait(10)


@pytest.fixture
def loading() -> Iterator[Registry]:
    """A registry where somebody is just loading ``slowly``."""
    Slowly.begun.clear()
    Slowly.may_end.clear()
    registry = Registry(EngineSettings(), (f"{__name__}:Slowly",))
    loader = threading.Thread(target=registry.load, args=("slowly",))
    loader.start()
    Slowly.begun.wait(10)
    yield registry
    Slowly.may_end.set()
    loader.join()


def test_an_engine_is_as_ready_while_it_is_loaded_as_it_was_before(loading: Registry) -> None:
    assert loading.is_loading("slowly")
    assert loading.check("slowly").ready
    Slowly.may_end.set()
    await_true(lambda: loading.is_loaded("slowly"))
    assert not loading.is_loading("slowly")
    assert not loading.check("slowly").ready


def test_whoever_waits_for_another_to_load_can_be_stopped(loading: Registry) -> None:
    stop = Stop()
    threading.Timer(0.1, stop.ask, (InterruptedError("cancelled"),)).start()
    began = time.monotonic()
    with pytest.raises(InterruptedError, match="cancelled"):
        loading.turn("slowly", stop).__enter__()
    assert time.monotonic() - began < 2


def in_a_thread(work: Callable[[], object]) -> None:
    """Do ``work`` in a thread of its own, which locks take for somebody else; raises what it raised."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def await_true(ask: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not ask():
        assert time.monotonic() < until
        time.sleep(0.02)
