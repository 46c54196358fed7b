"""The lines that a run learns from: those of its folder that can be learned, and why the others are left out."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from copyist.engines.lines.long_lines import cuts
from copyist.engines.trocr import LONGEST
from copyist.training.events import Failed
from copyist.training.examples import Example, Split, read_manifest
from copyist.training.order import EXAMPLES, LINES
from copyist.training.vocabulary import Unlearnable, Vocabulary

log = logging.getLogger(__name__)

Picture = npt.NDArray[np.uint8]
"""A line: grey, shape (height, width), or RGB, shape (height, width, 3)."""

FEWEST = 8
"""With fewer lines no training begins, whoever asks; the settings wait for more."""
_DAMAGED = "damaged_picture"


@dataclass(frozen=True)
class Lesson:
    """One line: its ``picture``, what it says, and the ``tokens`` that a model is to write, its end token last.

    ``key`` is a hex number that no other line has.
    """

    key: str
    text: str
    tokens: tuple[int, ...]
    picture: Callable[[], Picture] = field(compare=False)


@dataclass(frozen=True)
class Lessons:
    """What a run learns from (``train``) and looks at after each epoch (``dev``); what was left out, by reason."""

    train: tuple[Lesson, ...]
    dev: tuple[Lesson, ...]
    left_out: dict[str, int]


def lessons(folder: Path, vocabulary: Vocabulary) -> Lessons:
    """The lines of the run in ``folder``; pictures are looked at once, and loaded anew when they are needed.

    Raises ``Failed``: when most pictures are damaged, and when fewer than ``FEWEST`` lines are left to learn from.
    """
    taken: dict[Split, list[Lesson]] = {split: [] for split in Split}
    examples = _examples(folder / EXAMPLES)
    left_out: Counter[str] = Counter()
    for example in examples:
        try:
            taken[example.split].append(_lesson(example, folder / LINES, vocabulary))
        except Unlearnable as error:
            left_out[str(error)] += 1
            log.warning("line %s is left out: %s", example.line, error)
    if left_out[_DAMAGED] > len(examples) / 2:
        raise Failed(
            "damaged_picture",
            f"{left_out[_DAMAGED]} of {len(examples)} line pictures are damaged or missing; check the storage.",
        )
    if len(taken[Split.TRAIN]) < FEWEST:
        reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in sorted(left_out.items()))
        raise Failed(
            "too_few_lines",
            f"Only {len(taken[Split.TRAIN])} lines can be learned from, and at least {FEWEST} are needed"
            f"{f'; left out: {reasons}' if reasons else ''}. Correct or confirm more lines.",
        )
    return Lessons(tuple(taken[Split.TRAIN]), tuple(taken[Split.DEV]), dict(left_out))


def general_lessons(lines: Iterable[tuple[Picture, str]], vocabulary: Vocabulary) -> list[Lesson]:
    """Lines that are no part of the run's folder as lessons, without those that cannot be learned from."""
    found = []
    for picture, text in lines:
        try:
            tokens = vocabulary.tokens(text)
            _refuse_wide(picture)
        except Unlearnable:
            continue
        key = hashlib.sha256(picture.tobytes() + text.encode()).hexdigest()
        found.append(Lesson(key, text, tokens, lambda picture=picture: picture))  # type: ignore[misc]
    return found


def load_picture(path: Path, sha256: str) -> Picture:
    """The PNG in ``path``; raises ``Unlearnable`` when it is missing, is none, or is another one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unlearnable(_DAMAGED) from error
    if hashlib.sha256(content).hexdigest() != sha256 or not content.startswith(b"\x89PNG"):
        raise Unlearnable(_DAMAGED)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise Unlearnable(_DAMAGED) from error
    if pixels is None or pixels.size == 0 or pixels.dtype != np.uint8:
        raise Unlearnable(_DAMAGED)
    return np.asarray(pixels if pixels.ndim == 2 else cv2.cvtColor(pixels[:, :, :3], cv2.COLOR_BGR2RGB), np.uint8)


def _examples(path: Path) -> Sequence[Example]:
    """The examples that are there to train with; those held out are not looked at."""
    try:
        return [example for example in read_manifest(path) if example.split is not Split.HOLDOUT]
    except (OSError, ValueError) as error:
        raise Failed("broken", f"{path.name} cannot be read; start the run again.") from error


def _lesson(example: Example, pictures: Path, vocabulary: Vocabulary) -> Lesson:
    path = pictures / f"{example.sha256}.png"
    tokens = vocabulary.tokens(example.text)
    _refuse_wide(load_picture(path, example.sha256))
    return Lesson(example.sha256, example.text, tokens, lambda: load_picture(path, example.sha256))


def _refuse_wide(picture: Picture) -> None:
    """Raise ``Unlearnable`` for a line that is read in pieces: which words stand in which is not known."""
    if len(cuts(picture, LONGEST)) > 1:
        raise Unlearnable("too_wide")
