"""Watching a model write: it is stopped when it loops, when it takes too long or when somebody asks, each row alone.

Handed to transformers' ``generate`` twice: as ``logits_processor=[watch.keep]`` and ``stopping_criteria=[watch.look]``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from copyist.engines.base import Stop


class Finish(StrEnum):
    """Why a row ended."""

    STOP = "stop"
    LENGTH = "length"
    REPETITION = "repetition"
    ASKED = "asked"
    TIME = "time"


def repeats(tokens: Sequence[int], *, longest: int, times: int) -> bool:
    """Whether ``tokens`` end in one pattern of at most ``longest`` tokens, said ``times`` times or more in a row."""
    for period in range(1, longest + 1):
        needed = period * times
        if needed > len(tokens):
            return False
        tail = tokens[-needed:]
        if all(tail[at] == tail[at - period] for at in range(period, needed)):
            return True
    return False


class GenerationWatch:
    """Watches one call of ``generate`` with ``rows`` rows.

    ``finish[row]`` tells afterwards why a row was stopped here (``None``: the model ended it, or its length did).
    ``log_probabilities`` holds, for each step, a tensor (rows,) of the chosen tokens' log-probabilities. ``stops`` are
    the rows' own, one each, or none. A loop is looked for every ``every`` steps.
    """

    def __init__(
        self,
        rows: int,
        *,
        stops: Sequence[Stop] = (),
        longest: int = 12,
        times: int = 4,
        limit_s: float = float("inf"),
        every: int = 8,
    ) -> None:
        self.finish: list[Finish | None] = [None] * rows
        self.log_probabilities: list[Any] = []
        self._stops = stops
        self._longest, self._times, self._every = longest, times, every
        self._until = time.monotonic() + limit_s
        self._kept: Any = None
        self._steps = 0
        self._start: int | None = None

    def keep(self, input_ids: Any, scores: Any) -> Any:
        """As a logits processor: keep this step's log-probabilities until the token is chosen; change nothing."""
        if self._start is None:
            self._start = int(input_ids.shape[1])
        self._kept = scores.float().log_softmax(dim=-1)
        return scores

    def look(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002 - the signature is theirs
        """As a stopping criterion: which rows are to end now, a tensor (rows,) of bool."""
        import torch

        if self._kept is not None:
            self.log_probabilities.append(self._kept.gather(1, input_ids[:, -1:]).squeeze(1))
            self._kept = None
        self._steps += 1
        self._judge(input_ids)
        return torch.tensor([end is not None for end in self.finish], device=input_ids.device)

    def _judge(self, input_ids: Any) -> None:
        late = time.monotonic() > self._until
        rows = input_ids[:, self._start or 0 :].tolist() if self._steps % self._every == 0 else None
        for row, end in enumerate(self.finish):
            if end is not None:
                continue
            if self._stops and self._stops[row].asked:
                self.finish[row] = Finish.ASKED
            elif late:
                self.finish[row] = Finish.TIME
            elif rows and repeats(rows[row], longest=self._longest, times=self._times):
                self.finish[row] = Finish.REPETITION
