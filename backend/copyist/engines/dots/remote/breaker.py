"""A circuit breaker for one server: after failures in a row it is left alone for a while, then tried once.

The state is kept by ``pybreaker``. Its own ``call`` holds a lock while the guarded function runs, which would send
pages to the server one by one; so that here it is only told how each question ended.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pybreaker import STATE_CLOSED, STATE_OPEN, CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

FAILURES = 5
REST_S = 30.0


class _QuestionFailedError(Exception):
    """What the breaker is shown for a question that failed."""


class Breaker:
    """Opens after ``failures`` in a row, lets somebody try after ``rest_s`` seconds, and closes when that succeeds."""

    def __init__(self, failures: int = FAILURES, rest_s: float = REST_S) -> None:
        self.failures, self.rest_s = failures, rest_s
        self._storage = CircuitMemoryStorage(STATE_CLOSED)
        self._circuit = CircuitBreaker(
            fail_max=failures, reset_timeout=rest_s, state_storage=self._storage, throw_new_error_on_trip=False
        )

    @property
    def is_closed(self) -> bool:
        """Whether the server is trusted: its last question did not open the circuit."""
        return self._storage.state == STATE_CLOSED

    @property
    def rests(self) -> bool:
        """Whether the server is to be left alone now."""
        opened_at = self._storage.opened_at
        if self._storage.state != STATE_OPEN or opened_at is None:
            return False
        return datetime.now(UTC) < opened_at + timedelta(seconds=self.rest_s)

    def succeeded(self) -> None:
        """Note that a question was answered."""
        with suppress(CircuitBreakerError):
            self._circuit.call(lambda: None)

    def failed(self) -> None:
        """Note that a question was not answered, by the server's doing."""
        with suppress(CircuitBreakerError, _QuestionFailedError):
            self._circuit.call(_fail)


def _fail() -> None:
    raise _QuestionFailedError
