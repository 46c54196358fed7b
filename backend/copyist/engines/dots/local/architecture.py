"""What a checkpoint of dots.ocr or dots.mocr must be made of, read from its ``config.json`` without torch.

Both models are a vision tower in front of Qwen2, and have one layout. Values that would change the arithmetic, and that
the tower does not know, are refused rather than ignored: a model that is computed wrongly answers all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from copyist.engines.checkpoints import CheckpointUnusable

MODEL_TYPE = "dots_ocr"
ARCHITECTURE = "DotsOCRForCausalLM"
PATCH, MERGE, CHANNELS = 14, 2, 3
"""A patch is 14 x 14 pixels of three channels; 2 x 2 patches become one token of the language model."""
VISION_PREFIX = "vision_tower."

_VISION_SIZES = ("embed_dim", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_VISION_FIXED: Mapping[str, Any] = {
    "num_channels": CHANNELS,
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "temporal_patch_size": 1,
    "use_bias": False,
    "post_norm": True,
    "is_causal": False,
}
_VISION_IGNORED = frozenset(
    {"attn_implementation", "init_merger_std", "initializer_range", "gradient_checkpointing", "model_type"}
    | {"torch_dtype", "dtype", "transformers_version"}
)
"""What says how to train, to store or to compute fast, and not what is computed."""
_LANGUAGE_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
_LANGUAGE_FIXED: Mapping[str, Any] = {
    "hidden_act": "silu",
    "use_sliding_window": False,
    "tie_word_embeddings": False,
}


_LARGEST = 1e12
"""What no sensible real number in a configuration exceeds; rotary bases come nearest to it."""


@dataclass(frozen=True)
class VisionConfig:
    """The sizes of the vision tower. ``hidden_size`` is the width that its merger gives to the language model."""

    embed_dim: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    rms_norm_eps: float


@dataclass(frozen=True)
class LanguageConfig:
    """The sizes of Qwen2, by the names that ``transformers.Qwen2Config`` has for them."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float


@dataclass(frozen=True)
class Architecture:
    """Both halves, and the id of the token that stands where the vision tower's rows go."""

    vision: VisionConfig
    language: LanguageConfig
    image_token_id: int


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The sizes in a ``config.json``; raises ``CheckpointUnusable`` naming the value that cannot be computed with."""
    if config.get("model_type") != MODEL_TYPE or config.get("architectures") != [ARCHITECTURE]:
        named = config.get("model_type") or config.get("architectures")
        raise CheckpointUnusable(f"It is a checkpoint of {named}, not of dots.ocr or dots.mocr.")
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping):
        raise CheckpointUnusable("Its config.json has no vision_config; pull the weights again.")
    return Architecture(_vision(vision), _language(config), _number(config, "image_token_id"))


def tensor_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a checkpoint, by name; linear weights are (out, in)."""
    return {**_vision_shapes(architecture.vision), **_language_shapes(architecture.language)}


def check_shapes(architecture: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ``CheckpointUnusable`` naming the first tensor of ``shapes`` that is missing, misshapen or unknown."""
    layers = architecture.vision.num_hidden_layers, architecture.language.num_hidden_layers
    if max(layers) > len(shapes):
        raise CheckpointUnusable(
            f"Its config.json asks for {max(layers):,} layers, and the files hold {len(shapes):,} tensors; weights and "
            "config.json are of different models. Pull the weights again."
        )
    needed = tensor_shapes(architecture)
    for name, shape in needed.items():
        if name not in shapes:
            raise CheckpointUnusable(f"The tensor {name} is missing; pull the weights again.")
        if tuple(shapes[name]) != shape:
            raise CheckpointUnusable(
                f"The tensor {name} has the shape {tuple(shapes[name])} and config.json asks for {shape}; "
                "weights and config.json are of different models. Pull the weights again."
            )
    unknown = sorted(name for name in shapes if name not in needed)
    if unknown:
        raise CheckpointUnusable(f"It has a tensor {unknown[0]} that dots.ocr has not; it is another model's.")


def _vision(config: Mapping[str, Any]) -> VisionConfig:
    known = {*_VISION_SIZES, *_VISION_FIXED, *_VISION_IGNORED, "rms_norm_eps"}
    unknown = sorted(name for name in config if name not in known and not name.startswith("_"))
    if unknown:
        raise CheckpointUnusable(
            f"Its vision_config has {unknown[0]} = {config[unknown[0]]!r}, which this version cannot compute with."
        )
    _refuse_others(config, _VISION_FIXED, "vision_config.")
    sizes = {name: _number(config, name, "vision_config.") for name in _VISION_SIZES}
    width = sizes["embed_dim"] // sizes["num_attention_heads"]
    # Rows and columns share the head's pairs evenly, which leaves no remainder in multiples of four.
    if width * sizes["num_attention_heads"] != sizes["embed_dim"] or width % 4:
        raise CheckpointUnusable("Its vision_config asks for attention heads that do not fit its embed_dim.")
    return VisionConfig(**sizes, rms_norm_eps=_real(config, "rms_norm_eps", "vision_config."))


def _language(config: Mapping[str, Any]) -> LanguageConfig:
    _refuse_others(config, _LANGUAGE_FIXED, "")
    sizes = {name: _number(config, name) for name in _LANGUAGE_SIZES}
    rope = config.get("rope_parameters") or {}
    if not isinstance(rope, Mapping):
        raise CheckpointUnusable("Its config.json has no usable rope_parameters; pull the weights again.")
    if config.get("rope_scaling") or rope.get("rope_type", "default") != "default":
        raise CheckpointUnusable("Its config.json scales the rotary positions, which this version cannot compute with.")
    head = sizes["hidden_size"] // sizes["num_attention_heads"]
    if config.get("head_dim", head) != head or head * sizes["num_attention_heads"] != sizes["hidden_size"]:
        raise CheckpointUnusable("Its config.json asks for attention heads that do not fit its hidden_size.")
    theta = _real(rope if "rope_theta" in rope else config, "rope_theta")
    return LanguageConfig(**sizes, rms_norm_eps=_real(config, "rms_norm_eps"), rope_theta=theta)


def _refuse_others(config: Mapping[str, Any], fixed: Mapping[str, Any], prefix: str) -> None:
    for name, value in fixed.items():
        if config.get(name, value) != value:
            raise CheckpointUnusable(
                f"Its {prefix}{name} is {config[name]!r}; this version can only compute with {value!r}."
            )


def _number(config: Mapping[str, Any], name: str, prefix: str = "") -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointUnusable(f"Its config.json has no usable {prefix}{name}; pull the weights again.")
    return value


def _real(config: Mapping[str, Any], name: str, prefix: str = "") -> float:
    value = config.get(name)
    # What is no number (NaN) is not less than anything, and some integers are too large for a float.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= _LARGEST:
        raise CheckpointUnusable(f"Its config.json has no usable {prefix}{name}; pull the weights again.")
    return float(value)


def _vision_shapes(sizes: VisionConfig) -> dict[str, tuple[int, ...]]:
    wide, inner, merged = sizes.embed_dim, sizes.intermediate_size, sizes.embed_dim * MERGE**2
    block: dict[str, tuple[int, ...]] = {
        "norm1.weight": (wide,),
        "attn.qkv.weight": (3 * wide, wide),
        "attn.proj.weight": (wide, wide),
        "norm2.weight": (wide,),
        "mlp.fc1.weight": (inner, wide),
        "mlp.fc2.weight": (wide, inner),
        "mlp.fc3.weight": (inner, wide),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.patchifier.proj.weight": (wide, CHANNELS, PATCH, PATCH),
        "patch_embed.patchifier.proj.bias": (wide,),
        "patch_embed.patchifier.norm.weight": (wide,),
        **_repeated("blocks", sizes.num_hidden_layers, block.items()),
        "post_trunk_norm.weight": (wide,),
        **dict.fromkeys(("merger.ln_q.weight", "merger.ln_q.bias"), (wide,)),
        "merger.mlp.0.weight": (merged, merged),
        "merger.mlp.0.bias": (merged,),
        "merger.mlp.2.weight": (sizes.hidden_size, merged),
        "merger.mlp.2.bias": (sizes.hidden_size,),
    }
    return {VISION_PREFIX + name: shape for name, shape in shapes.items()}


def _language_shapes(sizes: LanguageConfig) -> dict[str, tuple[int, ...]]:
    wide, inner = sizes.hidden_size, sizes.intermediate_size
    narrow = wide // sizes.num_attention_heads * sizes.num_key_value_heads
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj.weight": (wide, wide),
        "self_attn.q_proj.bias": (wide,),
        "self_attn.k_proj.weight": (narrow, wide),
        "self_attn.k_proj.bias": (narrow,),
        "self_attn.v_proj.weight": (narrow, wide),
        "self_attn.v_proj.bias": (narrow,),
        "self_attn.o_proj.weight": (wide, wide),
        "mlp.gate_proj.weight": (inner, wide),
        "mlp.up_proj.weight": (inner, wide),
        "mlp.down_proj.weight": (wide, inner),
        "input_layernorm.weight": (wide,),
        "post_attention_layernorm.weight": (wide,),
    }
    return {
        "model.embed_tokens.weight": (sizes.vocab_size, wide),
        **_repeated("model.layers", sizes.num_hidden_layers, layer.items()),
        "model.norm.weight": (wide,),
        "lm_head.weight": (sizes.vocab_size, wide),
    }


def _repeated(name: str, count: int, shapes: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    listed = list(shapes)
    return {f"{name}.{number}.{part}": shape for number in range(count) for part, shape in listed}
