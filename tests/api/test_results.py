"""Results over HTTP: made once, kept, told apart by their ETag, chosen by path or by Accept."""

from __future__ import annotations

import gc
import io
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import httpx
import pytest

from copyist import exports
from copyist.db.session import Database
from copyist.errors import FileGone, StorageFull
from copyist.exports.material import Material
from copyist.storage import Storage
from tests.api import worked
from tests.api.conftest import Ask
from tests.api.test_jobs import body, png, submit


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def job(database_url: str, ask: Ask) -> Iterator[str]:
    """Return the path of a job of three pages, of which the second could not be read."""
    job_id = body(submit(ask))["id"]
    database = Database(database_url)
    worked.take_in(database, job_id, 3)
    worked.read(database, job_id, 1, "one")
    worked.fail(database, job_id, 2)
    worked.read(database, job_id, 3, "three")
    yield f"/api/jobs/{job_id}"
    database.close()


HALF_READ = 50_000_123
Making = Callable[[Callable[[], object]], None]


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Making:
    """Give a function that is called whenever a text has been made."""
    text = exports.EXPORTS["txt"]

    def set_up(then: Callable[[], object]) -> None:
        def write(material: Material, into: IO[bytes]) -> None:
            text.write(material, into)
            then()

        monkeypatch.setattr(exports, "EXPORTS", {**exports.EXPORTS, "txt": replace(text, write=write)})

    return set_up


def kept(folder: Path) -> list[str]:
    """Names of the results that are kept, and of folders in which nothing is left."""
    return sorted(found.name for found in folder.glob("files/results/*/*")) or [
        found.name for found in folder.glob("files/results/*")
    ]


def test_a_result_is_made_once_and_kept(ask: Ask, job: str, making: Making) -> None:
    made: list[int] = []
    making(lambda: made.append(1))
    first, second = (ask("GET", f"{job}/result.txt") for _ in range(2))
    assert (first.text, second.text, len(made)) == ("one\n\f\fthree\n", "one\n\f\fthree\n", 1)
    assert first.headers["Content-Length"] == str(len(first.content))
    assert ask("GET", f"{job}/result.txt?pages=3").text == "three\n"
    assert len(made) == 2, "an excerpt is made anew"


def test_whoever_asks_while_it_is_made_waits_for_that_one(ask: Ask, job: str, making: Making) -> None:
    made: list[int] = []

    def slowly() -> None:
        made.append(1)
        time.sleep(0.2)

    making(slowly)
    with ThreadPoolExecutor(4) as several:
        found = list(several.map(lambda _: ask("GET", f"{job}/result.txt").text, range(4)))
    assert (found, len(made)) == (["one\n\f\fthree\n"] * 4, 1)


def test_a_result_that_cannot_be_kept_is_given_all_the_same(
    ask: Ask, job: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StorageFull

    monkeypatch.setattr(Storage, "put", full)
    assert ask("GET", f"{job}/result.txt").text == "one\n\f\fthree\n"
    assert "could not be kept" in caplog.text


def test_results_go_with_what_they_were_made_of(ask: Ask, job: str, database_url: str, tmp_path: Path) -> None:
    for ending in ("txt", "md"):
        assert ask("GET", f"{job}/result.{ending}").status_code == 200
    before = kept(tmp_path)
    body(ask("POST", f"{job}/retry"))
    database = Database(database_url)
    worked.read(database, job.rpartition("/")[2], 2, "two")
    database.close()
    assert ask("GET", f"{job}/result.txt").text == "one\n\ftwo\n\fthree\n"
    assert (len(before), len(kept(tmp_path))) == (2, 1)
    assert ask("DELETE", job).status_code == 204
    assert kept(tmp_path) == []


def test_a_result_of_a_job_that_is_forgotten_meanwhile_does_not_stay(
    ask: Ask, job: str, making: Making, tmp_path: Path
) -> None:
    making(lambda: ask("DELETE", job).raise_for_status())
    assert ask("GET", f"{job}/result.txt").status_code == 200
    assert kept(tmp_path) == []


@pytest.mark.parametrize("pages", ["", "?pages=1"])
def test_what_a_client_leaves_half_read_is_closed(
    serving: int, job: str, monkeypatch: pytest.MonkeyPatch, pages: str
) -> None:
    def much(_material: Material, into: IO[bytes]) -> None:
        into.write(bytes(HALF_READ))

    monkeypatch.setattr(exports, "EXPORTS", {**exports.EXPORTS, "txt": replace(exports.EXPORTS["txt"], write=much)})
    gc.disable()
    try:
        with httpx.stream("GET", f"http://127.0.0.1:{serving}{job}/result.txt{pages}") as response:
            parts = response.iter_raw()  # which breaks the connection off as soon as nobody holds it
            next(parts)
            assert half_read()
        until = time.monotonic() + 5
        while half_read() and time.monotonic() < until:
            time.sleep(0.02)
        assert not half_read()
    finally:
        gc.enable()


def half_read() -> int:
    """How many files of the size of that result this process has open."""
    sizes = []
    for opened in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            sizes.append(opened.stat().st_size)
    return sizes.count(HALF_READ)


def test_what_somebody_wrote_is_no_page_of_ours(ask: Ask, job: str) -> None:
    response = ask("GET", f"{job}/result.hocr")
    assert response.headers["Content-Type"].startswith("text/html")
    policy = set(response.headers["Content-Security-Policy"].split("; "))
    assert policy >= {"sandbox", "default-src 'none'"}
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_result_that_is_known_is_not_sent_again(ask: Ask, job: str) -> None:
    first = ask("GET", f"{job}/result.txt")
    again = ask("GET", f"{job}/result.txt", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = ask("GET", f"{job}/result.txt?pages=1", headers={"If-None-Match": first.headers["ETag"]})
    assert other.text == "one\n"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/plain"),
        ("application/json", "application/json"),
        ("text/html;q=0.1, application/pdf;q=0.2, text/markdown", "text/markdown"),
        ("application/*;q=0.5, nothing/known", "application/json"),
    ],
)
def test_a_result_is_chosen_by_what_is_accepted(ask: Ask, job: str, accept: str, kind: str) -> None:
    response = ask("GET", f"{job}/result", headers={"Accept": accept})
    assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (200, kind)
    assert response.headers["Vary"] == "Accept"


def test_what_is_not_there_is_said_before_it_is_made(ask: Ask, job: str) -> None:
    refused = ask("GET", f"{job}/result", headers={"Accept": "image/png"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert ask("GET", f"{job}/result.exe").json()["code"] == "invalid_option"
    assert ask("GET", f"{job}/result.txt?pages=2").json()["code"] == "no_result"
    assert ask("GET", f"{job}/result.txt?pages=9").json()["code"] == "pages_out_of_range"


def test_what_needs_no_file_is_there_without_it(ask: Ask, job: str, tmp_path: Path) -> None:
    for path in (tmp_path / "files/uploads").glob("*/*"):
        path.unlink()
    assert ask("GET", f"{job}/result.docx").status_code == 200
    gone = ask("GET", f"{job}/result.pdf")
    assert (gone.status_code, gone.json()["code"]) == (410, "file_gone")
    with zipfile.ZipFile(io.BytesIO(ask("GET", f"{job}/result.zip").content)) as archive:
        assert "a.docx" in archive.namelist()
        assert FileGone.template in archive.read("a.failed.txt").decode()


def test_a_name_for_the_file_is_safe_in_a_header(ask: Ask, database_url: str) -> None:
    job_id = body(ask("POST", "/api/jobs", files={"file": ('a"b\u00e9\u4e2d.png', png())}))["id"]
    database = Database(database_url)
    worked.take_in(database, job_id)
    worked.read(database, job_id, 1)
    database.close()
    response = ask("GET", f"/api/jobs/{job_id}/result.json")
    assert response.headers["Content-Disposition"].startswith("inline; filename*=UTF-8''a%")
    assert response.headers["Content-Disposition"].endswith("%C3%A9%E4%B8%AD.json")
