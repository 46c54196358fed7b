"""A Nougat checkpoint at work: pixels in, Markdown with LaTeX formulas out (Blecher et al., arXiv 2308.13418).

Runs on transformers' own classes; the ``nougat-ocr`` package does not work with present versions of it. The processor's
clean-up of a page (headings nobody wrote, invented references, broken tables) comes from the model's authors.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from copyist.document import Decoding
from copyist.engines.base import Stop
from copyist.engines.encoder_decoder import load_model, load_processor
from copyist.engines.generation import Finish, GenerationWatch

log = logging.getLogger(__name__)

_LOOPS = ((1, 4, 32), (5, 16, 12), (17, 64, 6), (65, 256, 4))
"""A loop is a pattern of so many tokens to so many, so many times in a row.

Tables repeat, too: ``{c c c c}`` has two tokens a column, ``& 0 & 0`` three or four a cell, and a row of dashes ten.
None of them goes on for that long, while a sentence said four times is no text any more.
"""
_MOST_TOKENS = 4096
_LOOK_EVERY = 16
"""Tokens between two looks for a loop."""
_SLENDER = 4.0
"""From this ratio of its sides on an image is made smaller before it is prepared: the usual way enlarges it by its
shorter side first, which takes a strip of 4,000 x 4 pixels to 670,000."""

_NEAR = 200
"""Characters within which the next word of a page is looked for in what the model wrote."""


@dataclass(frozen=True)
class Written:
    """What the model wrote on one page.

    ``text`` is cleaned-up Markdown; ``raw`` what it was made from, without the loop that it may have ended in, and
    ``certainty`` the probability of each of its characters. ``finish`` is ``STOP``, ``LENGTH`` or ``REPETITION``.
    """

    text: str
    raw: str
    certainty: npt.NDArray[np.float32]
    finish: Finish


class Certainty:
    """How sure the model was of words, asked in the order of the page."""

    def __init__(self, raw: str, certainty: npt.NDArray[np.float32]) -> None:
        self._raw, self._certainty, self._at = raw, certainty, 0
        self._mean = float(certainty.mean()) if len(certainty) else 0.0

    def of(self, word: str) -> float:
        """The mean probability of the characters of ``word``, of the whole page where it is not found as written."""
        # Formulas have other signs around them in the raw text.
        word = word.strip("$")
        start = self._raw.find(word, self._at, self._at + len(word) + _NEAR) if word else -1
        if start < 0:
            return self._mean
        self._at = start + len(word)
        return float(self._certainty[start : self._at].mean())


class NougatModel:
    """One checkpoint, loaded. ``most_tokens`` is the longest page that it can write."""

    def __init__(self, folder: Path, *, use_gpu: bool) -> None:
        """Load everything; raises ``NotReady`` for a checkpoint that is not whole."""
        self.model, self.device = load_model(folder, use_gpu=use_gpu)
        self.processor = load_processor(_processor_class(), folder, self.model)
        decoder = self.model.config.decoder
        known = self.model.generation_config
        self.most_tokens = min(known.max_length or _MOST_TOKENS, decoder.max_position_embeddings) - 1
        known.max_length = None  # Else every page is told that there are two limits.

    def write(self, pixels: npt.NDArray[np.uint8], decoding: Decoding, stop: Stop) -> Written:
        """Write down a page, cropped to its ink: grey or RGB. Raises what ``stop`` was asked with."""
        import torch

        tokenizer = self.processor.tokenizer
        shown = self._prepared(pixels).to(self.device, self.model.dtype)
        watch, loops = GenerationWatch(1, stops=[stop], longest=0), _LoopWatch()
        with torch.inference_mode(), _heeding(self.model.encoder, stop):
            written = self.model.generate(
                shown,
                generation_config=self._generation(decoding),
                logits_processor=[watch.keep],
                stopping_criteria=[watch.look, loops.look],
            )
        stop.check()
        tokens = written[0, 1:].tolist()
        chances = torch.cat(watch.log_probabilities).exp().tolist()
        kept = len(tokens) if loops.start is None else loops.start + loops.period
        raw, certainty = _decoded(tokenizer, tokens[:kept], chances[:kept])
        finish = Finish.LENGTH if len(tokens) >= self.most_tokens else Finish.STOP
        return Written(self._tidy(raw), raw, certainty, finish if loops.start is None else Finish.REPETITION)

    def _prepared(self, pixels: npt.NDArray[np.uint8]) -> Any:
        """The model's input, a tensor (1, 3, height, width), as the checkpoint's own settings have it."""
        image = Image.fromarray(pixels).convert("RGB")
        slender = max(image.size) >= _SLENDER * min(image.size)
        if slender:
            size = self.processor.image_processor.size
            image.thumbnail((int(size["width"]), int(size["height"])))
        prepared = self.processor(images=image, do_crop_margin=False, do_resize=not slender, return_tensors="pt")
        return prepared.pixel_values

    def _generation(self, decoding: Decoding) -> Any:
        """How tokens are chosen. A temperature of 0 takes the likeliest one, ``top_p`` of 0 or 1 leaves out none."""
        from transformers import GenerationConfig

        known = self.model.generation_config
        sampling: dict[str, Any] = {"do_sample": False}
        if decoding.temperature:
            sampling = {"do_sample": True, "temperature": decoding.temperature, "top_k": 0, "top_p": 1.0}
            if decoding.top_p:
                sampling["top_p"] = decoding.top_p
        return GenerationConfig(
            bos_token_id=known.bos_token_id,
            eos_token_id=known.eos_token_id,
            pad_token_id=known.pad_token_id,
            decoder_start_token_id=known.decoder_start_token_id,
            max_new_tokens=self.most_tokens,
            num_beams=1,
            bad_words_ids=[[self.processor.tokenizer.unk_token_id]],
            repetition_penalty=decoding.repetition_penalty or 1.0,
            **sampling,
        )

    def _tidy(self, raw: str) -> str:
        """The authors' own clean-up, or the text as it is where that stumbles over it."""
        try:
            return str(self.processor.post_process_generation(raw, fix_markdown=True)).strip()
        except Exception:
            log.warning("A page could not be cleaned up and is kept as the model wrote it", exc_info=True)
            return raw.strip()


class _LoopWatch:
    """A stopping criterion of ``generate`` for one row: ends it in a loop.

    ``start`` is the token that the loop begins with, counted from the first that was written, ``period`` its length.
    """

    def __init__(self) -> None:
        self.start: int | None = None
        self.period = 0
        self._steps = 0

    def look(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002 - the signature is theirs
        """Whether the row is to end now, a tensor (1,) of bool."""
        import torch

        self._steps += 1
        if self._steps % _LOOK_EVERY == 0:
            tokens = input_ids[0, 1:].tolist()
            self.period = loop_at_end(tokens)
            if self.period:
                self.start = _loop_start(tokens, self.period)
        return torch.tensor([self.start is not None], device=input_ids.device)


def loop_at_end(tokens: Sequence[int]) -> int:
    """The length of the pattern that ``tokens`` end in over and over, 0 if they do not."""
    for shortest, longest, times in _LOOPS:
        for period in range(shortest, longest + 1):
            first = len(tokens) - period * times
            if first < 0:
                break
            if all(tokens[at] == tokens[at + period] for at in range(len(tokens) - period - 1, first - 1, -1)):
                return period
    return 0


def _loop_start(tokens: Sequence[int], period: int) -> int:
    start = len(tokens) - period
    while start > 0 and tokens[start - 1] == tokens[start - 1 + period]:
        start -= 1
    return start


def _decoded(tokenizer: Any, tokens: Sequence[int], chances: Sequence[float]) -> tuple[str, npt.NDArray[np.float32]]:
    """The text of ``tokens``, and of each of its characters the probability of the token that it came from."""
    special = set(tokenizer.all_special_ids)
    said = [(token, chance) for token, chance in zip(tokens, chances, strict=False) if token not in special]
    text: str = tokenizer.decode([token for token, _ in said], clean_up_tokenization_spaces=False)
    # The vocabulary spells bytes, one sign each; so a token's length is the number of bytes it stands for.
    # One that the tokenizer does not know is nothing in the text.
    lengths = [len(sign or "") for sign in tokenizer.convert_ids_to_tokens([token for token, _ in said])]
    of_bytes = np.repeat(np.array([chance for _, chance in said], dtype=np.float32), lengths)
    ends = np.cumsum([len(sign.encode()) for sign in text], dtype=np.int64)
    if not len(ends) or ends[-1] != len(of_bytes):
        # Bytes that are no character were replaced: then the whole page is as sure as it is on average.
        return text, np.full(len(text), of_bytes.mean() if len(of_bytes) else 0.0, dtype=np.float32)
    return text, of_bytes[ends - 1]


@contextmanager
def _heeding(encoder: Any, stop: Stop) -> Iterator[None]:
    """Let ``stop`` end the encoder's work between two of its layers: on a CPU it takes seconds."""
    stop.check()
    layers = [block for stage in encoder.encoder.layers for block in stage.blocks]
    hooks = [layer.register_forward_pre_hook(lambda *_: stop.check()) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _processor_class() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import NougatProcessor
    return NougatProcessor
