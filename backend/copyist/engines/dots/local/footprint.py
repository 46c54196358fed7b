"""How much memory dots.ocr takes: its weights, and the pages that it reads together. Bytes; 1 GB is 10^9 of them.

The figures for what a page takes were measured as the slope of the peak over the number of patches, and are rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from copyist.engines.dots.local.architecture import MERGE, PATCH, VISION_PREFIX, LanguageConfig, VisionConfig

GB = 10**9
ITEM_BYTES: Mapping[str, int] = {"bf16": 2, "fp16": 2, "fp32": 4}
PATCHES_AT_ONCE = 20_000
"""Patches that go through the tower together: one A4 page at 200 dpi, which fills a GPU. A larger page goes alone."""

_PACKED: Mapping[str, float] = {"int8": 1.0, "nf4": 0.5625}
"""Bytes per weight of a quantized layer; nf4 has a scale of four bytes for every 64 weights."""
_TOWER_WIDTHS, _FEED_FORWARD_WIDTHS = 15, 5
"""What is alive at once in the tower's widest moment, in rows of ``embed_dim``, and in the language model's, in rows of
``intermediate_size``."""
_SCORES = 6
"""Copies of the scores of all tokens, in float32, while one is chosen."""
_MASK = 3
"""Bytes for each pair of tokens of a row, where prompts of different lengths need a mask: as truth, and as a number."""
_WORDS = 512
"""More tokens than any prompt has beside its image."""


def weights_bytes(shapes: Mapping[str, tuple[int, ...]], *, dtype: str, quantization: str) -> int:
    """What the weights take once they are loaded; ``shapes`` are the tensors' by name."""
    packed = _PACKED.get(quantization)
    sizes = (
        math.prod(shape) * (packed if packed and _is_packed(name, shape) else ITEM_BYTES[dtype])
        for name, shape in shapes.items()
    )
    return math.ceil(sum(sizes))


def batch_bytes(
    vision: VisionConfig,
    language: LanguageConfig,
    *,
    images: Sequence[tuple[int, int]],
    max_tokens: int,
    dtype: str,
) -> int:
    """What reading ``images``, (height, width) in pixels, together takes beside the weights, at the most.

    ``max_tokens`` is the longest answer. All prompts are padded to the longest.
    """
    item = ITEM_BYTES[dtype]
    patches = [height * width // PATCH**2 for height, width in images]
    together = min(sum(patches), max(PATCHES_AT_ONCE, *patches))
    tower = together * _TOWER_WIDTHS * vision.embed_dim * item
    prompt = max(patches) // MERGE**2 + _WORDS
    head = language.hidden_size // language.num_attention_heads
    cache = 2 * language.num_hidden_layers * language.num_key_value_heads * head * item
    prefill = _FEED_FORWARD_WIDTHS * language.intermediate_size * item
    row = prompt * (prefill + cache) + max_tokens * cache + _SCORES * 4 * language.vocab_size
    if min(patches) != max(patches):
        row += prompt**2 * _MASK
    return tower + len(images) * row


def _is_packed(name: str, shape: tuple[int, ...]) -> bool:
    """Whether quantization packs a tensor: the linear layers of the language model, without its last."""
    return len(shape) == 2 and not name.startswith((VISION_PREFIX, "lm_head.", "model.embed_tokens."))
