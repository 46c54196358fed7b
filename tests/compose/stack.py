"""One stack of the project's compose files, under a name of its own, on free ports; and a client for it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.servers import ROOT, free_port

PASSWORD = "a pass/word: with @ signs"
FLOWER = ("keeper", "flower-password")
NONE: Mapping[str, str] = {}
ENDED = ("completed", "failed", "cancelled")


def engine_answers() -> bool:
    """Whether a container engine with compose is here."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            if subprocess.run(command, capture_output=True, timeout=30, check=False).returncode:
                return False
        except (OSError, subprocess.TimeoutExpired):
            return False
    return True


class Stack:
    """The services of ``files``. Use it as a context: at its end containers and volumes are gone.

    ``variables`` are what a person would write into ``.env``; the environment wins over that file.
    """

    def __init__(self, name: str, *files: Path, profiles: str = "", **variables: str) -> None:
        self.name = f"copyist-{name}-{os.getpid()}"
        self.port, self.flower_port = free_port(), free_port()
        self._files = [argument for file in files for argument in ("--file", str(file))]
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in _SETTINGS},
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "FLOWER_USER": FLOWER[0],
            "FLOWER_PASSWORD": FLOWER[1],
            "POSTGRES_PASSWORD": PASSWORD,
            "COMPOSE_PROFILES": profiles,
            # A folder of wheels that pip is told of on this machine is one for the builds, too.
            "WHEELS_DIR": wheels if Path(wheels := os.environ.get("PIP_FIND_LINKS", "")).is_dir() and wheels else "",
            **variables,
        }
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30)
        self.flower = httpx.Client(
            base_url=f"http://127.0.0.1:{self.flower_port}", trust_env=False, timeout=30, auth=FLOWER
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        self.flower.close()
        if error is not None:
            print(self.logs())
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)

    def compose(
        self, *arguments: str, check: bool = True, timeout: float = 900, variables: Mapping[str, str] = NONE
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose ARGUMENTS``; what it printed is in the error when it fails."""
        command = [
            "docker",
            "compose",
            "--ansi",
            "never",
            "--progress",
            "quiet",
            "--project-directory",
            str(ROOT),
            *self._files,
        ]
        done = subprocess.run(
            [*command, "--project-name", self.name, *arguments],
            env={**self.environment, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        # Some versions end each line of a progress that nobody sees.
        done.stdout = done.stdout.replace("\x1b[2K", "")
        if check and done.returncode:
            raise AssertionError(f"docker compose {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def config(self) -> dict[str, Any]:
        """The files as compose understands them."""
        read: dict[str, Any] = json.loads(self.compose("config", "--format", "json").stdout)
        return read

    def logs(self, *services: str) -> str:
        """What services wrote."""
        done = self.compose("logs", "--no-color", "--no-log-prefix", *services, check=False)
        return done.stdout + done.stderr

    def run(
        self, service: str, *command: str, check: bool = True, variables: Mapping[str, str] = NONE
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the image in a container of its own; ``variables`` are its environment."""
        told = [f"--env={name}={value}" for name, value in variables.items()]
        return self.compose("run", "--rm", "--no-TTY", "--no-deps", *told, service, *command, check=check)

    def inside(self, service: str, *command: str, index: int = 1, check: bool = True) -> str:
        """What a command prints in a running container."""
        return self.compose("exec", "--no-TTY", f"--index={index}", service, *command, check=check).stdout.strip()

    def shell(self, script: str, **variables: str) -> None:
        """Run commands as a person would type them in the project's folder."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self.environment | variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, those that have ended included."""
        return self.compose("ps", "--all", "--quiet", service).stdout.split()

    def inspect(self, service: str, index: int = 0) -> dict[str, Any]:
        """All that the engine knows of one container."""
        done = subprocess.run(
            ["docker", "inspect", self.containers(service)[index]], capture_output=True, text=True, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)[0]
        return found

    def health(self, service: str) -> tuple[str, str]:
        """How the engine finds a service, and what its last check said."""
        found = self.inspect(service)["State"]["Health"]
        said = found["Log"][-1]["Output"].strip() if found.get("Log") else ""
        return found["Status"], said

    def readiness(self) -> dict[str, Any]:
        """The body of ``/readyz``; empty while the API does not answer."""
        try:
            body: dict[str, Any] = self.client.get("/readyz").json()
        except (httpx.TransportError, ValueError):
            return {}
        return body

    def await_ready(self, seconds: float = 120) -> dict[str, Any]:
        """Wait until everything behind the API answers."""

        def told() -> str:
            return f"{self.readiness()}\n{self.logs()[-4000:]}"

        until(lambda: self.readiness().get("status") == "ready", seconds, told)
        return self.readiness()

    def upload(self, path: Path, **fields: str) -> str:
        """Upload a file that is accepted; gives the job's id."""
        with path.open("rb") as content:
            answer = self.client.post("/api/jobs", files={"file": (path.name, content)}, data=fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as it is; an API that is being restarted is waited for."""
        end = time.monotonic() + 60
        while True:
            with suppress(httpx.TransportError):
                answer = self.client.get(f"/api/jobs/{job_id}", params={"wait": 5})
                if answer.status_code == 200:
                    body: dict[str, Any] = answer.json()
                    return body
            assert time.monotonic() < end, f"job {job_id} cannot be looked at"
            time.sleep(0.5)

    def wait(self, job_id: str, seconds: float = 180) -> dict[str, Any]:
        """The job once it has ended."""
        end = time.monotonic() + seconds
        while (body := self.job(job_id))["status"] not in ENDED:
            assert time.monotonic() < end, f"{body}\n{self.logs('worker', 'beat')[-6000:]}"
        return body

    def read(self, path: Path, seconds: float = 180, **fields: str) -> dict[str, Any]:
        """Upload a file and wait until it was read."""
        return self.wait(self.upload(path, **fields), seconds)

    def text(self, job_id: str) -> str:
        """The text of a job."""
        answer = self.client.get(f"/api/jobs/{job_id}/result.txt")
        assert answer.status_code == 200, answer.text
        return answer.text


def until(true: Callable[[], bool], seconds: float, told: Callable[[], str] = str) -> float:
    """Wait until something holds; gives the seconds it took, and fails with what ``told`` says."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + seconds, f"not within {seconds} s: {told()}"
        time.sleep(0.3)
    return time.monotonic() - began


FIGURES: list[tuple[str, str]] = []
"""What was measured, in order; printed at the end."""


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Note how long the block took."""
    began = time.monotonic()
    yield
    FIGURES.append((what, f"{time.monotonic() - began:.1f} s"))


def note(what: str, figure: str) -> None:
    """Note a figure."""
    FIGURES.append((what, figure))


def megabytes(image: str) -> float:
    """The size of an image, its base included."""
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", image], capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1e6


_SETTINGS: Mapping[str, None] = dict.fromkeys(
    ("DATABASE_URL", "REDIS_URL", "STORAGE_URL", "DATA_DIR", "WEIGHTS_DIR", "OCR_BACKEND")
)
"""Names that a test run may have in its environment and that mean something else here."""
