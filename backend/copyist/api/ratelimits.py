"""How much one caller may send: files in a minute, an hour and a day, and requests at the same time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Depends, Response

from copyist.api.callers import Asks, Caller
from copyist.api.service import Here, Service


def count_files(service: Service, caller: Caller, files: int, response: Response) -> None:
    """Count files that are about to be taken in, and say in the answer's headers what is left.

    Raises ``TooManyRequests``, and then none of them is counted.
    """


async def _one_at_a_time(here: Here, caller: Asks) -> AsyncIterator[None]:  # noqa: ARG001
    yield


has_a_place = Depends(_one_at_a_time)
"""A dependency of routes that upload or wait: one of the caller's places is taken for as long as they are served.

Raises ``TooManyAtOnce``.
"""
