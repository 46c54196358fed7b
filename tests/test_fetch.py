"""Files that are named, not sent: what is given, and everything that must not be."""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from copyist.errors import (
    AddressRefused,
    CopyistError,
    FetchFailed,
    FetchingOff,
    FileTooLarge,
    FolderRefused,
    InvalidSource,
    SourceMissing,
)
from copyist.fetch import Sources, fetched
from copyist.fetch.web import Address, is_public

CONTENT = b"\x89PNG and so on"
WEB = Sources(urls=True, max_bytes=1000, limit_s=3)


def anywhere(address: Address, port: int) -> bool:
    """For tests alone, whose servers are on this machine."""
    return True


def get(source: str, allowed: Sources = WEB, may_connect: Callable[[Address, int], bool] = anywhere) -> bytes:
    with fetched(source, allowed, may_connect=may_connect) as file:
        return file.content.read()


# --- files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "open"
    (inside / "deep er").mkdir(parents=True)
    (inside / "a.png").write_bytes(CONTENT)
    (inside / "deep er" / "ü%.png").write_bytes(CONTENT)
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "opened").mkdir()
    (tmp_path / "opened" / "b.png").write_bytes(b"secret")
    return inside


def test_a_file_in_an_open_folder_is_given_with_its_name(folder: Path) -> None:
    allowed = Sources(folders=(folder.parent / "other", folder))
    with fetched((folder / "a.png").as_uri(), allowed) as file:
        assert (file.content.read(), file.name) == (CONTENT, "a.png")
    with fetched((folder / "deep er" / "ü%.png").as_uri(), allowed) as file:
        assert (file.content.read(), file.name) == (CONTENT, "ü%.png")
    assert get(f"FILE://localhost{folder}/a.png", allowed) == CONTENT


def test_a_link_that_stays_inside_is_followed(folder: Path) -> None:
    (folder / "link.png").symlink_to("a.png")
    (folder.parent / "alias").symlink_to(folder)
    assert get((folder / "link.png").as_uri(), Sources(folders=(folder,))) == CONTENT
    assert get((folder / "a.png").as_uri(), Sources(folders=(folder.parent / "alias",))) == CONTENT


def test_without_open_folders_every_file_is_refused_and_the_setting_named(folder: Path) -> None:
    with pytest.raises(FetchingOff, match="FETCH_FOLDERS"):
        get((folder / "a.png").as_uri(), Sources())


@pytest.mark.parametrize(
    "path",
    ["../secret.png", "../opened/b.png", "%2e%2e/secret.png", "deep er/../../secret.png", "..", "../nothing.png"],
)
def test_nothing_outside_is_given_nor_told_of(folder: Path, path: str) -> None:
    with pytest.raises(FolderRefused):
        get(f"file://{folder}/{path}", Sources(folders=(folder,)))


@pytest.mark.parametrize("target", ["../secret.png", "/etc/passwd", "/dev/zero", "../opened"])
def test_links_that_lead_out_are_not_followed(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    for name in ("link", "link/b.png"):
        with pytest.raises((FolderRefused, SourceMissing)):
            get((folder / name).as_uri(), Sources(folders=(folder,)))


def test_a_link_put_in_the_way_after_the_check_is_not_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "deep er" / "a.png").write_bytes(CONTENT)
    checked = os.path.realpath

    def swap(path: str | Path) -> str:
        real = checked(path)
        if str(path).endswith("a.png"):
            (folder / "deep er").rename(folder / "gone")
            (folder / "deep er").symlink_to(folder.parent / "opened")
            (folder.parent / "opened" / "a.png").write_bytes(b"secret")
        return real

    monkeypatch.setattr(os.path, "realpath", swap)
    with pytest.raises(SourceMissing):
        get((folder / "deep er" / "a.png").as_uri(), Sources(folders=(folder,)))


def test_only_files_are_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as place:
        place.bind(str(folder / "s"))
        for name in ("pipe", "s", "deep er", "", "missing.png", "a.png/b"):
            with pytest.raises(SourceMissing):
                get(f"file://{folder}/{name}", Sources(folders=(folder,)))


def test_a_file_over_the_limit_is_refused(folder: Path) -> None:
    with pytest.raises(FileTooLarge):
        get((folder / "a.png").as_uri(), Sources(folders=(folder,), max_bytes=len(CONTENT) - 1))
    assert get((folder / "a.png").as_uri(), Sources(folders=(folder,), max_bytes=len(CONTENT))) == CONTENT


@pytest.mark.parametrize(
    "source",
    [
        "",
        "a.png",
        "/etc/passwd",
        "file:a.png",
        "file://host/a.png",
        "file:///a%00b",
        "file:///\ud800",
        "http://xn--a.com/",
        "ftp://a/b",
        "gopher://a",
        "file:",
    ],
)
def test_what_names_no_file_is_invalid(folder: Path, source: str) -> None:
    with pytest.raises(InvalidSource):
        get(source, Sources(folders=(folder,), urls=True))


# --- data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64," + base64.b64encode(CONTENT).decode(),
        "DATA:;BASE64," + base64.urlsafe_b64encode(CONTENT).decode().rstrip("="),
        "data:image/png;name=a.png;base64," + base64.b64encode(CONTENT).decode().replace("=", "%3D") + "\n",
        "data:,%89PNG%20and so on",
    ],
)
def test_data_is_what_it_says(uri: str) -> None:
    assert get(uri, Sources()) == CONTENT


@pytest.mark.parametrize(
    "uri", ["data:", "data:image/png;base64", "data:;base64,AAA*", "data:;base64,A", "data:;base64,ü"]
)
def test_data_that_cannot_be_decoded_is_invalid(uri: str) -> None:
    with pytest.raises(InvalidSource):
        get(uri, Sources())


@pytest.mark.parametrize("uri", ["data:;base64," + "A" * 200_000, "data:," + "A" * 200_000, "data:," + "A" * 1001])
def test_data_over_the_limit_is_refused(uri: str) -> None:
    with pytest.raises(FileTooLarge):
        get(uri, Sources(max_bytes=1000))


def test_escapes_take_no_more_memory_than_what_they_stand_for() -> None:
    uri = "data:," + "%41%4" * 500_000
    tracemalloc.start()
    content = get(uri, Sources(max_bytes=len(uri)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert content == b"A%4" * 500_000
    assert most < 6 * len(uri)


# --- the web ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "168.63.129.16",
        ),
        *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
        *(
            "255.255.255.255",
            "192.0.0.8",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "ff0e::1",
            "fec0::1",
        ),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2001:db8::1", "100::1"),
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::", "2002:c0a8:101::1"),
        *("2001:0:4136:e378:8000:63bf:80ff:fffe", "2001::1", "3fff::1", "5f00::1"),
    ],
)
def test_addresses_that_are_not_of_the_public_internet_are_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address), 443)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_are_allowed_on_the_ports_of_the_web(address: str) -> None:
    public = ipaddress.ip_address(address)
    assert is_public(public, 80) and is_public(public, 443)
    assert not any(is_public(public, port) for port in (0, 22, 25, 6379, 8080))


def test_the_web_is_off_unless_it_is_opened() -> None:
    with pytest.raises(FetchingOff, match="FETCH_URLS"):
        get("https://example.org/a.png", Sources())


class Site(BaseHTTPRequestHandler):
    """Answers by path, and notes what it was asked."""

    seen: list[tuple[str, dict[str, str]]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        kind, _, rest = self.path.removeprefix("/").partition("/")
        if kind == "to":
            self._answer(302, b"", Location=rest)
        elif kind == "status":
            self._answer(int(rest), b"")
        elif kind == "zipped":
            self._answer(200, CONTENT, Content_Encoding="gzip")
        elif kind == "endless":
            self._endless(200)
        elif kind == "endless-to":
            self._endless(302, Location=rest)
        elif kind == "slow":
            self._slow()
        elif kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "500")
            self.end_headers()
            self.wfile.write(CONTENT)
            self.close_connection = True
        else:
            self._answer(200, CONTENT)

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _endless(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        try:
            for _ in range(10_000):
                self.wfile.write(bytes(10_000))
        except OSError:
            self.seen.append(("hung up", {}))

    def _slow(self) -> None:
        """One byte at a time, so that no wait for the next is ever long."""
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(100):
                self.wfile.write(b"X")
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

    def log_request(self, *_: object) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[tuple[str, dict[str, str]]]]]:
    seen: list[tuple[str, dict[str, str]]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Site", (Site,), {"seen": seen}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site() -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    with serving() as (port, seen):
        yield f"http://127.0.0.1:{port}", seen


Seen = tuple[str, list[tuple[str, dict[str, str]]]]


def test_a_web_address_is_fetched_by_its_own_name(site: Seen) -> None:
    url, seen = site
    named = url.replace("127.0.0.1", "localhost")
    with fetched(f"{named}/papers/a%20b.png?x=1#y", WEB, may_connect=anywhere) as file:
        assert (file.content.read(), file.name) == (CONTENT, "a b.png")
    (path, headers), *more = seen
    assert (path, headers["Host"], more) == ("/papers/a%20b.png?x=1", named.removeprefix("http://"), [])
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Authorization", "Cookie"} & headers.keys()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_this_machine_is_refused_however_it_is_written(site: Seen, host: str) -> None:
    url, seen = site
    with pytest.raises((AddressRefused, FetchFailed)):
        get(url.replace("127.0.0.1", host), may_connect=lambda address, _: is_public(address, 80))
    assert seen == []


def test_a_redirect_is_followed_and_checked_again(site: Seen) -> None:
    url, _ = site
    assert get(f"{url}/to/{url}/a.png") == CONTENT
    asked: list[str] = []

    def only_v4(address: Address, port: int) -> bool:
        asked.append(str(address))
        return str(address) == "127.0.0.1"

    for away in ("http://127.0.0.2:1/a.png", "http://169.254.169.254/latest", "http://[::1]:1/"):
        with pytest.raises(AddressRefused):
            get(f"{url}/to/{away}", may_connect=only_v4)
    assert asked == ["127.0.0.1", "127.0.0.2", "127.0.0.1", "169.254.169.254", "127.0.0.1", "::1"]


@pytest.mark.parametrize("away", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://user:pass@127.0.0.1/"])
def test_a_redirect_leads_to_no_other_scheme_and_carries_no_password(site: Seen, away: str) -> None:
    with pytest.raises((InvalidSource, FetchFailed)):
        get(f"{site[0]}/to/{away}")


def test_too_many_redirects_are_a_failure(site: Seen) -> None:
    url, seen = site
    assert get(f"{url}/to/{url}/to/{url}/to/{url}/a.png") == CONTENT
    seen.clear()
    with pytest.raises(FetchFailed, match="leads on"):
        get(f"{url}/to/{url}/to/{url}/to/{url}/to/{url}/a.png")
    assert len(seen) == 4


def test_the_body_of_a_redirect_is_not_read(site: Seen) -> None:
    url, seen = site
    assert get(f"{url}/endless-to/{url}/a.png") == CONTENT
    until = time.monotonic() + 2
    while ("hung up", {}) not in seen and time.monotonic() < until:
        time.sleep(0.01)
    assert ("hung up", {}) in seen


def test_a_name_is_asked_for_once_so_that_it_cannot_change(site: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]]

    def resolve(host: str, *_: object, **__: object) -> list[object]:
        return list(answers.pop(0))  # A second question finds nothing.

    url, seen = site
    port = url.rsplit(":", 1)[1]
    resolving = socket.getaddrinfo

    def only_ours(host: str | bytes | None, *rest: object, **more: object) -> object:
        return resolve("") if host == "rebinding.test" else resolving(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", only_ours)
    assert get(f"http://rebinding.test:{port}/a.png") == CONTENT
    assert (seen[0][1]["Host"], answers) == (f"rebinding.test:{port}", [])


def test_one_private_address_among_others_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(AddressRefused):
        get("https://both.test/a.png", may_connect=is_public)


def test_passwords_in_an_address_are_refused(site: Seen) -> None:
    for user in ("user", "user:password"):
        with pytest.raises(InvalidSource):
            get(site[0].replace("//", f"//{user}@"))
    assert site[1] == []


def test_a_proxy_of_the_environment_is_not_asked(site: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert get(f"{site[0]}/a.png") == CONTENT


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("status/404", FetchFailed),
        ("status/500", FetchFailed),
        ("status/204", FetchFailed),
        ("zipped/a", FetchFailed),
        ("cut/a", FetchFailed),
        ("endless/a", FileTooLarge),
    ],
)
def test_an_answer_that_is_no_file_is_a_problem(site: Seen, path: str, kind: type[CopyistError]) -> None:
    began = time.monotonic()
    with pytest.raises(kind):
        get(f"{site[0]}/{path}")
    assert time.monotonic() - began < 2


def test_a_declared_length_over_the_limit_is_refused_unread(site: Seen) -> None:
    with pytest.raises(FileTooLarge):
        get(f"{site[0]}/a.png", Sources(urls=True, max_bytes=len(CONTENT) - 1))


def test_a_server_that_drips_is_given_up(site: Seen) -> None:
    began = time.monotonic()
    with pytest.raises(FetchFailed, match="longer than"):
        get(f"{site[0]}/slow/a.png", Sources(urls=True, limit_s=0.5))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///a",
        "https://a b/",
        "http://127.0.0.1:99999/",
        "http://no-such.invalid/",
        "http://127.0.0.1:1/",
    ],
)
def test_an_address_without_a_server_is_a_problem(url: str) -> None:
    with pytest.raises((InvalidSource, FetchFailed)):
        get(url)


def test_a_certificate_must_be_valid_and_the_hosts_name_is_asked_for(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _, name, __: asked.append(name)
    with serving(context) as (port, seen), pytest.raises(FetchFailed):
        get(f"https://localhost:{port}/a.png")
    assert (asked, seen) == (["localhost"], [])
