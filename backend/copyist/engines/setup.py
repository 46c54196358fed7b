"""From the settings' values to a chain of engines, the same for a worker of the queue and for ``copyist read``."""

from __future__ import annotations

from collections.abc import Sequence

from copyist.engines.chain import MOCK, Chain, Strategy, chain_order
from copyist.engines.registry import Registry


def make_chain(
    registry: Registry,
    wish: str | None,
    *,
    backend: str,
    fallback: Sequence[str],
    strategy: str,
    climb_below: float,
) -> Chain:
    """The chain for a wish (``None``: as configured); raises ``InvalidOption`` for an engine that does not exist.

    Somebody who asks for an engine gets that one first, whatever the strategy. An empty ``fallback`` is the default.
    """
    if wish is not None:
        registry.engine_class(wish)
    # A real engine is never placed after mock, so somebody who wants mock wants nothing else.
    names = (MOCK,) if wish == MOCK else chain_order(wish or backend, fallback or None, registry.names)
    return Chain(registry, names, Strategy.BEST if wish else Strategy(strategy), climb_below)
