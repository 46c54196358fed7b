"""Which card a process has, and that nothing of the settings tells a secret."""

from __future__ import annotations

import os

import pytest

from copyist.engines.base import DotsSettings, EngineSettings
from copyist.engines.gpu import Gpu, use_only


def test_cuda_counts_the_cards_as_the_driver_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "")
    use_only(Gpu(3, "a card", 1, 1))
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]) == ("3", "PCI_BUS_ID")


def test_a_key_is_in_no_text_of_the_settings() -> None:
    assert "s3cret" not in repr(EngineSettings(dots=DotsSettings(api_key="s3cret")))
