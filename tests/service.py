"""The whole service as a user runs it: real processes of the API, of workers and of beat, against real servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.servers import free_port, process_environment

QUICK = {
    # Everything that waits for somebody to be gone waits less than it would in earnest.
    "LEASE_S": "4",
    "SWEEP_INTERVAL_S": "1",
    "RESEND_AFTER_S": "3",
    "OCR_BACKEND": "mock",
    "RESULT_CACHE": "false",
    "OCR_PLUGINS": "",
    "OCR_STRATEGY": "best",
}


class Service:
    """Processes of one service on one data folder; all of them are stopped, by their own ids, at the end."""

    def __init__(self, folder: Path, *, redis_url: str, database_url: str, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = process_environment(
            **QUICK | settings, DATA_DIR=str(folder / "data"), REDIS_URL=redis_url, DATABASE_URL=database_url
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=60)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        for name in list(self.processes):
            self.kill(name)

    def start(self, *names: str, **settings: str) -> Self:
        """Start parts: ``api``, ``beat``, or ``worker`` with anything after it (``worker-2``).

        ``settings`` are for these parts alone.
        """
        for name in names:
            part, *_ = name.split("-")
            extra = ["--port", str(self.port)] if part == "api" else []
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "copyist", part, *extra],
                    env=self.environment | settings,
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        return self

    def kill(self, name: str) -> None:
        """SIGKILL a part with all its children, as a power cut would."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, name: str, seconds: float = 30) -> int:
        """Ask a part to stop, and give its exit status."""
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(seconds)

    def log(self, name: str) -> str:
        """What a part has written so far."""
        return (self.folder / f"{name}.log").read_text()

    def await_ready(self, seconds: float = 60) -> Self:
        """Wait until everything answers."""
        until = time.monotonic() + seconds
        while True:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            if time.monotonic() > until:
                logs = "\n".join(f"--- {name}\n{self.log(name)[-3000:]}" for name in self.processes)
                raise AssertionError(f"the service was not ready after {seconds} s\n{logs}")
            time.sleep(0.1)

    def post(self, path: Path | bytes, **fields: str) -> httpx.Response:
        """Upload a file."""
        content = path if isinstance(path, bytes) else path.read_bytes()
        name = "upload" if isinstance(path, bytes) else path.name
        return self.client.post("/api/jobs", files={"file": (name, content)}, data=fields)

    def upload(self, path: Path | bytes, **fields: str) -> str:
        """Upload a file that is accepted; gives the job's id."""
        response = self.post(path, **fields)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def wait(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        """The job once it has ended."""
        until = time.monotonic() + seconds
        while True:
            body: dict[str, Any] = self.client.get(f"/api/jobs/{job_id}", params={"wait": 5}).json()
            if body["status"] in ("completed", "failed", "cancelled"):
                return body
            assert time.monotonic() < until, f"the job did not end within {seconds} s: {body}"

    def read(self, path: Path | bytes, seconds: float = 60, **fields: str) -> dict[str, Any]:
        """Upload a file and wait for it."""
        return self.wait(self.upload(path, **fields), seconds)

    def text(self, job_id: str) -> str:
        """The text of a job."""
        response = self.client.get(f"/api/jobs/{job_id}/result.txt")
        assert response.status_code == 200, response.text
        return response.text

    def page(self, job_id: str, number: int = 1) -> dict[str, Any]:
        """One page of a job."""
        body: dict[str, Any] = self.client.get(f"/api/jobs/{job_id}/pages/{number}").json()
        return body
