"""How well lines were read: CER, WER and exact lines, how sure that is, and whether confidence keeps its word.

CER and WER are the errors of all lines over the length of all lines, not the mean of the lines' rates. Both sides are
normalised (``normal.plain``). Edit distances are jiwer's.
"""

from __future__ import annotations

from collections.abc import Sequence

import jiwer
import numpy as np
import numpy.typing as npt

from copyist.training.bootstrap import interval, page_sums
from copyist.training.normal import plain
from copyist.training.order import LineScore, Score

_BINS = 10
_COVERAGES = 20
"""Points of the curve of risk and coverage."""


def line_score(
    *, sha256: str, page: str, text: str, read: str, confidence: float | None, cut_short: bool = False
) -> LineScore:
    """How well a line on which ``text`` stands was read as ``read``. Nothing to read and nothing read is no error."""
    wanted, found = plain(text), plain(read)
    characters = jiwer.process_characters(wanted, found)
    words = jiwer.process_words(wanted, found)
    return LineScore(
        sha256=sha256,
        page=page,
        errors=_errors(characters),
        length=len(wanted),
        word_errors=_errors(words),
        words=len(wanted.split()),
        exact=wanted == found,
        read=read,
        confidence=confidence,
        cut_short=cut_short,
    )


def right_words(text: str, read: Sequence[str]) -> list[bool]:
    """Which of the words ``read`` stand in ``text``, once both are laid along each other."""
    if not read:
        return []
    aligned = jiwer.process_words(plain(text), " ".join(plain(word).replace(" ", "_") for word in read))
    right = [False] * len(read)
    for chunk in aligned.alignments[0]:
        if chunk.type == "equal":
            right[chunk.hyp_start_idx : chunk.hyp_end_idx] = [True] * (chunk.hyp_end_idx - chunk.hyp_start_idx)
    return right


def score(lines: Sequence[LineScore], *, seconds_per_line: float) -> Score:
    """All of ``lines`` together, at least one; intervals are over their pages."""
    pages = [line.page for line in lines]
    sums = page_sums(
        pages,
        [line.errors for line in lines],
        [line.length for line in lines],
        [line.word_errors for line in lines],
        [line.words for line in lines],
        [line.exact for line in lines],
        [1] * len(lines),
    )
    there = max(1, sum(line.length for line in lines))
    return Score(
        lines=len(lines),
        pages=len(set(pages)),
        cer=interval(sums[:2]),
        wer=interval(sums[2:4]),
        exact=interval(sums[4:]),
        empty=float(np.mean([bool(line.length) and not line.read.strip() for line in lines])),
        cut_short=float(np.mean([line.cut_short for line in lines])),
        length_ratio=sum(len(plain(line.read)) for line in lines) / there,
        calibration_error=calibration_error(lines),
        seconds_per_line=seconds_per_line,
    )


def calibration_error(lines: Sequence[LineScore]) -> float | None:
    """The expected calibration error, 0 to 1: how far a line's confidence is from the share of its words that is right.

    Lines count alike, in 10 bins of equal width (Guo et al., arXiv 1706.04599). ``None`` when no line has a confidence.
    """
    known = [(line.confidence, _word_accuracy(line)) for line in lines if line.confidence is not None]
    if not known:
        return None
    sure, right = np.array(known, float).T
    where = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(where, sure - right, _BINS)
    return float(np.abs(gaps).sum() / len(known))


def risk_coverage(lines: Sequence[LineScore]) -> tuple[tuple[float, float], ...]:
    """The CER of the surest lines, for growing shares of all lines: ``(share, CER)``; without confidence come last."""
    if not lines:
        return ()
    ordered = sorted(lines, key=lambda line: -1.0 if line.confidence is None else line.confidence, reverse=True)
    errors = np.cumsum([line.errors for line in ordered])
    lengths = np.maximum(np.cumsum([line.length for line in ordered]), 1)
    kept = _counts(len(ordered))
    return tuple((float(count / len(ordered)), float(errors[count - 1] / lengths[count - 1])) for count in kept)


def _counts(lines: int) -> npt.NDArray[np.intp]:
    return np.unique(np.ceil(np.linspace(0, lines, _COVERAGES + 1)[1:]).astype(np.intp))


def _word_accuracy(line: LineScore) -> float:
    return max(0.0, 1 - line.word_errors / max(line.words, 1))


def _errors(output: jiwer.CharacterOutput | jiwer.WordOutput) -> int:
    return int(output.substitutions + output.deletions + output.insertions)
