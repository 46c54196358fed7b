"""Gathers the questions of several threads into batches for one model.

Writing an answer reads all weights of the model for every token, however many are written at once: eight together cost
hardly more than one. So whoever asks waits some milliseconds for others, and a single thread
answers what has come together, as much as fits into memory. Knows nothing of torch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from copyist.engines.base import NotReady, Stop

log = logging.getLogger(__name__)

GATHER_S = 0.03
"""How long the first question waits for others; nothing beside the seconds that an answer takes."""
_LOOK_S = 0.1
"""How often whoever waits for an answer looks whether it is still wanted."""


class Asking(Protocol):
    """What a question has at least."""

    @property
    def stop(self) -> Stop:
        """Asks for the question to be given up."""
        ...


Question = TypeVar("Question", bound=Asking)
Answer = TypeVar("Answer")
_Asks = TypeVar("_Asks", bound=Asking, contravariant=True)
_Answers = TypeVar("_Answers", covariant=True)


class Runner(Protocol[_Asks, _Answers]):
    """A model that answers a batch. Called from one thread only."""

    def cost(self, questions: Sequence[_Asks]) -> int:
        """The memory that answering these together takes, in bytes; more for more questions."""
        ...

    def room(self) -> int:
        """The memory that there is for a batch now, in bytes."""
        ...

    def run(self, questions: Sequence[_Asks], deliver: Callable[[int, _Answers], None]) -> None:
        """Answer all, handing out each answer by its place in ``questions`` as soon as it is whole.

        Raises ``MemoryError`` when the memory did not do; answers that were handed out before stand.
        """
        ...


@dataclass(eq=False)
class _Asked(Generic[Question, Answer]):
    """A question on its way, and what came of it."""

    question: Question
    done: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None
    error: BaseException | None = None
    alone: bool = False
    """It was in a batch that failed, and is tried again without company, so that it fails nobody but itself."""

    def settle(self, *, answer: Answer | None = None, error: BaseException | None = None) -> None:
        """Let whoever asked go on; only the first outcome counts."""
        if not self.done.is_set():
            self.answer, self.error = answer, error
            self.done.set()


class Batches(Generic[Question, Answer]):
    """Answers questions in batches of at most ``at_once``, as many as fit. ``ask`` may be called from many threads."""

    def __init__(self, runner: Runner[Question, Answer], *, at_once: int, gather_s: float = GATHER_S) -> None:
        self._runner = runner
        self._at_once = max(1, at_once)
        self._gather_s = gather_s
        self._most_bytes: int | None = None
        self._waiting: list[_Asked[Question, Answer]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def ask(self, question: Question) -> Answer:
        """Answer one question, in a batch with those that others ask meanwhile.

        Raises the reason of ``question.stop`` soon after it is asked, ``MemoryError`` when the question alone does not
        fit, ``NotReady`` after ``close``, and whatever the model raised for this question.
        """
        asked: _Asked[Question, Answer] = _Asked(question)
        with self._changed:
            if self._closed:
                raise NotReady("The model was unloaded.")
            self._waiting.append(asked)
            self._changed.notify_all()
            self._start()
        while not asked.done.wait(_LOOK_S):
            question.stop.check()
        question.stop.check()
        if asked.error is not None:
            raise asked.error
        assert asked.answer is not None
        return asked.answer

    def close(self) -> None:
        """Answer nobody any more; returns when the batch that is being answered has ended."""
        with self._changed:
            self._closed = True
            self._refuse(self._waiting)
            self._waiting = []
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def unlike(self, one: Question, other: Question) -> int:  # noqa: ARG002 - for models that like their batches even
        """How much two questions would hinder each other in one batch; the least are taken together."""
        return 0

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._answer_all, name="batches", daemon=True)
            self._thread.start()

    def _answer_all(self) -> None:
        while not self._closed:
            try:
                while batch := self._next():
                    self._answer(batch)
            except Exception as error:
                # Nobody may wait for a thread that has died.
                log.exception("Gathering a batch failed")
                with self._changed:
                    for asked in self._waiting:
                        asked.settle(error=error)
                    self._waiting = []

    def _next(self) -> list[_Asked[Question, Answer]]:
        """The next batch, once there is something to do; empty when there never will be."""
        with self._changed:
            while not self._closed:
                self._waiting = [asked for asked in self._waiting if not asked.question.stop.asked]
                if not self._waiting:
                    self._changed.wait()
                    continue
                self._changed.wait_for(lambda: self._closed or len(self._waiting) >= self._at_once, self._gather_s)
                if batch := self._chosen():
                    return batch
            return []

    def _chosen(self) -> list[_Asked[Question, Answer]]:
        """The oldest question and those most like it, as many as fit; taken out of those that wait."""
        wanted = [asked for asked in self._waiting if not asked.question.stop.asked]
        batch = wanted[:1]
        if batch and not batch[0].alone:
            room = self._room()
            for asked in sorted(wanted[1:], key=lambda other: self.unlike(other.question, batch[0].question)):
                together = [*batch, asked]
                if asked.alone or len(together) > self._at_once:
                    continue
                if self._runner.cost([one.question for one in together]) <= room:
                    batch = together
        self._waiting = [asked for asked in wanted if asked not in batch]
        return batch

    def _room(self) -> int:
        room = self._runner.room()
        return room if self._most_bytes is None else min(room, self._most_bytes)

    def _answer(self, batch: list[_Asked[Question, Answer]]) -> None:
        questions = [asked.question for asked in batch]
        try:
            self._runner.run(questions, lambda place, answer: batch[place].settle(answer=answer))
            error: BaseException = RuntimeError("The model gave no answer.")
        except MemoryError as shortage:
            self._shrink(questions)
            error = shortage
        except BaseException as failure:
            error = failure
        left = [asked for asked in batch if not asked.done.is_set()]
        if len(batch) == 1 or self._closed:
            for asked in left:
                asked.settle(error=error)
        elif left:
            self._try_again(left, error)

    def _shrink(self, questions: Sequence[Question]) -> None:
        """Remember that a batch was too large: none takes more than half as much from now on."""
        if len(questions) > 1:
            half = self._runner.cost(questions) // 2
            self._most_bytes = half if self._most_bytes is None else min(half, self._most_bytes)
            log.warning(
                "Memory ran out with %d questions at once; going on with batches of half the size", len(questions)
            )

    def _try_again(self, left: list[_Asked[Question, Answer]], error: BaseException) -> None:
        if not isinstance(error, MemoryError):
            log.warning("A batch of %d questions failed; each is asked again alone", len(left), exc_info=error)
        with self._changed:
            for asked in left:
                asked.alone = not isinstance(error, MemoryError)
            self._waiting[:0] = left
            if self._closed:
                self._refuse(left)

    def _refuse(self, refused: Sequence[_Asked[Question, Answer]]) -> None:
        for asked in refused:
            asked.settle(error=NotReady("The model was unloaded."))
