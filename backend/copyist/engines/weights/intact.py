"""Whether a file of tensors is whole, as far as that can be seen without reading more than its edges.

A download that was cut, or a page of HTML saved under a model's name, is found in a millisecond; a byte that is wrong
in the middle is not: that takes a hash.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

_PICKLED = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of PyTorch's older format begins: its magic number, pickled."""
_MOST_HEADER_BYTES = 100_000_000
"""What safetensors itself takes for the longest header."""


def fault_of(path: Path, *, least_bytes: int = 1) -> str:
    """What is wrong with a file, as the end of a sentence that begins with its name; empty when nothing can be seen.

    ``least_bytes`` is the least that a file of PyTorch's older format has, which carries no sign of its end.
    """
    try:
        size = path.stat().st_size
        if size == 0:
            return "is empty"
        if path.suffix == ".safetensors":
            return _fault_of_safetensors(path, size)
        if path.suffix in (".pth", ".pt", ".bin"):
            return _fault_of_torch(path, size, least_bytes)
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return "is not JSON"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""


def _fault_of_safetensors(path: Path, size: int) -> str:
    """Eight bytes give the header's length, the header where each tensor ends, and nothing follows the last one."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _MOST_HEADER_BYTES:
            return "is no safetensors file"
        try:
            header = json.loads(file.read(length))
            ends = [int(one["data_offsets"][1]) for name, one in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            return "is cut" if size < 8 + length else "is no safetensors file"
    whole = 8 + length + max(ends, default=0)
    return "" if size == whole else f"is cut: {size:,} of {whole:,} bytes are there" if size < whole else "is too long"


def _fault_of_torch(path: Path, size: int, least_bytes: int) -> str:
    with path.open("rb") as file:
        start = file.read(len(_PICKLED))
    if start.startswith(b"PK\x03\x04"):
        # A ZIP archive ends with its table of contents.
        return "" if zipfile.is_zipfile(path) else f"is cut after {size:,} bytes"
    if start != _PICKLED:
        return "is no file of PyTorch"
    return "" if size >= least_bytes else f"is cut after {size:,} bytes"
