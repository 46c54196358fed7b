"""LoRA lies where it should, in both halves of both published layouts, and a strange adapter is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from copyist.training.events import Failed
from copyist.training.lora import adapted, adapter, blend, put_back, targets, trained_parameters
from copyist.training.order import Parameters
from copyist.training.reading import LearningReader
from tests.engines.tiny_trocr import write_base, write_small


@pytest.fixture(params=[write_small, write_base], ids=["small", "base"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    write: Callable[[Path], Path] = request.param
    return LearningReader(write(tmp_path / "trocr"), use_gpu=False, threads=1).model


def test_all_of_the_decoder_and_the_last_layers_of_the_encoder_are_trained(model: Any) -> None:
    names = targets(model, 1)
    encoder = [name for name in names if name.startswith("encoder.")]
    decoder = [name for name in names if name.startswith("decoder.")]
    # Attention has four and feed-forward two; each of the decoder's two layers looks at the picture, too.
    assert (len(encoder), len(decoder)) == (6, 2 * 10)
    assert all(".1." in name for name in encoder)
    assert len(targets(model, 0)) == 12 + 20
    learner = adapted(model, Parameters(rank=4, encoder_layers=1))
    halves = trained_parameters(learner)
    assert halves == (
        4 * 2 * (4 * 48 + 48 + 96),
        sum(weights.numel() for weights in adapter(learner).values()) - halves[0],
    )


def test_nothing_but_the_adapter_is_trained_and_it_changes_nothing_at_first(model: Any) -> None:
    pixels, labels = torch.rand(1, 3, 48, 48), torch.tensor([[5, 9, 2]])
    before = model.eval()(pixel_values=pixels, labels=labels).loss
    learner = adapted(model, Parameters())
    assert torch.equal(learner.eval().get_base_model()(pixel_values=pixels, labels=labels).loss, before)
    trained = [name for name, weights in learner.named_parameters() if weights.requires_grad]
    assert trained and all("lora_" in name for name in trained)


def test_a_model_of_which_one_half_would_not_be_trained_is_refused(model: Any) -> None:
    for layer in model.encoder.layers:
        for name, module in list(layer.named_modules()):
            if isinstance(module, torch.nn.Linear):
                layer.set_submodule(name, torch.nn.Identity())
    with pytest.raises(Failed, match="encoder would be trained"):
        adapted(model, Parameters())


def test_an_adapter_of_which_a_half_is_missing_is_refused(model: Any) -> None:
    learner = adapted(model, Parameters())
    saved = adapter(learner)
    put_back(learner, saved)
    half = {name: weights for name, weights in saved.items() if ".encoder." not in name}
    with pytest.raises(Failed, match="does not fit"):
        put_back(learner, half)


def test_a_blended_model_lies_between_the_base_and_what_was_trained(model: Any) -> None:
    weights = model.decoder.model.decoder.layers[0].fc1.weight
    base = weights.detach().clone()
    learner = adapted(model, Parameters())
    put_back(learner, {name: torch.randn_like(saved) for name, saved in adapter(learner).items()})
    trained = adapter(learner)
    blend(learner, 1.0)
    assert all(torch.equal(one, trained[name]) for name, one in adapter(learner).items())
    learner.merge_adapter()
    far = weights.detach() - base
    learner.unmerge_adapter()
    blend(learner, 0.6)
    learner.merge_adapter()
    assert torch.allclose(weights.detach() - base, 0.6 * far, atol=1e-4)
