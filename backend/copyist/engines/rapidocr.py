"""RapidOCR: PP-OCR models on ONNX Runtime; the reader of photos and uneven light, without a GPU.

The models come inside the package, so it works as soon as it is installed. It does not choose by language: its one
model reads Latin script, Greek letters in formulas, Chinese and Japanese, and no Cyrillic or Arabic.

Two of its habits are worked around here. Its angle classifier turns upright long lines upside down, so that it stays
off and the pipeline settles orientation. Flags given to a call stay on the instance, so that every call gives all.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from copyist.document import Box, Line, Page, Word
from copyist.engines.base import Availability, EngineSettings, Mode, PageImage, ReadOptions
from copyist.engines.reading_order import blocks_of, words_along

_PACKAGES = ("rapidocr", "onnxruntime", "cv2")
_DETECTION_SIDE = 960
"""Longer side, in pixels, of the image in which text is looked for; it is read from the full image. On A4 pages at 200
dpi 960 finds all of it for 4 CPU s a page, 1280 for 5, 2000 for 10; at 736 lines go missing."""
_SMALLEST = 4
"""Pixels: a strip that is lower holds no text, and is stretched to a line's height: one of 3,000 x 1 took 6 GB."""
_PARAMETERS = {
    "Global.use_cls": False,
    # Its own default shrinks the page before both steps, and enlarges a single line's strip to 736 pixels of height:
    # reading from the full image halves the errors on handwriting, and a line costs a tenth of the time.
    "Global.max_side_len": 100_000,
    "Det.limit_type": "max",
    "Det.limit_side_len": _DETECTION_SIDE,
    "Global.log_level": "error",
    # One line at a time: a batch is padded to its widest line, which costs 1.7 times the time.
    "Rec.rec_batch_num": 1,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}
_FLAGS = {
    "use_det": True,
    "use_cls": False,
    "use_rec": True,
    "return_word_box": True,
    "return_single_char_box": False,
    "text_score": 0.5,
    "box_thresh": 0.5,
    "unclip_ratio": 1.6,
}
_NAMES = (
    "afr cat ces chi_sim chi_tra cym dan deu eng epo est eus fin fra gle glg hrv hun ind isl ita jpn lat lav lit mlt "
    "nld nor oci pol por ron slk slv spa sqi swe tur"
)
_LANGUAGES = tuple(_NAMES.split())
"""One model reads all of these and does not choose among them: the languages whose letters are in its character list.
Cyrillic, Greek, Arabic and Korean are not, and come out as Latin nonsense that it is sure of."""


class RapidOcr:
    """Reads print and neat handwriting, in photos too; lines with confidence, words with boxes."""

    name = "rapidocr"
    modes = frozenset({Mode.DOCUMENT})
    needs_gpu = False
    cost = 4.0
    dpi = 200
    stops = False
    heavy = True

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:  # noqa: ARG003
        """Ready when its packages are installed: the models are part of them."""
        missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
        if missing:
            return Availability(
                ready=False, reason=f"The package {missing[0]} is not installed; install copyist with [rapidocr]."
            )
        return Availability(ready=True, version=_version(), languages=_LANGUAGES)

    def __init__(self, settings: EngineSettings) -> None:  # noqa: ARG002
        # ONNX Runtime reports its first session to its maker unless this is set before it is imported.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        from rapidocr import RapidOCR

        self.version = _version()
        self._reader: Any = RapidOCR(params=_PARAMETERS)

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:  # noqa: ARG002
        """Read each image; languages make no difference."""
        return [self._page(image) for image in images]

    def close(self) -> None:
        """Let go of the sessions; memory follows when they are collected."""
        self._reader = None

    def _page(self, image: PageImage) -> Page:
        found = []
        if min(image.width, image.height) >= _SMALLEST:
            found = _lines(self._reader(_as_bgr(image.pixels), **_FLAGS), image)
        return Page(
            width=image.width,
            height=image.height,
            dpi=image.dpi,
            engine=self.name,
            engine_version=self.version,
            blocks=blocks_of(found),
        )


def _version() -> str:
    return importlib.metadata.version("rapidocr") + f"+side{_DETECTION_SIDE}"


def _as_bgr(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Three channels in the order of OpenCV, which is what RapidOCR takes an array for."""
    return np.ascontiguousarray(np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels[:, :, ::-1])


def _lines(result: Any, image: PageImage) -> list[Line]:
    """One line per piece of text found, in no promised order; on a blank page everything is ``None``."""
    if result.txts is None:
        return []
    # The library drops the words of single lines, after which words no longer match their lines: then none are used.
    words = result.word_results if len(result.word_results or ()) == len(result.txts) else [()] * len(result.txts)
    lines = []
    for text, score, corners, pieces in zip(result.txts, result.scores, result.boxes, words, strict=True):
        box = _box(corners, image)
        if text.strip() and box.width and box.height:
            found = _words(text, pieces, image) or words_along(text, box, float(score))
            lines.append(Line(text=" ".join(text.split()), box=box, confidence=_unit(score), words=tuple(found)))
    return lines


def _words(text: str, pieces: Sequence[Any], image: PageImage) -> list[Word]:
    """The words of ``text`` with the boxes of the pieces that spell them.

    A piece is a word in Latin script and one character in a line with Chinese in it. Empty when they do not add up.
    """
    remaining = [(str(piece[0]), piece) for piece in pieces if str(piece[0]).strip()]
    if "".join(text.split()) != "".join(piece for piece, _ in remaining):
        return []
    words: list[Word] = []
    for word in text.split():
        own: list[tuple[str, Any]] = []
        while len("".join(piece for piece, _ in own)) < len(word):
            own.append(remaining.pop(0))
        if "".join(piece for piece, _ in own) != word:
            return []
        box = Box.around(_box(piece[2], image) for _, piece in own)
        confidence = sum(float(piece[1]) for _, piece in own) / len(own)
        words.append(Word(text=word, box=box, confidence=_unit(confidence)))
    return words


def _box(corners: Any, image: PageImage) -> Box:
    """The upright box around four corners."""
    points = np.asarray(corners, dtype=float)
    left, top = np.floor(points.min(axis=0))
    right, bottom = np.ceil(points.max(axis=0))
    return Box(int(left), int(top), int(right), int(bottom)).within(image.width, image.height)


def _unit(value: float) -> float:
    return min(max(float(value), 0.0), 1.0)
