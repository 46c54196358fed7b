"""Copyist, a self-hosted OCR job service. ``copyist.Client`` talks to one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from copyist.client import Client, CopyistClientError

__all__ = ["Client", "CopyistClientError", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The client is loaded when it is first asked for: the service's own processes have no need of it."""
    if name in ("Client", "CopyistClientError"):
        return getattr(import_module("copyist.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
