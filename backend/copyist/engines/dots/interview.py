"""The questions that are asked about one page: counted, bounded, and stopped when somebody asks."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from copyist.engines.base import NotReady, Stop, TimedOut
from copyist.engines.dots.backend import Answer, Backend, Prompt, Question
from copyist.engines.dots.crops import Shown
from copyist.engines.dots.remote.wire import QuestionRefused

log = logging.getLogger(__name__)

MAX_QUESTIONS = 64
"""For one page: three for the whole of it, and one or two for each of some thirty blocks and pictures."""


class QuestionFailed(Exception):
    """One question had no answer, for a reason of its own; the message is a half sentence for the trail."""


class NoQuestionsLeft(Exception):
    """``MAX_QUESTIONS`` were asked about one page."""


@dataclass(frozen=True)
class Asked:
    """How a question is put: its prompt, and how the model chooses its words."""

    prompt: Prompt
    max_tokens: int
    temperature: float = 0.1
    top_p: float = 0.9


class Interview:
    """Asks ``backend`` about one page."""

    def __init__(self, backend: Backend, stop: Stop, max_questions: int = MAX_QUESTIONS) -> None:
        self._backend, self._stop = backend, stop
        self._left = max_questions
        self.questions = 0
        self.answers = 0
        self.tokens = 0
        """Tokens that the model wrote in all its answers."""

    def ask(self, shown: Shown, asked: Asked, region: tuple[int, int, int, int] | None = None) -> Answer:
        """Ask one question.

        Raises the reason when the page is stopped, ``NotReady`` and ``TimedOut`` as the backend does,
        ``QuestionFailed`` for any other failure, and ``NoQuestionsLeft``.
        """
        if not self._left:
            raise NoQuestionsLeft
        self._left -= 1
        self.questions += 1
        question = Question(
            pixels=shown.pixels,
            prompt=asked.prompt,
            stop=self._stop,
            region=region,
            temperature=asked.temperature,
            top_p=asked.top_p,
            max_tokens=asked.max_tokens,
        )
        answer = self._answer(question)
        self.answers += 1
        self.tokens += answer.tokens_out
        # An answer that was stopped for us is none, whatever it holds.
        self._stop.check()
        return answer

    def check_stop(self) -> None:
        """Raise the reason, if the page is to be stopped."""
        self._stop.check()

    def _answer(self, question: Question) -> Answer:
        self._stop.check()
        try:
            return self._backend.ask(question)
        except (NotReady, TimedOut):
            raise
        except Exception as error:
            self._stop.check()
            log.warning("A question to dots.ocr failed", exc_info=not isinstance(error, QuestionRefused))
            raise QuestionFailed(_words(error)) from error


def _words(error: Exception) -> str:
    """What happened, without internals; the log has those."""
    if isinstance(error, MemoryError):
        return "The model ran out of memory on the page"
    return str(error).rstrip(".") if isinstance(error, QuestionRefused) else "The model stopped with an error"
