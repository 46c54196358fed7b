"""Pictures to formulas with a model of ours, whatever computes it: prepared, in batches of one size, decoded, judged.

A reader of ONNX Runtime and one of torch differ in the ``Decoder`` they hand over only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from copyist.engines.base import NotReady, Stop
from copyist.engines.calibration import Calibration, load
from copyist.engines.checkpoints import fingerprint
from copyist.engines.formula.config import ModelConfig
from copyist.engines.formula.decoding import Decoder, Found, Limits, ReadFormula, beam, greedy, in_order
from copyist.engines.formula.latex import joined, mended
from copyist.engines.formula.picture import Picture, PictureUnusable, batch, prepare
from copyist.engines.formula.vocabulary import Vocabulary
from copyist.engines.generation import Finish

CUT_AT_MOST = 0.2
"""The confidence of a reading that was cut: it is not the formula."""


@dataclass(frozen=True)
class Search:
    """How readings are looked for: ``beam`` ways at once where the greedy reading is less sure than ``unsure``.

    With a ``beam`` of 1 or an ``unsure`` of 0 all are read greedily. ``seconds`` are for one batch, or one beam.
    """

    beam: int = 4
    unsure: float = 0.5
    seconds: float = 60.0


@dataclass(frozen=True)
class ModelFolder:
    """What every reader of a folder needs to know; the tensors are the reader's own."""

    folder: Path
    config: ModelConfig
    vocabulary: Vocabulary
    calibration: Calibration
    version: str

    @classmethod
    def open(cls, folder: Path) -> ModelFolder:
        """Read the small files; raises ``NotReady`` with the reason."""
        try:
            config, vocabulary = ModelConfig.load(folder), Vocabulary.load(folder)
            version = fingerprint(folder)
        except (OSError, ValueError) as error:
            raise NotReady(f"The formula model {folder.name} cannot be used: {_reason(error)}. {_WAY_OUT}") from error
        return cls(folder, config, vocabulary, load(folder) or Calibration(), version)

    def refused(self, file: str, reason: str) -> NotReady:
        """What is raised for a ``file`` of the folder that cannot be used."""
        return NotReady(f"The formula model cannot be used: {self.folder.name}/{file} {reason}. {_WAY_OUT}")


_WAY_OUT = "Copy or export it again, or set FORMULA_MODEL to another folder."


class ModelReader:
    """A ``FormulaReader`` on a ``Decoder``."""

    at_once = 1

    def __init__(self, model: ModelFolder, decoder: Decoder, search: Search | None = None) -> None:
        self.model, self.version = model, model.version
        self._decoder: Decoder | None = decoder
        self._search = search or Search()

    def read(self, pictures: Sequence[Picture], stop: Stop) -> list[ReadFormula | PictureUnusable]:
        """What each of ``pictures`` says, or why it says nothing, in order; raises what ``stop`` was asked to raise."""
        answers: dict[int, ReadFormula | PictureUnusable] = {}
        by_size: dict[tuple[int, ...], list[tuple[int, Picture]]] = {}
        for number, picture in enumerate(pictures):
            stop.check()
            try:
                pixels = prepare(picture, self.model.config.frame).pixels
            except PictureUnusable as unusable:
                answers[number] = unusable
            else:
                by_size.setdefault(pixels.shape, []).append((number, pixels))
        for same in by_size.values():
            read = self.read_prepared([pixels for _, pixels in same], stop)
            answers.update(zip((number for number, _ in same), read, strict=True))
        return [answers[number] for number in range(len(pictures))]

    def read_prepared(self, pixels: Sequence[Picture], stop: Stop) -> list[ReadFormula]:
        """What prepared ``pixels`` of one size say; for those who have prepared them already."""
        found: list[ReadFormula] = []
        while len(found) < len(pixels):
            found += self._read_some(pixels[len(found) : len(found) + self.at_once], stop)
        return found

    def close(self) -> None:
        """Give the memory back."""
        self._decoder = None

    def _read_some(self, pixels: Sequence[Picture], stop: Stop) -> list[ReadFormula]:
        assert self._decoder is not None, "the reader is closed"
        shown = batch(pixels)
        limits = Limits(self.model.config.longest, seconds=self._search.seconds)
        read = []
        for number, one in enumerate(greedy(self._decoder, shown, limits, stop)):
            ways = [one]
            if self._search.beam > 1 and one.mean < self._search.unsure:
                # A beam can lose the way that was the best in the end, so the greedy one stays among them.
                ways = in_order([one, *beam(self._decoder, shown[number], limits, self._search.beam, stop)])
            read.append(self._formula(ways))
        return read

    def _formula(self, ways: Sequence[Found]) -> ReadFormula:
        best, *others = ways
        tokens = tuple(mended(self.model.vocabulary.tokens(best.ids)))
        return ReadFormula(
            latex=joined(tokens),
            confidence=self._confidence(best),
            least=best.least if math.isfinite(best.least) else 0.0,
            tokens=tokens,
            finish=best.finish,
            others=tuple(
                (joined(mended(self.model.vocabulary.tokens(way.ids))), self._confidence(way)) for way in others
            ),
        )

    def _confidence(self, found: Found) -> float:
        if not math.isfinite(found.mean):
            return 0.0
        calibrated = self.model.calibration.apply(found.mean)
        return calibrated if found.finish is Finish.STOP else min(calibrated, CUT_AT_MOST)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{Path(error.filename).name} is missing"
    return f"its files cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
