"""Waiting for what a part stands on."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from copyist import pulse
from copyist import settings as configuration
from copyist.cli import waiting
from copyist.errors import ConfigurationError


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(waiting, "AGAIN_S", 0.01)


def raising(*errors: Exception | None) -> Callable[[], str | None]:
    """An attempt that raises each of them in turn; ``None`` is no error, and gives what the pulse says then."""
    left = list(errors)

    def attempt() -> str | None:
        if (error := left.pop(0)) is not None:
            raise error
        return pulse.ailment("worker")

    return attempt


def wait(attempt: Callable[[], str | None], seconds: float = 10) -> str | None:
    return waiting._patiently("database", attempt, part="worker", seconds=seconds)


def test_each_reason_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    refused, starting = ConnectionRefusedError("Connection refused"), OSError("the database system is starting up")
    with caplog.at_level(logging.WARNING):
        said = wait(raising(refused, refused, refused, starting, starting, None))
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "nothing answers there" in caplog.messages[0] and "starting" in caplog.messages[1]
    assert said == "The database does not answer: it is just starting or stopping."


def test_the_pulse_goes_on_while_an_attempt_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PULSE_S", 0.02)

    def hang() -> str | None:
        time.sleep(0.3)
        return pulse.ailment("worker", older_than_s=0.2)

    assert wait(hang) == "The database has not answered yet."


def test_an_attempt_that_hangs_is_given_up_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(waiting.GaveUp, match="has not answered yet"):
        wait(lambda: time.sleep(2), seconds=0.2)
    assert time.monotonic() - started < 1


def test_no_waiting_helps_against_a_wrong_setting_or_a_fault_of_ours() -> None:
    with pytest.raises(ConfigurationError):
        wait(raising(ConfigurationError(problem="no"), None))
    with pytest.raises(KeyError):
        wait(raising(KeyError("column"), None))


def test_a_storage_that_cannot_be_written_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / "file" / "blobs"
    settings = configuration.load(storage_url=place.as_uri())

    def make_room() -> None:
        until = time.monotonic() + 10
        while "The storage does not answer" not in str(pulse.ailment("worker")):
            assert time.monotonic() < until
            time.sleep(0.01)
        (tmp_path / "file").unlink()

    with ThreadPoolExecutor(1) as pool:
        room = pool.submit(make_room)
        waiting.writable_storage(settings, part="worker")
        room.result()
    assert (place / "check").read_bytes() == b"ok"


def test_a_storage_that_does_not_exist_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match="STORAGE_URL"):
        waiting.writable_storage(configuration.load(storage_url="ftp://x/y"), part="worker")
