"""The engine for formulas: a picture of one, or of several one under another, to blocks of LaTeX.

Imports nothing heavy. The reader of a model's kind comes with the first page, and one model is in memory at a time. On
a GPU several pages are read at once, by as many threads, and their formulas go through the model together.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from copyist.document import Block, BlockKind, Line, Page
from copyist.engines.base import Availability, EngineSettings, Mode, NotReady, PageImage, ReadOptions, Stop
from copyist.engines.batches import Batches
from copyist.engines.checkpoints import CheckpointUnusable
from copyist.engines.formula import models
from copyist.engines.formula.decoding import FormulaReader, ReadFormula
from copyist.engines.formula.models import FormulaModel, Kind, Place, Runtime
from copyist.engines.formula.picture import Picture, PictureUnusable
from copyist.engines.formula.split import Part, split
from copyist.engines.generation import Finish
from copyist.engines.notes import note
from copyist.engines.reading_order import words_along

_PAGES_AT_ONCE = 8
"""On a GPU: how many threads may read."""
_FORMULAS_AT_ONCE = 64
"""Of all pages that are read together; the reader itself halves what does not fit into memory."""
_IMPLAUSIBLE = 0.3
"""How sure anybody can be, at most, of what does not look like writing."""
_NO_FORMULA = (
    "This does not look like a formula: it has areas and shades, or many specks. Check what was read, or send a "
    "picture of the formula alone."
)
_CHANGING = "The files of the formula model {} are being changed; ask again when they are all there."
_WAIT_S = 0.1
_CUT = {
    Finish.REPETITION: "The model began to repeat itself; the formula is cut there.",
    Finish.LENGTH: "A formula became longer than the model can write; its end is missing.",
    Finish.TIME: "A formula took too long; its end is missing.",
}
_Answers = list[ReadFormula | PictureUnusable]


@dataclass(frozen=True)
class _Question:
    """Formulas of one call."""

    pictures: Sequence[Picture]
    stop: Stop


class _Runner:
    """A reader as ``Batches`` sees it: what there is to count is pictures."""

    def __init__(self, reader: FormulaReader) -> None:
        self._reader = reader

    def cost(self, questions: Sequence[_Question]) -> int:
        return sum(len(question.pictures) for question in questions)

    def room(self) -> int:
        return _FORMULAS_AT_ONCE

    def run(self, questions: Sequence[_Question], deliver: Callable[[int, _Answers], None]) -> None:
        # Whoever asked for one of several to be stopped has gone already; a question alone is stopped in the reader.
        stop = questions[0].stop if len(questions) == 1 else Stop()
        read = iter(self._reader.read([one for question in questions for one in question.pictures], stop))
        for place, question in enumerate(questions):
            deliver(place, [next(read) for _ in question.pictures])


class _Loaded:
    """A model in memory. On a GPU the questions of several threads are answered together."""

    def __init__(self, model: FormulaModel, place: Place, settings: EngineSettings) -> None:
        self.version = models.version(model, place)
        self._reader = open_reader(model, place, settings)
        at_once = _pages_at_once(place)
        self._batches: Batches[_Question, _Answers] | None = None
        if at_once > 1:
            self._batches = Batches(_Runner(self._reader), at_once=at_once)

    def read(self, pictures: Sequence[Picture], stop: Stop) -> _Answers:
        if self._batches is not None:
            return self._batches.ask(_Question(pictures, stop))
        return self._reader.read(pictures, stop)

    def close(self) -> None:
        if self._batches is not None:
            self._batches.close()
        self._reader.close()


class Formula:
    """Reads formulas, each a block with LaTeX and how sure the model is of it."""

    name = "formula"
    modes = frozenset({Mode.FORMULA})
    needs_gpu = False
    cost = 1.0
    dpi = 200
    stops = True
    heavy = True

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        """Ready when a whole model is there and what computes it is installed."""
        try:
            model = models.find(settings)
        except CheckpointUnusable as error:
            return Availability(ready=False, reason=str(error))
        try:
            place = models.place_of(model, settings)
            return Availability(
                ready=True,
                version=models.version(model, place),
                device=place.device,
                model=model.folder.name,
                memory_bytes=models.memory_bytes(model, place),
                at_once=_pages_at_once(place),
                details=models.details(model),
            )
        except CheckpointUnusable as error:
            reason = str(error)
        except (OSError, ValueError):
            reason = _CHANGING.format(model.folder.name)
        return Availability(ready=False, reason=reason, model=model.folder.name)

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._loaded: _Loaded | None = None
        self._readers = 0
        with self._model(None, Stop()) as loaded:
            self.version = loaded.version

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read each image with the model that ``options`` names; may be called from several threads.

        Decoding is as the model was measured: of ``options.decoding`` only the model counts, and languages make no
        difference. Raises ``NotReady`` when that model is not there.
        """
        options.stop.check()
        with self._model(options.decoding.model, options.stop) as loaded:
            pages = [_parts(image, options.stop) for image in images]
            read = iter(_answers(loaded, [part.picture for parts in pages for part in parts], options.stop))
            return [
                self._page(image, [(part, next(read)) for part in parts], loaded.version)
                for image, parts in zip(images, pages, strict=True)
            ]

    def close(self) -> None:
        """Let go of the model, on the GPU too."""
        with self._changed:
            if self._loaded is not None:
                self._loaded.close()
            self._loaded = None

    def _page(self, image: PageImage, found: Sequence[tuple[Part, Any]], version: str) -> Page:
        blocks = [_block(part, answer) for part, answer in found]
        # Once a page, however many formulas it is said of.
        for sentence in dict.fromkeys(sentence for part, answer in found for sentence in _notes(part, answer)):
            note(sentence)
        return Page(
            width=image.width,
            height=image.height,
            dpi=image.dpi,
            engine=self.name,
            engine_version=version,
            blocks=tuple(block for block in blocks if block is not None),
        )

    @contextmanager
    def _model(self, name: str | None, stop: Stop) -> Iterator[_Loaded]:
        """The model ``name``, loaded; another one is only let go of when nobody reads with it."""
        try:
            model = models.find(self._settings, name)
            place = models.place_of(model, self._settings)
            wanted = models.version(model, place)
        except CheckpointUnusable as error:
            raise NotReady(str(error)) from error
        except OSError as error:
            raise NotReady(_CHANGING.format(model.folder.name)) from error
        with self._changed:
            while self._readers and not self._has(wanted):
                self._changed.wait(_WAIT_S)
                stop.check()
            loaded = self._loaded
            if loaded is None or not self._has(wanted):
                self.close()
                loaded = self._loaded = _Loaded(model, place, self._settings)
            self._readers += 1
        try:
            yield loaded
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    def _has(self, version: str) -> bool:
        return self._loaded is not None and self._loaded.version == version


def _pages_at_once(place: Place) -> int:
    return 1 if place.device == "cpu" else _PAGES_AT_ONCE


def open_reader(model: FormulaModel, place: Place, settings: EngineSettings) -> FormulaReader:
    """The reader for a model, loaded; raises ``NotReady``."""
    if model.kind is Kind.COPYIST and place.runtime is Runtime.ONNX:
        reader = _imported("onnx_reader").OnnxReader(model.folder)
    elif model.kind is Kind.COPYIST:
        reader = _imported("torch_reader").TorchReader(model.folder, place.device)
    elif model.kind is Kind.TROCR:
        reader = _imported("trocr_math").TrOcrMathReader(model.folder, use_gpu=settings.use_gpu)
    else:
        reader = _imported("pix2tex").Pix2TexReader(model.folder, use_gpu=settings.use_gpu)
    found: FormulaReader = reader
    return found


def _imported(module: str) -> Any:
    return importlib.import_module(f"copyist.engines.formula.{module}")


def _parts(image: PageImage, stop: Stop) -> list[Part]:
    """The formulas on ``image``; none, and a note of why, where there is nothing to read."""
    stop.check()
    try:
        return split(image.pixels)
    except PictureUnusable as reason:
        note(str(reason))
        return []


def _answers(loaded: _Loaded, pictures: Sequence[Picture], stop: Stop) -> _Answers:
    return loaded.read(pictures, stop) if pictures else []


def _block(part: Part, answer: ReadFormula | PictureUnusable) -> Block | None:
    """What stands at ``part``; ``None`` where the model found nothing to say."""
    if isinstance(answer, PictureUnusable) or not answer.latex.strip():
        return None
    sure = min(max(answer.confidence, 0.0), 1.0 if part.plausible else _IMPLAUSIBLE)
    words = words_along(answer.latex, part.box, sure)
    line = Line(text=" ".join(answer.latex.split()), box=part.box, confidence=sure, words=words)
    return Block(kind=BlockKind.FORMULA, box=part.box, lines=(line,), markup=answer.latex)


def _notes(part: Part, answer: ReadFormula | PictureUnusable) -> Iterator[str]:
    """What people should know of the reading of ``part``."""
    if isinstance(answer, PictureUnusable):
        yield str(answer)
    elif not answer.latex.strip():
        yield "The model wrote nothing for what stands there."
    else:
        if answer.finish in _CUT:
            yield _CUT[answer.finish]
        if not part.plausible:
            yield _NO_FORMULA
