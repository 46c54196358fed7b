"""From nothing to the first page: the time of ``copyist up`` until it is ready and has read a page.

With ``FRESH=1`` the install is measured, too: ``make setup`` in a copy of this repository, then ``copyist up`` from
there, which together is ``make run``. Package downloads count, so a warm package cache matters.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure, at_most, median, plain
from benchmarks.service import Service

ABOUT = "from `make run` until the first page is read"
BAR_S = 120.0
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "tests" / "samples" / "letter.png"


def measure(quick: bool) -> list[Figure]:
    """Take the figures."""
    rounds = 1 if quick else 3
    if os.environ.get("FRESH") != "1":
        return _started([_start() for _ in range(rounds)], install_s=None)
    with tempfile.TemporaryDirectory(prefix="copyist-fresh-") as folder:
        fresh = Path(folder, "copyist")
        _copy(fresh)
        started = time.perf_counter()
        subprocess.run(["make", "setup"], cwd=fresh, check=True)
        install_s = time.perf_counter() - started
        return _started([_start(fresh / ".venv" / "bin" / "copyist") for _ in range(rounds)], install_s=install_s)


def _start(copyist: Path | None = None) -> tuple[float, float]:
    """Seconds until ready, and until the first page was read and its text is there."""
    started = time.perf_counter()
    service = Service(copyist)
    try:
        ready_s = service.start()
        text = service.text(service.read(PAGE.read_bytes(), PAGE.name))
        read_s = time.perf_counter() - started
    finally:
        service.stop()
    assert text.strip(), "the first page has no text"
    return ready_s, read_s


def _started(times: list[tuple[float, float]], *, install_s: float | None) -> list[Figure]:
    # The first start of a fresh install compiles its modules: that one counts, and the others only without an install.
    ready_s, read_s = times[0] if install_s is not None else tuple(map(median, zip(*times, strict=True)))
    whole = read_s + (install_s or 0)
    what = "install, start and first page" if install_s is not None else "start and first page"
    note = "" if install_s is not None else "already installed; FRESH=1 measures the install, too"
    install = [plain("of that, make setup", f"{install_s:.1f} s")] if install_s is not None else []
    return [
        at_most(what, whole, BAR_S, unit=" s", note=note),
        *install,
        plain("copyist up until ready", f"{ready_s:.1f} s"),
        plain("first page after that", f"{read_s - ready_s:.1f} s", PAGE.name),
    ]


def _copy(target: Path) -> None:
    """What a clone would have, changes that are not committed yet included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
