"""Counting the pages of a TIFF by walking its directories, without decoding or trusting any of them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_CLASSIC, _BIG = 42, 43


def count_frames(path: Path, limit: int) -> int:
    """The number of image directories (TIFF 6.0, section 2) in the file at ``path``; counting stops at ``limit``.

    A chain that breaks off or runs in a circle ends where it does so. At least 1.
    """
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = len(head) == 16 and struct.unpack(order + "H", head[2:4])[0] == _BIG
        offset = struct.unpack(order + "Q", head[8:16])[0] if big else struct.unpack(order + "I", head[4:8])[0]
        seen: set[int] = set()
        while offset and offset not in seen and len(seen) < limit:
            following = _next_directory(file, offset, order, big=big)
            if following is None:
                break
            seen.add(offset)
            offset = following
    return max(1, len(seen))


def _next_directory(file: BinaryIO, offset: int, order: str, *, big: bool) -> int | None:
    """Where the directory after the one at ``offset`` starts, 0 after the last; ``None`` where none can be read."""
    count_format, entry_bytes, next_format = ("Q", 20, "Q") if big else ("H", 12, "I")
    try:
        file.seek(offset)
        (entries,) = struct.unpack(order + count_format, file.read(struct.calcsize(count_format)))
        file.seek(entries * entry_bytes, 1)
        (following,) = struct.unpack(order + next_format, file.read(struct.calcsize(next_format)))
    except (struct.error, OSError, OverflowError, ValueError):
        return None
    return int(following) if entries else None
