"""Lets torchvision be imported beside a torch whose build its compiled part does not fit.

The torchvision wheel is built for CUDA. Beside a CPU build of torch its compiled library cannot load, and the import
dies on "operator torchvision::nms does not exist". Declaring the two operators' schemas before is enough: image
transforms and VGG work, and the operators themselves, which nobody here needs, still raise.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[Any] = []
"""The declarations hold only as long as the library object lives."""


def import_torchvision() -> None:
    """Import torchvision, with the declarations only where it needs them."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _forget("torchvision")
        _declare()
        importlib.import_module("torchvision")


def _declare() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _kept.append(library)


def _forget(package: str) -> None:
    """Drop a half-imported package, so that its next import starts from the beginning."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
