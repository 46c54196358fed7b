"""Tesseract: the cheap reader of clean print, by the library in this process or, where that fails, by the command.

The library (tesserocr) keeps a model loaded per set of languages and takes pixels without a file between; a page costs
about 2 CPU s at 200 dpi. OpenMP is limited to one thread, since its waiting threads burn two to three times the CPU and
pages are shared out over processes anyway. A language that is not installed is refused before Tesseract sees it, since
its own message for that is the one for every other mistake.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from copyist.document import Page
from copyist.engines.base import Availability, EngineSettings, Mode, PageImage, ReadOptions
from copyist.engines.broken_lines import mended
from copyist.engines.tesseract_tsv import blocks_from_tsv
from copyist.errors import InvalidOption

log = logging.getLogger(__name__)

_FOLDERS = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/share/tesseract/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)
_NOT_LANGUAGES = frozenset({"osd", "equ", "snum"})
_SANE_DPI = range(70, 2401)
"""Tesseract takes a resolution outside as a mistake and guesses; so do we, by not telling it."""
_LOADED_AT_ONCE = 3
"""Sets of languages kept loaded in one process (about 30 MB each)."""
_SMALLEST = 10
"""Sides under this many pixels hold no text and make Tesseract complain."""


class _Reader(Protocol):
    """One way of asking Tesseract: pixels in, TSV out."""

    def tsv(self, image: PageImage, languages: str) -> str: ...

    def close(self) -> None: ...


class Tesseract:
    """Reads print in the languages whose models lie in the tessdata folder: words, lines and paragraphs."""

    name = "tesseract"
    modes = frozenset({Mode.DOCUMENT})
    needs_gpu = False
    cost = 2.0
    dpi = 300
    stops = False
    heavy = False

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        """Ready when there is a program (library or command) and a model for at least one language."""
        program = _program()
        if program is None:
            return Availability(ready=False, reason="Neither the package tesserocr nor the command tesseract is there.")
        folder = tessdata_folder(settings)
        if folder is None:
            return Availability(
                ready=False, reason="No tessdata folder with language models was found; set TESSDATA_PREFIX to it."
            )
        return Availability(ready=True, version=_version(program, folder), languages=languages_in(folder))

    def __init__(self, settings: EngineSettings) -> None:
        program, folder = _program(), tessdata_folder(settings)
        if program is None or folder is None:
            raise RuntimeError(self.check(settings).reason)
        self.version = _version(program, folder)
        self._languages = languages_in(folder)
        self._reader: _Reader = _Library(folder) if _library_version() else _Command(folder)

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read each image in ``options.languages``; raises ``InvalidOption`` for one that is not installed."""
        for language in options.languages:
            if language not in self._languages:
                raise InvalidOption(value=language, option="languages", allowed=", ".join(self._languages))
        languages = "+".join(options.languages) or self._languages[0]
        return [self._page(image, languages) for image in images]

    def close(self) -> None:
        """Unload the models."""
        self._reader.close()

    def _page(self, image: PageImage, languages: str) -> Page:
        tsv = self._reader.tsv(image, languages) if min(image.width, image.height) >= _SMALLEST else ""
        return Page(
            width=image.width,
            height=image.height,
            dpi=image.dpi,
            engine=self.name,
            engine_version=self.version,
            blocks=mended(blocks_from_tsv(tsv, image.width, image.height)),
        )


class _Library:
    """Tesseract in this process, with the models of the last few language sets kept loaded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: OrderedDict[str, Any] = OrderedDict()

    def tsv(self, image: PageImage, languages: str) -> str:
        api = self._api(languages)
        # Tesseract does not own these bytes: the name keeps them alive until it is done.
        pixels = image.pixels.tobytes()
        depth = 1 if image.pixels.ndim == 2 else 3
        try:
            api.SetImageBytes(pixels, image.width, image.height, depth, image.width * depth)
            if image.dpi in _SANE_DPI:
                api.SetSourceResolution(image.dpi)
            if not api.Recognize():
                raise RuntimeError("Tesseract gave up on the page")
            return str(api.GetTSVText(0))
        finally:
            # What was learnt from this page must not colour the next one: readings do not depend on their order.
            api.Clear()
            api.ClearAdaptiveClassifier()

    def close(self) -> None:
        while self._loaded:
            self._loaded.popitem()[1].End()

    def _api(self, languages: str) -> Any:
        if languages in self._loaded:
            self._loaded.move_to_end(languages)
            return self._loaded[languages]
        while len(self._loaded) >= _LOADED_AT_ONCE:
            self._loaded.popitem(last=False)[1].End()
        import tesserocr

        api = tesserocr.PyTessBaseAPI(path=f"{self._folder}/", lang=languages, psm=tesserocr.PSM.AUTO)
        api.SetVariable("debug_file", os.devnull)
        self._loaded[languages] = api
        return api


class _Command:
    """Tesseract's command line by pytesseract: the same text for a process and a temporary file more per page."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tsv(self, image: PageImage, languages: str) -> str:
        os.environ["TESSDATA_PREFIX"] = str(self._folder)
        import pytesseract

        config = f"--dpi {image.dpi}" if image.dpi in _SANE_DPI else ""
        return str(pytesseract.image_to_data(Image.fromarray(image.pixels), lang=languages, config=config))

    def close(self) -> None:
        """A process per page leaves nothing behind."""


def tessdata_folder(settings: EngineSettings) -> Path | None:
    """The first folder with a language model: the setting's, ``TESSDATA_PREFIX``, then the usual places."""
    prefix = os.environ.get("TESSDATA_PREFIX", "")
    given = [settings.tessdata] if settings.tessdata else []
    inherited = [Path(prefix), Path(prefix, "tessdata")] if prefix else []
    candidates = [*given, *inherited, *map(Path, _FOLDERS)]
    return next((folder for folder in candidates if languages_in(folder)), None)


def languages_in(folder: Path) -> tuple[str, ...]:
    """The languages whose models lie in ``folder``, in Tesseract's names, sorted."""
    names = {path.stem for path in folder.glob("*.traineddata")}
    return tuple(sorted(names - _NOT_LANGUAGES))


def _version(program: str, folder: Path) -> str:
    """Program and models: "5.5.4+tessdata:1f0c9a3b", so that a cached reading dies with the models that made it."""
    models = sorted((path.name, path.stat().st_size) for path in folder.glob("*.traineddata"))
    return f"{program}+tessdata:{hashlib.sha256(repr(models).encode()).hexdigest()[:8]}"


def _program() -> str | None:
    """The version of what reads here; ``None`` where nothing can. Everything else comes after this."""
    os.environ["OMP_THREAD_LIMIT"] = "1"
    return _library_version() or _command_version()


@lru_cache(maxsize=1)
def _library_version() -> str | None:
    """The version of the library in tesserocr, e.g. "5.5.4"; ``None`` where it cannot load. Imported once, in 40 ms."""
    try:
        import tesserocr
    except (ImportError, OSError) as error:
        log.info("tesserocr cannot load (%s); the tesseract command is used instead", error)
        return None
    return str(tesserocr.tesseract_version()).split()[1]


@lru_cache(maxsize=1)
def _command_version() -> str | None:
    """The version of the ``tesseract`` command on the PATH; ``None`` where there is none that answers."""
    if shutil.which("tesseract") is None:
        return None
    try:
        answer = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.split()[1]
