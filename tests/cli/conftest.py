"""The command as people run it, and one whole service for the session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.faulty_engines import PLUGINS
from tests.servers import free_port, process_environment

START_S = 60.0
STOP_S = 60.0
SURE = "tests.faulty_engines:Faulty"
ENVIRONMENT = {
    "OCR_PLUGINS": ",".join((SURE, *PLUGINS)),
    "OCR_BACKEND": "faulty",
    "OCR_FALLBACK": "faulty,mock",
    "RESULT_CACHE": "false",
}
"""Everything is read by an engine that always reads one sure line, unless a test asks for another."""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copyist(tmp_path: Path) -> Run:
    """Return a runner of ``copyist ARGUMENT...``, in an empty folder, so that no ``.env`` is found there."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "copyist", *map(str, arguments)],
            env=process_environment(**{**ENVIRONMENT, **environment}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run ``copyist up`` on a free port and return its URL; after a faulty engine only the placeholder is left."""
    folder = tmp_path_factory.mktemp("service")
    url = f"http://127.0.0.1:{(port := free_port())}"
    engines = {**ENVIRONMENT, "OCR_FALLBACK": "mock"}
    environment = process_environment(**engines, DATA_DIR=str(folder / "data"), PORT=str(port), REDIS_URL="")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "copyist", "up"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        _await(url, process, folder / "log")
        yield url
    finally:
        os.kill(process.pid, signal.SIGINT)
        process.wait(STOP_S)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < until and process.poll() is None:
            try:
                if client.get(f"{url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError(f"`copyist up` did not start:\n{log.read_text(errors='replace')[-4000:]}")
