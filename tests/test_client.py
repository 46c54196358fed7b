"""``copyist.Client``: against a server that misbehaves by a script, and against a whole service."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from copyist import Client, CopyistClientError
from copyist.client import NotOver, PageEvent, Unreachable
from tests.faulty_engines import PLUGINS
from tests.servers import PostgresServer, ValkeyServer, free_port, process_environment
from tests.service import Service

LINE = "A line that was read"
SURE = "tests.faulty_engines:Faulty"


def job_body(status: str = "pending", done: int = 0, total: int | None = None) -> dict[str, Any]:
    progress = {"pages_done": done, "pages_failed": 0, "pages_total": total}
    return {"id": "j", "status": status, "filename": "x", "progress": progress, "warnings": [], "error": None}


class Reply:
    """One scripted answer. ``cut`` breaks the connection in the middle of it, ``seconds`` are waited before it."""

    def __init__(
        self,
        status: int = 200,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        cut: bool = False,
        seconds: float = 0,
    ) -> None:
        self.status, self.headers, self.cut, self.seconds = status, headers or {}, cut, seconds
        self.content = body if isinstance(body, bytes) else json.dumps(body).encode()


def problem(status: int, code: str, **headers: str) -> Reply:
    return Reply(status, {"code": code, "detail": f"Because of {code}."}, headers=headers)


class Scripted(ThreadingHTTPServer):
    """Answers with one reply after the other, and keeps what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        reply = self.server.replies.pop(0)
        time.sleep(reply.seconds)
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(reply.content) + 1000 * reply.cut))
        self.end_headers()
        self.wfile.write(reply.content)
        self.close_connection = True

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def scripted(*replies: Reply) -> Iterator[Scripted]:
    server = Scripted(*replies)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def form_of(headers: dict[str, str], body: bytes) -> dict[str, str]:
    message = message_from_bytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body)
    parts = message.get_payload()
    assert isinstance(parts, list)
    names = [str(part.get_param("name", header="content-disposition")) for part in parts]
    return {name: part.get_payload(decode=True).decode() for name, part in zip(names, parts, strict=True)}


def test_the_package_loads_its_client_only_when_it_is_asked_for() -> None:
    script = "import sys, copyist\nassert 'httpx' not in sys.modules\nprint(copyist.Client.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=process_environment(), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("Client\n", "")


def test_an_upload_whose_answer_was_lost_is_sent_again_under_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("content")
    lost, busy = Reply(cut=True), problem(409, "idempotency_in_flight", Retry_After="0")
    with scripted(lost, busy, Reply(202, job_body())) as server, Client(server.url) as client:
        job = client.submit(
            tmp_path / "a.txt", languages=["eng", "deu"], metadata={"shelf": 3}, keep_days=0.5, engine=None
        )
    assert (job.id, job.is_open) == ("j", True)
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in server.asked}) == 1
    for _, _, headers, body in server.asked:
        fields = {"languages": "eng+deu", "metadata": '{"shelf": 3}', "keep_days": "0.5", "file": "content"}
        assert form_of(headers, body) == fields


@pytest.mark.parametrize("make", [lambda: b"content", lambda: io.BytesIO(b"content")])
def test_bytes_and_open_files_are_sent_again_from_their_beginning(make: Callable[[], Any]) -> None:
    busy = problem(503, "unavailable", Retry_After="0")
    with scripted(busy, Reply(202, job_body())) as server, Client(server.url) as client:
        client.submit(make(), filename="x.png")
    assert [form_of(headers, body) for _, _, headers, body in server.asked] == [{"file": "content"}] * 2


def test_an_address_is_sent_as_one() -> None:
    with scripted(Reply(202, job_body())) as server, Client(server.url, "ck_key") as client:
        client.submit("https://example.org/a.pdf", pages="1-2", idempotency_key="mine")
    ((_, path, headers, body),) = server.asked
    assert (path, json.loads(body)) == ("/api/jobs", {"source": "https://example.org/a.pdf", "pages": "1-2"})
    assert (headers["X-API-Key"], headers["Idempotency-Key"]) == ("ck_key", "mine")


def test_a_refusal_is_told_in_the_words_of_the_server() -> None:
    told = pytest.raises(CopyistClientError, match=r"Because of encrypted\.")
    with scripted(problem(422, "encrypted")) as server, Client(server.url) as client, told as caught:
        client.submit(b"x")
    assert (caught.value.code, caught.value.status, caught.value.retry_after) == ("encrypted", 422, None)


def test_a_quota_that_lasts_for_long_is_not_waited_for() -> None:
    used_up, told = problem(429, "too_many_requests", Retry_After="3600"), pytest.raises(CopyistClientError)
    with scripted(used_up) as server, Client(server.url) as client, told as caught:
        client.submit(b"x")
    assert (caught.value.code, caught.value.retry_after) == ("too_many_requests", 3600)


def test_what_changes_something_is_not_done_twice_where_its_answer_was_lost() -> None:
    with scripted(Reply(200, job_body("completed")), Reply(cut=True)) as server, Client(server.url) as client:
        job = client.job("j")
        with pytest.raises(Unreachable):
            job.retry()
    assert len(server.asked) == 2


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable) as caught:
        client.job("j")
    assert (caught.value.code, caught.value.status) == ("unreachable", None)
    assert "cannot be reached" in caught.value.detail


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", ""])
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with Client(url) as client, pytest.raises(CopyistClientError, match="is no address of a server"):
        client.job("j")


@pytest.mark.parametrize("body", [[], {"id": 1}, b"<html>"])
def test_another_service_is_not_taken_for_this_one(body: object) -> None:
    told = pytest.raises(CopyistClientError)
    with scripted(Reply(200, body)) as server, Client(server.url) as client, told as caught:
        client.job("j")
    assert caught.value.code == "no_copyist"


def test_a_key_that_is_none_is_not_shown() -> None:
    with pytest.raises(ValueError) as caught:
        Client(api_key="geheim\n")
    assert "geheim" not in str(caught.value)


def sse(*events: tuple[str, dict[str, Any], int | None]) -> bytes:
    lines = [f"event: {name}\ndata: {json.dumps(data)}\n" + (f"id: {at}\n" if at else "") for name, data, at in events]
    return ("\n".join(lines) + "\n").encode()


def page_data(number: int) -> dict[str, Any]:
    return {"number": number, "status": "done", "engine": "mock", "confidence": 0.5, "error": None}


def test_a_stream_that_breaks_goes_on_where_it_was() -> None:
    first = Reply(200, sse(("job", job_body("processing"), None), ("page", page_data(1), 4)), cut=True)
    rest = Reply(200, sse(("page", page_data(2), 5), ("job", job_body("completed", 2, 2), 6)))
    seen: list[PageEvent] = []
    replies = [Reply(200, job_body()), first, problem(503, "unavailable"), rest]
    with scripted(*replies) as server, Client(server.url) as client:
        job = client.job("j").wait(on_page=seen.append)
    assert (job.status, job.pages_done, [page.number for page in seen]) == ("completed", 2, [1, 2])
    assert [headers.get("Last-Event-ID") for _, _, headers, _ in server.asked] == [None, None, "4", "4"]


@pytest.mark.parametrize("follow", [False, True])
def test_waiting_ends_when_the_time_is_up(follow: bool) -> None:
    replies = [Reply(200, job_body("processing"), seconds=0.5 * (place > 0)) for place in range(3)]
    with scripted(*replies) as server, Client(server.url) as client:
        job = client.job("j")
        with pytest.raises(NotOver, match=r"after 0\.3 s"):
            job.wait(0.3, (lambda _: None) if follow else None)


def test_a_result_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    replies = [Reply(200, job_body("completed")), Reply(200, b"half", cut=True)]
    with scripted(*replies) as server, Client(server.url) as client, pytest.raises(Unreachable):
        client.job("j").save(tmp_path / "x.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_result_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "own").touch()
    with scripted(Reply(body=job_body("completed")), Reply(body=b"text")) as server, Client(server.url) as client:
        saved = client.job("j").save(tmp_path / "j.txt")
    assert (saved.read_bytes(), saved.stat().st_mode) == (b"text", (tmp_path / "own").stat().st_mode)


def test_a_redirect_is_not_followed_with_the_key_but_told() -> None:
    there = "https://ocr.example.org/api/jobs/j"
    told = pytest.raises(CopyistClientError, match=f"points to {there}")
    with scripted(Reply(308, headers={"Location": there})) as server, Client(server.url) as client, told:
        client.job("j")


@pytest.mark.parametrize("stream", [b"data: {broken\n\n", b"event: page\ndata: {}\n\n", b"event: page\ndata: 3\n\n"])
def test_a_stream_of_something_else_is_not_taken_for_ours(stream: bytes) -> None:
    with scripted(Reply(body=job_body()), Reply(body=stream)) as server, Client(server.url) as client:
        with pytest.raises(CopyistClientError) as caught:
            client.job("j").wait(on_page=print)
        assert caught.value.code == "no_copyist"


def test_what_cannot_be_unpacked_is_not_ours_either() -> None:
    with scripted(Reply(body=b"x", headers={"Content-Encoding": "gzip"})) as server, Client(server.url) as client:
        with pytest.raises(CopyistClientError) as caught:
            client.job("j")
        assert caught.value.code == "no_copyist"


def test_a_correction_whose_answer_was_lost_is_sent_again() -> None:
    there, lost = Reply(body={"revision": 3}), Reply(cut=True)
    with scripted(there, lost, Reply(body={"revision": 4})) as server, Client(server.url) as client:
        assert client.line("j.1.0")["revision"] == 3
        assert client.correct("j.1.0", "text", parent=3)["revision"] == 4
    assert [(method, path) for method, path, _, _ in server.asked[1:]] == [("PUT", "/api/lines/j.1.0")] * 2


def test_a_list_is_followed_to_its_end() -> None:
    pages = [{"jobs": [job_body()], "next_cursor": "a="}, {"jobs": [job_body()] * 2, "next_cursor": None}]
    with scripted(*(Reply(200, page) for page in pages)) as server, Client(server.url) as client:
        assert len(list(client.jobs(status=["failed", "cancelled"], metadata={"shelf": 3}))) == 3
    query = "/api/jobs?status=failed&status=cancelled&metadata=shelf%3A3"
    assert [path for _, path, _, _ in server.asked] == [query, f"{query}&cursor=a%3D"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Service]:
    url = postgres.create_database()
    with (
        ValkeyServer() as valkey,
        Service(
            tmp_path_factory.mktemp("client"),
            redis_url=valkey.url,
            database_url=url,
            OCR_PLUGINS=",".join((SURE, *PLUGINS)),
            OCR_BACKEND="faulty",
            OCR_FALLBACK="faulty",
            SLOW_ENGINE_S="0.3",
        ) as running,
    ):
        yield running.start("api", "beat", "worker").await_ready()
    postgres.drop_database(url)


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{service.port}") as found:
        yield found


def test_a_job_from_its_file_to_its_result(client: Client, own_samples: Path, tmp_path: Path) -> None:
    seen: list[PageEvent] = []
    job = client.submit(own_samples / "multipage.tif", metadata={"shelf": 3}, priority="interactive")
    job.wait(60, seen.append)
    assert (job.status, job.filename, job.pages_done, job.pages_total) == ("completed", "multipage.tif", 3, 3)
    assert sorted(page.number for page in seen) == [1, 2, 3]
    assert {(page.status, page.engine, page.confidence) for page in seen} == {("done", "faulty", 0.95)}
    assert job.result().count(LINE) == 3
    assert job.result("md", pages="2").count(LINE) == 1
    assert job.result("pdf").startswith(b"%PDF")
    assert job.page(2)["content"]["blocks"][0]["lines"][0]["text"] == LINE
    assert "<alto" in job.save(tmp_path / "a" / "x.alto.xml").read_text()
    assert [one.id for one in client.jobs(metadata={"shelf": 3})] == [job.id]
    assert list(client.jobs(created_after=datetime.now(UTC) + timedelta(days=1))) == []
    assert client.job(job.id).cancel() is False
    with pytest.raises(CopyistClientError) as caught:
        job.retry()
    assert caught.value.code == "nothing_to_retry"
    job.delete()
    with pytest.raises(CopyistClientError) as caught:
        job.refresh()
    assert caught.value.status in (404, 410)


def test_a_text_is_corrected_line_by_line_and_as_a_file(client: Client, own_samples: Path, tmp_path: Path) -> None:
    job = client.submit(own_samples / "multipage.tif").wait(60)
    line_id = job.page(2)["lines"][0]["id"]
    made = client.correct(line_id, "A line that I read", parent=0)
    assert (made["text"], made["read"], client.line(line_id)["revision"]) == (
        "A line that I read",
        LINE,
        made["revision"],
    )
    with pytest.raises(CopyistClientError) as caught:
        client.correct(line_id, "Another", parent=0)
    assert caught.value.code == "stale_correction"
    assert client.confirm(line_id, parent=made["revision"])["revision"] == made["revision"]
    assert client.confirm_page(job.id, 1)["confirmed"] == 1
    made = client.nothing(line_id, parent=made["revision"])
    assert (made["text"], job.result()) == ("", f"{LINE}\n\f\f{LINE}\n")
    client.correct(line_id, "A line that I read", parent=made["revision"])
    corrected = tmp_path / "corrected.txt"
    corrected.write_text(job.result().replace("I read", "we read"))
    report = client.correct_text(job.id, corrected)
    assert (report["corrected"], report["confirmed"], report["unchanged"]) == (1, 1, 1)
    assert client.correct_text(job.id, LINE, pages="3", confirm_unchanged=False)["unchanged"] == 1
    assert [one["after"] for one in client.corrections(job.id)][-2:] == ["A line that we read", LINE]
    with pytest.raises(CopyistClientError) as caught:
        client.correct_text(job.id, b"of\nsomething\nelse\naltogether")
    assert caught.value.code == "lines_do_not_match"


def test_the_same_key_gives_the_same_job(client: Client, own_samples: Path) -> None:
    first, second = (client.submit(own_samples / "note.png", idempotency_key="once") for _ in range(2))
    assert first.id == second.id
    assert client.submit(own_samples / "note.png").id != first.id


def test_what_failed_is_read_again(client: Client, own_samples: Path) -> None:
    job = client.submit(own_samples / "note.png", engine="slow", page_time_limit=0.001).wait(60)
    assert (job.status, bool(job.error)) == ("failed", True)
    assert job.retry().is_open
    assert job.wait(60).status == "failed"


def test_an_open_job_is_deleted_with_what_it_was_doing(client: Client, own_samples: Path) -> None:
    job = client.submit(own_samples / "scan.pdf", engine="slow", text="force")
    job.delete()
    with pytest.raises(CopyistClientError):
        job.refresh()


def test_a_batch_from_its_files_to_its_zip(client: Client, own_samples: Path, tmp_path: Path) -> None:
    files = [own_samples / "note.png", (own_samples / "letter.png").read_bytes(), own_samples / "empty.bin"]
    batch = client.submit_batch(files, metadata={"from": "the attic"})
    client.submit(own_samples / "note.png", batch=batch.id)
    assert batch.wait(60).status == "completed"
    assert (batch.counts["completed"], [one["filename"] for one in batch.refused]) == (3, ["empty.bin"])
    assert len(list(batch.jobs())) == 3
    with zipfile.ZipFile(batch.save_zip(tmp_path / "all.zip", ["txt", "md"])) as archive:
        assert len(archive.namelist()) == 7
        assert LINE in archive.read(next(name for name in archive.namelist() if name.endswith(".txt"))).decode()
    batch.delete()
    with pytest.raises(CopyistClientError):
        client.batch(batch.id)
