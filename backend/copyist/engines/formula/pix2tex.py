"""Reads formulas with a checkpoint of pix2tex (LaTeX-OCR): print, from a folder as ``pix2tex_config`` describes it.

Where pix2tex draws its tokens by lot, so that the same picture gives one formula today and another tomorrow, the
likeliest is taken here. Source: Lukas Blecher, github.com/lukas-blecher/LaTeX-OCR, MIT.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel

from copyist.engines.base import NotReady, Stop
from copyist.engines.calibration import load as load_calibration
from copyist.engines.checkpoints import CheckpointUnusable, fingerprint
from copyist.engines.formula import pix2tex_picture
from copyist.engines.formula.decoding import Floats, Found, Integers, Limits, ReadFormula, greedy
from copyist.engines.formula.picture import Picture, PictureUnusable
from copyist.engines.formula.pix2tex_config import (
    MULTIPLE,
    RESIZER,
    TENSORS,
    TOKENIZER,
    Pix2TexConfig,
    open_pix2tex,
)
from copyist.engines.formula.pix2tex_network import Pix2Tex, Written, resizer, with_weights
from copyist.engines.formula.published import formula, read_usable
from copyist.engines.formula.vocabulary import SPECIAL, UNKNOWN

_AT_ONCE_ON_CPU, _AT_ONCE_ON_GPU = 8, 32
_BATCH_LIMIT_S = 120.0


class Pix2TexReader:
    """A checkpoint of pix2tex in memory; raises ``NotReady`` unless it is whole.

    ``limit_s`` is how long some formulas may take that are read together; what they say by then is cut off.
    """

    def __init__(self, folder: Path, *, use_gpu: bool, limit_s: float = _BATCH_LIMIT_S) -> None:
        """``folder`` holds the published files."""
        try:
            self._config = open_pix2tex(folder)
        except CheckpointUnusable as error:
            raise NotReady(str(error)) from error
        self.version = fingerprint(folder)
        self._device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
        if self._device == "cpu":
            torch.set_num_threads(1)
        self.at_once = _AT_ONCE_ON_CPU if self._device == "cpu" else _AT_ONCE_ON_GPU
        self._calibration = load_calibration(folder)
        self._limits = Limits(self._config.max_seq_len - 1, seconds=limit_s)
        self._tokens = _Tokens(folder / TOKENIZER, self._config)
        self._decoder = _Decoder(_network(folder, self._config).to(self._device), self._tokens.numbers, self._device)
        self._resizer = _resizer(folder, self._config, self._device)

    def read(self, pictures: Sequence[Picture], stop: Stop) -> list[ReadFormula | PictureUnusable]:
        """What each of ``pictures`` says, or why it says nothing, in order; raises what ``stop`` was asked to raise."""
        return read_usable(
            pictures, stop, prepare=self._shown, read=lambda prepared: self._read_prepared(prepared, stop)
        )

    def close(self) -> None:
        """Give the memory back, on the GPU too."""
        del self._decoder, self._resizer
        if self._device != "cpu":
            torch.cuda.empty_cache()

    def _shown(self, picture: Picture) -> Picture:
        preferred_width = self._preferred_width if self._resizer is not None else None
        return pix2tex_picture.shown(picture, self._config, preferred_width)

    def _preferred_width(self, picture: Picture) -> int:
        with torch.inference_mode():
            pixels = torch.from_numpy(pix2tex_picture.batch([picture])).to(self._device)
            return MULTIPLE * (1 + int(self._resizer(pixels).argmax()))

    def _read_prepared(self, prepared: Sequence[Picture], stop: Stop) -> list[ReadFormula]:
        """Pictures of one size are read together, so that nothing changes by what else is read."""
        found: dict[int, Found] = {}
        shapes = [picture.shape for picture in prepared]
        for shape in dict.fromkeys(shapes):
            alike = [place for place, own in enumerate(shapes) if own == shape]
            for start in range(0, len(alike), self.at_once):
                places = alike[start : start + self.at_once]
                batch = pix2tex_picture.batch([prepared[place] for place in places])
                found.update(zip(places, self._found(batch, stop), strict=True))
        return [
            formula(self._tokens.text(found[place].ids), found[place], self._calibration)
            for place in range(len(prepared))
        ]

    def _found(self, batch: Floats, stop: Stop) -> list[Found]:
        """What stands on each picture of ``batch``; half of it at a time when there is too little memory."""
        try:
            return greedy(self._decoder, batch, self._limits, stop)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise MemoryError("pix2tex has too little memory for a single formula.") from error
        # Outside of the handler, so that the failed call's tensors are let go of before the next try.
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return self._found(batch[:half], stop) + self._found(batch[half:], stop)


class _Tokens:
    """The tokens of ``tokenizer.json`` under the numbers of this house: the special ones first, then all others."""

    def __init__(self, path: Path, config: Pix2TexConfig) -> None:
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # It raises nothing narrower.
            raise NotReady(f"{path.parent.name}/{path.name} is no tokenizer; pull the weights again.") from error
        known = sorted(tokenizer.get_vocab(with_added_tokens=True).values())
        if not known or known[-1] >= config.num_tokens:
            raise NotReady(
                f"{path.parent.name}/{path.name} is another model's: it has {len(known)} tokens, the model "
                f"{config.num_tokens}."
            )
        special = config.pad_token, config.bos_token, config.eos_token
        # No token of theirs stands for one that is not known; some number has to.
        self.numbers = [*special, config.pad_token, *(number for number in known if number not in special)]
        self._tokenizer, self._decoder = tokenizer, ByteLevel()

    def text(self, ids: Sequence[int]) -> str:
        """What the tokens with the numbers ``ids`` of this house say."""
        words = (self._tokenizer.id_to_token(self.numbers[number]) for number in ids if number >= len(SPECIAL))
        return str(self._decoder.decode([word for word in words if word]))


class _Decoder:
    """The network as ``decoding.Decoder``; tokens without a text are left out of its choice."""

    def __init__(self, network: Pix2Tex, numbers: Sequence[int], device: str) -> None:
        self._network, self._device = network, device
        self._numbers = torch.tensor(numbers, device=device)

    def cross(self, pictures: Floats) -> Written:
        with torch.inference_mode():
            return self._network.look(torch.from_numpy(pictures).to(self._device))

    def step(self, tokens: Integers, position: int, state: Written) -> Floats:
        with torch.inference_mode():
            theirs = self._numbers[torch.from_numpy(tokens).to(self._device)]
            logits = self._network.step(theirs, position, state)[:, self._numbers]
            logits[:, UNKNOWN] = -torch.inf
            return np.asarray(logits.float().cpu().numpy(), np.float32)

    def reorder(self, state: Written, rows: Integers) -> Written:
        with torch.inference_mode():
            return state.of(torch.from_numpy(rows).to(self._device))


def _network(folder: Path, config: Pix2TexConfig) -> Any:
    tensors = _tensors(folder / TENSORS)
    if config.depth > len(tensors):
        raise NotReady(f"{folder.name}/config.yaml asks for more layers than there are weights; it is another model's.")
    with torch.device("meta"):
        network = Pix2Tex(config)
    return with_weights(network, tensors, f"{folder.name}/{TENSORS}")


def _resizer(folder: Path, config: Pix2TexConfig, device: str) -> Any:
    """The network that says how wide a picture should be, or ``None`` where there is none."""
    path = folder / RESIZER
    if not path.is_file():
        return None
    tensors = _tensors(path)
    with torch.device("meta"):
        network = resizer(config)
    return with_weights(network, tensors, f"{folder.name}/{RESIZER}").to(device)


def _tensors(path: Path) -> dict[str, Any]:
    """The tensors of a file of PyTorch by name; no code in it is run."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Unpickling raises whatever the file makes it raise.
        raise NotReady(f"{path.parent.name}/{path.name} cannot be loaded; pull the weights again.") from error
    if not isinstance(content, dict) or not all(_is_stored(one) for one in content.values()):
        raise NotReady(f"{path.parent.name}/{path.name} holds no tensors by name; it is no checkpoint of pix2tex.")
    return content


def _is_stored(one: object) -> bool:
    """Whether it is a tensor whose numbers are all in the file; one that repeats a few of them may be of any size."""
    return (
        isinstance(one, torch.Tensor)
        and one.layout == torch.strided
        and one.numel() * one.element_size() <= one.untyped_storage().nbytes()
    )
