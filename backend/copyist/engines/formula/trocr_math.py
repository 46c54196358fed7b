"""Reads formulas with a TrOCR that was trained on them: fhswf/TrOCR_Math_handwritten and what is published like it.

It sees the ink alone, dark on white, squashed to the square of its processor, and writes LaTeX as any other text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from copyist.engines.base import Stop
from copyist.engines.calibration import load as load_calibration
from copyist.engines.checkpoints import fingerprint
from copyist.engines.formula.config import Frame
from copyist.engines.formula.decoding import Found, ReadFormula
from copyist.engines.formula.picture import Picture, PictureUnusable, prepare
from copyist.engines.formula.published import formula, read_usable
from copyist.engines.generation import Finish
from copyist.engines.trocr_reader import ReadLine, TrOcrReader

_FRAME = Frame(height=768, width=2304, symbol_px=64, multiple=1)
"""Larger than the square that it is squashed to, and of the ink's own shape."""
_LONGEST = 256
"""Tokens of the longest formula; in those that it was trained on there are fewer."""


class TrOcrMathReader:
    """Such a TrOCR in memory; raises ``NotReady`` unless it is whole."""

    def __init__(self, folder: Path, *, use_gpu: bool) -> None:
        """``folder`` holds a checkpoint as ``trocr_models.trocr_checkpoint`` wants it."""
        self._reader = _Writer(folder, use_gpu=use_gpu)
        self._calibration = load_calibration(folder)
        self.version = fingerprint(folder)
        self.at_once = self._reader.at_once

    def read(self, pictures: Sequence[Picture], stop: Stop) -> list[ReadFormula | PictureUnusable]:
        """What each of ``pictures`` says, or why it says nothing, in order; raises what ``stop`` was asked to raise."""
        return read_usable(
            pictures, stop, prepare=_dark_on_white, read=lambda prepared: self._read_prepared(prepared, stop)
        )

    def close(self) -> None:
        """Give the memory back, on the GPU too."""
        self._reader.close()

    def _read_prepared(self, prepared: Sequence[Picture], stop: Stop) -> list[ReadFormula]:
        rows = self._reader.rows(prepared, stop)
        return [formula(row.text, Found((), row.sure, row.finish), self._calibration) for row in rows]


@dataclass(frozen=True)
class _Row(ReadLine):
    """``sure`` are the log-probabilities of all tokens, the end included."""

    sure: tuple[float, ...] = ()


class _Writer(TrOcrReader):
    """A TrOCR whose answers are as long as they need to be, whatever the shape of the picture."""

    @property
    def at_once(self) -> int:
        return self._at_once

    def rows(self, pictures: Sequence[Picture], stop: Stop) -> list[_Row]:
        """What ``read`` gives, as what it is here."""
        return [row for row in self.read(pictures, stop) if isinstance(row, _Row)]

    def _longest(self, picture: Picture) -> int:  # noqa: ARG002 - a tall formula is no shorter than a wide one
        positions = int(getattr(self._model.config.decoder, "max_position_embeddings", _LONGEST))
        return max(1, min(_LONGEST, positions - 2))

    def _line(self, row: list[int], log_probabilities: list[float], finish: Finish | None) -> _Row:
        line = super()._line(row, log_probabilities, finish)
        steps = row.index(self._end) + 1 if self._end in row else len(row)
        return _Row(line.text, line.words, line.finish, tuple(log_probabilities[:steps]))


def _dark_on_white(picture: Picture) -> Picture:
    return np.asarray(255 - prepare(picture, _FRAME).pixels, np.uint8)
