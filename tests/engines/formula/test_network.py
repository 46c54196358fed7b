from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from copyist.engines.formula.config import PRESETS
from copyist.engines.formula.network import FormulaNetwork, parameters
from tests.engines.formula.tiny_formula import TINY, VOCABULARY, random_network


def test_one_token_at_a_time_says_what_all_at_once_say() -> None:
    network = random_network()
    torch.manual_seed(1)
    pictures, tokens = torch.rand(2, 1, 64, 96), torch.randint(4, len(VOCABULARY), (2, 7))
    with torch.inference_mode():
        whole = network(pictures, tokens)
        cross, past = network.cross(pictures), network.no_past(2)
        for position in range(7):
            logits, past = network.step(tokens[:, position], torch.tensor([position]), past, cross)
            torch.testing.assert_close(logits, whole[:, position], atol=1e-5, rtol=1e-5)


def test_a_token_sees_none_that_follow() -> None:
    network = random_network()
    pictures, tokens = torch.rand(1, 1, 64, 96), torch.randint(4, len(VOCABULARY), (1, 7))
    with torch.inference_mode():
        whole = network(pictures, tokens)
        other = network(pictures, torch.cat([tokens[:, :4], torch.full((1, 3), 9)], 1))
    torch.testing.assert_close(whole[:, :4], other[:, :4])
    assert not torch.allclose(whole[:, 4:], other[:, 4:])


def test_pictures_of_many_sizes_are_seen() -> None:
    network = random_network()
    with torch.inference_mode():
        sizes = [network.cross(torch.zeros(1, 1, *size)).shape[-2] for size in ((32, 64), (96, 320))]
    assert sizes == [2 * 4, 6 * 20]


@pytest.mark.parametrize(("preset", "millions"), [("reference", 36.3), ("reference-512", 61.8), ("compact", 4.2)])
def test_presets_have_the_size_they_are_said_to_have(preset: str, millions: float) -> None:
    with torch.device("meta"):
        network = FormulaNetwork(replace(PRESETS[preset], dropout=0.0), 260)
    assert parameters(network) / 1e6 == pytest.approx(millions, rel=0.01)


def test_the_tiny_one_is_tiny() -> None:
    assert parameters(random_network(TINY)) < 700_000
