"""A receiver of webhooks on this machine: it answers as it is told to by the path, and keeps what came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)


@dataclass
class Receiver:
    """What came; ``answers`` are the statuses of the next answers, then it is 204. ``hold`` keeps ``/hold`` waiting."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    most_at_once: int = 0

    def wait(self, count: int, seconds: float = 15) -> list[Received]:
        """What came, once there is so much of it."""
        wait_until(lambda: len(self.received) >= count, seconds)
        return self.received


def wait_until(happened: Callable[[], Any], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    """Answers, and notes what it was asked."""

    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:
        receiver = self.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver.at_once += 1
        receiver.most_at_once = max(receiver.most_at_once, receiver.at_once)
        receiver.received.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if self.path.startswith("/hold"):
            receiver.hold.wait(30)
        receiver.at_once -= 1
        status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.path.startswith("/endless"):
            self._endless()
            return
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _endless(self) -> None:
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(bytes(10_000))
        except OSError:
            return

    def log_request(self, *_: object) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver at a port of its own."""
    handler = type("Handler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    receiver = handler.receiver = Receiver(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
