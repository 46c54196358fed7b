"""A server that speaks as vLLM does, and reads as a model would that sees lines of ink but no letters.

Its good answers follow from the picture it is sent: one block for every line of ink, with its box in pixels of that
picture. What it does instead is set per request: ``fake.script("length", "good")`` for the next two, ``fake.default =
"hang"`` for all others. Every question is kept in ``fake.asked``.

As a process of its own: ``python -m tests.fake_vllm --port 8001``; then ``POST /control`` takes ``{"script": [...],
"default": "..."}`` and ``GET /control`` tells what was asked.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.fake_replies import REPLIES, Asked, completion, read

MODEL = "dots-mocr"
SLOW_S = 0.4
STATUSES = {"400": 400, "401": 401, "404": 404, "429": 429, "429_long": 429, "500": 500, "503": 503}
BEHAVIOURS = frozenset({*REPLIES, *STATUSES, "hang", "drop", "html", "endless"})
_RETRY_AFTER = {"429": "0.1", "429_long": "600"}


@dataclass
class FakeVllm:
    """The server, on a free port of the loopback address, from ``with`` to the end of its block.

    ``models`` is what it lists, ``models_behaviour`` how it lists it: ``good``, ``html``, ``empty``, ``hang``, ``500``,
    ``401`` or ``other``. ``api_key`` makes it refuse others.
    """

    default: str = "good"
    port: int = 0
    models: tuple[str, ...] = (MODEL,)
    models_behaviour: str = "good"
    max_model_len: int = 32_768
    api_key: str = ""
    asked: list[Asked] = field(default_factory=list)
    listed: int = 0
    dropped: int = 0
    """Connections that the client closed before it was answered."""

    def __post_init__(self) -> None:
        self._script: deque[str] = deque()
        self._lock = threading.Lock()
        self._ends = threading.Event()
        fake = self

        class Handler(_Handler):
            server_state = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The value for ``DOTS_OCR_URL``."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def prompts(self) -> list[str]:
        """What was asked for, in order."""
        return [asked.prompt for asked in self.asked]

    def script(self, *behaviours: str) -> None:
        """How to behave on the next requests, one after the other."""
        unknown = set(behaviours) - BEHAVIOURS
        assert not unknown, f"no such behaviour: {unknown}"
        self._script.extend(behaviours)

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """End it; whoever hangs is let go. A second call does nothing."""
        if self._ends.is_set():
            return
        self._ends.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def take(self) -> str:
        """The behaviour for this request."""
        with self._lock:
            return self._script.popleft() if self._script else self.default

    def hang(self, gone: Callable[[], bool]) -> None:
        """Say nothing until the client goes away or the server is stopped."""
        while not self._ends.wait(0.05):
            if gone():
                self.dropped += 1
                return

    def control(self, wishes: dict[str, Any]) -> None:
        """Set what a test process cannot set by itself."""
        if wishes.get("reset"):
            self._script.clear()
            self.asked.clear()
        self.default = wishes.get("default", self.default)
        self.models_behaviour = wishes.get("models_behaviour", self.models_behaviour)
        self.script(*wishes.get("script", ()))


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server_state: FakeVllm

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is theirs
        """Say nothing."""

    def do_GET(self) -> None:
        state = self.server_state
        if self.path == "/control":
            return self._json({"asked": [asdict(one) for one in state.asked], "listed": state.listed})
        if self.path == "/health":
            return self._send(200, b"", "text/plain")
        if self.path == "/v1/models":
            state.listed += 1
            return self._list()
        return self._json({"error": "not found"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/control":
            self.server_state.control(body)
            return self._json({"ok": True})
        if self.path != "/v1/chat/completions":
            return self._json({"error": "not found"}, 404)
        return self._complete(body)

    def _list(self) -> None:
        state = self.server_state
        match state.models_behaviour:
            case "html":
                return self._send(200, b"<html><body>It works!</body></html>", "text/html")
            case "hang":
                return state.hang(self._is_gone)
            case "other":
                return self._json({"models": []})
            case "500" | "401" as status:
                return self._json({"error": status}, int(status))
        if not self._is_allowed():
            return self._json({"error": "Unauthorized"}, 401)
        names = () if state.models_behaviour == "empty" else state.models
        cards = [{"id": name, "object": "model", "max_model_len": state.max_model_len} for name in names]
        return self._json({"object": "list", "data": cards})

    def _complete(self, body: dict[str, Any]) -> None:
        state = self.server_state
        behaviour = state.take()
        asked, grey = read(body, behaviour, self.headers.get("Authorization", ""))
        state.asked.append(asked)
        if not self._is_allowed():
            return self._json({"error": {"message": "Unauthorized"}}, 401)
        if asked.model not in state.models:
            return self._json({"error": {"message": f"The model {asked.model} does not exist."}}, 404)
        match behaviour:
            case "hang":
                return state.hang(self._is_gone)
            case "drop":
                self.close_connection = True
                return None
            case "html":
                return self._send(200, b"<html><body>It works!</body></html>", "text/html")
            case "endless":
                return self._endless()
            case "slow":
                time.sleep(SLOW_S)
        if behaviour in STATUSES:
            extra = {"Retry-After": _RETRY_AFTER[behaviour]} if behaviour in _RETRY_AFTER else {}
            return self._json({"error": {"message": "as scripted, in /secret/folder"}}, STATUSES[behaviour], **extra)
        return self._json(completion(REPLIES[behaviour](asked, grey), asked))

    def _endless(self) -> None:
        """An answer without an end."""
        self.close_connection = True
        self._head(200, "application/json", {})
        try:
            while True:
                self.wfile.write(b" " * 1_000_000)
        except OSError:
            return

    def _is_allowed(self) -> bool:
        key = self.server_state.api_key
        return not key or self.headers.get("Authorization") == f"Bearer {key}"

    def _is_gone(self) -> bool:
        """Whether the client has closed its connection."""
        self.connection.setblocking(False)
        try:
            return self.connection.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.connection.setblocking(True)

    def _json(self, body: dict[str, Any], status: int = 200, **headers: str) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        try:
            self._head(status, kind, {"Content-Length": str(len(content)), **(headers or {})})
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def _head(self, status: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def main() -> None:
    """Run until the process is ended."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8001)
    arguments.add_argument("--default", default="good", choices=sorted(BEHAVIOURS))
    given = arguments.parse_args()
    with FakeVllm(port=given.port, default=given.default) as fake:
        print(fake.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
