"""The published layout of dots.ocr: its ``config.json``, and the name and shape of every tensor.

Written from the description of the checkpoint, and sharing nothing with the engine's own table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PUBLISHED: Mapping[str, Any] = {
    "architectures": ["DotsOCRForCausalLM"],
    "model_type": "dots_ocr",
    "auto_map": {"AutoConfig": "configuration_dots.DotsOCRConfig", "AutoModelForCausalLM": "modeling_dots_ocr.X"},
    "attention_bias": True,
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "hidden_size": 1536,
    "initializer_range": 0.02,
    "intermediate_size": 8960,
    "max_position_embeddings": 131072,
    "max_window_layers": 28,
    "num_attention_heads": 12,
    "num_hidden_layers": 28,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
    "image_token_id": 151665,
    "video_token_id": 151656,
    "vision_config": {
        "embed_dim": 1536,
        "hidden_size": 1536,
        "intermediate_size": 4224,
        "num_hidden_layers": 42,
        "num_attention_heads": 12,
        "num_channels": 3,
        "patch_size": 14,
        "post_norm": True,
        "rms_norm_eps": 1e-05,
        "spatial_merge_size": 2,
        "temporal_patch_size": 1,
        "use_bias": False,
        "attn_implementation": "flash_attention_2",
        "init_merger_std": 0.02,
        "initializer_range": 0.02,
        "is_causal": False,
    },
}
"""The ``config.json`` of dots.ocr."""


def published_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a checkpoint, as the sheet's first section lists them."""
    vision = config["vision_config"]
    e, f, o = vision["embed_dim"], vision["intermediate_size"], vision["hidden_size"]
    h, i, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    kv = h // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {
        "vision_tower.patch_embed.patchifier.proj.weight": (e, 3, 14, 14),
        "vision_tower.patch_embed.patchifier.proj.bias": (e,),
        "vision_tower.patch_embed.patchifier.norm.weight": (e,),
        "vision_tower.post_trunk_norm.weight": (e,),
        "vision_tower.merger.ln_q.weight": (e,),
        "vision_tower.merger.ln_q.bias": (e,),
        "vision_tower.merger.mlp.0.weight": (4 * e, 4 * e),
        "vision_tower.merger.mlp.0.bias": (4 * e,),
        "vision_tower.merger.mlp.2.weight": (o, 4 * e),
        "vision_tower.merger.mlp.2.bias": (o,),
        "model.embed_tokens.weight": (v, h),
        "lm_head.weight": (v, h),
        "model.norm.weight": (h,),
    }
    for number in range(vision["num_hidden_layers"]):
        block = f"vision_tower.blocks.{number}."
        shapes |= {f"{block}norm1.weight": (e,), f"{block}norm2.weight": (e,)}
        shapes |= {f"{block}attn.qkv.weight": (3 * e, e), f"{block}attn.proj.weight": (e, e)}
        shapes |= {f"{block}mlp.fc1.weight": (f, e), f"{block}mlp.fc3.weight": (f, e), f"{block}mlp.fc2.weight": (e, f)}
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}."
        for name, size in (("q", h), ("k", kv), ("v", kv)):
            shapes |= {f"{layer}self_attn.{name}_proj.weight": (size, h), f"{layer}self_attn.{name}_proj.bias": (size,)}
        shapes |= {f"{layer}self_attn.o_proj.weight": (h, h), f"{layer}mlp.down_proj.weight": (h, i)}
        shapes |= {f"{layer}mlp.gate_proj.weight": (i, h), f"{layer}mlp.up_proj.weight": (i, h)}
        shapes |= {f"{layer}input_layernorm.weight": (h,), f"{layer}post_attention_layernorm.weight": (h,)}
    return shapes
