"""Nougat: a page of an academic paper as Markdown with LaTeX formulas and tables.

The model writes down a whole page and never says where on it something stands. So a block's box is a band of the
inked part of the page: bands follow each other in reading order, each as high as its share of the characters. They say
"about here" and no more; on pages of two columns not even that.

Weights (``facebook/nougat-small``, ``facebook/nougat-base``) are CC-BY-NC: this engine reads where somebody has put
them into the weights folder. It knows papers in Latin script; on anything else it may invent text.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from copyist.document import Block, Box, Page
from copyist.engines.base import Availability, EngineSettings, GarbageError, Mode, NotReady, PageImage, ReadOptions
from copyist.engines.checkpoints import (
    Checkpoint,
    CheckpointUnusable,
    fingerprint,
    first_usable,
    folder_named,
    open_checkpoint,
    refuse_endless,
    require,
)
from copyist.engines.encoder_decoder import MODEL_TYPE, availability
from copyist.engines.generation import Finish
from copyist.engines.markdown_blocks import blocks_of_markdown
from copyist.engines.notes import note
from copyist.engines.nougat_model import Certainty, NougatModel, Written

_PACKAGES = ("torch", "torchvision", "transformers", "nltk", "Levenshtein")
_FILES = ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
_TENSORS = (
    "encoder.embeddings.patch_embeddings.projection.weight",
    "decoder.model.decoder.embed_tokens.weight",
    "decoder.lm_head.weight",
)
_INK_BELOW = 200
"""Grey, of 255 between the darkest and the lightest pixel, under which a pixel is ink: as Nougat's own crop has it."""
_FAINT = 40
"""A page whose lightest and darkest pixel are no further apart than this, of 255, is blank."""
_LITTLE = 60
"""Characters: a page that was cut at a loop and has fewer left holds no reading."""
_GIVEN_UP = re.compile(r"\[MISSING_PAGE(?:_(?:EMPTY|FAIL))?(?::\d+)?\]")
_LEFT_OUT = re.compile(r"\[MISSING_PAGE_POST(?::\d+)?\]")


class Nougat:
    """Reads papers; blocks with kinds, Markdown and formulas, words with confidence, boxes that are only bands."""

    name = "nougat"
    modes = frozenset({Mode.PAPER})
    needs_gpu = False
    cost = 90.0
    # The model sees 896 x 672 pixels of the page's inked part. At 150 dpi that part is not enlarged unless it is under
    # 6 inches high and 4.5 wide; at the 96 dpi that the model was trained with, half a page already is.
    dpi = 150
    stops = True
    heavy = True

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        """Ready when its packages and a whole checkpoint of a Nougat model are there."""
        return availability(settings, _PACKAGES, _default_checkpoint, _version)

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._folder: Path | None = None
        self._model: NougatModel | None = None
        self.version = ""
        self._use(None)

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read each image; ``options.decoding`` is heeded, languages make no difference.

        Raises ``NotReady`` for a model that is not there and ``GarbageError`` for a page that the model gave up.
        """
        return [self._page(image, options) for image in images]

    def close(self) -> None:
        """Let go of the model, on the GPU too."""
        on_gpu = self._model is not None and self._model.device == "cuda"
        self._model = self._folder = None
        if on_gpu:
            import torch

            torch.cuda.empty_cache()

    def _page(self, image: PageImage, options: ReadOptions) -> Page:
        model = self._use(options.decoding.model)
        ink = ink_box(image.pixels)
        blocks: tuple[Block, ...] = ()
        if ink is not None:
            written = self._written(model, image.pixels, ink, options)
            blocks = blocks_of_markdown(_checked(written), ink, Certainty(written.raw, written.certainty).of)
        return Page(
            width=image.width,
            height=image.height,
            dpi=image.dpi,
            engine=self.name,
            engine_version=self.version,
            blocks=blocks,
        )

    def _written(self, model: NougatModel, pixels: npt.NDArray[np.uint8], ink: Box, options: ReadOptions) -> Written:
        import torch

        inked = np.ascontiguousarray(pixels[ink.top : ink.bottom, ink.left : ink.right])
        try:
            return model.write(inked, options.decoding, options.stop)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise MemoryError("The GPU's memory is used up") from error

    def _use(self, name: str | None) -> NougatModel:
        """The model of that name, loaded; only one is in memory at a time."""
        try:
            found = _named_checkpoint(self._settings, name) if name else _default_checkpoint(self._settings)
        except CheckpointUnusable as error:
            raise NotReady(str(error)) from error
        folder = found.folder
        if self._model is not None and folder == self._folder:
            return self._model
        self.close()
        self._model = NougatModel(folder, use_gpu=self._settings.use_gpu)
        self._folder, self.version = folder, _version(folder)
        return self._model


def ink_box(pixels: npt.NDArray[np.uint8]) -> Box | None:
    """What is left of an image without its empty margins; ``None`` for a blank one."""
    grey = pixels if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    darkest, lightest = float(grey.min()), float(grey.max())
    if lightest - darkest <= _FAINT:
        return None
    ink = grey < darkest + (lightest - darkest) * _INK_BELOW / 255
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _checked(written: Written) -> str:
    """The page's Markdown; raises ``GarbageError`` where the model gave it up."""
    text, left_out = _LEFT_OUT.subn("", written.text)
    if _GIVEN_UP.search(text):
        raise GarbageError("The model gave the page up")
    if left_out:
        note("A list of references that the model seems to have made up was left out.")
    if written.finish is Finish.LENGTH:
        note("The page is longer than the model can write; its end is missing.")
    if written.finish is Finish.REPETITION:
        note("The model began to repeat itself; the text is cut there, and what follows on the page is missing.")
        if len(text.strip()) < _LITTLE:
            raise GarbageError("The model repeated itself from the start")
    return text


def _default_checkpoint(settings: EngineSettings) -> Checkpoint:
    """``settings.nougat``, or the first usable of the folders ``nougat-*`` in the weights folder, by name."""
    if settings.nougat is not None:
        return _open(settings.nougat)
    none = (
        "There is no folder nougat-small or nougat-base in the weights folder; pull the weights, or name a folder in "
        "NOUGAT_MODEL."
    )
    return first_usable(_folders(settings), _open, none=none)


def _named_checkpoint(settings: EngineSettings, name: str) -> Checkpoint:
    """The checkpoint of the folder or published ``name``; never one outside the weights folder."""
    last = name.rsplit("/", 1)[-1]
    if settings.nougat is not None and settings.nougat.name == last:
        return _open(settings.nougat)
    folder = folder_named(settings.weights, name)
    if folder is None:
        there = ", ".join(sorted(path.name for path in _folders(settings))) or "none"
        raise CheckpointUnusable(
            f'There is no model "{last[:60]}" in the weights folder (of Nougat: {there}). Ask for another, or for none.'
        )
    return _open(folder)


def _folders(settings: EngineSettings) -> list[Path]:
    return [path for path in settings.weights.glob("nougat-*") if path.is_dir()]


def _open(folder: Path) -> Checkpoint:
    """What the folder holds; raises ``CheckpointUnusable`` unless that is a whole Nougat model."""
    found = open_checkpoint(folder)
    parts = (found.config, found.config.get("encoder"), found.config.get("decoder"))
    kinds = tuple(part.get("model_type") if isinstance(part, dict) else None for part in parts)
    if kinds != (MODEL_TYPE, "donut-swin", "mbart"):
        said = " of ".join(str(kind) for kind in kinds if kind)
        raise CheckpointUnusable(f"{folder.name} holds another model ({said or 'of no known kind'}), not Nougat.")
    require(folder, _FILES)
    absent = [name for name in _TENSORS if name not in found.shapes]
    if absent:
        raise CheckpointUnusable(f"{folder.name} has no {absent[0]}; pull the weights again.")
    refuse_endless(found)
    return found


def _version(folder: Path) -> str:
    return f"{importlib.metadata.version('transformers')}+{folder.name}@{fingerprint(folder)}"
