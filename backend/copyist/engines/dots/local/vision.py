"""The vision tower of dots.ocr: patches of pages in, rows for the language model out.

An own version of the published remote code, which transformers 5 breaks: that code keeps its rotary frequencies in a
buffer which loading leaves uninitialised, so that boxes are wrong; and its attention builds a matrix of all patches by
all patches, 74 GiB at full size. Here positions are computed from their formula at every call, in float32 or better,
and each image is attended to by itself, without a mask.

Modules carry the names of the checkpoint's tensors less ``vision_tower.``. N is the number of patches of all images in
a call, one image after the other; an image's grid is (rows, columns) of patches, both even. Imported only where a model
is loaded, since it needs torch.
"""

# mypy: disable-error-code="misc"
# torch has no types here, so that every module of the tower would be refused for its base class.

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from copyist.engines.dots.local.architecture import CHANNELS, MERGE, PATCH, VisionConfig
from copyist.engines.dots.local.footprint import PATCHES_AT_ONCE

Grid = tuple[int, int]

_THETA = 10_000.0
_MERGER_EPS = 1e-6
"""That of the merger's LayerNorm, whatever ``rms_norm_eps`` says."""


def _nothing() -> None:
    """Look after nothing between two blocks."""


class RMSNorm(nn.Module):
    """Scaling to a root mean square of one, over the last axis; the mean square is taken in float32 or better."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (N, width), scaled, of the same type."""
        exact = rows.to(torch.promote_types(rows.dtype, torch.float32))
        scaled = exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(rows.dtype)


class Patchifier(nn.Module):
    """From a patch's 588 numbers to its row: a convolution whose step is its size, which is a plain product."""

    def __init__(self, sizes: VisionConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(CHANNELS, sizes.embed_dim, kernel_size=PATCH, stride=PATCH)
        self.norm = RMSNorm(sizes.embed_dim, sizes.rms_norm_eps)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (N, 588) to rows (N, embed_dim)."""
        embedded: Tensor = self.norm(functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias))
        return embedded


class PatchEmbed(nn.Module):
    """Only a name on the way to the patchifier, as the checkpoint has it."""

    def __init__(self, sizes: VisionConfig) -> None:
        super().__init__()
        self.patchifier = Patchifier(sizes)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (N, 588) to rows (N, embed_dim)."""
        embedded: Tensor = self.patchifier(patches)
        return embedded


class Attention(nn.Module):
    """Every patch looks at every other of its own image; no mask, so that memory grows with N and not with N²."""

    def __init__(self, sizes: VisionConfig) -> None:
        super().__init__()
        self.heads = sizes.num_attention_heads
        self.qkv = nn.Linear(sizes.embed_dim, 3 * sizes.embed_dim, bias=False)
        self.proj = nn.Linear(sizes.embed_dim, sizes.embed_dim, bias=False)

    def forward(self, rows: Tensor, angles: Tensor, lengths: Sequence[int]) -> Tensor:
        """Rows (N, embed_dim), turned by ``angles`` (N, head/2); ``lengths`` are the patches of each image."""
        queries, keys, values = self.qkv(rows).view(len(rows), 3, self.heads, -1).unbind(1)
        queries, keys = turned(queries, angles), turned(keys, angles)
        per_image = [
            # (length, heads, head) to (1, heads, length, head), and back.
            functional.scaled_dot_product_attention(*(part.transpose(0, 1).unsqueeze(0) for part in image))
            .squeeze(0)
            .transpose(0, 1)
            for image in zip(*(part.split(list(lengths)) for part in (queries, keys, values)), strict=True)
        ]
        mixed: Tensor = self.proj(torch.cat(per_image).reshape(len(rows), -1))
        return mixed


class FeedForward(nn.Module):
    """SwiGLU: ``fc1`` is the gate, ``fc3`` what goes through it, ``fc2`` the way back."""

    def __init__(self, sizes: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.embed_dim, sizes.intermediate_size, bias=False)
        self.fc2 = nn.Linear(sizes.intermediate_size, sizes.embed_dim, bias=False)
        self.fc3 = nn.Linear(sizes.embed_dim, sizes.intermediate_size, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (N, embed_dim) to rows of the same shape."""
        passed: Tensor = self.fc2(functional.silu(self.fc1(rows)) * self.fc3(rows))
        return passed


class Block(nn.Module):
    """One of the tower's equal storeys: attention, then the feed-forward network, each on normalised rows."""

    def __init__(self, sizes: VisionConfig) -> None:
        super().__init__()
        self.norm1 = RMSNorm(sizes.embed_dim, sizes.rms_norm_eps)
        self.attn = Attention(sizes)
        self.norm2 = RMSNorm(sizes.embed_dim, sizes.rms_norm_eps)
        self.mlp = FeedForward(sizes)

    def forward(self, rows: Tensor, angles: Tensor, lengths: Sequence[int]) -> Tensor:
        """Rows (N, embed_dim) to rows of the same shape."""
        rows = rows + self.attn(self.norm1(rows), angles, lengths)
        raised: Tensor = rows + self.mlp(self.norm2(rows))
        return raised


class Merger(nn.Module):
    """Joins the four patches of a cell, which follow each other, into one row for the language model."""

    def __init__(self, sizes: VisionConfig) -> None:
        super().__init__()
        merged = sizes.embed_dim * MERGE**2
        self.ln_q = nn.LayerNorm(sizes.embed_dim, eps=_MERGER_EPS)
        self.mlp = nn.Sequential(nn.Linear(merged, merged), nn.GELU(), nn.Linear(merged, sizes.hidden_size))

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (N, embed_dim) to rows (N/4, hidden_size)."""
        joined: Tensor = self.mlp(self.ln_q(rows).view(len(rows) // MERGE**2, -1))
        return joined


class VisionTower(nn.Module):
    """The whole tower."""

    def __init__(self, sizes: VisionConfig) -> None:
        super().__init__()
        self.head_width = sizes.embed_dim // sizes.num_attention_heads
        self.patch_embed = PatchEmbed(sizes)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.num_hidden_layers))
        self.post_trunk_norm = RMSNorm(sizes.embed_dim, sizes.rms_norm_eps)
        self.merger = Merger(sizes)

    def forward(
        self, patches: Sequence[Tensor], grids: Sequence[Grid], between: Callable[[], None] = _nothing
    ) -> list[Tensor]:
        """The rows (h*w/4, hidden_size) of each image, in raster order of its cells of 28 x 28 pixels.

        ``patches`` (h*w, 588) are one tensor per image, cast and moved here as they are needed. ``between`` is called
        before each block and may raise, to give up a page that nobody waits for any more.
        """
        rows: list[Tensor] = []
        for first, last in groups([down * across for down, across in grids], PATCHES_AT_ONCE):
            rows += self._raise(patches[first:last], grids[first:last], between)
        return rows

    def _raise(self, patches: Sequence[Tensor], grids: Sequence[Grid], between: Callable[[], None]) -> list[Tensor]:
        """Take images up through all storeys together."""
        weight = self.merger.ln_q.weight
        lengths = [down * across for down, across in grids]
        if lengths != [len(image) for image in patches]:
            raise ValueError(
                f"The grids {list(grids)} do not fit images of {[len(image) for image in patches]} patches."
            )
        rows = self.patch_embed(torch.cat([image.to(weight.device, weight.dtype) for image in patches]))
        angles = torch.cat([self._angles(grid) for grid in grids])
        for block in self.blocks:
            between()
            rows = block(rows, angles, lengths)
        merged: Tensor = self.merger(self.post_trunk_norm(rows))
        return list(merged.split([length // MERGE**2 for length in lengths]))

    def _angles(self, grid: Grid) -> Tensor:
        weight = self.merger.ln_q.weight
        return angles_of(
            grid,
            self.head_width,
            dtype=torch.promote_types(weight.dtype, torch.float32),
            device=weight.device,
        )


def angles_of(grid: Grid, head_width: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """By how much the pairs of each patch's query and key are turned, shape (h*w, head_width/2), patches in order.

    The first half of the pairs is turned by the patch's row, the second by its column, times falling frequencies.
    """
    down, across = grid
    frequencies = _THETA ** (-torch.arange(0, head_width // 2, 2, dtype=dtype, device=device) / (head_width // 2))
    row, column = (torch.arange(count, dtype=dtype, device=device)[:, None] * frequencies for count in (down, across))
    table = torch.cat([row[:, None].expand(-1, across, -1), column[None].expand(down, -1, -1)], dim=-1)
    cells = table.view(down // MERGE, MERGE, across // MERGE, MERGE, -1).transpose(1, 2)
    return cells.reshape(down * across, -1)


def turned(heads: Tensor, angles: Tensor) -> Tensor:
    """``heads`` (N, heads, width) with elements d and d + width/2 turned as a pair, in the type of ``angles``."""
    cosine, sine = angles.cos()[:, None], angles.sin()[:, None]
    low, high = heads.to(angles.dtype).chunk(2, dim=-1)
    return torch.cat([low * cosine - high * sine, high * cosine + low * sine], dim=-1).to(heads.dtype)


def groups(lengths: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Runs of images, as (first, last + 1), with at most ``most`` patches together or a single image each."""
    runs: list[tuple[int, int]] = []
    taken = most + 1
    for at, length in enumerate(lengths):
        if taken + length > most:
            runs.append((at, at))
            taken = 0
        runs[-1] = (runs[-1][0], at + 1)
        taken += length
    return runs
