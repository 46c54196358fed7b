"""What stands between dots.ocr's reading of a page and the model, wherever it runs: one question, one answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from copyist.engines.base import Stop
from copyist.engines.generation import Finish


class Prompt(StrEnum):
    """What the model is asked for."""

    LAYOUT = "layout"
    """Boxes, categories and text, as JSON."""
    LAYOUT_ONLY = "layout_only"
    """Boxes and categories, as JSON."""
    TEXT = "text"
    """The text, plain."""
    REGION = "region"
    """The text in one box."""


@dataclass(frozen=True)
class Question:
    """One image and what to do with it.

    ``pixels`` are ``uint8`` RGB (height, width, 3), both sides multiples of 28. ``region`` is a box ``left, top, right,
    bottom`` in these pixels, for ``Prompt.REGION``.
    """

    pixels: npt.NDArray[np.uint8]
    prompt: Prompt
    stop: Stop
    region: tuple[int, int, int, int] | None = None
    temperature: float = 0.1
    top_p: float = 0.9
    max_tokens: int = 16_384


@dataclass(frozen=True)
class Answer:
    """What the model wrote. Only an answer with ``Finish.STOP`` is whole; ``confidence`` is the mean of its tokens'."""

    text: str
    finish: Finish
    tokens_in: int = 0
    tokens_out: int = 0
    confidence: float | None = None


class Backend(Protocol):
    """A model that answers, here or on a server. ``ask`` is called from many threads."""

    version: str

    def ask(self, question: Question) -> Answer:
        """Answer one question.

        Raises the reason of ``question.stop`` within a second of its being asked, ``NotReady`` when the model cannot be
        had at all (a server that is away), and any other exception for this question alone.
        """
        ...

    def close(self) -> None:
        """Give back memory and connections."""
        ...
