"""The benchmark of dots.ocr on a GPU runs, on a tiny model where there is none."""

from __future__ import annotations

import json

import pytest
from benchmarks import gpu

from copyist.engines.dots.local.architecture import read_architecture
from tests.engines.dots.published import PUBLISHED


def test_the_benchmark_measures_a_tiny_model_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--tiny", "--json", "--tokens", "3"]) == 0
    figures = json.loads(capsys.readouterr().out)
    whats = [figure["what"] for figure in figures]
    assert whats[2:5] == ["plain generate, 1 page at a time", "1 page at a time", "2 pages at once"]
    assert all(figure["value"].endswith(" pages/s") for figure in figures[2:5])
    assert figures[5]["value"].endswith("times as fast")


def test_without_a_gpu_it_says_so_and_ends_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "why_no_cuda", lambda: "No NVIDIA GPU is visible here.")
    assert gpu.main([]) == 0
    assert "Not measured here: No NVIDIA GPU" in capsys.readouterr().out
    assert gpu.measure(quick=True)[0].value == "no GPU"


def test_it_measures_the_published_size() -> None:
    assert read_architecture(PUBLISHED) == gpu.FULL
