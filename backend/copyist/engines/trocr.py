"""TrOCR: handwriting, line by line. A page is cut into its lines (``engines.lines``), each line is read by the model.

The model sees one line at a time, squashed to a square, so that very long lines are cut at the gaps between words.
Paper: Li et al., "TrOCR: Transformer-based Optical Character Recognition with Pre-trained Models", arXiv 2109.10282.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from copyist.document import Line, Page, Word
from copyist.engines.base import Availability, EngineSettings, Mode, NotReady, PageImage, ReadOptions, Stop
from copyist.engines.calibration import Calibration
from copyist.engines.calibration import load as load_calibration
from copyist.engines.checkpoints import Checkpoint, CheckpointUnusable, fingerprint
from copyist.engines.encoder_decoder import availability
from copyist.engines.generation import Finish
from copyist.engines.lines import RECIPE, TextLine, crop, find_lines
from copyist.engines.lines.long_lines import cuts
from copyist.engines.notes import note
from copyist.engines.reading_order import blocks_of, mean_confidence, words_along
from copyist.engines.trocr_models import (
    default_checkpoint,
    named_checkpoint,
    published_checkpoint,
    refuse_champion,
    why_no_champion,
)
from copyist.engines.trocr_reader import Picture, ReadLine, TrOcrReader

_PACKAGES = ("torch", "torchvision", "transformers", "sentencepiece", "google.protobuf")
LONGEST = 20.0
"""The widest piece of a line that is read at once, in heights of its ink. Most lines of a page are 13 to 18 heights
wide, as are those that the published models were trained on, and a cut takes words out of their sentence."""
_CUT_SHORT = 0.2
"""How sure anybody can be, at most, of a line in which the model had to be stopped."""
_WHY = {
    Finish.REPETITION: "fell into a loop; its text ends there",
    Finish.TIME: "took too long; its text is cut off",
    Finish.LENGTH: "became longer than it can be; its text is cut off",
}


@dataclass(frozen=True)
class WholeLine:
    """What a line says, as it is served. ``words`` are those of ``text``, each with how sure it is, 0 to 1.

    ``reasons`` are why the model was cut short, if it was, in any piece of the line.
    """

    text: str
    words: tuple[tuple[str, float], ...]
    reasons: tuple[Finish, ...] = ()

    @property
    def confidence(self) -> float | None:
        """The mean of its words', by their length; ``None`` where nothing was read."""
        return mean_confidence((sure, len(word)) for word, sure in self.words)


def read_lines(
    reader: TrOcrReader, pictures: Sequence[Picture], stop: Stop, calibration: Calibration | None = None
) -> list[WholeLine]:
    """What each of ``pictures`` says, one line each; long ones are read in pieces, at the gaps between their words."""
    parts, pieces = [], [0]
    for picture in pictures:
        places = cuts(picture, LONGEST)
        parts += [picture[:, first:last] for first, last in places]
        pieces.append(pieces[-1] + len(places))
    read = reader.read(parts, stop)
    return [_whole(read[first:last], calibration) for first, last in pairwise(pieces)]


class TrOcr:
    """Reads handwriting; lines and words with confidence, words laid along their lines.

    A champion (``EngineSettings.champion``) is looked for at every read, so that a new one reads the next page.
    """

    name = "trocr"
    modes = frozenset({Mode.HANDWRITING})
    needs_gpu = False
    cost = 60.0
    dpi = 200
    stops = True
    heavy = True

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        """Ready when its packages are installed and a whole checkpoint of TrOCR is there."""
        return availability(settings, _PACKAGES, default_checkpoint, _version)

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._reader: TrOcrReader | None = None
        self._folder: Path | None = None
        self._calibration: Calibration | None = None
        self.version = _version(self._ready(None).folder)

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read each image with the model that ``options`` names; languages make no difference.

        Decoding is greedy: of ``options.decoding`` only the model counts. Raises ``NotReady`` when that is not there.
        """
        options.stop.check()
        checkpoint = self._ready(options.decoding.model)
        return [self._page(image, checkpoint, options.stop) for image in images]

    def close(self) -> None:
        """Let go of the model, on the GPU too."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._folder = self._calibration = None

    def _page(self, image: PageImage, checkpoint: Checkpoint, stop: Stop) -> Page:
        stop.check()
        found = find_lines(image.pixels)
        lines = self._lines(image, found, self._load(checkpoint), stop) if found else []
        return Page(
            width=image.width,
            height=image.height,
            dpi=image.dpi,
            engine=self.name,
            engine_version=_version(checkpoint.folder),
            blocks=blocks_of(lines),
        )

    def _lines(self, image: PageImage, found: Sequence[TextLine], reader: TrOcrReader, stop: Stop) -> list[Line]:
        """The text of each of ``found``, those left out in which the model reads nothing."""
        read = read_lines(reader, [crop(image.pixels, line) for line in found], stop, self._calibration)
        numbered = enumerate(zip(found, read, strict=True), start=1)
        lines = [_line(number, where, whole) for number, (where, whole) in numbered]
        return [line for line in lines if line.text]

    def _ready(self, name: str | None) -> Checkpoint:
        """The checkpoint of the model ``name`` (``None``: the one that serves), loaded; raises ``NotReady``."""
        try:
            if name is None:
                return self._serving()
            found = named_checkpoint(self._settings, name)
        except CheckpointUnusable as error:
            raise NotReady(str(error)) from error
        self._load(found)
        return found

    def _serving(self) -> Checkpoint:
        """The champion, loaded, or else the published model.

        A champion is given up only for a model that can be loaded: where neither can, the machine may be the reason.
        """
        found = default_checkpoint(self._settings)
        self._note_champion()
        try:
            self._load(found)
        except NotReady as error:
            instead = self._published(error)
            if instead.folder == found.folder:
                raise
            self._load(instead)
            refuse_champion(found, str(error))
            self._note_champion()
            return instead
        return found

    def _published(self, reason: NotReady) -> Checkpoint:
        try:
            return published_checkpoint(self._settings)
        except CheckpointUnusable:
            raise reason from None

    def _note_champion(self) -> None:
        reason = why_no_champion(self._settings)
        if reason:
            note(f"The model that was trained here cannot be used, so the published one read this page: {reason}")

    def _load(self, checkpoint: Checkpoint) -> TrOcrReader:
        """The model of ``checkpoint``; one is kept, since several would not fit on a GPU."""
        if self._reader is None or self._folder != checkpoint.folder:
            self.close()
            self._reader = TrOcrReader(checkpoint.folder, use_gpu=self._settings.use_gpu)
            self._folder = checkpoint.folder
            self._calibration = load_calibration(checkpoint.folder)
        return self._reader


def _version(folder: Path) -> str:
    """Library, model and segmentation, so that a cached reading dies with any of them."""
    return f"{importlib.metadata.version('transformers')}+{folder.name}:{fingerprint(folder)}+{RECIPE}"


def _whole(pieces: Sequence[ReadLine], calibration: Calibration | None) -> WholeLine:
    """One line from what its ``pieces`` say, from left to right."""
    words = [(word, min(max(sure, 0.0), 1.0)) for piece in pieces for word, sure in piece.words]
    if calibration is not None:
        words = [(word, calibration.apply(sure)) for word, sure in words]
    reasons = tuple(dict.fromkeys(piece.finish for piece in pieces if piece.finish in _WHY))
    if reasons:
        words = [(word, min(sure, _CUT_SHORT)) for word, sure in words]
    return WholeLine(" ".join(piece.text for piece in pieces if piece.text), tuple(words), reasons)


def _line(number: int, where: TextLine, read: WholeLine) -> Line:
    """The line at ``where``, its words laid along it."""
    for reason in read.reasons:
        note(f"Line {number} {_WHY[reason]}.")
    words = tuple(
        Word(text=word.text, box=word.box, confidence=sure)
        for word, (_, sure) in zip(words_along(read.text, where.box), read.words, strict=True)
    )
    return Line(text=read.text, box=where.box, confidence=read.confidence, words=words)
