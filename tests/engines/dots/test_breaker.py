"""The circuit breaker of one server."""

from __future__ import annotations

import time

from copyist.engines.dots.remote.breaker import Breaker


def test_a_breaker_opens_rests_and_closes_again() -> None:
    breaker = Breaker(failures=2, rest_s=0.1)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert (breaker.is_closed, breaker.rests) == (True, False)
    breaker.failed()
    assert (breaker.is_closed, breaker.rests) == (False, True)
    time.sleep(0.12)
    assert (breaker.is_closed, breaker.rests) == (False, False)
    breaker.failed()
    assert breaker.rests, "one more failure is enough"
    time.sleep(0.12)
    breaker.succeeded()
    assert breaker.is_closed
