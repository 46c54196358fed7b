"""EasyOCR: a detector and one recognition model per script, on a GPU where there is one; slow but able on a CPU.

Its models are files in ``weights/easyocr``; a network of one's own, in the folder ``custom`` there, comes before them
for the languages it knows (see ``easyocr_models``). A Latin page of A4 costs about 28 s of wall time on two CPU cores.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from copyist.document import Box, Line, Page
from copyist.engines.base import Availability, EngineSettings, Mode, NotReady, PageImage, ReadOptions
from copyist.engines.easyocr_files import look_into
from copyist.engines.easyocr_readers import LoadedReader, Readers, libraries
from copyist.engines.gpu import why_no_cuda
from copyist.engines.notes import note
from copyist.engines.reading_order import blocks_of, words_along

log = logging.getLogger(__name__)

_PACKAGES = ("easyocr", "torch", "torchvision")
_LEAST_SIDE = 4
"""Lower or narrower boxes, in pixels, hold no text; stretched to a line's height, they would cost seconds each."""
_CANVASES_ON_CPU = (1280,)
"""Longer side, in pixels, of the image in which text is looked for without a GPU: 11 s; the usual 2560 take 35."""
_CANVASES_ON_GPU = (2560, 1280, 640)
"""The same with one; the smaller ones are for a page on which its memory runs out."""


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
        files = look_into(_folder(settings), download=settings.download)
        if not files.languages:
            return Availability(ready=False, reason=files.why_nothing_can_be_read())
        return Availability(
            ready=True,
            version=_version(files.folder),
            languages=files.languages,
            device="cuda" if settings.use_gpu and not why_no_cuda() else "cpu",
            model=files.names,
            memory_bytes=files.memory_bytes,
        )

    def __init__(self, settings: EngineSettings) -> None:
        found = self.check(settings)
        if not found.ready:
            raise NotReady(found.reason)
        with _known_warnings():
            self._easyocr, self._torch = libraries()
        self.version = found.version
        self._on_gpu = settings.use_gpu and bool(self._torch.cuda.is_available())
        if not self._on_gpu:
            self._torch.set_num_threads(1)
        if found.device == "cuda" and not self._on_gpu:
            log.warning("torch cannot use the GPU that is here; EasyOCR reads on the CPU")
        files = look_into(_folder(settings), download=settings.download)
        self._readers = Readers(files, easyocr=self._easyocr, torch=self._torch, on_gpu=self._on_gpu)
        self._loaded: LoadedReader | None = None

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read each image in ``options.languages``; raises ``InvalidOption`` for a set no single model reads."""
        with _known_warnings():
            loaded = self._load(options.languages or ("eng",))
            return [self._page(image, loaded) for image in images]

    def close(self) -> None:
        """Let go of the models, on the GPU too."""
        self._loaded = None
        if self._on_gpu:
            self._torch.cuda.empty_cache()

    def _page(self, image: PageImage, loaded: LoadedReader) -> Page:
        return Page(
            width=image.width,
            height=image.height,
            dpi=image.dpi,
            engine=self.name,
            engine_version=self.version,
            blocks=blocks_of(self._lines(image, loaded)),
        )

    def _lines(self, image: PageImage, loaded: LoadedReader) -> list[Line]:
        """The lines of a page, on a smaller image where the memory of the GPU runs out; then raises ``MemoryError``."""
        canvases = _CANVASES_ON_GPU if self._on_gpu else _CANVASES_ON_CPU
        for canvas in canvases:
            try:
                return list(self._lines_at(canvas, image, loaded))
            except self._torch.OutOfMemoryError:
                log.warning("EasyOCR ran out of memory at %d pixels", canvas)
            # Only here, after the exception, is nothing left that holds on to the memory.
            self._torch.cuda.empty_cache()
            note(f"The memory of the GPU ran out when text was looked for in an image of {canvas} pixels.")
        raise MemoryError(f"The GPU has too little memory for this page, even in an image of {canvases[-1]} pixels.")

    def _lines_at(self, canvas: int, image: PageImage, loaded: LoadedReader) -> Iterator[Line]:
        colour, grey = self._easyocr.utils.reformat_input(np.ascontiguousarray(image.pixels))
        if loaded.find_text is not None:
            upright, tilted = loaded.find_text(grey), []
        else:
            upright, tilted = (found[0] for found in loaded.reader.detect(colour, canvas_size=canvas, reformat=False))
            upright = [one for one in upright if _is_line(one, grey.shape)]
        # The height of a line is a global of the library, which the reader made last has set.
        self._easyocr.easyocr.imgH = loaded.line_height
        for corners, text, score in loaded.reader.recognize(grey, upright, tilted, reformat=False):
            box, confidence = _box(corners, image), _per_character(float(score), len(text))
            text = " ".join(text.split())
            if text and box.width and box.height:
                yield Line(text=text, box=box, confidence=confidence, words=words_along(text, box, confidence))

    def _load(self, languages: tuple[str, ...]) -> LoadedReader:
        """The reader for ``languages``; one is kept, since a model on a GPU is too large to keep several."""
        if self._loaded is None or self._loaded.languages != languages:
            self._loaded = None
            self._loaded = self._readers.make(languages)
        return self._loaded


def _per_character(score: float, characters: int) -> float:
    """How sure a character of a line is: EasyOCR's score of the line with its length taken out.

    The library multiplies the probabilities of the frames that hold a character and raises that to 2 / sqrt(frames)
    (``recognition.custom_mean``), so that a long line of sure characters looks unsure: sixty of 0.98 make 0.73. Taken
    back, for one frame to a character, that is the geometric mean; with more frames a little less, never more.
    """
    score = min(max(score, 0.0), 1.0)
    return score if score == 0 else score ** (1 / (2 * math.sqrt(max(characters, 1))))


def _folder(settings: EngineSettings) -> Path:
    return settings.weights / "easyocr"


def _version(folder: Path) -> str:
    """Library and models, so that a cached reading dies with the models that made it."""
    files = sorted([*folder.glob("*.pth"), *folder.glob("custom/*")])
    models = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
    return f"{importlib.metadata.version('easyocr')}+models:{hashlib.sha256(repr(models).encode()).hexdigest()[:8]}"


def _is_line(box: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a box ``left, right, top, bottom`` is large enough to hold text, within an image (height, width)."""
    left, right, top, bottom = box
    return min(right, shape[1]) - max(left, 0) >= _LEAST_SIDE and min(bottom, shape[0]) - max(top, 0) >= _LEAST_SIDE


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
