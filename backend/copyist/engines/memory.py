"""How much memory there still is for a model: a machine that runs out of it kills whoever asked last."""

from __future__ import annotations

from pathlib import Path

GB = 10**9
_SYSTEM = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
"""Where the limits of this container stand, as seen from inside (cgroup v2)."""


def free_here() -> int | None:
    """Memory that processes can still get here, in bytes; ``None`` where the system does not tell."""
    known = [free for free in (_of_machine(), _of_container()) if free is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    fields = _fields(_SYSTEM)
    return fields["MemAvailable:"] * 1024 if "MemAvailable:" in fields else None


def _of_container() -> int | None:
    try:
        limit, used = (int((_GROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):
        return None
    # Files that were read and may be forgotten count as used.
    return max(limit - used + _fields(_GROUP / "memory.stat").get("inactive_file", 0), 0)


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file of lines, each with a name and a number first."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}
