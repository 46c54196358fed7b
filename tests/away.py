"""What goes wrong around a service, made for tests: a disk without room, a database that asks for a password."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from tests.servers import PostgresServer


class SmallDisk:
    """A file system of its own, with room for little."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no room at all."""
        filler = os.open(self._filler, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            while True:
                os.write(filler, b"z" * 4096)
        except OSError:
            return
        finally:
            os.close(filler)

    def make_room(self, pages: int | None = None) -> None:
        """Undo ``fill``, or leave room for some pages of 4096 bytes."""
        if pages is None:
            self._filler.unlink()
        else:
            os.truncate(self._filler, self._filler.stat().st_size - 4096 * pages)

    def forbid_writing(self) -> None:
        """Even root may not write from now on."""
        _mount("-o", "remount,ro", str(self.folder))


@contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[SmallDisk]:
    """Mount a small disk on ``folder``; the test is skipped where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = os.geteuid() == 0 and _mount("-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(folder))
    if not mounted:
        pytest.skip("a small disk can only be mounted by root, and not in every container")
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: a process that is being stopped may hold a file in it for a moment.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def ask_for_password(postgres: PostgresServer, role: str, password: str) -> None:
    """Make ``role``, whom the server asks for a password from now on; everybody else is let in as before."""
    access = postgres.data / "pg_hba.conf"
    rules = access.read_text()
    execute(postgres.url, f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{password}'")
    access.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{rules}")
    execute(postgres.url, "SELECT pg_reload_conf()")


def execute(url: str, sql: str) -> None:
    """Tell the database something, past the service."""
    target = make_url(url)
    connection = psycopg2.connect(
        host=target.host, port=target.port, user=target.username, password=target.password, dbname=target.database
    )
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
    finally:
        connection.close()


def as_role(url: str, role: str, password: str) -> str:
    """The address of the same database for somebody else."""
    return make_url(url).set(username=role, password=password).render_as_string(hide_password=False)
