"""Settings under which every engine can read here, EasyOCR by a network of the tests' own."""

from __future__ import annotations

from pathlib import Path

import pytest

from copyist.engines.base import EngineSettings
from tests.engines.digits_network import write_network


@pytest.fixture(scope="session")
def engine_settings(tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    weights: Path = tmp_path_factory.mktemp("weights")
    write_network(weights / "easyocr" / "custom")
    return EngineSettings(weights=weights, use_gpu=False)
