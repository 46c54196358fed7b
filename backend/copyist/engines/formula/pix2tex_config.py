"""What shape a checkpoint of pix2tex has, by its ``config.yaml``; looked at without loading it.

A folder holds ``config.yaml`` and ``tokenizer.json`` from the repository lukas-blecher/LaTeX-OCR, and ``weights.pth``
from its release; ``image_resizer.pth`` where there is one. No version is named in any of them: what is described here
is what pix2tex 0.0.2 to 0.1.4 read, with x-transformers 0.15.0 and timm 0.5.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from copyist.engines.checkpoints import CheckpointUnusable, require
from copyist.engines.weights.intact import fault_of

CONFIG, TENSORS, TOKENIZER, RESIZER = "config.yaml", "weights.pth", "tokenizer.json", "image_resizer.pth"
MULTIPLE = 32
"""Pictures have sides of so many pixels, or of a multiple of it."""
_STRUCTURES = "hybrid", "vit"
_MOST_PIXELS, _MOST = 4_000_000, 100_000


@dataclass(frozen=True)
class DecoderOptions:
    """What of x-transformers' options the decoder uses; of the others none may be switched on."""

    cross_attend: bool = False
    attn_on_attn: bool = False
    ff_glu: bool = False
    use_scalenorm: bool = False


@dataclass(frozen=True)
class Pix2TexConfig:
    """``config.yaml`` without what only training needs. Sides are in pixels, of a picture and of a patch of it."""

    max_width: int
    max_height: int
    patch_size: int
    dim: int
    heads: int
    encoder_depth: int
    num_layers: int
    num_tokens: int
    max_seq_len: int
    pad_token: int
    bos_token: int
    eos_token: int
    channels: int = 1
    min_width: int = MULTIPLE
    min_height: int = MULTIPLE
    encoder_structure: str = "hybrid"
    backbone_layers: tuple[int, ...] = ()
    decoder_args: DecoderOptions = field(default_factory=DecoderOptions)

    @property
    def patches(self) -> tuple[int, int]:
        """Rows and columns of patches in the largest picture."""
        return self.max_height // self.patch_size, self.max_width // self.patch_size

    @property
    def backbone_reduction(self) -> int:
        """By how much the convolutions before the patches make a picture smaller."""
        return 1 << (len(self.backbone_layers) + 1)

    @property
    def depth(self) -> int:
        """How many layers there are in all."""
        return self.encoder_depth + self.num_layers + sum(self.backbone_layers)


def open_pix2tex(folder: Path) -> Pix2TexConfig:
    """Look into ``folder``; raises ``CheckpointUnusable`` with the reason where its files are not whole or do not fit.

    A byte that is wrong in the middle of the weights is not seen here.
    """
    if not folder.is_dir():
        raise CheckpointUnusable(f"There is no folder {folder.name} with a checkpoint.")
    require(folder, (CONFIG, TENSORS, TOKENIZER))
    for path in (folder / name for name in (TENSORS, TOKENIZER, RESIZER)):
        fault = fault_of(path) if path.is_file() else ""
        if fault:
            raise CheckpointUnusable(f"{folder.name}/{path.name} {fault}; pull the weights again.")
    return _config(folder / CONFIG)


def _config(path: Path) -> Pix2TexConfig:
    where = f"{path.parent.name}/{path.name}"
    try:
        import yaml
    except ModuleNotFoundError as error:  # Who reads with ONNX Runtime alone needs none.
        raise CheckpointUnusable("The package pyyaml is not installed; install copyist with [models].") from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointUnusable(f"{where} is not YAML; pull the weights again.") from error
    if not isinstance(content, dict):
        raise CheckpointUnusable(f"{where} describes no model; pull the weights again.")
    try:
        known = {one.name: content[one.name] for one in fields(Pix2TexConfig) if one.name in content}
        missing = [one.name for one in fields(Pix2TexConfig) if one.name not in known and _is_needed(one)]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        known["backbone_layers"] = tuple(_numbers(known.get("backbone_layers") or ()))
        config = Pix2TexConfig(**known | {"decoder_args": _options(content.get("decoder_args") or {})})
        _check(config)
    except (TypeError, ValueError) as error:
        raise CheckpointUnusable(f"{where} describes no model of pix2tex that can be read here: {error}.") from error
    return config


def _options(asked: Mapping[str, Any]) -> DecoderOptions:
    known = {one.name for one in fields(DecoderOptions)}
    unknown = sorted(name for name, value in dict(asked).items() if value and name not in known)
    if unknown:
        raise ValueError(f"the decoder's option {unknown[0]} is not known")
    options = DecoderOptions(**{name: bool(value) for name, value in asked.items() if name in known})
    if not options.cross_attend:
        raise ValueError("its decoder does not look at the picture (cross_attend)")
    return options


def _check(config: Pix2TexConfig) -> None:
    if config.encoder_structure not in _STRUCTURES:
        raise ValueError(f"its encoder_structure is not {' or '.join(_STRUCTURES)}")
    numbers = {name: value for name, value in vars(config).items() if name not in _NOT_NUMBERS}
    for name, value in numbers.items():
        least = 0 if name.endswith("_token") else 1
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST:
            raise ValueError(f"{name} is no number from {least} to {_MOST}")
    if config.channels != 1:
        raise ValueError(f"it sees {config.channels} channels, and not one")
    for name in ("max_width", "max_height", "min_width", "min_height"):
        if numbers[name] % MULTIPLE:
            raise ValueError(f"{name} is {numbers[name]}, no multiple of {MULTIPLE}")
    if config.max_width * config.max_height > _MOST_PIXELS:
        raise ValueError(f"it asks for pictures of {config.max_width} x {config.max_height} pixels")
    if config.min_width > config.max_width or config.min_height > config.max_height:
        raise ValueError("its smallest picture is larger than its largest")
    _check_tokens(config)
    _check_patches(config)


def _check_tokens(config: Pix2TexConfig) -> None:
    special = config.pad_token, config.bos_token, config.eos_token
    if len(set(special)) < len(special) or max(special) >= config.num_tokens:
        raise ValueError(f"its pad_token, bos_token and eos_token are {', '.join(map(str, special))}")
    if config.max_seq_len < 2:
        raise ValueError("its formulas have no room for a token")


def _check_patches(config: Pix2TexConfig) -> None:
    if MULTIPLE % config.patch_size or config.dim % config.heads:
        raise ValueError(f"its patch_size is {config.patch_size}, its dim {config.dim} with {config.heads} heads")
    layers = len(config.backbone_layers)
    if config.encoder_structure == "hybrid" and (not layers or config.patch_size % config.backbone_reduction):
        raise ValueError(f"its patch_size {config.patch_size} does not fit to {layers} backbone_layers")


def _is_needed(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _numbers(values: Any) -> list[int]:
    if not isinstance(values, list | tuple) or not all(isinstance(one, int) and 1 <= one <= _MOST for one in values):
        raise ValueError("backbone_layers is no list of numbers")
    return list(values)


_NOT_NUMBERS = frozenset({"encoder_structure", "backbone_layers", "decoder_args"})
