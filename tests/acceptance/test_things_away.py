"""What the service stands on is away or full: it starts all the same, says why, and goes on by itself."""

from __future__ import annotations

import io
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pikepdf
import pytest

from tests.away import SmallDisk, as_role, ask_for_password, execute, small_disk
from tests.servers import PostgresServer
from tests.service import Service

Page = tuple[str, bytes]


def await_answer(service: Service, path: str, until: Callable[[httpx.Response], bool], seconds: float = 30) -> Any:
    """Ask until the answer is as it should be."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer = service.client.get(path)
            if until(answer):
                return answer
            said = answer.text
        except httpx.TransportError as error:
            said = str(error)
        assert time.monotonic() < end, said + service.log("api")
        time.sleep(0.1)


def alive(service: Service) -> None:
    await_answer(service, "/livez", lambda answer: answer.status_code == 200)


def test_a_wrong_password_is_told_and_mended_while_all_parts_run(
    tmp_path: Path, redis_url: str, postgres: PostgresServer, postgres_url: str, own_samples: Path
) -> None:
    ask_for_password(postgres, "clerk", "first")
    url = as_role(postgres_url, "clerk", "second")
    with Service(tmp_path, redis_url=redis_url, database_url=url) as service:
        service.start("api", "worker", "beat")
        ready = await_answer(service, "/readyz", lambda answer: answer.status_code == 503)
        (problem,) = ready.json()["problems"]
        assert problem.startswith("The database does not answer: it refuses the password; the one it was first made")
        assert (ready.json()["database"], ready.json()["broker"]) == ("does not answer", "ok")
        assert [word for word in ("clerk", "127.0.0.1", "second") if word in ready.text] == []
        for path in ("/health", "/docs", "/"):
            assert service.client.get(path).status_code == 200
        for refused in (service.client.get("/api/jobs"), service.post(own_samples / "note.png")):
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert refused.headers["Retry-After"]
        time.sleep(4)  # A dozen tries, and beat and worker have met it, too.
        assert service.log("api").count("the database does not answer") == 1
        assert [name for name, process in service.processes.items() if process.poll() is not None] == []
        execute(postgres_url, "ALTER ROLE clerk PASSWORD 'second'")
        service.await_ready()
        assert service.read(own_samples / "note.png")["status"] == "completed"
        assert "the database answers again" in service.log("api")


@pytest.fixture
def large(own_samples: Path) -> Page:
    """A picture that is larger than a small disk."""
    return "large.png", (own_samples / "note.png").read_bytes() + bytes(3_000_000)


def send(service: Service, page: Page) -> httpx.Response:
    return service.client.post("/api/jobs", files={"file": page})


def test_an_upload_without_room_is_refused_and_leaves_nothing(
    tmp_path: Path, redis_url: str, postgres_url: str, own_samples: Path, large: Page
) -> None:
    with (
        small_disk(tmp_path / "data") as disk,
        Service(tmp_path, redis_url=redis_url, database_url=postgres_url) as service,
    ):
        alive(service.start("api"))
        before = kept(disk)
        assert_full(send(service, large))
        assert kept(disk) == before
        assert service.client.get("/api/jobs").json()["jobs"] == []
        disk.fill()
        ready = service.client.get("/readyz").json()
        assert ready["problems"][0] == "The storage does not answer: its disk is full."
        disk.make_room()
        service.upload(own_samples / "note.png")
        assert service.client.get("/readyz").json()["problems"] == ["No worker is alive."]


def test_an_upload_without_room_for_temporary_files_is_refused(
    tmp_path: Path, redis_url: str, postgres_url: str, own_samples: Path, large: Page
) -> None:
    locked = io.BytesIO()
    with pikepdf.open(own_samples / "scan.pdf") as pdf:
        pdf.save(locked, encryption=pikepdf.Encryption(user="x", owner="y"))
    with (
        small_disk(tmp_path / "tmp") as disk,
        Service(tmp_path, redis_url=redis_url, database_url=postgres_url) as service,
    ):
        alive(service.start("api", TMPDIR=str(disk.folder)))
        assert_full(send(service, large))
        # Small enough to be held in memory while it is received.
        disk.fill()
        assert_full(service.post(own_samples / "note.png"))
        # Room for the file as it came, and not for the one without its protection.
        disk.make_room(pages=-(-len(locked.getvalue()) // 4096))
        assert_full(service.post(locked.getvalue(), password="x"))
        disk.make_room()
        service.upload(own_samples / "note.png")
        assert kept(disk) == set()


def test_an_upload_that_the_database_has_no_room_for_is_refused(
    tmp_path: Path, redis_url: str, own_samples: Path
) -> None:
    with (
        small_disk(tmp_path / "database", "8m") as disk,
        Service(tmp_path, redis_url=redis_url, database_url=f"sqlite:///{disk.folder}/db") as service,
    ):
        alive(service.start("api"))
        # While somebody reads, SQLite's own small files stay where they are.
        with closing(sqlite3.connect(disk.folder / "db")) as reader:
            reader.execute("SELECT count(*) FROM jobs").fetchone()
            disk.fill()
            assert_full(service.post(own_samples / "note.png"))
        disk.make_room()
        assert service.client.get("/api/jobs").json()["jobs"] == []
        service.upload(own_samples / "note.png")


def assert_full(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def kept(disk: SmallDisk) -> set[Path]:
    return {path for path in disk.folder.rglob("*") if path.is_file() and path.name != "check"}
