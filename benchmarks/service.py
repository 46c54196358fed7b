"""The whole service for a benchmark: real processes started by ``copyist up``, watched and stopped by their own ids."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil
from tests.servers import PostgresServer, ValkeyServer, free_port

READY_S = 90.0
STOP_S = 40.0
ENDED = ("completed", "failed", "cancelled")
NOT_OURS = ("DATABASE_URL", "REDIS_URL", "STORAGE_URL", "OCR_BACKEND", "OCR_FALLBACK", "OCR_STRATEGY", "RESULT_CACHE")


class ServiceError(RuntimeError):
    """The service did not do what a benchmark needs; the text has the last lines of its log."""


class Service:
    """``copyist up`` on a free port and an empty data folder. ``settings`` are environment names and values.

    Settings of the caller's shell that would change what is measured are left out.
    """

    def __init__(self, copyist: Path | None = None, /, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="copyist-bench-"))
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = self.folder / "log"
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        own = {"DATA_DIR": str(self.folder / "data"), "HOST": "127.0.0.1", "PORT": str(port)}
        self._environment = {**inherited, **own, "CELERY_WORKER_CONCURRENCY": "2", "LOG_LEVEL": "warning", **settings}
        self._command = [str(copyist)] if copyist else [sys.executable, "-m", "copyist"]
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=120)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> float:
        """Start all parts and wait until one engine is ready to read; give the seconds that took."""
        started = time.perf_counter()
        with self.log.open("ab") as log:
            # Its own folder, so that no .env file of the place where the benchmark was started has a say.
            self._process = subprocess.Popen(
                [*self._command, "up"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not self._is_ready():
            if self._process.poll() is not None or time.perf_counter() - started > READY_S:
                raise ServiceError(f"the service did not get ready\n{self.last_words()}")
            time.sleep(0.05)
        return time.perf_counter() - started

    def _is_ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Stop it as Ctrl-C does, and end by id whatever is left of its processes; its folder goes away."""
        process, self._process = self._process, None
        self.http.close()
        if process is not None:
            family = _family(process.pid)
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for left in psutil.wait_procs(family, timeout=2)[1]:
                left.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def last_words(self, characters: int = 3000) -> str:
        """The end of the service's log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def processes(self) -> dict[str, list[psutil.Process]]:
        """The living processes by what they are: ``api``, ``worker`` (the main one), ``child`` (those that read)."""
        found: dict[str, list[psutil.Process]] = {"api": [], "worker": [], "child": []}
        main = self._process.pid if self._process is not None else 0
        for process in _family(main):
            try:
                line, parent = process.cmdline(), process.parent()
                if "worker" in line and "celery" in line:
                    is_child = parent is not None and parent.cmdline() == line
                    found["child" if is_child else "worker"].append(process)
                elif "uvicorn" in line:
                    found["api"].append(process)
            except psutil.Error:
                continue
        return found

    def cpu_s(self) -> float:
        """CPU seconds used so far by all of its processes, ended children included."""
        total = 0.0
        for process in _family(self._process.pid if self._process is not None else 0):
            try:
                used = process.cpu_times()
            except psutil.Error:
                continue
            total += used.user + used.system + used.children_user + used.children_system
        return total

    def submit(self, data: bytes, name: str = "file", **fields: str) -> str:
        """Send a file; give the job's id."""
        answer = self.http.post("/api/jobs", files={"file": (name, data)}, data=fields)
        if answer.status_code != 202:
            raise ServiceError(f"the upload was answered with {answer.status_code}: {answer.text}")
        return str(answer.json()["id"])

    def wait(self, job_id: str, limit_s: float = 1800) -> dict[str, Any]:
        """The job once it has ended."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            job: dict[str, Any] = self.http.get(f"/api/jobs/{job_id}", params={"wait": 30}).json()
            if job["status"] in ENDED:
                return job
        raise ServiceError(f"job {job_id} did not end within {limit_s:g} s\n{self.last_words()}")

    def read(self, data: bytes, name: str = "file", **fields: str) -> dict[str, Any]:
        """Send a file and wait; raises ``ServiceError`` unless all of it was read."""
        job = self.wait(self.submit(data, name, **fields))
        if job["status"] != "completed" or job["progress"]["pages_failed"]:
            raise ServiceError(f"{name} was not read: {job['status']}, {job['error']}\n{self.last_words()}")
        return job

    def text(self, job: Mapping[str, Any]) -> str:
        """The job's plain text."""
        return self.http.get(str(job["links"]["result"])).raise_for_status().text


def _family(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def on_servers(**settings: str) -> Iterator[Service]:
    """The service on a real PostgreSQL and a real Valkey of its own, as it runs in production."""
    with ExitStack() as stack:
        valkey, postgres = stack.enter_context(ValkeyServer()), stack.enter_context(PostgresServer())
        database = postgres.create_database()
        yield stack.enter_context(Service(REDIS_URL=valkey.url, DATABASE_URL=database, **settings))
