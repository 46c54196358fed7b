"""What the children of a worker tell its main process about their engines: a page of memory that a fork shares.

The database hears from the main process only, which shows the worker every few seconds; the models are in the children.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence

from copyist.engines.registry import State

_STATES = tuple(State)


class Board:
    """Two bytes for each engine: how far it is, and how often it was begun to be loaded without an end to that.

    Of several children the one that spoke last is heard.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Make it in the main process, before it forks."""
        self._places = {name: 2 * place for place, name in enumerate(names)}
        self._bytes = mmap.mmap(-1, max(1, 2 * len(names)))

    def tell(self, name: str, state: State) -> None:
        """Write down how far the engine ``name`` is in this process."""
        if name in self._places:
            place = self._places[name]
            self._bytes[place] = _STATES.index(state)
            self._bytes[place + 1] = min(255, self._bytes[place + 1] + 1) if state is State.LOADING else 0

    def state(self, name: str) -> State:
        """How far the engine ``name`` is."""
        return _STATES[self._bytes[self._places[name]]] if name in self._places else State.UNLOADED

    def unended(self, name: str) -> int:
        """How many children have begun to load the engine since one last came to an end with it, alive or not."""
        return self._bytes[self._places[name] + 1] if name in self._places else 0
