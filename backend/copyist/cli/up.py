"""``copyist up``: the whole service in one process tree, with no service to install."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import redis
import typer

from copyist import log as logs
from copyist import settings as configuration
from copyist.cli import trainer
from copyist.cli.broker import LOG, Broker
from copyist.cli.parts import stop
from copyist.cli.supervise import Part
from copyist.errors import ConfigurationError
from copyist.settings import Settings

log = logging.getLogger(__name__)

START_S = 60.0
TEND_EVERY_S = 0.2
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def up(
    host: Annotated[str | None, typer.Option(help="Wins over HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Wins over PORT.")] = None,
) -> None:
    """Start the broker if none is named, the API, a worker, beat, and a trainer where it can learn.

    Ctrl-C stops all of them.
    """
    try:
        settings = configuration.load()
        logs.setup(settings.log_level, settings.log_format)
        address = (host or settings.host, settings.port if port is None else port)
        with _alone(settings.data_dir):
            _run(settings, _free(*address))
    except ConfigurationError as error:
        raise stop(error.detail) from error


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """One `copyist up` per data folder."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                problem=f'Copyist is already running on the data folder "{data_dir}". Stop it, or set DATA_DIR.'
            ) from error
        yield


def _free(host: str, port: int) -> tuple[str, int]:
    """The address, found to be free; port 0 becomes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise ConfigurationError(
                problem=f"{host}:{port} cannot be used ({reason}). Set PORT or --port to another."
            ) from error
        return host, probe.getsockname()[1]


def _run(settings: Settings, address: tuple[str, int]) -> None:
    broker = None if settings.redis_url else Broker(settings.data_dir / "broker")
    redis_url = broker.url if broker else settings.redis_url
    parts, learns = _parts(broker, redis_url, *address), _trainer(settings, redis_url)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    try:
        if broker:
            parts[0].start()
            _await_broker(broker, parts[0])
        for part in parts[1 if broker else 0 :]:
            part.start()
        herald = _Herald(*address)
        while not over.wait(TEND_EVERY_S):
            for part in parts:
                part.tend()
            herald.look()
            if herald.is_done and learns:
                # Not before: it would hold up the first page.
                parts.append(learns.pop())
    finally:
        typer.echo("Stopping ...", err=True)
        for part in reversed(parts):
            part.stop()
        if broker:
            broker.forget()


def _parts(broker: Broker | None, redis_url: str, host: str, port: int) -> list[Part]:
    """In the order of starting; stopped in the opposite one."""
    environment = {"REDIS_URL": redis_url, "HOST": host, "PORT": str(port), "OCR_STRATEGY": _strategy()}
    copyist = [sys.executable, "-m", "copyist"]
    own = [Part("broker", broker.command(), {}, stop_s=15, orphaned_by=signal.SIGTERM)] if broker else []
    return [
        *own,
        Part("worker", [*copyist, "worker"], environment, stop_s=20),
        Part("beat", [*copyist, "beat"], environment),
        Part("api", [*copyist, "api"], environment, stop_s=15),
    ]


def _trainer(settings: Settings, redis_url: str) -> list[Part]:
    """The part that learns from corrections, where that is wanted and can be done."""
    if settings.training == "off" or trainer.missing():
        return []
    return [Part("trainer", [sys.executable, "-m", "copyist", "trainer"], {"REDIS_URL": redis_url}, stop_s=30)]


def _strategy() -> str:
    """On one's own machine the cheapest engine reads first, unless somebody has said otherwise."""
    named = configuration.load()
    return named.ocr_strategy if "ocr_strategy" in named.model_fields_set else "fast"


def _await_broker(broker: Broker, part: Part) -> None:
    client = redis.Redis.from_url(broker.url)
    until = time.monotonic() + START_S
    while True:
        try:
            client.ping()
            return
        except redis.RedisError as error:
            if not part.is_running or time.monotonic() > until:
                log_file = broker.folder / LOG
                raise ConfigurationError(problem=f'The broker did not start; "{log_file}" says why.') from error
            time.sleep(0.02)


class _Herald:
    """Says where the service is, once it answers and has an engine; or that it does not answer."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104
        self._url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
        self._until = time.monotonic() + START_S
        self.is_done = False

    def look(self) -> None:
        """Ask, unless it has been said."""
        if self.is_done:
            return
        engines = self._engines()
        self.is_done = bool(engines) or time.monotonic() > self._until
        if engines:
            typer.secho(
                f"\n  Copyist is at {self._url}   (reads with {', '.join(engines)}; Ctrl-C stops it)\n", bold=True
            )
            if self._host not in LOOPBACK:
                log.warning("%s is open to others, and there are no keys: whoever reaches it can use it", self._host)
        elif self.is_done:
            log.warning("%s has no engine after %g s; the lines above say why", self._url, START_S)

    def _engines(self) -> list[str]:
        try:
            found: list[str] = httpx.get(f"{self._url}/readyz", timeout=5, trust_env=False).json()["engines"]
        except (httpx.HTTPError, ValueError):
            return []
        return found
