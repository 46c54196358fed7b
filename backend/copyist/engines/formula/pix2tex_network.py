"""The network of pix2tex (Lukas Blecher, LaTeX-OCR): a ViT on top of convolutions, and a decoder of x-transformers.

Convolutions and the ViT's layers are timm's. The decoder is written out, because it keeps its keys and values, which
x-transformers 0.15.0 does not: there each token costs as much as all before it. Tensors have the names and shapes of
the published file, and each is needed. Imported late: torch and timm take a second.
"""

# mypy: disable-error-code="misc"
# torch has no types here, so that every module would be refused for its base class.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from copyist.engines.base import NotReady
from copyist.engines.formula.pix2tex_config import MULTIPLE, DecoderOptions, Pix2TexConfig
from copyist.engines.torchvision_shim import import_torchvision

import_torchvision()

import torch  # noqa: E402 - timm needs torchvision, which needs the line above
from timm.layers import StdConv2dSame  # noqa: E402
from timm.models.resnetv2 import ResNetV2  # noqa: E402
from timm.models.vision_transformer import Block  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

_HEAD = 64
"""The width of a head, whatever the model's."""
_WIDER = 4
"""How much wider the inner layer of a feed-forward network is."""
_PLAIN = DecoderOptions()


@dataclass
class Written:
    """What the decoder knows: keys and values of the picture, and those of what is written, each for every layer.

    Tensors are (batch, heads, places, 64), keys first.
    """

    cross: list[tuple[Tensor, Tensor]]
    past: list[tuple[Tensor, Tensor]]

    def of(self, rows: Tensor) -> Written:
        """The same of these rows of the batch."""
        return Written(*([(keys[rows], values[rows]) for keys, values in part] for part in (self.cross, self.past)))


class Pix2Tex(nn.Module):
    """Pictures, float (batch, 1, height, width), to the logits of tokens. Sides are multiples of a patch's."""

    def __init__(self, config: Pix2TexConfig) -> None:
        super().__init__()
        is_hybrid = config.encoder_structure == "hybrid"
        self.encoder = _HybridEncoder(config) if is_hybrid else _VitEncoder(config)
        self.decoder = nn.ModuleDict({"net": _Decoder(config)})

    def look(self, pictures: Tensor) -> Written:
        """What the decoder knows before the first token."""
        written: Written = self.decoder["net"].look(self.encoder(pictures))
        return written

    def step(self, tokens: Tensor, position: int, written: Written) -> Tensor:
        """Logits (batch, vocabulary) of what follows ``tokens`` (batch,); ``written`` grows by them."""
        logits: Tensor = self.decoder["net"].step(tokens, position, written)
        return logits


class _HybridEncoder(nn.Module):
    """timm's hybrid ViT: 1 + rows x columns places of a picture, each ``dim`` wide."""

    def __init__(self, config: Pix2TexConfig) -> None:
        super().__init__()
        backbone = ResNetV2(
            config.backbone_layers,
            num_classes=0,
            global_pool="",
            in_chans=config.channels,
            preact=False,
            stem_type="same",
            conv_layer=StdConv2dSame,
        )
        size = config.patch_size // config.backbone_reduction
        projection = nn.Conv2d(backbone.num_features, config.dim, kernel_size=size, stride=size)
        self.patch_embed = nn.ModuleDict({"backbone": backbone, "proj": projection})
        rows, self.columns = config.patches
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + rows * self.columns, config.dim))
        self.blocks = nn.Sequential(
            *(Block(config.dim, config.heads, mlp_ratio=_WIDER, qkv_bias=True) for _ in range(config.encoder_depth))
        )
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)

    def forward(self, pictures: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](self.patch_embed["backbone"](pictures)).permute(0, 2, 3, 1)
        seen: Tensor = self.norm(self.blocks(_placed(patches, self.cls_token, self.pos_embed, self.columns)))
        return seen


class _VitEncoder(nn.Module):
    """The plain one, whose layers are x-transformers'."""

    def __init__(self, config: Pix2TexConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        rows, self.columns = config.patches
        self.pos_embedding = nn.Parameter(torch.zeros(1, 1 + rows * self.columns, config.dim))
        self.patch_to_embedding = nn.Linear(config.channels * config.patch_size**2, config.dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.attn_layers = _Layers(config.dim, config.heads, config.encoder_depth, _PLAIN)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, pictures: Tensor) -> Tensor:
        size = self.patch_size
        cut = pictures.unflatten(3, (-1, size)).unflatten(2, (-1, size))
        patches = self.patch_to_embedding(cut.permute(0, 2, 4, 3, 5, 1).flatten(3))
        state = _placed(patches, self.cls_token, self.pos_embedding, self.columns)
        for attend, feed in self.attn_layers.blocks():
            state = attend.add(state)
            state = feed.add(state)
        seen: Tensor = self.norm(state)
        return seen


class _Decoder(nn.Module):
    """x-transformers' ``TransformerWrapper`` around its ``Decoder``: each layer reads what is written, then looks."""

    def __init__(self, config: Pix2TexConfig) -> None:
        super().__init__()
        self.token_emb = nn.Embedding(config.num_tokens, config.dim)
        self.pos_emb = nn.ModuleDict({"emb": nn.Embedding(config.max_seq_len, config.dim)})
        self.attn_layers = _Layers(config.dim, config.heads, config.num_layers, config.decoder_args)
        self.norm = nn.LayerNorm(config.dim)
        self.to_logits = nn.Linear(config.dim, config.num_tokens)

    def look(self, seen: Tensor) -> Written:
        looks = [look.block for _, look, _ in self.attn_layers.blocks()]
        nothing = [(seen.new_zeros(len(seen), one.heads, 0, _HEAD),) * 2 for one in looks]
        return Written([one.keys_and_values(seen) for one in looks], nothing)

    def step(self, tokens: Tensor, position: int, written: Written) -> Tensor:
        state = (self.token_emb(tokens) + self.pos_emb["emb"].weight[position])[:, None]
        for number, (attend, look, feed) in enumerate(self.attn_layers.blocks()):
            normed = attend.norm(state)
            new = attend.block.keys_and_values(normed)
            keys, values = (torch.cat(pair, 2) for pair in zip(written.past[number], new, strict=True))
            written.past[number] = keys, values
            state = state + attend.block(normed, keys, values)
            state = state + look.block(look.norm(state), *written.cross[number])
            state = feed.add(state)
        logits: Tensor = self.to_logits(self.norm(state[:, 0]))
        return logits


class _Layers(nn.Module):
    """x-transformers' ``AttentionLayers``: norm and block in turn, the norm before the block."""

    def __init__(self, dim: int, heads: int, depth: int, options: DecoderOptions) -> None:
        super().__init__()
        attentions = 1 + options.cross_attend
        self.layers = nn.ModuleList()
        for _ in range(depth):
            for _ in range(attentions):
                self.layers.append(_Normed(dim, options, _Attention(dim, heads, options)))
            self.layers.append(_Normed(dim, options, _FeedForward(dim, options)))
        self.each = attentions + 1

    def blocks(self) -> list[tuple[Any, ...]]:
        """The blocks of each layer together."""
        return [tuple(self.layers[start : start + self.each]) for start in range(0, len(self.layers), self.each)]


class _Normed(nn.ModuleList):
    """A norm and a block, as the published file numbers them."""

    def __init__(self, dim: int, options: DecoderOptions, block: nn.Module) -> None:
        super().__init__([_ScaleNorm(dim) if options.use_scalenorm else nn.LayerNorm(dim), block])

    @property
    def norm(self) -> Any:
        return self[0]

    @property
    def block(self) -> Any:
        return self[1]

    def add(self, state: Tensor) -> Tensor:
        """``state`` with what the block makes of it; each place sees all places."""
        added: Tensor = state + self.block(self.norm(state))
        return added


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int, options: DecoderOptions) -> None:
        super().__init__()
        self.heads, inner = heads, heads * _HEAD
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, inner, bias=False) for _ in range(3))
        gated = nn.Sequential(nn.Linear(inner, 2 * dim), nn.GLU())
        self.to_out = gated if options.attn_on_attn else nn.Linear(inner, dim)

    def forward(self, state: Tensor, keys: Tensor | None = None, values: Tensor | None = None) -> Tensor:
        """What ``state`` finds among ``keys`` and ``values``; among its own places without them."""
        if keys is None or values is None:
            keys, values = self.keys_and_values(state)
        found = functional.scaled_dot_product_attention(self._split(self.to_q(state)), keys, values)
        out: Tensor = self.to_out(found.transpose(1, 2).flatten(2))
        return out

    def keys_and_values(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        return self._split(self.to_k(seen)), self._split(self.to_v(seen))

    def _split(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, _HEAD)).transpose(1, 2)


class _FeedForward(nn.Module):
    def __init__(self, dim: int, options: DecoderOptions) -> None:
        super().__init__()
        inner = dim * _WIDER
        first = _Geglu(dim, inner) if options.ff_glu else nn.Sequential(nn.Linear(dim, inner), nn.GELU())
        # In the middle stood the dropout of training; it has no tensors, but a number.
        self.net = nn.Sequential(first, nn.Identity(), nn.Linear(inner, dim))

    def forward(self, state: Tensor) -> Tensor:
        out: Tensor = self.net(state)
        return out


class _Geglu(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner)

    def forward(self, state: Tensor) -> Tensor:
        value, gate = self.proj(state).chunk(2, dim=-1)
        out: Tensor = value * functional.gelu(gate)
        return out


class _ScaleNorm(nn.Module):
    """Nguyen and Salazar, arXiv 1910.05895, section 2.2, with x-transformers' division of the length by sqrt(dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = dim**-0.5
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, state: Tensor) -> Tensor:
        length = state.norm(dim=-1, keepdim=True) * self.scale
        return state / length.clamp(min=1e-5) * self.g


def resizer(config: Pix2TexConfig) -> nn.Module:
    """The network that says how wide a picture should be, in steps of 32 pixels: logits (batch, steps)."""
    return ResNetV2(
        [2, 3, 3],
        num_classes=max(config.max_width, config.max_height) // MULTIPLE,
        in_chans=1,
        stem_type="same",
        conv_layer=StdConv2dSame,
    )


def with_weights(network: Any, tensors: Mapping[str, Any], name: str) -> Any:
    """``network``, made without memory of its own (on torch's device "meta"), with ``tensors``, ready to read.

    Raises ``NotReady`` naming the first tensor that is missing, unknown or of another shape; ``name`` is the file's.
    """
    wanted = network.state_dict()
    for key in sorted(wanted.keys() | tensors.keys()):
        if key not in tensors:
            raise NotReady(f"{name} has no {key}; it is another model's, or config.yaml is. Pull the weights again.")
        if key not in wanted or tensors[key].shape != wanted[key].shape:
            raise NotReady(f"{name} has no fitting {key}; it is another model's, or config.yaml is.")
    network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, assign=True)
    return network.requires_grad_(requires_grad=False).eval()


def _placed(patches: Tensor, first: Tensor, positions: Tensor, columns: int) -> Tensor:
    """``patches`` (batch, rows, columns, dim) in one row behind ``first``, each with the position of its place.

    Positions are those of the largest picture, ``columns`` wide; a smaller one takes those of its top left.
    """
    rows, own = patches.shape[1:3]
    places = positions[:, 1:].unflatten(1, (-1, columns))[:, :rows, :own]
    begin = (first + positions[:, :1]).expand(len(patches), -1, -1)
    return torch.cat([begin, (patches + places).flatten(1, 2)], 1)
