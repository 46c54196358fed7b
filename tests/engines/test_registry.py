"""The registry: engines by name, plugins by the same door, one loaded instance per process."""

from __future__ import annotations

import os

import pytest

from copyist.engines.base import Availability, EngineSettings
from copyist.engines.registry import BUILT_IN, Registry, shared_registry
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


RUDE = f"{__name__}:Rude"


def test_survey_covers_every_engine_and_never_raises() -> None:
    found = Registry(EngineSettings(), (*PLUGINS, RUDE)).survey()
    assert set(found) == {*BUILT_IN, "crash", "crash-on-wide", "hang", "garbage", "broken", "slow", "rude"}
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


def test_a_process_shares_one_registry_per_configuration() -> None:
    assert shared_registry(EngineSettings()) is shared_registry(EngineSettings())
    assert shared_registry(EngineSettings()) is not shared_registry(EngineSettings(), PLUGINS)


def test_a_forked_child_loads_its_own_engines() -> None:
    registry = Registry(EngineSettings())
    ours = registry.load("mock")
    child = os.fork()
    if child == 0:
        os._exit(0 if registry.load("mock") is not ours else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
