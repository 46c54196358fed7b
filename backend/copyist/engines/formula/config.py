"""What shape a formula model has: one small record, and the shapes that have a name.

A checkpoint of ours is a folder: ``config.json`` (this record), ``vocabulary.json``, ``model.safetensors`` for torch,
``encoder.onnx`` and ``decoder.onnx`` for ONNX Runtime, one of the two at least; ``calibration.json`` where it is known
how sure it really is; ``report.json``, what it was measured to do.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

MODEL_TYPE = "copyist-formula"
FORMAT = 1
CONFIG, TENSORS = "config.json", "model.safetensors"
_ENCODER = re.compile(r"\w[\w.]*", re.ASCII)
"""A name alone: with a scheme before it, timm would fetch the model from elsewhere."""
_LIMITS = {
    "stage": (-9, 9),
    "layers": (1, 64),
    "heads": (1, 64),
    "feedforward": (1, 65_536),
    "longest": (1, 4096),
    "width": (32, 4096),
    "height": (32, 4096),
    "symbol_px": (4, 512),
    "multiple": (1, 512),
}


@dataclass(frozen=True)
class Frame:
    """What pictures are brought to: pixels, grey.

    A picture is scaled until its symbols are about ``symbol_px`` high, further down until it fits into ``height`` x
    ``width``, and then stands at the top left of the smallest frame whose sides are multiples of ``multiple``; of the
    whole ``height`` x ``width`` where the frame is ``fixed``. Pictures are batched with those of the same size only,
    so that nothing changes by what else is read.
    """

    height: int
    width: int
    symbol_px: int = 32
    multiple: int = 32
    fixed: bool = False


@dataclass(frozen=True)
class ModelConfig:
    """An encoder of timm that sees one channel, and a Transformer decoder on one of its maps of features.

    ``encoder`` is timm's name, ``stage`` which of its maps (the last: -1). The decoder has ``layers`` of ``heads`` with
    ``width`` dimensions and ``feedforward`` hidden ones. ``longest`` is how many tokens it writes at most.
    """

    encoder: str
    frame: Frame
    stage: int = -1
    width: int = 256
    layers: int = 8
    heads: int = 8
    feedforward: int = 1024
    longest: int = 160
    dropout: float = 0.1

    def save(self, folder: Path) -> None:
        """Write ``config.json``."""
        content = {"model_type": MODEL_TYPE, "format": FORMAT} | asdict(self)
        (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def of(cls, content: dict[str, Any]) -> ModelConfig:
        """From what ``config.json`` holds; raises ``ValueError`` for another model's, or another format."""
        known = dict(content)
        if known.pop("model_type", None) != MODEL_TYPE or known.pop("format", None) != FORMAT:
            raise ValueError(f"config.json is not of a {MODEL_TYPE} model of format {FORMAT}")
        try:
            config = cls(**known | {"frame": Frame(**known["frame"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"config.json does not describe a {MODEL_TYPE} model: {error}") from error
        config.check()
        return config

    def check(self) -> None:
        """Raise ``ValueError`` for what no model has, before anybody takes memory for it."""
        for part in (self, self.frame):
            for name, (least, most) in _LIMITS.items():
                value = getattr(part, name, least)
                if type(value) is not int or not least <= value <= most:
                    raise ValueError(f"config.json: {name} is no whole number from {least} to {most}")
        if self.width % self.heads or self.width % 4:
            raise ValueError("config.json: width is no multiple of 4 and of heads")
        if type(self.frame.fixed) is not bool:
            raise ValueError("config.json: fixed is neither true nor false")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError("config.json: dropout is no number from 0 to below 1")
        if not isinstance(self.encoder, str) or not _ENCODER.fullmatch(self.encoder):
            raise ValueError("config.json: encoder is no name of timm's")

    @classmethod
    def load(cls, folder: Path) -> ModelConfig:
        """From ``config.json``; raises ``OSError`` and ``ValueError``."""
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("config.json holds no object")
        return cls.of(content)


_REFERENCE = ModelConfig(encoder="swin_tiny_patch4_window7_224", frame=Frame(384, 384, fixed=True))
PRESETS = MappingProxyType(
    {
        # The math OCR seed's shape. It says d = 512 and 37.45 million weights, which cannot both be: 256 is nearer.
        "reference": _REFERENCE,
        "reference-512": replace(_REFERENCE, width=512, feedforward=2048),
        "compact": ModelConfig(
            encoder="mobilenetv4_conv_small", frame=Frame(128, 512), stage=3, layers=3, feedforward=768
        ),
        # For tests: learns a hundred formulas in minutes on two cores.
        "tiny": ModelConfig(
            encoder="mobilenetv4_conv_small_035",
            frame=Frame(96, 320),
            stage=3,
            width=128,
            layers=2,
            heads=4,
            feedforward=256,
            longest=64,
            dropout=0.0,
        ),
    }
)
"""``compact`` is the fast one: its encoder and what a test of speed says of it stand in ``docs/formulas.md``."""
