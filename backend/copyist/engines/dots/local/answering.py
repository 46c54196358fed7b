"""Has a loaded dots.ocr answer a batch of questions, each row with its own temperature, length, stop and end.

Rows differ in how their tokens are chosen, since a question that is asked again is asked at another temperature. Each
has its own random numbers, so that an answer depends on its question and not on the company it was in. Imported only
where a model is loaded, since it needs torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from copyist.engines.dots.backend import Answer, Question
from copyist.engines.dots.local.model import Model
from copyist.engines.generation import Finish, GenerationWatch

Deliver = Callable[[int, Answer], None]

_SEED = 20_250_730
"""Any will do: it is fixed so that a page is read the same way twice."""
_PATTERN, _TIMES, _EVERY = 64, 20, 32
"""A loop is one pattern of at most 64 tokens said 20 times, as vLLM is told; tables repeat legitimately a few times."""


@dataclass(frozen=True)
class Limits:
    """What ends an answer beside the model.

    ``seconds`` are for looking at each image, and again for writing the answer; a batch looks at all its images before
    it writes, so that they add up. ``loops``: whether an answer that goes round in circles is ended.
    """

    seconds: float = math.inf
    loops: bool = True


class GivenUp(Exception):
    """Raised between two steps when nobody waits for the batch any more, or its time is over."""


class Sampler:
    """A logits processor after which the largest score is the token drawn, for each row by its own settings.

    Adding Gumbel noise to log-probabilities and taking the largest draws from their distribution (Gumbel, 1954), and
    unlike ``torch.multinomial`` it takes a generator for each row. A row at temperature 0 keeps its scores.
    """

    def __init__(self, questions: Sequence[Question], device: torch.device) -> None:
        warm = [row for row, question in enumerate(questions) if question.temperature > 0]
        self._rows = torch.tensor(warm, device=device, dtype=torch.long)
        self._temperatures = _column([questions[row].temperature for row in warm], device)
        self._top_p = _column([questions[row].top_p for row in warm], device)
        self._generators = [torch.Generator(device).manual_seed(_SEED) for _ in warm]
        self._cuts = any(questions[row].top_p < 1 for row in warm)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - the signature is theirs
        """Scores (rows, vocabulary) with the noise of this step."""
        if not self._generators:
            return scores
        cooled = scores[self._rows].float() / self._temperatures
        if self._cuts:
            cooled = self._nucleus(cooled)
        noise = torch.stack([torch.empty_like(cooled[0]).exponential_(generator=each) for each in self._generators])
        chosen = scores.clone()
        chosen[self._rows] = (cooled - noise.clamp_min(torch.finfo(noise.dtype).tiny).log()).to(scores.dtype)
        return chosen

    def _nucleus(self, scores: Tensor) -> Tensor:
        """Leave the fewest likely tokens whose probabilities add up to ``top_p`` (Holtzman et al., 2020)."""
        ordered, places = scores.softmax(dim=-1).sort(dim=-1, descending=True)
        beyond = ordered.cumsum(dim=-1) - ordered >= self._top_p
        return scores.masked_fill(beyond.scatter(1, places, beyond), -math.inf)


class Rows:
    """A stopping criterion that ends each row by itself and hands out its answer at once."""

    def __init__(
        self,
        model: Model,
        questions: Sequence[Question],
        *,
        prompts: Sequence[int],
        watch: GenerationWatch,
        deliver: Deliver,
    ) -> None:
        self._model, self._questions, self._prompts = model, questions, prompts
        self._watch, self._deliver = watch, deliver
        self._steps = 0
        self.open = set(range(len(questions)))

    def __call__(self, input_ids: Tensor, scores: Any, **more: Any) -> Tensor:
        """Which rows (rows,) have ended; ``input_ids`` are the tokens written so far."""
        self._watch.look(input_ids, scores, **more)
        self._steps += 1
        for row, token in enumerate(input_ids[:, -1].tolist()):
            if row in self.open and (finish := self._finish(row, token)) is not None:
                self.open.remove(row)
                self._deliver(row, self._answer(row, input_ids[row].tolist(), finish))
        return torch.tensor([row not in self.open for row in range(len(self._questions))], device=input_ids.device)

    def _finish(self, row: int, token: int) -> Finish | None:
        if token in self._model.vocabulary.ends:
            return Finish.STOP
        if self._watch.finish[row] is not None:
            return self._watch.finish[row]
        return Finish.LENGTH if self._steps >= self._questions[row].max_tokens else None

    def _answer(self, row: int, tokens: list[int], finish: Finish) -> Answer:
        sure = torch.stack(self._watch.log_probabilities)[:, row].mean()
        return Answer(
            text=self._model.vocabulary.text_of(tokens),
            finish=finish,
            tokens_in=self._prompts[row],
            tokens_out=len(tokens),
            confidence=min(math.exp(float(sure)), 1.0),
        )


def answer(model: Model, questions: Sequence[Question], deliver: Deliver, *, limits: Limits = Limits()) -> None:
    """Answer ``questions`` together, giving each answer to ``deliver`` by its place as soon as its row has ended.

    Raises ``torch.OutOfMemoryError``; answers that were delivered before stand.
    """
    with torch.inference_mode():
        try:
            until = time.monotonic() + limits.seconds * len(questions)
            rows, mask = model.embed(questions, lambda: _look(questions, until))
        except GivenUp:
            for place, question in enumerate(questions):
                deliver(place, Answer("", Finish.ASKED if question.stop.asked else Finish.TIME))
            return
        watch = _watch(questions, limits)
        ends = Rows(model, questions, prompts=mask.sum(dim=1).tolist(), watch=watch, deliver=deliver)
        model.language.generate(
            inputs_embeds=rows,
            attention_mask=mask,
            generation_config=GenerationConfig(
                max_new_tokens=max(question.max_tokens for question in questions),
                pad_token_id=model.vocabulary.pad,
                do_sample=False,
            ),
            logits_processor=[watch.keep, Sampler(questions, rows.device)],
            stopping_criteria=[ends],
        )


def _watch(questions: Sequence[Question], limits: Limits) -> GenerationWatch:
    return GenerationWatch(
        len(questions),
        stops=[question.stop for question in questions],
        longest=_PATTERN if limits.loops else 0,
        times=_TIMES,
        limit_s=limits.seconds,
        every=_EVERY,
    )


def _look(questions: Sequence[Question], until: float) -> None:
    if time.monotonic() > until or all(question.stop.asked for question in questions):
        raise GivenUp


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device, dtype=torch.float32).unsqueeze(1)
