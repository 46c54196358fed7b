"""``http://`` and ``https://``: from public addresses only, and from the very address that was checked.

Names are resolved here, and every address that comes of one must be public; the connection then goes to such an
address, with the host's name in TLS and in ``Host``. So does each redirect. ``Checked`` does that for whatever else
goes to an address that somebody names, such as webhooks.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from functools import cache
from typing import IO
from urllib.parse import unquote

import httpx

from copyist.errors import AddressRefused, FetchFailed, FileTooLarge, InvalidSource

MOST_REDIRECTS = 3
CONNECT_S = 5.0
PORTS = frozenset({80, 443})
_LAST_PORT = 65_535
_CHUNK_BYTES = 65_536
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""What is handed out of IPv6 (RFC 4291)."""
_SPECIAL = tuple(
    ipaddress.ip_network(net)
    for net in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "168.63.129.16/32",
        "2001::/23",
        "2002::/16",
        "2001:db8::/32",
        "3fff::/20",
    )
)
"""Protocols, tunnels to IPv4 and documentation (IANA's registries of special addresses), of which Python's older tables
know only some; and the one address of Azure's that looks public and is each machine's own host."""

_PRIVATE = tuple(
    ipaddress.ip_network(net)
    for net in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "::1/128",
        "fc00::/7",
    )
)
"""Private networks (RFC 1918, 4193), those behind a carrier or a VPN (RFC 6598), and this machine. Not link-local ones:
at 169.254.169.254 clouds hand out the keys of their machines."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MayConnect = Callable[[Address, int], bool]
"""Whether a connection to an address and a port is allowed."""


def is_public(address: Address, port: int) -> bool:
    """Whether it is a web server's port at an address of the public internet, however that is written."""
    return port in PORTS and _is_global(_meant(address))


def on_any_port(*, private: bool) -> MayConnect:
    """The public internet, whatever the port; with ``private`` also private networks and this machine."""

    def may_connect(address: Address, port: int) -> bool:
        meant = _meant(address)
        return port > 0 and (_is_global(meant) or (private and any(meant in network for network in _PRIVATE)))

    return may_connect


def literal(host: str) -> Address | None:
    """The address that a host without a name is, in any way that the system's resolver understands, as in ``127.1``."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _meant(address: Address) -> Address:
    """The IPv4 address behind one of IPv6 that only wraps it: mapped (RFC 4291), or for NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_global(address: Address) -> bool:
    # Python calls some multicast addresses global.
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    handed_out = isinstance(address, ipaddress.IPv4Address) or address in _UNICAST
    return handed_out and not any(address in network for network in _SPECIAL)


async def download(source: str, into: IO[bytes], *, max_bytes: int, limit_s: float, may_connect: MayConnect) -> str:
    """Load ``source`` into a file, and give its name there. ``limit_s`` holds for all of it, redirects too.

    Raises ``InvalidSource``, ``AddressRefused``, ``FetchFailed`` or ``FileTooLarge``.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await _load(source, into, max_bytes=max_bytes, may_connect=may_connect)
    except TimeoutError as error:
        raise FetchFailed(reason=f"It took longer than {limit_s:g} s.") from error
    except (httpx.InvalidURL, UnicodeError) as error:  # A host's name in IDNA is read late, and may be none.
        raise InvalidSource from error
    except (httpx.HTTPError, OSError) as error:
        raise FetchFailed(reason="There was no whole answer.") from error


async def _load(source: str, into: IO[bytes], *, max_bytes: int, may_connect: MayConnect) -> str:
    client = httpx.AsyncClient(
        transport=Checked(may_connect),
        trust_env=False,
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        # What comes compressed may be a thousand times as large when it is opened.
        headers={"User-Agent": "copyist", "Accept": "*/*", "Accept-Encoding": "identity"},
    )
    async with client:
        request = client.build_request("GET", source)
        # Followed here, because httpx would first read the body of each redirect, however long that is.
        for _ in range(MOST_REDIRECTS + 1):
            response = await client.send(request, stream=True)
            try:
                if response.next_request is None:
                    await _store(response, into, max_bytes)
                    return unquote(response.url.path).rsplit("/", 1)[-1]
                request = response.next_request
            finally:
                await response.aclose()
    raise FetchFailed(reason=f"It leads on more than {MOST_REDIRECTS} times.")


async def _store(response: httpx.Response, into: IO[bytes], max_bytes: int) -> None:
    """Write the body of an answer into a file; raises ``FetchFailed`` or ``FileTooLarge``."""
    if response.status_code != 200:
        raise FetchFailed(reason=f"It answered {response.status_code}.")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchFailed(reason="It sent the file compressed, though that was not asked for.")
    if int(response.headers.get("Content-Length", "0")) > max_bytes:
        raise FileTooLarge(limit_mb=round(max_bytes / 1e6, 1))
    size = 0
    async for chunk in response.aiter_raw(_CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise FileTooLarge(limit_mb=round(max_bytes / 1e6, 1))
        into.write(chunk)


@cache
def _tls() -> ssl.SSLContext:
    """The certificates to trust: reading them takes longer than most downloads."""
    return httpx.create_ssl_context(trust_env=False)


class Checked(httpx.AsyncBaseTransport):
    """Connects to addresses that were checked, and to no other: a name is asked for once, and not again to connect.

    One is made for each download or message: hosts that share an address must not share a connection and its
    certificate. Raises ``InvalidSource``, ``AddressRefused``, ``FetchFailed``, and what httpx raises.
    """

    def __init__(self, may_connect: MayConnect) -> None:
        self._may_connect = may_connect
        self._inner = httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, the first or one that a redirect led to."""
        url = request.url
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise InvalidSource
        address = await self._address(url)
        pinned = httpx.Request(
            request.method,
            url.copy_with(host=str(address)),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.raw_host.decode("ascii")},
        )
        return await self._inner.handle_async_request(pinned)

    async def _address(self, url: httpx.URL) -> Address:
        """The first address of the host; raises ``AddressRefused`` unless every one of them is allowed."""
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        if port > _LAST_PORT:
            raise InvalidSource
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FetchFailed(reason="There is no host of that name.") from error
        addresses = [ipaddress.ip_address(place[0]) for *_, place in found]
        if not addresses or not all(self._may_connect(address, port) for address in addresses):
            raise AddressRefused
        return addresses[0]

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()
