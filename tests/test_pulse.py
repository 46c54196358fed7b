"""The sign of life: well, unwell, silent; and what a check of it costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from copyist import pulse
from tests.servers import free_port, process_environment

Answer = Callable[[int, bytes], None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("REDIS_URL", raising=False)
    return tmp_path


def age(folder: Path, part: str, seconds: float) -> None:
    """Let the last sign of life be older than it is."""
    place = folder / f"copyist-{part}.pulse"
    seen = json.loads(place.read_text())
    place.write_text(json.dumps(seen | {"at": seen["at"] - seconds}))


def test_a_part_that_shows_itself_is_well() -> None:
    assert pulse.ailment("worker") == "It has given no sign of life yet."
    pulse.beat("worker", None)
    assert pulse.ailment("worker") is None
    assert pulse.ailment("beat") == "It has given no sign of life yet."


def test_a_problem_is_told_until_it_is_over(folder: Path) -> None:
    pulse.beat("worker", "The database does not answer.")
    assert pulse.ailment("worker") == "The database does not answer."
    pulse.beat("worker", None)
    assert pulse.ailment("worker") is None
    assert [path.name for path in folder.iterdir()] == ["copyist-worker.pulse"]


def test_silence_is_told_with_what_was_said_last(folder: Path) -> None:
    pulse.beat("worker", None)
    age(folder, "worker", 40)
    assert pulse.ailment("worker") == "It has given no sign of life for 40 s."
    assert pulse.ailment("worker", older_than_s=50) is None
    pulse.beat("worker", "It is starting.")
    age(folder, "worker", 40)
    assert pulse.ailment("worker") == "It has given no sign of life for 40 s. The last was: It is starting."


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:{port}/0", "unix:///nowhere/{port}"])
def test_silence_is_blamed_on_a_broker_that_is_away(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url.format(port=free_port()))
    pulse.beat("worker", "It is starting.")
    age(folder, "worker", 40)
    assert pulse.ailment("worker") == "It has given no sign of life for 40 s: the broker does not answer."


def test_silence_is_not_blamed_on_a_broker_that_answers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    pulse.beat("worker", None)
    age(folder, "worker", 40)
    assert pulse.ailment("worker") == "It has given no sign of life for 40 s."


def test_a_part_works_on_where_nothing_can_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "missing"))
    pulse.beat("worker", None)
    assert pulse.ailment("worker") == "It has given no sign of life yet."


@contextmanager
def answering(path: str, answer: Callable[[], tuple[int, bytes]]) -> Iterator[int]:
    """Answer at one path of this machine, at the port that is given, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer() if self.path == path else (404, b"")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    """Return a way to say what ``/readyz`` answers from now on; a proxy in the environment must not be asked."""
    found: list[tuple[int, bytes]] = []
    with answering("/readyz", lambda: found[-1]) as port:
        monkeypatch.setenv("PORT", str(port))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        yield lambda status, body: found.append((status, body))


def test_the_api_is_asked_whether_it_is_ready(api: Answer) -> None:
    api(200, b"{}")
    assert pulse.ailment("api") is None
    api(503, json.dumps({"problems": ["The broker is away.", "No worker is there."]}).encode())
    assert pulse.ailment("api") == "The broker is away. No worker is there."
    for body in (b'{"status": "not ready"}', b"<html>", b"[]"):
        api(503, body)
        assert pulse.ailment("api") == "The API is not ready: it answers 503."


def test_an_api_that_is_not_there_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", str(free_port()))
    assert "The API does not answer" in str(pulse.ailment("api"))


@pytest.mark.parametrize("prefix", ["", "flower", "/flower/"])
def test_flower_is_asked_where_its_prefix_puts_it(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setenv("FLOWER_URL_PREFIX", prefix)
    with answering("/flower/healthcheck" if prefix else "/healthcheck", lambda: (200, b"OK")) as port:
        monkeypatch.setenv("FLOWER_PORT", str(port))
        assert pulse.ailment("flower") is None
        monkeypatch.setenv("FLOWER_URL_PREFIX", "elsewhere")
        assert pulse.ailment("flower") == "Flower is not ready: it answers 404."
    assert str(pulse.ailment("flower")).startswith("Flower does not answer")


def test_the_command_ends_with_what_it_found(folder: Path) -> None:
    def check() -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "copyist.pulse", "worker"],
            env=process_environment(TMPDIR=str(folder)),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    assert check() == (1, "It has given no sign of life yet.\n")
    pulse.beat("worker", None)
    assert check() == (0, "")
    pulse.beat("worker", "Two\nlines.")
    assert check() == (1, "Two lines.\n")


def test_a_check_loads_next_to_nothing() -> None:
    script = "import sys, copyist.pulse; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], env=process_environment(), capture_output=True, text=True)
    assert {"urllib.request", "logging", "typing_extensions", "pydantic", "redis"} & set(done.stdout.split()) == set()
    assert "copyist.pulse" in done.stdout
