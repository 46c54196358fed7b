"""EasyOCR: a detector and one recognition model per script, on a GPU where there is one; slow but able on a CPU.

Its models are files in ``weights/easyocr``; a network of one's own, in the folder ``custom`` there, comes before them
for the languages it knows (see ``easyocr_models``). A Latin page of A4 costs about 28 s of wall time on two CPU cores.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from copyist.document import Box, Line, Page
from copyist.engines.base import Availability, EngineSettings, Mode, PageImage, ReadOptions
from copyist.engines.easyocr_models import CODES, DETECTOR, ENGLISH, MODELS, Network, model_file, networks_in
from copyist.engines.reading_order import blocks_of, words_along
from copyist.engines.torchvision_shim import import_torchvision
from copyist.errors import InvalidOption

_PACKAGES = ("easyocr", "torch", "torchvision")
_USUAL_LINE_HEIGHT = 64
"""Height in pixels at which EasyOCR's own models read a line."""
_CANVAS_ON_CPU = 1280
"""Longer side, in pixels, of the image in which text is looked for without a GPU: 11 s; the usual 2560 take 35."""
_CANVAS_ON_GPU = 2560


@dataclass(frozen=True)
class _Loaded:
    """A reader, the languages it was made for, its line height in pixels, and the finder of text it brought."""

    languages: tuple[str, ...]
    reader: Any
    line_height: int
    find_text: Any


class EasyOcr:
    """Reads print in about sixty languages; lines with confidence, words laid along them."""

    name = "easyocr"
    modes = frozenset({Mode.DOCUMENT})
    needs_gpu = False
    cost = 30.0
    dpi = 200
    stops = False
    heavy = True

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        """Ready when its packages are installed and the files for at least one language are there or may be fetched."""
        missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
        if missing:
            return Availability(
                ready=False, reason=f"The package {missing[0]} is not installed; install copyist with [easyocr]."
            )
        folder = _folder(settings)
        languages = _languages(folder, download=settings.download)
        if not languages:
            absent = [name for name in (DETECTOR, ENGLISH) if not (folder / name).is_file()] or [ENGLISH]
            return Availability(
                ready=False,
                reason=f"Weights are missing: {' and '.join(absent)}. Put them into the folder easyocr of the weights "
                "folder, or set WEIGHTS_DOWNLOAD=true.",
            )
        return Availability(ready=True, version=_version(folder), languages=languages)

    def __init__(self, settings: EngineSettings) -> None:
        with _known_warnings():
            import_torchvision()
            import easyocr
            import torch
        found = self.check(settings)
        if not found.ready:
            raise RuntimeError(found.reason)
        self.version = found.version
        self._easyocr: Any = easyocr
        self._settings = settings
        self._folder = _folder(settings)
        self._available = found.languages
        self._on_gpu = settings.use_gpu and bool(torch.cuda.is_available())
        if not self._on_gpu:
            torch.set_num_threads(1)
        self._loaded: _Loaded | None = None

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read each image in ``options.languages``; raises ``InvalidOption`` for a set no single model reads."""
        with _known_warnings():
            loaded = self._load(options.languages or ("eng",))
            return [self._page(image, loaded) for image in images]

    def close(self) -> None:
        """Let go of the models, on the GPU too."""
        self._loaded = None
        if self._on_gpu:
            import torch

            torch.cuda.empty_cache()

    def _page(self, image: PageImage, loaded: _Loaded) -> Page:
        return Page(
            width=image.width,
            height=image.height,
            dpi=image.dpi,
            engine=self.name,
            engine_version=self.version,
            blocks=blocks_of(self._lines(image, loaded)),
        )

    def _lines(self, image: PageImage, loaded: _Loaded) -> Iterator[Line]:
        colour, grey = self._easyocr.utils.reformat_input(np.ascontiguousarray(image.pixels))
        if loaded.find_text is not None:
            upright, tilted = loaded.find_text(grey), []
        else:
            canvas = _CANVAS_ON_GPU if self._on_gpu else _CANVAS_ON_CPU
            upright, tilted = (found[0] for found in loaded.reader.detect(colour, canvas_size=canvas, reformat=False))
        # The height of a line is a global of the library, which the reader made last has set.
        self._easyocr.easyocr.imgH = loaded.line_height
        for corners, text, score in loaded.reader.recognize(grey, upright, tilted, reformat=False):
            box, confidence = _box(corners, image), min(max(float(score), 0.0), 1.0)
            text = " ".join(text.split())
            if text and box.width and box.height:
                yield Line(text=text, box=box, confidence=confidence, words=words_along(text, box, confidence))

    def _load(self, languages: tuple[str, ...]) -> _Loaded:
        """The reader for ``languages``; one is kept, since a model on a GPU is too large to keep several."""
        if self._loaded is None or self._loaded.languages != languages:
            self._loaded = None
            self._loaded = self._make(languages)
        return self._loaded

    def _make(self, languages: tuple[str, ...]) -> _Loaded:
        codes = [CODES[language] for language in languages if language in CODES and language in self._available]
        if len(codes) == len(languages):
            for network in networks_in(self._folder / "custom"):
                if set(codes) <= set(network.languages):
                    return self._own_network(languages, codes, network)
            if model_file(languages) is not None:
                return _Loaded(languages, self._reader(codes, self._folder), _USUAL_LINE_HEIGHT, None)
        allowed = f"languages that one model reads together, of {', '.join(self._available)}"
        raise InvalidOption(value="+".join(languages), option="languages", allowed=allowed)

    def _own_network(self, languages: tuple[str, ...], codes: list[str], network: Network) -> _Loaded:
        reader = self._reader(
            codes,
            network.folder,
            recog_network=network.name,
            user_network_directory=str(network.folder),
            detector=False,
        )
        line_height = int(self._easyocr.easyocr.imgH)
        if network.finds_text:
            return _Loaded(languages, reader, line_height, importlib.import_module(network.name).find_text)
        reader.model_storage_directory = str(self._folder)
        reader.setDetector("craft")
        return _Loaded(languages, reader, line_height, None)

    def _reader(self, codes: list[str], storage: Path, **own: Any) -> Any:
        return self._easyocr.Reader(
            codes,
            gpu=self._on_gpu,
            model_storage_directory=str(storage),
            download_enabled=self._settings.download,
            verbose=False,
            **{"user_network_directory": str(self._folder / "custom"), **own},
        )


def _folder(settings: EngineSettings) -> Path:
    return settings.weights / "easyocr"


def _languages(folder: Path, *, download: bool) -> tuple[str, ...]:
    """Tesseract's names of the languages that can be read now."""
    has_detector = download or (folder / DETECTOR).is_file()
    codes = {code for own in networks_in(folder / "custom") if own.finds_text or has_detector for code in own.languages}
    for file, languages in MODELS.items():
        if has_detector and (download or (folder / file).is_file()):
            codes.update(languages.values())
    return tuple(sorted(language for language, code in CODES.items() if code in codes))


def _version(folder: Path) -> str:
    """Library and models, so that a cached reading dies with the models that made it."""
    files = sorted([*folder.glob("*.pth"), *folder.glob("custom/*")])
    models = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
    return f"{importlib.metadata.version('easyocr')}+models:{hashlib.sha256(repr(models).encode()).hexdigest()[:8]}"


def _box(corners: Any, image: PageImage) -> Box:
    """The upright box around four corners."""
    points = np.asarray(corners, dtype=float)
    left, top = np.floor(points.min(axis=0))
    right, bottom = np.ceil(points.max(axis=0))
    return Box(int(left), int(top), int(right), int(bottom)).within(image.width, image.height)


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Keep quiet about what EasyOCR, last released in 2024, does the old way: quantising, pinning, image modes."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=category)
        warnings.filterwarnings("ignore", message=".*pin_memory.*", category=UserWarning)
        yield
