"""Blobs: whole or not at all, the same on a local folder and on a store elsewhere."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from pathlib import Path

import pytest

from copyist import storage
from copyist.errors import StorageFull, Unavailable
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


def test_hashing_rewinds() -> None:
    stream = io.BytesIO(CONTENT)
    assert storage.sha256_of(stream) == (SHA256, len(CONTENT))
    assert stream.read() == CONTENT
