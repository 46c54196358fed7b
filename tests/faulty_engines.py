"""Engines that fail on purpose. They enter by the normal door: ``OCR_PLUGINS=tests.faulty_engines:Crash``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from copyist.document import Block, Box, Line, Page
from copyist.engines.base import Availability, EngineSettings, Mode, PageImage, ReadOptions
from copyist.engines.notes import note

PLUGINS = tuple(
    f"tests.faulty_engines:{name}" for name in ("Crash", "CrashOnWide", "Hang", "Garbage", "Broken", "Slow", "OnGpu")
)
SLOW_S = float(os.environ.get("SLOW_ENGINE_S", "1"))


class Faulty:
    """What the faulty engines share; as it stands it reads one sure line of text on every page."""

    name = "faulty"
    modes = frozenset(Mode)
    needs_gpu = False
    cost = 0.5
    dpi = 150
    stops = False
    heavy = False
    text = "A line that was read"
    confidence: float | None = 0.95

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        return Availability(ready=True, version="1")

    def __init__(self, settings: EngineSettings) -> None:
        self.version = "1"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        return [self.page(image) for image in images]

    def close(self) -> None:
        pass

    def page(self, image: PageImage) -> Page:
        box = Box(0, 0, image.width, max(image.height // 10, 1))
        lines = (Line(text=self.text, box=box, confidence=self.confidence),) if self.text else ()
        return Page(
            width=image.width,
            height=image.height,
            engine=self.name,
            engine_version=self.version,
            blocks=(Block(box=box, lines=lines),) if lines else (),
        )


class Crash(Faulty):
    """Kills its own process, as a fault in a native library or the kernel's out-of-memory killer would."""

    name = "crash"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


class CrashOnLoad(Faulty):
    """Needs a GPU, and kills its process while it is loaded, as a model does that the machine has no memory for."""

    name = "crash-on-load"
    needs_gpu = True

    def __init__(self, settings: EngineSettings) -> None:
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)


class CrashOnWide(Faulty):
    """Kills its process on a page that is wider than high, and reads the others."""

    name = "crash-on-wide"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        if any(image.width > image.height for image in images):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(images, options)


class Hang(Faulty):
    """Never comes back."""

    name = "hang"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        while True:
            time.sleep(3600)


class Garbage(Faulty):
    """Says one thing over and over, as a model in a loop does."""

    name = "garbage"
    text = "the cat " * 200


class Broken(Faulty):
    """Raises, with internals in its message that nobody outside may see."""

    name = "broken"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        raise RuntimeError("CUDA error 700 in /opt/secret/kernel.cu")


class Slow(Faulty):
    """Reads right, after ``SLOW_S`` seconds a page."""

    name = "slow"
    text = "A line that was read slowly"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        time.sleep(SLOW_S * len(images))
        return super().read(images, options)


class OnGpu(Slow):
    """Needs a GPU, which is there where ``PRETEND_GPU`` is set; reads four pages at once and heeds ``Stop``."""

    name = "on-gpu"
    text = "A line that was read on a GPU"
    needs_gpu = True
    stops = True
    heavy = True

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        if not os.environ.get("PRETEND_GPU"):
            return Availability(ready=False, reason="There is no GPU here.")
        return Availability(ready=True, version="1", device="a pretended GPU", model="pretended", at_once=4)

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        time.sleep(float(os.environ.get("LOADING_S", "0")))

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        until = time.monotonic() + SLOW_S
        note("It took its time.")
        while time.monotonic() < until:
            options.stop.check()
            time.sleep(0.05)
        return [self.page(image) for image in images]
