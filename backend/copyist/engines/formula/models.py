"""Which formula model is read with, whether it is whole, and what it takes to read with it; nothing is loaded.

Three kinds of folder are known: models of ours (``config``), TrOCRs that were trained on formulas, and checkpoints of
pix2tex. Which a folder holds is seen by its files.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from copyist.engines.base import EngineSettings
from copyist.engines.checkpoints import CheckpointUnusable, fingerprint, first_usable, folder_named, require
from copyist.engines.encoder_decoder import MODEL_TYPE as TROCR_TYPE
from copyist.engines.formula import config, pix2tex_config, vocabulary
from copyist.engines.formula.latex import NORMAL
from copyist.engines.gpu import why_no_cuda
from copyist.engines.trocr_models import trocr_checkpoint
from copyist.engines.weights.intact import fault_of

PACKAGED = Path(__file__).parent / "small"
"""The model that comes with the package, if one does."""
ONNX_FILES = "encoder.onnx", "decoder.onnx"
_FOLDERS = "formula-*", "TrOCR_Math_handwritten", "pix2tex*"
"""What is looked for in the weights folder, in this order."""
_NO_MODEL = (
    "There is no model for formulas: put one into a folder formula-* of the weights folder, or name its folder in "
    "FORMULA_MODEL."
)


_FIGURES = "preset", "parameters", "split", "formulas", "cer", "exact", "within_one", "within_two"
"""Of a report, what people who ask about a model want to know."""


class Kind(StrEnum):
    """Whose model it is."""

    COPYIST = "copyist"
    TROCR = "trocr"
    PIX2TEX = "pix2tex"


class Runtime(StrEnum):
    """What computes it."""

    ONNX = "onnxruntime"
    TORCH = "torch"


@dataclass(frozen=True)
class FormulaModel:
    """A folder with a whole model of formulas, and what its kind is."""

    kind: Kind
    folder: Path

    @property
    def has_onnx(self) -> bool:
        """Whether ONNX Runtime can read with it."""
        return self.kind is Kind.COPYIST and all((self.folder / name).is_file() for name in ONNX_FILES)

    @property
    def has_tensors(self) -> bool:
        """Whether torch can read with it."""
        return self.kind is not Kind.COPYIST or (self.folder / config.TENSORS).is_file()


@dataclass(frozen=True)
class Place:
    """Where a model is computed: with what, on ``cpu`` or ``cuda``."""

    runtime: Runtime
    device: str


_CPU_ONNX, _CPU_TORCH, _GPU = Place(Runtime.ONNX, "cpu"), Place(Runtime.TORCH, "cpu"), Place(Runtime.TORCH, "cuda")
_PACKAGES = {
    Kind.COPYIST: ("torch", "torchvision", "timm", "safetensors"),
    Kind.TROCR: ("torch", "torchvision", "transformers", "sentencepiece", "google.protobuf"),
    Kind.PIX2TEX: ("torch", "torchvision", "timm", "tokenizers", "yaml"),
}
"""What torch's readers import."""


def find(settings: EngineSettings, name: str | None = None) -> FormulaModel:
    """The model ``name`` of the weights folder (``None``: the one that serves).

    That is ``settings.formula``, else the first usable one of the weights folder, else the one of the package. Raises
    ``CheckpointUnusable`` with the reason and the way out.
    """
    if name is not None:
        return _named(settings, name)
    if settings.formula is not None:
        return open_model(settings.formula)
    for pattern in _FOLDERS:
        folders = [folder for folder in settings.weights.glob(pattern) if folder.is_dir()]
        if folders:
            return first_usable(folders, open_model, none=_NO_MODEL)
    if not PACKAGED.is_dir():
        raise CheckpointUnusable(_NO_MODEL)
    return open_model(PACKAGED)


def open_model(folder: Path) -> FormulaModel:
    """What ``folder`` holds; raises ``CheckpointUnusable`` unless that is a whole model of a kind that is known."""
    if not folder.is_dir():
        raise CheckpointUnusable(f"There is no folder {folder.name} with a model for formulas.")
    try:
        return _opened(folder, fingerprint(folder))
    except OSError as error:
        raise CheckpointUnusable(f"{folder.name} cannot be read ({error.strerror}).") from error


@lru_cache(maxsize=8)
def _opened(folder: Path, _as_it_is: str) -> FormulaModel:
    """The same, once for what it holds: it is asked for several times a page."""
    if (folder / pix2tex_config.CONFIG).is_file():
        pix2tex_config.open_pix2tex(folder)
        return FormulaModel(Kind.PIX2TEX, folder)
    kind = _model_type(folder)
    if kind == TROCR_TYPE:
        trocr_checkpoint(folder)
        return FormulaModel(Kind.TROCR, folder)
    if kind != config.MODEL_TYPE:
        raise CheckpointUnusable(
            f"{folder.name} holds no model for formulas: neither one of ours, nor a TrOCR, nor one of pix2tex."
        )
    return _ours(folder)


def place_of(model: FormulaModel, settings: EngineSettings) -> Place:
    """Where ``model`` is computed here: on a GPU where there is one, else with ONNX Runtime where it can.

    Raises ``CheckpointUnusable`` saying what has to be installed.
    """
    absent = next((package for package in _PACKAGES[model.kind] if not _is_installed(package)), None)
    if model.has_tensors and absent is None and settings.use_gpu and not why_no_cuda():
        return _GPU
    if model.has_onnx and _is_installed("onnxruntime"):
        return _CPU_ONNX
    if model.has_tensors and absent is None:
        return _CPU_TORCH
    if model.has_onnx:
        raise CheckpointUnusable("The package onnxruntime is not installed; install copyist with [formula].")
    raise CheckpointUnusable(f"The package {absent} is not installed; install copyist with [models].")


def version(model: FormulaModel, place: Place) -> str:
    """Library, model and rules of LaTeX, so that a cached reading dies with any of them."""
    return f"{_library(place.runtime)}+{model.folder.name}:{fingerprint(model.folder)}+latex{NORMAL}"


def memory_bytes(model: FormulaModel, place: Place) -> int:
    """Roughly what the loaded weights take up: what their files do."""
    endings = (".onnx",) if place.runtime is Runtime.ONNX else (".safetensors", ".pth")
    return sum(path.stat().st_size for path in model.folder.iterdir() if path.suffix in endings)


def details(model: FormulaModel) -> dict[str, str]:
    """What people may want to know of a model of ours: its shape, and what it was measured to do."""
    if model.kind is not Kind.COPYIST:
        return {"kind": model.kind.value}
    shape = config.ModelConfig.load(model.folder)
    told = {
        "kind": model.kind.value,
        "encoder": shape.encoder,
        "decoder": f"{shape.layers} layers, {shape.heads} heads, d = {shape.width}",
        "picture": f"up to {shape.frame.width} x {shape.frame.height}",
        "tokens": str(len(vocabulary.Vocabulary.load(model.folder))),
    }
    return told | dict(_measured(model.folder))


def _measured(folder: Path) -> Iterator[tuple[str, str]]:
    """How large ``report.json`` says it is, and how well it reads formulas that were held out."""
    report = _json(folder / "report.json")
    for name in _FIGURES:
        value = report.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            yield name, f"{value:.4g}" if isinstance(value, float) else str(value)[:200]


def _named(settings: EngineSettings, name: str) -> FormulaModel:
    last = name.rsplit("/", 1)[-1]
    for folder in (settings.formula, folder_named(settings.weights, name), PACKAGED):
        if folder is not None and folder.name == last and folder.is_dir():
            return open_model(folder)
    raise CheckpointUnusable(f'There is no model for formulas "{last[:60]}" in the weights folder; ask for none.')


def _ours(folder: Path) -> FormulaModel:
    require(folder, (vocabulary.FILE,))
    try:
        config.ModelConfig.load(folder)
        vocabulary.Vocabulary.load(folder)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointUnusable(f"{folder.name} cannot be used: {error}.") from error
    found = FormulaModel(Kind.COPYIST, folder)
    if not found.has_onnx and not found.has_tensors:
        raise CheckpointUnusable(f"{folder.name} has neither {' and '.join(ONNX_FILES)} nor {config.TENSORS}.")
    for name in (*ONNX_FILES, config.TENSORS):
        fault = fault_of(folder / name) if (folder / name).is_file() else ""
        if fault:
            raise CheckpointUnusable(f"{folder.name}/{name} {fault}; copy or export it again.")
    return found


def _model_type(folder: Path) -> object:
    return _json(folder / config.CONFIG).get("model_type")


def _json(path: Path) -> dict[str, Any]:
    """An object of JSON; empty for what is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


@cache
def _library(name: str) -> str:
    try:
        return f"{name}-{importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:  # onnxruntime comes under several names.
        return name


@cache
def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # Of "google.protobuf" there may be no "google".
        return False
