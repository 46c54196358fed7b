"""Who asks: a key and its owner, or nobody in particular where no key is needed.

A route says what it takes with ``dependencies=[needs(Scope.WRITE)]``, and gets the caller as ``Asks``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Request

from copyist.errors import Forbidden


class Scope(StrEnum):
    """What a key is good for."""

    READ = "read"
    """See jobs and results."""
    WRITE = "write"
    """Send files, cancel, retry and delete jobs, set a webhook."""
    CORRECT = "correct"
    """Correct lines."""
    TRAIN = "train"
    """Start trainings, promote and roll back models."""
    ADMIN = "admin"
    """All of that, everybody's jobs, keys and ``/metrics``."""


class Tier(StrEnum):
    """How much a caller may send."""

    ANONYMOUS = "anonymous"
    STANDARD = "standard"
    UNLIMITED = "unlimited"


@dataclass(frozen=True)
class Caller:
    """Who asks. ``owner`` is whose jobs the caller makes; ``counted_as`` is under which name requests are counted."""

    owner: str
    scopes: frozenset[Scope]
    tier: Tier
    counted_as: str

    def may(self, scope: Scope) -> bool:
        """Whether the caller's key is good for this."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def sees(self) -> str | None:
        """Whose jobs the caller sees; ``None``: everybody's."""
        return None if Scope.ADMIN in self.scopes else self.owner


def _caller(request: Request) -> Caller:
    address = request.client.host if request.client else ""
    return Caller(owner="", scopes=frozenset({Scope.ADMIN}), tier=Tier.ANONYMOUS, counted_as=f"address {address}")


Asks = Annotated[Caller, Depends(_caller)]
"""Taken by every handler that needs to know who asks."""


def needs(scope: Scope) -> Any:
    """A dependency of routes that need a key with this scope."""

    def check(caller: Asks) -> None:
        if not caller.may(scope):
            raise Forbidden(scope=scope.value)

    return Depends(check)
