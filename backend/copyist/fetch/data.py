"""``data:`` URIs (RFC 2397): the file is the address."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from copyist.errors import FileTooLarge, InvalidSource

_BASE64 = re.compile(r";\s*base64\s*$", re.IGNORECASE)
_PIECE = 65_536
_SPARE_BYTES = 65_536
"""What percent-encoding and white space may add before it is too much to be looked at."""


def decoded(uri: str, *, max_bytes: int) -> bytes:
    """The bytes of a data URI, in base64 or percent-encoded; raises ``InvalidSource`` or ``FileTooLarge``."""
    head, comma, body = uri.partition(",")
    if not comma:
        raise InvalidSource
    in_base64 = _BASE64.search(head) is not None
    if len(body) * (3 / 4 if in_base64 else 1 / 3) > max_bytes + _SPARE_BYTES:
        raise FileTooLarge(limit_mb=round(max_bytes / 1e6, 1))
    try:
        content = _base64(body) if in_base64 else _unescaped(body)
    except (binascii.Error, ValueError) as error:
        raise InvalidSource from error
    if len(content) > max_bytes:
        raise FileTooLarge(limit_mb=round(max_bytes / 1e6, 1))
    return content


def _unescaped(body: str) -> bytes:
    return b"".join(map(unquote_to_bytes, _pieces(body)))


def _pieces(body: str) -> Iterator[str]:
    """Parts of ``body`` that cut no escape in two: as a whole, one of nothing but escapes takes 80 times its size."""
    start = 0
    while start < len(body):
        end = start + _PIECE
        cut = body.rfind("%", end - 2, end)
        end = end if cut < 0 else cut
        yield body[start:end]
        start = end


def _base64(body: str) -> bytes:
    """Base64 in either alphabet, with or without its padding, as it is met in the wild."""
    letters = re.sub(rb"\s", b"", _unescaped(body)).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    return base64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True)
