"""An event loop in a thread of its own, so that a request to a server can be given up while it is under way.

A blocking request can only be waited for. A task is cancelled: its connection closes at once, and the server, which
notices that, stops writing an answer that nobody will read.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_JOIN_S = 5.0


class Background:
    """Runs coroutines for threads. ``start`` may be called from any of them; ``close`` ends what is still running."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock, self._closed = threading.Lock(), False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Run ``work`` in a copy of the caller's context; cancel the future to end it."""
        # What is begun before the loop is told to stop is ended with it; what came later would never end.
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise RuntimeError("The background was closed.")

    def close(self) -> None:
        """Cancel what is running and end the thread; a second call does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._end())
        finally:
            self._loop.close()

    async def _end(self) -> None:
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()
