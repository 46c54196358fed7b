"""TrOCR as it reads while it learns: loaded and decoded by the code that serves, its frozen part from a file.

Weights are float32 on every device. Serving has half of that on a GPU, which would be too coarse to go on from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import jiwer
import torch
from transformers.modeling_outputs import BaseModelOutput

from copyist.engines.base import Stop
from copyist.engines.trocr_reader import Picture, TrOcrReader, _as_rgb
from copyist.training.lessons import Lesson
from copyist.training.normal import plain
from copyist.training.vocabulary import Vocabulary

_ON_GPU = 32


class Shown(Sequence[Picture]):
    """The pictures of ``lessons``, each loaded when it is looked at; of a slice of them, one still knows which."""

    def __init__(self, lessons: Sequence[Lesson]) -> None:
        self.lessons = lessons

    def __len__(self) -> int:
        return len(self.lessons)

    @overload
    def __getitem__(self, at: int) -> Picture: ...
    @overload
    def __getitem__(self, at: slice) -> Shown: ...
    def __getitem__(self, at: int | slice) -> Picture | Shown:
        return Shown(self.lessons[at]) if isinstance(at, slice) else self.lessons[at].picture()


class LearningReader(TrOcrReader):
    """A TrOCR model that is about to learn. ``states_of`` gives the encoder's result for lessons, once it is set.

    Raises ``NotReady`` for what serving could not load either.
    """

    def __init__(self, folder: Path, *, use_gpu: bool, threads: int) -> None:
        # A run may be paused at any moment, for hours.
        super().__init__(folder, use_gpu=False, limit_s=math.inf)
        torch.set_num_threads(threads)
        self.states_of: Any = None
        if use_gpu and torch.cuda.is_available():
            self._device, self._at_once = "cuda", _ON_GPU
            self._model.to("cuda")
        # A layer that nothing of TrOCR looks at; the published files have none.
        if hasattr(self._model.encoder, "pooler"):
            self._model.encoder.pooler = None
        start = self._model.generation_config.decoder_start_token_id
        for place in (self._model.config, self._model.config.decoder):
            place.decoder_start_token_id, place.eos_token_id = start, self._end
            place.pad_token_id = self._model.generation_config.pad_token_id

    @property
    def model(self) -> Any:
        """The ``VisionEncoderDecoderModel``."""
        return self._model

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return str(self._device)

    def vocabulary(self) -> Vocabulary:
        """What it can write."""
        positions = int(getattr(self._model.config.decoder, "max_position_embeddings", 512))
        return Vocabulary(self._processor.tokenizer, end=self._end, positions=positions)

    def pixels(self, picture: Picture) -> torch.Tensor:
        """``picture`` as the encoder takes it, shape (1, 3, height, width), on the CPU."""
        images = [_as_rgb(picture)]
        found = self._processor.image_processor(images, return_tensors="pt", input_data_format="channels_last")
        values: torch.Tensor = found.pixel_values
        return values

    def texts(self, lessons: Sequence[Lesson], stop: Stop) -> list[str]:
        """What it reads on the plain pictures of ``lessons`` by now, as serving decodes it."""
        training = self._model.training
        self._model.eval()
        try:
            return [line.text for line in self.read(Shown(lessons), stop)]
        finally:
            self._model.train(training)

    def _encoded(self, batch: Sequence[Picture], stop: Stop) -> Any:
        if self.states_of is None or not isinstance(batch, Shown):
            return super()._encoded(batch, stop)
        return BaseModelOutput(last_hidden_state=self.states_of([(lesson, 0) for lesson in batch.lessons]))


def character_error_rate(read: Sequence[str], lessons: Sequence[Lesson]) -> float:
    """Errors over characters in all ``lessons`` together, both sides normalised."""
    return float(jiwer.cer([plain(lesson.text) for lesson in lessons], [plain(text) for text in read]))
