"""Weights as an optimizer, an average and a GPU want them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Any]


def groups(network: nn.Module, decay: float) -> list[State]:
    """Weights of matrices and filters decay; norms, biases and embeddings do not."""
    embeddings = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    weights = list(network.parameters())
    decaying = [each for each in weights if each.ndim > 1 and id(each) not in embeddings]
    chosen = {id(each) for each in decaying}
    others = [each for each in weights if id(each) not in chosen]
    return [{"params": decaying, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def laid_out(optimizer: torch.optim.Optimizer) -> None:
    """What the optimizer keeps of weights lies in memory as they do; what came from a file need not."""
    for weights, kept in optimizer.state.items():
        for name, tensor in kept.items():
            if tensor.shape == weights.shape:
                kept[name] = torch.empty_like(weights).copy_(tensor)


def pairs(ours: nn.Module, theirs: nn.Module) -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
    """The tensors of both that can be averaged, and those that only count."""
    pairs = list(zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    real = [pair for pair in pairs if pair[0].is_floating_point()]
    counts = [pair for pair in pairs if not pair[0].is_floating_point()]
    return [pair[0] for pair in real], [pair[1] for pair in real], counts


def half(device: str) -> Any:
    """The number format of half the size that this GPU likes; ``None`` on a CPU, where nothing is gained."""
    if device != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
