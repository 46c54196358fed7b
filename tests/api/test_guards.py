"""What is refused at the door, over real sockets: uploads that stall or never end, strange names, foreign pages."""

from __future__ import annotations

import json
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from copyist.api import limits
from copyist.api.guards import names_a_key
from tests.api.conftest import Ask, MakeKey, with_settings

FORM_HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
FORM_END = b"\r\n--x--\r\n"
MEGABYTE = bytes(1_000_000)
both_parsers = pytest.mark.parametrize("serving", ["h11", "httptools"], indirect=True)


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


class Line:
    """A connection on which a test says what it likes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def begin(self, *headers: str, path: str = "/api/jobs", kind: str = "multipart/form-data; boundary=x") -> Line:
        """Send the head of a POST."""
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *headers, "", ""]
        return self.say("\r\n".join(lines).encode())

    def say(self, data: bytes) -> Line:
        self._socket.sendall(data)
        return self

    def chunk(self, data: bytes) -> Line:
        return self.say(b"%x\r\n%s\r\n" % (len(data), data))

    def answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and JSON of the answer."""
        head, _, body = self._until(b"\r\n\r\n").partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += self._socket.recv(65536)
        return int(status.split()[1]), headers, json.loads(body)

    def _until(self, end: bytes) -> bytes:
        received = b""
        while end not in received:
            more = self._socket.recv(65536)
            assert more, f"the connection ended after {received!r}"
            received += more
        return received

    def is_closed(self) -> bool:
        """Whether the server hangs up."""
        with suppress(ConnectionError):
            return self._socket.recv(1) == b""
        return True


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of their own for the API's temporary files."""
    (folder := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def bytes_on_disk(temporary: Path) -> int:
    """How much the API holds of uploads: its temporary files have no name, only a descriptor."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(descriptor.readlink()).startswith(str(temporary)):
                found += descriptor.stat().st_size
    return found


def assert_nothing_kept(temporary: Path) -> None:
    until = time.monotonic() + 5
    while found := bytes_on_disk(temporary):
        assert time.monotonic() < until, found
        time.sleep(0.02)
    stored = temporary.parent / "files"
    assert [path for path in stored.rglob("*") if path.is_file()] == []


def jobs(port: int) -> list[Any]:
    found: list[Any] = httpx.get(f"http://127.0.0.1:{port}/api/jobs", trust_env=False).json()["jobs"]
    return found


# --- bodies ---------------------------------------------------------------------------------------------------


@both_parsers
@with_settings(upload_idle_s=1, max_bytes=9_000_000)
@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/api/jobs", "multipart/form-data; boundary=x", FORM_HEAD + 3 * MEGABYTE),
        ("/ocr", "application/json", b'{"filename": "'),
        ("/api/keys", "application/json", b""),
    ],
)
def test_half_an_upload_and_then_silence_is_ended(
    serving: int, temporary: Path, path: str, kind: str, body: bytes
) -> None:
    with Line(serving) as line:
        line.begin(f"Content-Length: {len(body) + 100}", path=path, kind=kind).say(body)
        since = time.monotonic()
        status, headers, problem = line.answer()
        assert (status, problem["code"], headers["connection"]) == (408, "upload_stalled", "close")
        assert 0.5 < time.monotonic() - since < 5 and line.is_closed()
    assert_nothing_kept(temporary)
    assert jobs(serving) == []


@with_settings(upload_idle_s=1)
def test_a_slow_upload_and_a_long_wait_are_no_silence(serving: int, own_samples: Path) -> None:
    body = FORM_HEAD + (own_samples / "note.png").read_bytes()[:80_000] + FORM_END
    size = len(body) // 4 + 1
    with Line(serving) as line:
        line.begin(f"Content-Length: {len(body)}", "Prefer: wait=2")
        for start in range(0, len(body), size):
            line.say(body[start : start + size])
            time.sleep(0.4)
        assert line.answer()[0] == 202


@both_parsers
@with_settings(max_bytes=9_000_000)
def test_a_client_that_disconnects_leaves_nothing_behind(
    serving: int, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/api/jobs", "/api/upload/"):
        with Line(serving) as line:
            line.begin("Content-Length: 8000000", path=path).say(FORM_HEAD + 3 * MEGABYTE)
            until = time.monotonic() + 10
            while bytes_on_disk(temporary) < 2_000_000:
                assert time.monotonic() < until
                time.sleep(0.01)
    assert_nothing_kept(temporary)
    assert jobs(serving) == []
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@both_parsers
@with_settings(max_bytes=2_000_000)
def test_ten_gigabytes_are_refused_before_they_come(serving: int, temporary: Path) -> None:
    with Line(serving) as line:
        status, _, problem = line.begin("Content-Length: 10000000000").answer()
        assert (status, problem["code"]) == (413, "file_too_large")
    assert_nothing_kept(temporary)


@both_parsers
@with_settings(max_bytes=2_000_000)
def test_an_upload_without_an_end_is_refused_while_it_streams(serving: int, temporary: Path) -> None:
    with Line(serving) as line:
        line.begin("Transfer-Encoding: chunked").chunk(FORM_HEAD)
        for sent in range(3):
            line.chunk(MEGABYTE)
            assert bytes_on_disk(temporary) < (sent + 1) * 1_100_000
        status, _, problem = line.answer()
        assert (status, problem["code"]) == (413, "file_too_large")
    assert_nothing_kept(temporary)


@with_settings(api_keys="required", max_bytes=90_000_000)
@pytest.mark.parametrize("path", ["/api/jobs", "/api/upload/", "/predict"])
def test_a_stranger_sends_no_large_body(serving: int, make_key: MakeKey, path: str) -> None:
    """FastAPI looks who it is when it has taken the whole body; the door looks before."""
    for size in ("Content-Length: 80000000", "Transfer-Encoding: chunked"):
        with Line(serving) as line:
            status, headers, _ = line.begin(size, "Expect: 100-continue", path=path).answer()
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
    with Line(serving) as line:
        line.begin("Content-Length: 80000000", "Expect: 100-continue", f"X-API-Key: {make_key()}", path=path)
        assert line._until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")


@with_settings(rate_limits="on", rate_limit_concurrent=1, max_bytes=9_000_000)
def test_a_place_is_taken_before_the_body_is_let_in_and_freed_with_it(serving: int) -> None:
    with Line(serving) as first:
        first.begin("Transfer-Encoding: chunked").chunk(FORM_HEAD)
        url = f"http://127.0.0.1:{serving}/api/keys/me"
        until = time.monotonic() + 10
        while not httpx.get(url, trust_env=False).json()["concurrent"]["taken"]:
            assert time.monotonic() < until
        with Line(serving) as second:
            status, headers, problem = second.begin("Content-Length: 8000000").answer()
            assert (status, problem["code"], headers["retry-after"]) == (429, "too_many_at_once", "2")
    while httpx.get(url, trust_env=False).json()["concurrent"]["taken"]:
        assert time.monotonic() < until
        time.sleep(0.02)


def status_of(port: int, *, path: str = "/api/jobs", headers: str = "") -> int:
    """What a request with this head is answered; 0 if the server hangs up while it is being sent."""
    with Line(port) as line, suppress(ConnectionError):
        line.say(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n".encode())
        return int(line._until(b"\r\n").split()[1])
    return 0


@both_parsers
def test_ten_thousand_parameters_are_no_fault_of_ours(serving: int) -> None:
    many = [f"a{number}=1" for number in range(10_000)]
    assert status_of(serving, path="/api/jobs?" + "&".join(many[:4000])) == 200
    for query in ("&".join(many), "x=" + "y" * 60_000, "&" * 60_000, "limit=1&" * 10_000):
        assert status_of(serving, path=f"/api/jobs?{query}") in (200, 400, 414)
    # h11 takes no more than 64 kB of a head; the other parser takes all of it, and so it is we who refuse.
    for headers in ("".join(f"x-{one.replace('=', ': ')}\r\n" for one in many), f"x-long: {'y' * 200_000}\r\n"):
        assert status_of(serving, headers=headers) in (0, 400, 431)
    form = {f"a{number}": "1" for number in range(10_000)}
    with httpx.Client(base_url=f"http://127.0.0.1:{serving}", trust_env=False) as client:
        assert 400 <= client.post("/api/jobs", data=form).status_code < 500
        assert 400 <= client.post("/api/jobs", files=dict.fromkeys(form, b"x")).status_code < 500
        assert client.get("/livez").status_code == 200


def test_names_of_keys_are_told_from_others() -> None:
    assert all(map(names_a_key, (b"key=x", b"a=1&API_KEY", b"x-Api-Key=1", b"%6Bey=", b"+token=")))
    assert not any(map(names_a_key, (b"", b"keys=x", b"a=key", b"cursor=token", b"monkey=1")))


# --- names ----------------------------------------------------------------------------------------------------


def status(ask: Ask, path: str, *hosts: str) -> int:
    """What a request that calls us by these names is answered."""
    return ask("GET", path, headers=[("Host", host) for host in hosts]).status_code


@with_settings(allowed_hosts="ocr.example.org,*.lan", published_on="192.0.2.7", api_keys="off")
def test_only_names_of_this_machine_are_answered_to(ask: Ask) -> None:
    good = ["localhost", "LOCALHOST:8000", "a.localhost", "127.0.0.1:80", "127.9.9.9", "[::1]:8000", "localhost."]
    for host in (*good, "192.0.2.7:8000", "ocr.example.org", "scan.lan:8000"):
        assert status(ask, "/api/jobs", host) == 200, host
    for host in ("evil.example", "localhost.evil.example", "0.0.0.0", "10.0.0.1", "xocr.example.org", "lan", ""):
        answer = ask("GET", "/api/jobs", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "host_refused"), host
        assert status(ask, "/", host) == 421
    assert status(ask, "/api/jobs", "localhost", "evil.example") == 421
    for path in ("/livez", "/health"):
        assert status(ask, path, "api:8000") == 200
    assert status(ask, "/metrics", "api:8000") == 421


@with_settings(api_keys="required")
def test_where_keys_are_needed_any_name_will_do(ask: Ask, make_key: MakeKey) -> None:
    assert ask("GET", "/api/jobs", headers={"Host": "anything", "X-API-Key": make_key()}).status_code == 200


# --- pages of others ------------------------------------------------------------------------------------------


def sent_by(ask: Ask, path: str = "/api/jobs", method: str = "POST", **headers: str) -> tuple[int, str]:
    answer = ask(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return answer.status_code, answer.json().get("code", "")


@with_settings(cors_origins="https://app.example.org")
def test_pages_of_other_origins_change_nothing(ask: Ask) -> None:
    cross_site = (403, "cross_site")
    for origin in (
        "https://evil.example",
        "null",
        "http://localhost:3000",
        "http://localhost.evil.example",
        "x",
        "://",
    ):
        assert sent_by(ask, origin=origin) == cross_site, origin
        assert sent_by(ask, "/api/jobs/x", "DELETE", origin=origin) == cross_site
        assert sent_by(ask, method="GET", origin=origin)[0] == 200
    assert sent_by(ask, sec_fetch_site="cross-site") == cross_site
    for good in ("http://localhost", "http://localhost:80", "https://localhost", "https://app.example.org"):
        assert sent_by(ask, origin=good) == (400, "missing_file"), good
    assert sent_by(ask, sec_fetch_site="same-origin") == (400, "missing_file")
    assert sent_by(ask) == (400, "missing_file")
    assert sent_by(ask, origin="http://localhost:8000", host="localhost:8000") == (400, "missing_file")


def test_pages_on_this_machine_may_use_the_routes_that_are_made_for_them(ask: Ask) -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:3000"):
        assert sent_by(ask, "/ocr", origin=origin)[0] == 422
    for origin in ("https://evil.example", "null", "file://", "http://localhost.evil.example"):
        assert sent_by(ask, "/ocr", origin=origin) == (403, "cross_site")


@with_settings(api_keys="required")
def test_a_page_that_has_a_key_may_come_from_anywhere(ask: Ask, make_key: MakeKey) -> None:
    assert sent_by(ask, origin="https://evil.example", x_api_key=make_key()) == (400, "missing_file")


def test_json_has_a_smaller_limit_than_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held in memory as a whole."""
    monkeypatch.setattr(limits, "MAX_JSON_BYTES", 1000)
    app = FastAPI()
    limits.limit_body(app, 100_000)

    @app.post("/")
    async def take(request: Request) -> int:
        return len(await request.body())

    with TestClient(app) as client:
        for kind, status in (("application/json", 413), ("application/problem+json; x=y", 413), ("text/plain", 200)):
            answer = client.post("/", content=b"x" * 2000, headers={"Content-Type": kind})
            assert answer.status_code == status
            assert status == 200 or answer.json()["code"] == "file_too_large"
