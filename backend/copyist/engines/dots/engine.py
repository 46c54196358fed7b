"""dots.ocr as an engine: pages in, layout and text out, from servers (``DOTS_OCR_URL``) or from a model loaded here."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace

from copyist.document import Page
from copyist.engines.base import Availability, EngineSettings, GarbageError, Mode, PageImage, ReadOptions
from copyist.engines.dots.backend import Backend
from copyist.engines.dots.ladder import Reading, read_page
from copyist.engines.dots.local import resident as local
from copyist.engines.dots.remote import client as remote

LADDER = 1
"""Raise it when a page is asked for, or its answer is read, in another way: cached readings are then made again."""


class Dots:
    """Reads print and handwriting in any script, tables as HTML and formulas as LaTeX, in reading order."""

    name = "dots"
    modes = frozenset({Mode.DOCUMENT, Mode.PAPER})
    needs_gpu = True
    cost = 5.0
    dpi = 200
    stops = True
    heavy = True

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        """Ready when a server serves the model, or when a checkpoint and a GPU to load it on are here."""
        found = remote.check(settings) if settings.dots.servers else local.check(settings)
        return replace(found, version=_version(found.version, settings)) if found.ready else found

    def __init__(self, settings: EngineSettings) -> None:
        self._backend: Backend = remote.Remote(settings) if settings.dots.servers else local.Local(settings)
        self._dots = settings.dots
        self._at_once = max(1, self.check(settings).at_once)
        self.version = _version(self._backend.version, settings)

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read each image: one in the caller's thread, several together as far as the model takes them.

        Several are ways to see one page, such as its possible turns: one that is unreadable has no blocks then, and
        ``GarbageError`` is raised only when all are.
        """
        if len(images) <= 1:
            return [self._page(image, options) for image in images]
        with ThreadPoolExecutor(max_workers=min(len(images), self._at_once)) as pool:
            # Each in a copy of our context, so that its notes are those of this page.
            readings = [pool.submit(copy_context().run, self._page, image, options) for image in images]
        failures = [error for reading in readings if isinstance(error := reading.exception(), GarbageError)]
        if len(failures) == len(images):
            raise failures[0]
        return [
            self._as_page(image, Reading()) if isinstance(reading.exception(), GarbageError) else reading.result()
            for image, reading in zip(images, readings, strict=True)
        ]

    def close(self) -> None:
        """Close connections, or give back the memory of the model."""
        self._backend.close()

    def _page(self, image: PageImage, options: ReadOptions) -> Page:
        return self._as_page(image, read_page(self._backend, self._dots, image, options))

    def _as_page(self, image: PageImage, reading: Reading) -> Page:
        return Page(
            width=image.width,
            height=image.height,
            dpi=image.dpi,
            engine=self.name,
            engine_version=self.version,
            complete=reading.complete,
            blocks=reading.blocks,
        )


def _version(model: str, settings: EngineSettings) -> str:
    """What decides how a page comes out: the model, how it is asked, and how large it is shown a page."""
    dots = settings.dots
    return f"{model}+{dots.prompt}{LADDER}+{dots.max_pixels}px"
