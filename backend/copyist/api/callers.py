"""Who asks: a key and its owner, or nobody in particular where no key is needed.

A route says what it takes with ``dependencies=[needs(Scope.WRITE)]``, and gets the caller as ``Asks``.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from copyist.api.service import Here, Service
from copyist.db.keys import Scope, Tier
from copyist.db.tables import ApiKey
from copyist.errors import Forbidden, KeyMissing

__all__ = ["Asks", "Caller", "Scope", "Tier", "identify", "needs"]

KEY_HEADER = "X-API-Key"


@dataclass(frozen=True)
class Caller:
    """Who asks. ``owner`` is whose jobs the caller makes; ``counted_as`` is under which name requests are counted."""

    owner: str
    scopes: frozenset[Scope]
    tier: Tier
    counted_as: str
    name: str = ""
    """What the key is called; empty where none was sent."""

    def may(self, scope: Scope) -> bool:
        """Whether the caller's key is good for this."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def sees(self) -> str | None:
        """Whose jobs the caller sees; ``None``: everybody's."""
        return None if Scope.ADMIN in self.scopes else self.owner


async def identify(service: Service, connection: HTTPConnection) -> Caller:
    """Who sent the request, told by its headers; it is found out once for each.

    Raises ``KeyMissing`` where a key is needed and none came, and for one that is not good; ``Unavailable`` while the
    database cannot be asked.
    """
    known: Caller | None = getattr(connection.state, "caller", None)
    if known is None:
        secret = _sent_key(connection)
        if secret:
            known = _holder(await service.keys.key(secret))
        elif service.settings.needs_keys:
            raise KeyMissing(why="None was sent.")
        else:
            known = _anybody(connection)
        connection.state.caller = known
    return known


async def still_good(service: Service, connection: HTTPConnection) -> None:
    """Look at the key again, for answers that go on for long. Raises what ``identify`` does."""
    if secret := _sent_key(connection):
        await service.keys.key(secret)


def _sent_key(connection: HTTPConnection) -> str:
    """The key in the headers; what came in a header of our own counts before what a proxy may have put there."""
    if key := connection.headers.get(KEY_HEADER, "").strip():
        return key
    scheme, _, credentials = connection.headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""


def _holder(key: ApiKey) -> Caller:
    known = frozenset(scope for scope in Scope if scope.value in key.scopes)
    tier, counted_as = Tier(key.tier), f"owner {key.owner}"
    return Caller(owner=key.owner, scopes=known, tier=tier, counted_as=counted_as, name=key.name)


def _anybody(connection: HTTPConnection) -> Caller:
    address = _network(connection.client.host) if connection.client else ""
    return Caller(owner="", scopes=frozenset({Scope.ADMIN}), tier=Tier.ANONYMOUS, counted_as=f"address {address}")


def _network(address: str) -> str:
    """What one client has to itself: an IPv4 address, or the /64 that all the IPv6 addresses of a household are in."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip.packed[:8] + bytes(8), 64)))
    return address


# They read nothing: the document is to show where a key goes, so that /docs has "Authorize".
_IN_HEADER = APIKeyHeader(name=KEY_HEADER, auto_error=False, description="A key, `ck_…`.")
_AS_BEARER = HTTPBearer(auto_error=False, description="The same key.")


async def _caller(
    request: Request,
    here: Here,
    _key: Annotated[str | None, Security(_IN_HEADER)] = None,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_AS_BEARER)] = None,
) -> Caller:
    return await identify(here, request)


Asks = Annotated[Caller, Depends(_caller)]
"""Taken by every handler that needs to know who asks."""


def needs(scope: Scope) -> Any:
    """A dependency of routes that need a key with this scope."""

    async def check(caller: Asks) -> None:
        if not caller.may(scope):
            raise Forbidden(scope=scope.value)

    return Depends(check)
