"""TrOCR: handwriting, line by line. A page is cut into its lines (``engines.lines``), each line is read by the model.

The model sees one line at a time, squashed to a square, so that very long lines are cut at the gaps between words.
Paper: Li et al., "TrOCR: Transformer-based Optical Character Recognition with Pre-trained Models", arXiv 2109.10282.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from copyist.document import Line, Page, Word
from copyist.engines.base import Availability, Decoding, EngineSettings, Mode, NotReady, PageImage, ReadOptions, Stop
from copyist.engines.checkpoints import Checkpoint, CheckpointUnusable, fingerprint
from copyist.engines.encoder_decoder import availability
from copyist.engines.generation import Finish
from copyist.engines.lines import RECIPE, TextLine, crop, find_lines
from copyist.engines.lines.long_lines import cuts
from copyist.engines.notes import note
from copyist.engines.reading_order import blocks_of, mean_confidence, words_along
from copyist.engines.trocr_models import default_checkpoint, named_checkpoint
from copyist.engines.trocr_reader import ReadLine, TrOcrReader

_PACKAGES = ("torch", "torchvision", "transformers", "sentencepiece", "google.protobuf")
_LONGEST = 20.0
"""The widest piece of a line that is read at once, in heights of its ink. Most lines of a page are 13 to 18 heights
wide, as are those that the published models were trained on, and a cut takes words out of their sentence."""
_CUT_SHORT = 0.2
"""How sure anybody can be, at most, of a line in which the model had to be stopped."""
_WHY = {
    Finish.REPETITION: "fell into a loop; its text ends there",
    Finish.TIME: "took too long; its text is cut off",
    Finish.LENGTH: "became longer than it can be; its text is cut off",
}


class TrOcr:
    """Reads handwriting; lines and words with confidence, words laid along their lines."""

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
        try:
            found = default_checkpoint(settings)
        except CheckpointUnusable as error:
            raise NotReady(str(error)) from error
        self.version = _version(found.folder)
        self._load(found)

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        """Read each image with the model that ``options`` names; languages make no difference.

        Decoding is greedy: of ``options.decoding`` only the model counts. Raises ``NotReady`` when that is not there.
        """
        checkpoint = self._checkpoint(options.decoding)
        return [self._page(image, checkpoint, options.stop) for image in images]

    def close(self) -> None:
        """Let go of the model, on the GPU too."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._folder = None

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
        pictures, pieces = [], [0]
        for line in found:
            picture = crop(image.pixels, line)
            parts = cuts(picture, _LONGEST)
            pictures += [picture[:, first:last] for first, last in parts]
            pieces.append(pieces[-1] + len(parts))
        read = reader.read(pictures, stop)
        lines = [
            _line(number, where, read[first:last])
            for number, (where, (first, last)) in enumerate(zip(found, pairwise(pieces), strict=True), start=1)
        ]
        return [line for line in lines if line.text]

    def _checkpoint(self, decoding: Decoding) -> Checkpoint:
        try:
            if decoding.model is None:
                return default_checkpoint(self._settings)
            return named_checkpoint(self._settings, decoding.model)
        except CheckpointUnusable as error:
            raise NotReady(str(error)) from error

    def _load(self, checkpoint: Checkpoint) -> TrOcrReader:
        """The model of ``checkpoint``; one is kept, since several would not fit on a GPU."""
        if self._reader is None or self._folder != checkpoint.folder:
            self.close()
            self._reader = TrOcrReader(checkpoint.folder, use_gpu=self._settings.use_gpu)
            self._folder = checkpoint.folder
        return self._reader


def _version(folder: Path) -> str:
    """Library, model and segmentation, so that a cached reading dies with any of them."""
    return f"{importlib.metadata.version('transformers')}+{folder.name}:{fingerprint(folder)}+{RECIPE}"


def _line(number: int, where: TextLine, pieces: Sequence[ReadLine]) -> Line:
    """One line from what its ``pieces`` say, from left to right."""
    text = " ".join(piece.text for piece in pieces if piece.text)
    sure = [confidence for piece in pieces for _, confidence in piece.words]
    reasons = [piece.finish for piece in pieces if piece.finish in _WHY]
    for reason in dict.fromkeys(reasons):
        note(f"Line {number} {_WHY[reason]}.")
    if reasons:
        sure = [min(confidence, _CUT_SHORT) for confidence in sure]
    words = tuple(
        Word(text=word.text, box=word.box, confidence=min(max(confidence, 0.0), 1.0))
        for word, confidence in zip(words_along(text, where.box), sure, strict=True)
    )
    confidence = mean_confidence((word.confidence, len(word.text)) for word in words)
    return Line(text=text, box=where.box, confidence=confidence, words=words)
