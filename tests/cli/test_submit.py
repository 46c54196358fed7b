"""``copyist submit`` against a whole service that was started as people start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import ENVIRONMENT, Run
from tests.servers import free_port, process_environment
from tests.test_client import Reply, job_body, problem, scripted

LINE = "A line that was read\n"


def test_prints_what_was_read_in_the_order_of_the_files(copyist: Run, service: str, own_samples: Path) -> None:
    done = copyist("submit", "--url", service, own_samples / "multipage.tif", own_samples / "note.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "\f".join([LINE] * 4)


def test_writes_a_file_for_each_input(copyist: Run, service: str, own_samples: Path, tmp_path: Path) -> None:
    arguments = ["submit", "--url", service, own_samples / "scan.pdf", "-f", "md", "-o", "out", "--pages", "2"]
    assert copyist(*arguments).returncode == 0
    assert (tmp_path / "out" / "scan.md").read_text().startswith("A line that was read")
    again = copyist(*arguments)
    assert again.returncode == 1
    assert "--force" in again.stderr


def test_the_server_is_the_one_of_the_settings(copyist: Run, service: str, own_samples: Path) -> None:
    port = service.rsplit(":", 1)[1]
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}
    assert copyist("submit", own_samples / "note.png", HOST="0.0.0.0", PORT=port, **proxies).stdout == LINE


def test_without_waiting_it_prints_where_the_jobs_are(copyist: Run, service: str, own_samples: Path) -> None:
    done = copyist("submit", "--url", service, "--no-wait", own_samples / "note.png", own_samples / "scan.pdf")
    assert (done.returncode, done.stderr) == (0, "")
    names = [httpx.get(url, trust_env=False).json()["filename"] for url in done.stdout.split()]
    assert names == ["note.png", "scan.pdf"]


def test_bad_files_get_a_sentence_each_and_the_others_are_read(copyist: Run, service: str, own_samples: Path) -> None:
    bad = ["locked.pdf", "zero_pages.pdf", "truncated.png", "empty.bin", "not_an_image.jpg", "bomb.png"]
    files = [own_samples / name for name in bad]
    done = copyist("submit", "--url", service, *files, "missing.png", own_samples / "note.png")
    assert (done.returncode, done.stdout) == (1, LINE)
    for name in [*bad, "missing.png"]:
        assert sum(f"{name}: " in line for line in done.stderr.splitlines()) == 1, done.stderr


def test_what_the_server_refuses_is_told_in_its_words(copyist: Run, service: str, own_samples: Path) -> None:
    done = copyist("submit", "--url", service, own_samples / "note.png", "--engine", "nix")
    assert done.returncode == 1
    assert '"nix" is not a value for engine. Use one of:' in done.stderr


def test_a_placeholder_is_never_silent(copyist: Run, service: str, own_samples: Path) -> None:
    done = copyist("submit", "--url", service, own_samples / "note.png", "--engine", "broken")
    assert done.returncode == 0
    assert "placeholder" in done.stderr


def test_a_server_that_is_not_there_is_one_sentence(copyist: Run, own_samples: Path) -> None:
    done = copyist("submit", "--url", f"http://127.0.0.1:{free_port()}", own_samples / "note.png")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be reached" in done.stderr


@pytest.mark.parametrize("by_name", [True, False])
def test_a_key_is_sent_and_never_shown(copyist: Run, own_samples: Path, by_name: bool) -> None:
    given = ["--api-key", "ck_secret"] if by_name else []
    environment = {} if by_name else {"COPYIST_API_KEY": "ck_secret"}
    with scripted(problem(401, "unauthorized")) as server:
        files = (own_samples / "note.png", own_samples / "scan.pdf")
        done = copyist("submit", "--url", server.url, *files, *given, **environment)
    # What keeps everybody out is said once, not for each file.
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Because of unauthorized.\n")
    assert [headers["X-API-Key"] for _, _, headers, _ in server.asked] == ["ck_secret"]


def test_jobs_that_are_given_up_are_told(copyist: Run, own_samples: Path) -> None:
    files = (own_samples / "note.png", own_samples / "scan.pdf")
    with scripted(Reply(202, job_body()), problem(401, "unauthorized")) as server:
        done = copyist("submit", "--url", server.url, *files)
    assert done.returncode == 1
    assert f"{server.url}/api/jobs/j" in done.stderr


def test_a_key_that_is_none_is_not_shown_either(copyist: Run, own_samples: Path) -> None:
    done = copyist("submit", own_samples / "note.png", COPYIST_API_KEY="ck_sécret")
    assert (done.returncode, "cret" in done.stderr) == (2, False)


def test_wrong_usage(copyist: Run, own_samples: Path) -> None:
    assert copyist("submit", own_samples / "note.png", "--format", "nothing").returncode == 2
    assert copyist("submit").returncode == 2


def test_an_interrupt_cancels_what_is_still_open(service: str, own_samples: Path, tmp_path: Path) -> None:
    command = ["submit", "--url", service, str(own_samples / "scan.pdf"), "--engine", "hang", "--text", "force"]
    process = subprocess.Popen(
        [sys.executable, "-m", "copyist", *command],
        cwd=tmp_path,
        env=process_environment(**ENVIRONMENT),
        stderr=subprocess.PIPE,
        text=True,
    )
    with httpx.Client(base_url=service, trust_env=False) as client:
        until = time.monotonic() + 30
        while not (open_jobs := client.get("/api/jobs", params={"status": "processing"}).json()["jobs"]):
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(0.5)  # The command has read the answer to its upload by then.
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "1 of 1 open jobs were cancelled." in told
        assert client.get(f"/api/jobs/{open_jobs[0]['id']}").json()["status"] == "cancelled"
