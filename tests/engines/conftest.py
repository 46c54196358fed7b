"""Settings under which every engine can read here, by small checkpoints of the tests' own in the published layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from copyist.engines.base import DotsSettings, EngineSettings
from tests.engines.digits_network import write_network
from tests.engines.dots.tiny_dots import write_reading_dots
from tests.engines.formula.tiny_formula import write_talking_formula
from tests.engines.tiny_nougat import write_reading_nougat
from tests.engines.tiny_trocr import write_reading_trocr


@pytest.fixture(scope="session")
def engine_settings(tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    weights: Path = tmp_path_factory.mktemp("weights")
    write_network(weights / "easyocr" / "custom")
    write_reading_trocr(weights / "trocr-tiny")
    write_reading_nougat(weights / "nougat-tiny")
    write_reading_dots(weights / "dots.tiny")
    write_talking_formula(weights / "formula-tiny")
    return EngineSettings(weights=weights, use_gpu=False, dots=DotsSettings(on_cpu=True))
