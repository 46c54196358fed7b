"""A question and an answer as they cross the wire: the chat completions of the OpenAI API, as each server speaks it."""

from __future__ import annotations

import base64
import io
import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from copyist.engines.dots.backend import Answer, Question
from copyist.engines.dots.prompts import wording
from copyist.engines.generation import Finish

IMAGE_PREFIX = "<|img|><|imgpad|><|endofimg|>"
"""Where the image stands in the model's own chat form. vLLM and SGLang put it before the text with a newline between,
which the model was not trained on, unless the text begins with it; llama.cpp and Ollama have templates of their own."""
_PREFIXED = frozenset({"vllm", "sglang"})
_GIVES_LOGPROBS = frozenset({"vllm", "sglang"})
_REPETITION_DETECTION = {"max_pattern_size": 64, "min_pattern_size": 1, "min_count": 20}
"""Ends an answer that loops at the server, with the finish reason ``repetition``: vLLM 0.17 and later. Tables repeat
honestly, so that a pattern has to come 20 times."""
_JPEG_QUALITY = 95
_IMPOSSIBLE = -20.0
"""Servers write -9999 for what they call impossible; one such token must not outweigh a page."""
LONGEST_TEXT = 1_000_000
"""Characters; the longest answer that can be asked for has half as many."""
_FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH, "repetition": Finish.REPETITION}


class NotTheApi(Exception):
    """The server's answer is no chat completion."""


class QuestionRefused(Exception):
    """The server takes no offence at us but at this one question: too long for its context, say. Words for a person."""


def body(question: Question, *, model: str, flavour: str, max_tokens: int) -> dict[str, Any]:
    """The JSON body that asks ``question``; ``flavour`` is ``DotsSettings.flavour``."""
    text = wording(question.prompt, question.region)
    if flavour in _PREFIXED:
        text = IMAGE_PREFIX + text
    content = [
        {"type": "image_url", "image_url": {"url": data_uri(question.pixels)}},
        {"type": "text", "text": text},
    ]
    asked: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "temperature": question.temperature,
        "top_p": question.top_p,
        "max_tokens": max_tokens,
    }
    if flavour in _GIVES_LOGPROBS:
        asked["logprobs"] = True
    if flavour == "vllm":
        asked["repetition_detection"] = _REPETITION_DETECTION
    return asked


def data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """``pixels``, RGB, as JPEG in a data URI.

    JPEG at quality 95 with full colour: on an A4 page at 200 dpi it takes 20 to 40 ms and 0.2 to 0.9 MB, where PNG
    takes 0.2 to 1 s and up to 2 MB, and a GPU that reads pages in a second would wait for it.
    """
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def answer_of(content: bytes) -> Answer:
    """The answer in the body of a response; raises ``NotTheApi`` for anything else.

    A finish reason that is none of ours (``content_filter``, ``abort``, none at all) counts as an answer that was cut,
    and one of more than ``LONGEST_TEXT`` characters is cut here.
    """
    try:
        completion = json.loads(content)
        choice = completion["choices"][0]
        text = choice["message"].get("content") or ""
        reason = choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise NotTheApi from error
    if not isinstance(text, str):
        raise NotTheApi
    usage = completion.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    finish = _FINISHES.get(reason, Finish.LENGTH) if isinstance(reason, str) else Finish.LENGTH
    return Answer(
        text=text[:LONGEST_TEXT],
        finish=finish if len(text) <= LONGEST_TEXT else Finish.LENGTH,
        tokens_in=_count(usage.get("prompt_tokens")),
        tokens_out=_count(usage.get("completion_tokens")),
        confidence=_confidence(choice.get("logprobs")),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _confidence(logprobs: object) -> float | None:
    """The tokens' mean probability, by the mean of their logarithms; ``None`` where the server tells none."""
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(entries, list):
        return None
    values = (entry.get("logprob") for entry in entries if isinstance(entry, dict))
    # A number that is not equal to itself is none (NaN), which JSON of some servers holds.
    known = [min(max(value, _IMPOSSIBLE), 0.0) for value in values if isinstance(value, int | float) and value == value]
    return math.exp(sum(known) / len(known)) if known else None
