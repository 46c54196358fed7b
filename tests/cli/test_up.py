"""``copyist up``: everything starts with it, and everything stops with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from copyist.cli import app, trainer
from tests.servers import free_port, process_environment

START_S = 60.0


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = process_environment(
        DATA_DIR=str(tmp_path / "data"), PORT=str(free_port()), REDIS_URL="", DATABASE_URL="", OCR_BACKEND="mock"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "copyist", "up"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def await_ready(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait for the address to be told; gives all processes below it."""
    assert process.stdout is not None
    until = time.monotonic() + START_S
    for line in process.stdout:
        if "Copyist is at http://127.0.0.1:" in line:
            return psutil.Process(process.pid).children(recursive=True)
        assert time.monotonic() < until
    raise AssertionError("it ended before it was ready")


def await_trainer(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait for the trainer, which comes after the rest; gives all processes below ``process``."""
    until = time.monotonic() + START_S
    while "trainer" not in names(below := psutil.Process(process.pid).children(recursive=True)):
        assert time.monotonic() < until
        time.sleep(0.1)
    return below


def names(processes: list[psutil.Process]) -> str:
    alive = [process for process in processes if process.status() != psutil.STATUS_ZOMBIE]
    return " ".join(" ".join(process.cmdline()) for process in alive)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_of_it(up: subprocess.Popen[str], how: signal.Signals) -> None:
    below = await_ready(up)
    for part in ("valkey", "worker", "beat", "uvicorn"):
        assert part in names(below) or part.replace("valkey", "redis") in names(below)
    below = await_trainer(up)
    up.send_signal(how)
    assert up.wait(40) == 0
    _, alive = psutil.wait_procs(below, timeout=5)
    assert alive == []


def test_a_trainer_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setattr(trainer, "PACKAGES", ("torch", "no_such_package"))
    ended = CliRunner().invoke(app, ["trainer"])
    assert ended.exit_code == 1
    assert "no_such_package" in ended.stderr and "Install copyist with [training]" in ended.stderr


def test_killing_it_leaves_nothing_behind(up: subprocess.Popen[str]) -> None:
    below = await_ready(up)
    up.kill()
    _, alive = psutil.wait_procs(below, timeout=40)
    assert alive == []


def test_a_part_that_dies_is_started_again(up: subprocess.Popen[str]) -> None:
    below = await_ready(up)
    beat = next(process for process in below if "beat" in process.cmdline())
    beat.kill()
    until = time.monotonic() + 20
    while not [one for one in psutil.Process(up.pid).children() if one.pid != beat.pid and "beat" in names([one])]:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_page_is_read_and_is_still_there_after_a_restart(tmp_path: Path, own_samples: Path) -> None:
    settings = {
        "DATA_DIR": str(tmp_path / "data"),
        "PORT": str(free_port()),
        "REDIS_URL": "",
        "DATABASE_URL": "",
        "OCR_BACKEND": "auto",
    }
    text: list[str] = []
    for turn in (1, 2):
        process = subprocess.Popen(
            [sys.executable, "-m", "copyist", "up"],
            cwd=tmp_path,
            env=process_environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            await_ready(process)
            with httpx.Client(base_url=f"http://127.0.0.1:{settings['PORT']}", trust_env=False, timeout=60) as client:
                if turn == 1:
                    letter = (own_samples / "letter.png").read_bytes()
                    job = client.post("/api/jobs", files={"file": ("letter.png", letter)}).json()["id"]
                body = client.get(f"/api/jobs/{job}", params={"wait": 50}).json()
                assert (body["status"], body["degraded"]) == ("completed", False)
                text.append(client.get(f"/api/jobs/{job}/result.txt").text)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=40)
    assert "Lighthouse Library" in text[0]
    assert text[0] == text[1]


def test_a_second_one_on_the_same_data_is_refused(up: subprocess.Popen[str], tmp_path: Path) -> None:
    await_ready(up)
    second = subprocess.run(
        [sys.executable, "-m", "copyist", "up", "--port", "0"],
        cwd=tmp_path,
        env=process_environment(DATA_DIR=str(tmp_path / "data"), REDIS_URL=""),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "already running" in second.stderr and "Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PORT": "no"}, "PORT cannot work"),
        ({"OCR_BACKEND": "magic"}, 'There is no engine "magic"'),
        ({"OCR_BACKEND": "tesseract", "OCR_LANGUAGES": "tlh"}, "OCR_LANGUAGES names tlh, which no engine here reads"),
        ({"HOST": "203.0.113.7"}, "cannot be used"),
    ],
)
def test_settings_that_cannot_work_are_named(tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "copyist", "up"],
        cwd=tmp_path,
        env=process_environment(DATA_DIR=str(tmp_path / "data"), REDIS_URL="", **{"PORT": "0"} | settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
