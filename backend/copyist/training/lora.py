"""LoRA on TrOCR through peft: small trained matrices beside the model's own, which stay as they were published.

Paper: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685. The names of the encoder's
layers differ between versions of transformers (``query`` in 5.8, ``q_proj`` in 5.9), and a list of names that misses
them trains half a model without a word. So the targets are looked up in the loaded model, and counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from copyist.engines.torchvision_shim import import_torchvision
from copyist.training.events import Failed
from copyist.training.order import Parameters

import_torchvision()

from peft import LoraConfig, get_peft_model  # noqa: E402 - it loads transformers, which needs what stands above


def adapted(model: Any, parameters: Parameters) -> Any:
    """``model``, a ``VisionEncoderDecoderModel``, with LoRA in its targets and all else frozen, as a ``PeftModel``.

    The new matrices are random by ``parameters.seed``; before they are trained the model reads as it did. Raises
    ``Failed`` when either half would not be trained.
    """
    names = targets(model, parameters.encoder_layers)
    config = LoraConfig(
        r=parameters.rank,
        lora_alpha=parameters.alpha,
        lora_dropout=parameters.dropout,
        bias="none",
        target_modules=names,
        task_type=None,
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft 0.21 asks by a name that transformers 5.23 has a newer one for.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        torch.manual_seed(parameters.seed)
        learner = get_peft_model(model, config)
    encoder, decoder = trained_parameters(learner)
    if not encoder or not decoder:
        half = "decoder" if encoder else "encoder"
        raise Failed("broken", f"Nothing in the model's {half} would be trained: transformers names its layers anew.")
    return learner


def targets(model: Any, encoder_layers: int) -> list[str]:
    """The full names of the linear layers that are adapted: attention and feed-forward.

    They lie in the last ``encoder_layers`` layers of the encoder (0: in all of them) and in all of the decoder.
    """
    chosen = [*layers_of(model.encoder)[-encoder_layers:], *layers_of(model.decoder)]
    inside = {module for layer in chosen for module in layer.modules() if isinstance(module, torch.nn.Linear)}
    return [name for name, module in model.named_modules() if module in inside]


def layers_of(half: Any) -> list[Any]:
    """The layers of an encoder or decoder, first to last: the one list of modules that it has.

    Raises ``Failed`` where there is none, or several.
    """
    lists = [module for module in half.modules() if isinstance(module, torch.nn.ModuleList)]
    if len(lists) != 1 or not len(lists[0]):
        raise Failed(
            "broken", f"The layers of {type(half).__name__} cannot be told: it has {len(lists)} lists of them."
        )
    return list(lists[0])


def trained_parameters(learner: Any) -> tuple[int, int]:
    """How many numbers are trained in the encoder, and how many in the decoder."""
    model = learner.get_base_model()
    encoder, decoder = (
        sum(weights.numel() for weights in half.parameters() if weights.requires_grad)
        for half in (model.encoder, model.decoder)
    )
    return encoder, decoder


def adapter(learner: Any) -> dict[str, torch.Tensor]:
    """A copy of what is trained, by name, on the CPU."""
    return {name: weights.detach().cpu().clone() for name, weights in _trained(learner)}


def put_back(learner: Any, saved: Mapping[str, torch.Tensor]) -> None:
    """Give ``learner`` the trained matrices of ``saved``; raises ``Failed`` unless these are exactly its own.

    A half of an adapter would otherwise be lost with nothing but a warning.
    """
    own = dict(_trained(learner))
    differing = sorted(own.keys() ^ saved.keys()) or [n for n in own if own[n].shape != saved[n].shape]
    if differing:
        raise Failed("broken", f"The saved adapter does not fit the model: {len(differing)} matrices, {differing[0]}.")
    with torch.no_grad():
        for name, weights in own.items():
            weights.copy_(saved[name])


def blend(learner: Any, share: float) -> None:
    """Take ``learner`` back to ``share`` of the way from the base to what was trained."""
    with torch.no_grad():
        for name, weights in _trained(learner):
            if ".lora_B." in name:
                weights.mul_(share)


def _trained(learner: Any) -> Iterator[tuple[str, Any]]:
    return ((name, weights) for name, weights in learner.named_parameters() if weights.requires_grad)
