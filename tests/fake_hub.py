"""A hub on the loopback address, in the shape of Hugging Face's: lists of files, and the files, by ranges if asked for.

Large files (``*.safetensors``, ``*.bin``) are in "LFS": their address leads on to another origin, as on the real hub.
Any other path is a file of a release. What goes wrong is set by the test: ``cut``, ``answers``, ``spoil``, ``ranges``.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee00" * 5
REPO = "house/model"


def _is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


@dataclass
class FakeHub:
    """Use as a context. ``files`` of ``REPO`` at ``COMMIT`` and the branch ``main``; ``releases`` by path."""

    files: dict[str, bytes] = field(default_factory=dict)
    releases: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    """By file name: after how many bytes each of the next answers breaks off."""
    answers: dict[str, list[int]] = field(default_factory=dict)
    """By file name or ``list``: the statuses of the next answers."""
    spoil: set[str] = field(default_factory=set)
    """Files that arrive with another byte."""
    ranges: bool = True
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """What was asked for: path and headers."""

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            fake = hub

        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        self._threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in self._servers]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()

    @property
    def url(self) -> str:
        """The address of the hub."""
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def store(self) -> str:
        """The address of where large files are."""
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    def fetched(self) -> list[tuple[str, str]]:
        """The files whose bytes were asked for, with the range."""
        gets = [(path.rpartition("/")[2], headers.get("range", "")) for path, headers in self.asked]
        return [(name, wanted) for name, wanted in gets if name != "list"]


class _Handler(BaseHTTPRequestHandler):
    fake: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is theirs
        """Say nothing."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if found := re.fullmatch(rf"/api/models/{REPO}/revision/(.+)", path):
            self.fake.asked.append((f"{path}/list", headers))
            return self._list(found[1])
        if found := re.fullmatch(rf"/{REPO}/resolve/{COMMIT}/(.+)", path):
            if _is_large(found[1]):
                return self._send(302, b"", Location=f"{self.fake.store}/lfs/{found[1]}")
            return self._file(path, found[1], self.fake.files.get(found[1]), headers)
        if path.startswith("/lfs/"):
            name = path.removeprefix("/lfs/")
            return self._file(path, name, self.fake.files.get(name), headers)
        return self._file(path, path.rpartition("/")[2], self.fake.releases.get(path), headers)

    def _list(self, revision: str) -> None:
        if statuses := self.fake.answers.get("list"):
            return self._send(statuses.pop(0), b"")
        if revision not in ("main", COMMIT):
            return self._send(404, b"{}")
        siblings = [self._sibling(name, content) for name, content in self.fake.files.items()]
        return self._send(200, json.dumps({"id": REPO, "sha": COMMIT, "siblings": siblings}).encode())

    def _sibling(self, name: str, content: bytes) -> dict[str, Any]:
        large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return {"rfilename": name, "size": len(content), "blobId": blob, **({"lfs": large} if _is_large(name) else {})}

    def _file(self, path: str, name: str, content: bytes | None, headers: dict[str, str]) -> None:
        self.fake.asked.append((path, headers))
        if statuses := self.fake.answers.get(name):
            return self._send(statuses.pop(0), b"")
        if content is None:
            return self._send(404, b"")
        if name in self.fake.spoil:
            content = content[:-1] + bytes([content[-1] ^ 1])
        wanted = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        if wanted is None or not self.fake.ranges:
            return self._send(200, content, cut=self._cut(name))
        start = int(wanted[1])
        if start >= len(content):
            return self._send(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
        told = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return self._send(206, content[start:], cut=self._cut(name), **{"Content-Range": told})

    def _cut(self, name: str) -> int | None:
        cuts = self.fake.cut.get(name)
        return cuts.pop(0) if cuts else None

    def _send(self, status: int, body: bytes, *, cut: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True
