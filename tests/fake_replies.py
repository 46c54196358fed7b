"""What the fake server says: good answers that follow from the picture it is sent, and the ways models fail."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

PREFIX = "<|img|><|imgpad|><|endofimg|>"
LOGPROB = -0.05
_BEGINNINGS = {
    "Please output the layout information from the PDF image": "layout",
    "Please output the layout information from this PDF image": "layout_only",
    "Extract the text content": "text",
    "Extract text from the given bounding box": "region",
}


@dataclass(frozen=True)
class Asked:
    """One question as it arrived. ``width`` and ``height`` are those of its picture."""

    prompt: str
    text: str
    width: int
    height: int
    format: str
    temperature: float
    top_p: float
    max_tokens: int
    model: str
    prefixed: bool
    logprobs: bool
    repetition_detection: dict[str, int] | None
    authorization: str
    behaviour: str


@dataclass
class Reply:
    """What the model says."""

    text: str
    finish: str | None = "stop"
    tokens: int = 0
    logprob: float | None = LOGPROB


def lines_of_ink(grey: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The box of every line of ink, top to bottom: rows with something dark, parted by rows without."""
    dark = grey < 128
    rows = np.flatnonzero(dark.any(axis=1))
    boxes = []
    for group in np.split(rows, np.flatnonzero(np.diff(rows) > 3) + 1) if rows.size else []:
        columns = np.flatnonzero(dark[group[0] : group[-1] + 1].any(axis=0))
        boxes.append((int(columns[0]), int(group[0]), int(columns[-1]) + 1, int(group[-1]) + 1))
    return boxes


def _name(index: int, count: int) -> str:
    return f"Line {index} of {count}"


def _layout(boxes: list[tuple[int, int, int, int]], *, texts: bool = True) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = []
    for index, box in enumerate(boxes, 1):
        cell: dict[str, Any] = {"bbox": list(box), "category": "Text"}
        if texts:
            cell["text"] = _name(index, len(boxes))
        cells.append(cell)
    return cells


def good(asked: Asked, grey: np.ndarray) -> Reply:
    """The answer of a model that is well."""
    boxes = lines_of_ink(grey)
    if asked.prompt in ("layout", "layout_only"):
        return Reply(json.dumps(_layout(boxes, texts=asked.prompt == "layout")))
    if asked.prompt == "region":
        left, top, right, bottom = json.loads(asked.text.split("Bounding Box:\n")[1])
        inside = [
            _name(index, len(boxes))
            for index, box in enumerate(boxes, 1)
            if left <= (box[0] + box[2]) / 2 <= right and top <= (box[1] + box[3]) / 2 <= bottom
        ]
        return Reply("\n".join(inside))
    return Reply("\n".join(_name(index, len(boxes)) for index in range(1, len(boxes) + 1)))


def length(asked: Asked, grey: np.ndarray) -> Reply:
    """Cut in the middle of the last block, or of the text."""
    whole = good(asked, grey).text
    return Reply(whole[: -max(len(whole) // (4 * max(len(lines_of_ink(grey)), 1)), 4)], "length", asked.max_tokens)


def length_early(asked: Asked, grey: np.ndarray) -> Reply:
    """Cut before anything was said."""
    return Reply('[{"bbox": [1', "length", asked.max_tokens)


def repetition(asked: Asked, grey: np.ndarray) -> Reply:
    """Stopped by the server's own guard, in the middle of a loop."""
    return Reply('[{"bbox": [1, 1, 20, 20], "category": "Text", "text": "' + "na " * 40, "repetition", 120)


def loop(asked: Asked, grey: np.ndarray) -> Reply:
    """The same block over and over, ended as if all were well."""
    return Reply(json.dumps([{"bbox": [1, 1, 20, 20], "category": "Text", "text": "the cat"}] * 60))


def garbage(asked: Asked, grey: np.ndarray) -> Reply:
    """No layout at all."""
    return Reply("I cannot help with that. " * 2 if asked.prompt.startswith("layout") else "0" * 2000)


def nothing(asked: Asked, grey: np.ndarray) -> Reply:
    """No block on a page that has some."""
    return Reply("[]" if asked.prompt.startswith("layout") else "")


def picture(asked: Asked, grey: np.ndarray) -> Reply:
    """The whole page as one picture."""
    height, width = grey.shape
    if asked.prompt.startswith("layout"):
        return Reply(json.dumps([{"bbox": [0, 0, width, height], "category": "Picture"}]))
    return good(asked, grey)


def unsure(asked: Asked, grey: np.ndarray) -> Reply:
    """A good answer without the chances of its tokens, as servers give that have none."""
    return Reply(good(asked, grey).text, logprob=None)


def filtered(asked: Asked, grey: np.ndarray) -> Reply:
    """A finish reason that nobody has heard of."""
    return Reply(good(asked, grey).text, "content_filter")


REPLIES: dict[str, Callable[[Asked, np.ndarray], Reply]] = {
    "good": good,
    "slow": good,
    "length": length,
    "length_early": length_early,
    "repetition": repetition,
    "loop": loop,
    "garbage": garbage,
    "nothing": nothing,
    "picture": picture,
    "unsure": unsure,
    "filtered": filtered,
}


def read(body: dict[str, Any], behaviour: str, authorization: str) -> tuple[Asked, np.ndarray]:
    """A question and the grey pixels of its picture, from a body as vLLM takes it."""
    image, words = body["messages"][0]["content"]
    assert image["type"] == "image_url", "the image comes before the text"
    picture = Image.open(io.BytesIO(base64.b64decode(image["image_url"]["url"].split(",", 1)[1])))
    text = words["text"].removeprefix(PREFIX)
    asked = Asked(
        prompt=next((name for beginning, name in _BEGINNINGS.items() if text.startswith(beginning)), "unknown"),
        text=text,
        width=picture.width,
        height=picture.height,
        format=picture.format or "",
        temperature=body["temperature"],
        top_p=body["top_p"],
        max_tokens=body["max_tokens"],
        model=body["model"],
        prefixed=words["text"].startswith(PREFIX),
        logprobs=bool(body.get("logprobs")),
        repetition_detection=body.get("repetition_detection"),
        authorization=authorization,
        behaviour=behaviour,
    )
    return asked, np.asarray(picture.convert("L"))


def completion(reply: Reply, asked: Asked) -> dict[str, Any]:
    """``reply`` as a body of vLLM's."""
    tokens = reply.tokens or max(len(reply.text) // 4, 1)
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": reply.text},
        "finish_reason": reply.finish,
        "logprobs": None,
    }
    if asked.logprobs and reply.logprob is not None:
        entry = {"token": "x", "logprob": reply.logprob, "bytes": [120], "top_logprobs": []}
        choice["logprobs"] = {"content": [entry] * min(tokens, 50)}
    usage = {"prompt_tokens": asked.width * asked.height // 784 + 100, "completion_tokens": tokens}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": asked.model,
        "choices": [choice],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }
