"""Reads pictures of single lines with a TrOCR model: text, and how sure the model is of each word."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from copyist.engines.base import Stop
from copyist.engines.encoder_decoder import load_model, load_processor
from copyist.engines.generation import Finish, GenerationWatch, repeats

Picture = npt.NDArray[np.uint8]
"""One line of writing: grey (height, width) or RGB (height, width, 3)."""
_AT_ONCE_ON_CPU, _AT_ONCE_ON_GPU = 8, 32
"""Lines that are decoded together: on a CPU 8 take half as long as 8 times one."""
_ENCODED_AT_ONCE_ON_CPU = 1
"""Pictures are encoded one by one there: together they are no faster, and nobody waits long for a stop."""
_TOKENS, _TOKENS_PER_SQUARE = 8, 6
"""The longest answer for a picture: some, and as many as the narrowest letters that fit into each square of it."""
_LOOP_LENGTH, _LOOP_TIMES = 12, 8
"""A pattern of at most so many tokens, so many times in a row, is a loop; a row of dots is shorter."""
_BATCH_LIMIT_S = 120.0
_USUAL_END = 2
"""The token that ends a text in every published model."""


@dataclass(frozen=True)
class ReadLine:
    """What one picture says. ``words`` are those of ``text``, each with the model's probability for it, 0 to 1.

    ``finish`` says why the model was cut short: a loop (the text goes up to it), its length, the time; else ``STOP``.
    """

    text: str
    words: tuple[tuple[str, float], ...]
    finish: Finish = Finish.STOP


class TrOcrReader:
    """A TrOCR model in memory, with the processor of its folder.

    ``limit_s`` is how long some lines may take that are decoded together; what they say by then is cut off.
    """

    def __init__(self, folder: Path, *, use_gpu: bool, limit_s: float = _BATCH_LIMIT_S) -> None:
        self._model, self._device = load_model(folder, use_gpu=use_gpu)
        _compute_positions(self._model.decoder)
        self._processor = load_processor(_processor_class(), folder, self._model)
        self._at_once = _AT_ONCE_ON_CPU if self._device == "cpu" else _AT_ONCE_ON_GPU
        self._limit_s = limit_s
        self._settle_generation()

    def read(self, pictures: Sequence[Picture], stop: Stop) -> list[ReadLine]:
        """What each of ``pictures`` says, in order; raises what ``stop`` was asked to raise."""
        found: list[ReadLine] = []
        at_once = self._at_once
        while len(found) < len(pictures):
            stop.check()
            batch = pictures[len(found) : len(found) + at_once]
            result = self._try(batch, stop)
            if result is not None:
                found += result
            elif at_once == 1:
                raise MemoryError("TrOCR has too little memory for a single line.")
            else:
                at_once //= 2
        return found

    def close(self) -> None:
        """Give the memory back, on the GPU too."""
        import torch

        self._model = None
        if self._device != "cpu":
            torch.cuda.empty_cache()

    def _try(self, batch: Sequence[Picture], stop: Stop) -> list[ReadLine] | None:
        """Read ``batch``; ``None`` when there is too little memory for it."""
        import torch

        try:
            with torch.inference_mode():
                return self._read(batch, stop)
        except torch.OutOfMemoryError:
            # The failed call's tensors are let go of before the next try, outside of this handler.
            pass
        if self._device != "cpu":
            torch.cuda.empty_cache()
        return None

    def _read(self, batch: Sequence[Picture], stop: Stop) -> list[ReadLine]:
        longest = [self._longest(picture) for picture in batch]
        watch = GenerationWatch(
            len(batch),
            stops=[stop] * len(batch),
            longest=_LOOP_LENGTH,
            times=_LOOP_TIMES,
            limit_s=self._limit_s,
        )
        answers = self._model.generate(
            encoder_outputs=self._encoded(batch, stop),
            max_new_tokens=max(longest),
            logits_processor=[watch.keep],
            stopping_criteria=[watch.look],
        )
        stop.check()
        # The first token of an answer is the one that started it.
        tokens = answers[:, 1:].tolist()
        sure = [step.tolist() for step in watch.log_probabilities]
        return [
            self._line(row[:most], [step[number] for step in sure], watch.finish[number])
            for number, (row, most) in enumerate(zip(tokens, longest, strict=True))
        ]

    def _encoded(self, batch: Sequence[Picture], stop: Stop) -> Any:
        import torch
        from transformers.modeling_outputs import BaseModelOutput

        size = _ENCODED_AT_ONCE_ON_CPU if self._device == "cpu" else len(batch)
        states = []
        for start in range(0, len(batch), size):
            stop.check()
            images = [_as_rgb(picture) for picture in batch[start : start + size]]
            pixels = self._processor.image_processor(images, return_tensors="pt", input_data_format="channels_last")
            values = pixels.pixel_values.to(self._device, self._model.dtype)
            states.append(self._model.encoder(pixel_values=values).last_hidden_state)
        return BaseModelOutput(last_hidden_state=torch.cat(states))

    def _longest(self, picture: Picture) -> int:
        """The most tokens that a picture can say, within what the model has positions for."""
        height, width = picture.shape[:2]
        positions = int(getattr(self._model.config.decoder, "max_position_embeddings", 512))
        wished: int = _TOKENS + math.ceil(_TOKENS_PER_SQUARE * width / height)
        return max(1, min(wished, positions - 2))

    def _line(self, row: list[int], log_probabilities: list[float], finish: Finish | None) -> ReadLine:
        if self._end in row:
            row, why = row[: row.index(self._end)], Finish.STOP
        else:
            why = finish or Finish.LENGTH
        kept = _before_loop(row)
        if len(kept) < len(row):
            row, why = kept, Finish.REPETITION
        text = self._decoded(row)
        return ReadLine(" ".join(text.split()), self._words(row, log_probabilities[: len(row)], text), why)

    def _words(self, row: list[int], log_probabilities: list[float], text: str) -> tuple[tuple[str, float], ...]:
        """Each word of ``text`` with the geometric mean of its tokens' probabilities."""
        ends = [_alike(self._decoded(row[: step + 1]), text) for step in range(len(row))]
        words, at = [], 0
        for word in text.split():
            start = text.index(word, at)
            at = start + len(word)
            own = [
                sure
                for sure, begin, end in zip(log_probabilities, [0, *ends[:-1]], ends, strict=True)
                if begin < at and end > start
            ]
            words.append((word, math.exp(sum(own) / len(own)) if own else 0.0))
        return tuple(words)

    def _decoded(self, row: Sequence[int]) -> str:
        text = self._processor.tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def _settle_generation(self) -> None:
        """Decode greedily, whatever the checkpoint's own settings are: published ones switch the cache off."""
        from transformers import GenerationConfig

        places = (self._model.generation_config, self._model.config, self._model.config.decoder)
        self._end = _token(places, "eos_token_id")
        self._model.generation_config = GenerationConfig(
            decoder_start_token_id=_token(places, "decoder_start_token_id", self._end),
            eos_token_id=self._end,
            pad_token_id=_token(places, "pad_token_id", self._end),
            do_sample=False,
            num_beams=1,
            use_cache=True,
        )


def _compute_positions(decoder: Any) -> None:
    """Compute the sine positions of a decoder that has these in place of learned ones (large-printed, stage1).

    They are in no checkpoint, and transformers 5 leaves them empty when it loads one.
    """
    positions = decoder.model.decoder.embed_positions
    weights = getattr(positions, "weights", None)
    if weights is not None and weights.is_meta:
        positions.weights = positions.get_embedding(*weights.shape, positions.padding_idx).to(decoder.device)


def _processor_class() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import TrOCRProcessor
    return TrOCRProcessor


def _token(places: Sequence[Any], name: str, otherwise: int = _USUAL_END) -> int:
    """The id of the token ``name`` in the first place that has one; of several alternatives the first."""
    found = (getattr(place, name, None) for place in places)
    ids = next((one for one in found if one is not None), otherwise)
    return int(ids[0] if isinstance(ids, list) else ids)


def _alike(beginning: str, text: str) -> int:
    """How many characters of ``text`` stand in ``beginning`` as they are.

    A character of several bytes shows as a placeholder until its last token.
    """
    differing = (at for at, (one, other) in enumerate(zip(beginning, text, strict=False)) if one != other)
    return next(differing, min(len(beginning), len(text)))


def _before_loop(row: list[int]) -> list[int]:
    """``row`` up to the first time that a pattern stands there which it then repeats to its end."""
    if not repeats(row, longest=_LOOP_LENGTH, times=_LOOP_TIMES):
        return row
    period = next(p for p in range(1, _LOOP_LENGTH + 1) if repeats(row, longest=p, times=_LOOP_TIMES))
    start = len(row) - period
    while start > 0 and row[start - 1] == row[start - 1 + period]:
        start -= 1
    return row[: start + period]


def _as_rgb(picture: Picture) -> Picture:
    return np.repeat(picture[:, :, None], 3, axis=2) if picture.ndim == 2 else np.ascontiguousarray(picture)
