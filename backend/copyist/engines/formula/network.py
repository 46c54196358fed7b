"""The model: an encoder of timm on one channel, and a Transformer decoder that keeps its keys and values.

torch's own decoder computes every token anew for each token that follows; this one is written out so that a step costs
the same however much is written already, and so that a step is a plain function of tensors that ONNX can express.
Imported late: torch and timm take a second.
"""

# mypy: disable-error-code="misc"
# torch has no types here, so that every module would be refused for its base class.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from copyist.engines.formula.config import ModelConfig
from copyist.engines.formula.vocabulary import PAD
from copyist.engines.torchvision_shim import import_torchvision

import_torchvision()

import timm  # noqa: E402 - needs torchvision, which needs the line above
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402


class FormulaNetwork(nn.Module):
    """Pictures to the logits of tokens.

    Pictures are float (batch, 1, height, width), 0 for paper and 1 for ink, all of one size. ``cross`` is what the
    decoder sees of them, (layers, 2, batch, heads, places, width / heads): keys and values of each layer. ``past`` is
    the same of the tokens that are written, with as many places.
    """

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        """``vocabulary`` is the number of tokens, special ones included."""
        super().__init__()
        self.config = config
        frame = config.frame
        is_swin = config.encoder.startswith("swin")
        options: dict[str, Any] = {"img_size": (frame.height, frame.width)} if is_swin else {}
        self.encoder = timm.create_model(
            config.encoder, features_only=True, out_indices=(config.stage,), in_chans=1, pretrained=False, **options
        )
        self.bridge = nn.Linear(self.encoder.feature_info.channels()[-1], config.width)
        self.bridge_norm = nn.LayerNorm(config.width)
        self.embedding = nn.Embedding(vocabulary, config.width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        reduction = self.encoder.feature_info.reduction()[-1]
        rows, columns = math.ceil(frame.height / reduction), math.ceil(frame.width / reduction)
        self.register_buffer("places", _places(rows, columns, config.width), persistent=False)
        self.register_buffer("positions", _sines(config.longest + 1, config.width), persistent=False)
        self.last_is_channels = is_swin

    def cross(self, pictures: Tensor) -> Tensor:
        """What the decoder sees of ``pictures``."""
        return torch.stack(self.cross_each(pictures))

    def cross_each(self, pictures: Tensor) -> list[Tensor]:
        """As ``cross``, layer by layer."""
        memory = self.memory(pictures)
        return [layer.look(memory) for layer in self.layers]

    def step(self, tokens: Tensor, position: Tensor, past: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
        """One more token: ``tokens`` (batch,) at ``position`` (1,), counted from 0; ``past`` has that many places.

        Gives logits (batch, vocabulary) and the ``past`` with one place more.
        """
        logits, grown = self.grow(tokens, position, past, cross)
        return logits, torch.stack(grown)

    def grow(
        self, tokens: Tensor, position: Tensor, past: Sequence[Tensor] | Tensor, cross: Sequence[Tensor] | Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """As ``step``, with what is kept layer by layer: nothing is copied only to lie in one piece."""
        state = self._embedded(tokens[:, None], self.positions.index_select(0, position))
        grown = []
        for number, layer in enumerate(self.layers):
            state, own = layer(state, past[number], cross[number])
            grown.append(own)
        return self.head(self.norm(state[:, 0])), grown

    def forward(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        """Logits (batch, length, vocabulary) of what follows each of ``tokens`` (batch, length), all at once."""
        cross = self.cross(pictures)
        state = self.dropout(self._embedded(tokens, self.positions[: tokens.shape[1]]))
        for number, layer in enumerate(self.layers):
            state, _ = layer(state, None, cross[number])
        logits: Tensor = self.head(self.norm(state))
        return logits

    def no_past(self, batch: int) -> Tensor:
        """The ``past`` before the first token."""
        config = self.config
        shape = (config.layers, 2, batch, config.heads, 0, config.width // config.heads)
        return self.head.weight.new_zeros(shape)

    def memory(self, pictures: Tensor) -> Tensor:
        """What the encoder makes of ``pictures``: (batch, places, width)."""
        features = self.encoder(pictures)[-1]
        if not self.last_is_channels:
            features = features.permute(0, 2, 3, 1)
        rows, columns = features.shape[1], features.shape[2]
        memory = self.bridge_norm(self.bridge(features)) + self.places[:rows, :columns]
        return self.dropout(memory.flatten(1, 2))

    def _embedded(self, tokens: Tensor, positions: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(tokens) * math.sqrt(self.config.width) + positions
        return embedded


class _Layer(nn.Module):
    """Attention to what is written, attention to the picture, and a network of two layers; norms come first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own = nn.Linear(width, 3 * width)
        self.own_out = nn.Linear(width, width)
        self.asked = nn.Linear(width, width)
        self.seen = nn.Linear(width, 2 * width)
        self.seen_out = nn.Linear(width, width)
        self.wide = nn.Linear(width, config.feedforward)
        self.narrow = nn.Linear(config.feedforward, width)
        self.dropout = nn.Dropout(config.dropout)

    def look(self, memory: Tensor) -> Tensor:
        """Keys and values of the picture: (2, batch, heads, places, width / heads)."""
        return torch.stack([self._heads(part) for part in self.seen(memory).chunk(2, dim=-1)])

    def forward(self, state: Tensor, past: Tensor | None, cross: Tensor) -> tuple[Tensor, Tensor]:
        """The next ``state``, and keys and values of what is written; without a ``past`` each sees those before it."""
        queries, keys, values = (self._heads(part) for part in self.own(self.norms[0](state)).chunk(3, dim=-1))
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        found = functional.scaled_dot_product_attention(queries, keys, values, is_causal=past is None)
        state = state + self.dropout(self.own_out(_joined(found)))
        found = functional.scaled_dot_product_attention(
            self._heads(self.asked(self.norms[1](state))), cross[0], cross[1]
        )
        state = state + self.dropout(self.seen_out(_joined(found)))
        hidden = functional.gelu(self.wide(self.norms[2](state)))
        return state + self.dropout(self.narrow(hidden)), torch.stack([keys, values])

    def _heads(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def parameters(network: nn.Module) -> int:
    """How many weights it has."""
    return sum(weights.numel() for weights in network.parameters())


def _joined(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(2)


def _sines(count: int, width: int) -> Tensor:
    """Vaswani et al., arXiv 1706.03762, section 3.5: (count, width)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def _places(rows: int, columns: int, width: int) -> Tensor:
    """Half of the dimensions say the row, the others the column: (rows, columns, width)."""
    down = _sines(rows, width // 2)[:, None].expand(-1, columns, -1)
    right = _sines(columns, width // 2)[None].expand(rows, -1, -1)
    return torch.cat([down, right], -1)


def from_weights(config: ModelConfig, vocabulary: int, tensors: dict[str, Any]) -> FormulaNetwork:
    """A network with these weights, ready to read; raises ``RuntimeError`` unless they fit one and all."""
    network = FormulaNetwork(config, vocabulary)
    network.load_state_dict(tensors)
    network.eval()
    return network
