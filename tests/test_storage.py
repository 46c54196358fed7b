"""Blobs: whole or not at all, the same on a local folder and on a store elsewhere."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tempfile
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from copyist import storage
from copyist.errors import StorageFull, Unavailable
from copyist.settings import Settings
from copyist.storage import Storage
from tests.away import small_disk

CONTENT = b"a page of a book" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KEY = storage.file_key(SHA256)


@pytest.fixture(params=["folder", "elsewhere"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A local folder, and a store whose blobs have to be fetched, as from S3."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Storage((tmp_path / "blobs").as_uri() if request.param == "folder" else "memory:///")


def test_what_is_put_comes_back(blobs: Storage) -> None:
    assert blobs.get(KEY) is None
    assert not blobs.exists(KEY)
    blobs.put(KEY, io.BytesIO(CONTENT))
    assert blobs.exists(KEY)
    assert blobs.get(KEY) == CONTENT
    blobs.put(KEY, b"new")
    assert blobs.get(KEY) == b"new"
    blobs.check()


def test_libraries_get_a_file(blobs: Storage) -> None:
    blobs.check()
    with pytest.raises(FileNotFoundError), blobs.local(KEY):
        pass
    blobs.put(KEY, io.BytesIO(CONTENT))
    for _ in range(2):
        with blobs.local(KEY) as path:
            assert path.read_bytes() == CONTENT


def test_pictures_go_with_their_file(blobs: Storage) -> None:
    for number in (1, 2):
        blobs.put(storage.picture_key(SHA256, number), b"jpeg")
    assert sorted(blobs.pictures_of(SHA256)) == [storage.picture_key(SHA256, number) for number in (1, 2)]
    blobs.delete(*blobs.pictures_of(SHA256), storage.file_key("0" * 64))
    assert blobs.pictures_of(SHA256) == []


def test_fetched_files_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    blobs = Storage("memory:///")
    for number in range(70):
        key = storage.picture_key(SHA256, number)
        blobs.put(key, b"x")
        with blobs.local(key) as path:
            os.utime(path, (time.time() - 100 + number,) * 2)
    assert len(list(path.parent.iterdir())) <= 65
    assert path.exists()


def test_a_folder_without_room_keeps_nothing_of_a_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as disk:
        blobs = Storage((disk.folder / "blobs").as_uri())
        blobs.put(KEY, CONTENT)
        with pytest.raises(StorageFull):
            blobs.put(storage.file_key("0" * 64), io.BytesIO(bytes(2_000_000)))
        assert [path.name for path in disk.folder.rglob("*") if path.is_file()] == [SHA256]
        assert blobs.get(KEY) == CONTENT


def test_a_folder_that_cannot_be_made_may_come_later(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("")
    blobs = Storage((tmp_path / "blobs").as_uri())
    with pytest.raises(Unavailable):
        blobs.put(KEY, CONTENT)
    (tmp_path / "blobs").unlink()
    blobs.put(KEY, CONTENT)
    assert blobs.get(KEY) == CONTENT


def test_a_folder_that_is_away_says_nothing_of_its_files(tmp_path: Path) -> None:
    blobs = Storage((tmp_path / "blobs").as_uri())
    blobs.put(KEY, CONTENT)
    (tmp_path / "blobs").rename(tmp_path / "away")
    with pytest.raises(Unavailable), blobs.local(KEY):
        pass
    (tmp_path / "away").rename(tmp_path / "blobs")
    with blobs.local(KEY) as path:
        assert path.read_bytes() == CONTENT


def test_a_file_that_there_is_no_room_to_fetch_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Storage("memory:///")
    blobs.put(KEY, bytes(2_000_000))
    with small_disk(tmp_path / "small") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
        with pytest.raises(StorageFull), blobs.local(KEY):
            pass
        assert [path for path in disk.folder.rglob("*") if path.is_file()] == []


def test_what_a_killed_process_was_fetching_goes_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    blobs = Storage("memory:///")
    blobs.put(KEY, CONTENT)
    with blobs.local(KEY) as path:
        for name, age_s in (("part-old", storage.ABANDONED_S + 1), ("part-new", 1)):
            path.with_name(name).touch()
            os.utime(path.with_name(name), (time.time() - age_s,) * 2)
    blobs.put(storage.picture_key(SHA256, 1), b"x")
    with blobs.local(storage.picture_key(SHA256, 1)):
        assert {one.name for one in path.parent.iterdir()} >= {"part-new", path.name}
        assert not path.with_name("part-old").exists()


def test_a_store_that_hangs_is_given_up_before_its_waiter_is_taken_for_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage.RETRY_WITHIN.total_seconds() + 30 < Settings(_env_file=None).intake_timeout_s
    monkeypatch.setattr(storage, "RETRY_WITHIN", timedelta(seconds=0.5))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        blobs, began = store_at(silent.getsockname()[1], monkeypatch), time.monotonic()
        with pytest.raises(Unavailable):
            blobs.get(KEY)
    assert time.monotonic() - began < 3


def store_at(port: int, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A store elsewhere that has 0.3 s to answer."""
    aws = {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "REGION": "r", "ALLOW_HTTP": "true", "TIMEOUT": "300ms"}
    for name, value in (aws | {"ENDPOINT": f"http://127.0.0.1:{port}"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return Storage("s3://bucket")


class WithoutBucket(BaseHTTPRequestHandler):
    """A store that has just been made, or that runs without its disk."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"<Error><Code>NoSuchBucket</Code><Message>There is none.</Message></Error>")

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_bucket_that_is_away_says_nothing_of_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), WithoutBucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        blobs = store_at(server.server_port, monkeypatch)
        for find in (lambda: blobs.get(KEY), lambda: blobs.local(KEY).__enter__()):
            with pytest.raises(Unavailable):
                find()
        server.shutdown()


def test_hashing_rewinds() -> None:
    stream = io.BytesIO(CONTENT)
    assert storage.sha256_of(stream) == (SHA256, len(CONTENT))
    assert stream.read() == CONTENT
