"""Pulling an entry of the manifest: look up what it is made of, fetch what is missing, check it, put it in place.

Files come into ``.pulling`` in the model's folder and move to their places together, when all of them are right: an
engine never finds half a checkpoint, or one mixed from two revisions.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx

from copyist.engines.weights import Unreachable, WeightsError
from copyist.engines.weights.convert import to_safetensors
from copyist.engines.weights.download import Patience, Request, download
from copyist.engines.weights.hub import PICKLED, Hub, look_up
from copyist.engines.weights.manifest import Entry, Release
from copyist.engines.weights.record import Pulled, Record, read_record, write_record
from copyist.engines.weights.state import PULLING, SINGLE, known_digest
from copyist.engines.weights.wanted import Progress, Wanted, hashed, tell_nobody

SPARE_BYTES = 100_000_000
"""What is left free on the disk."""


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@dataclass(frozen=True)
class _Came:
    """A file that came and is right: what is written down about it, and where it is until it is put in place."""

    pulled: Pulled
    path: Path


@dataclass(frozen=True)
class Puller:
    """Pulls entries into the weights folder ``root``; ``watch`` hears how far each file is."""

    root: Path
    client: httpx.Client
    hub: Hub = field(default_factory=Hub)
    watch: Progress = tell_nobody
    patience: Patience = field(default_factory=Patience)
    free_bytes: Callable[[Path], int] = _free_bytes

    def pull(self, entry: Entry, revision: str = "") -> Record:
        """Bring ``entry`` here, whole and checked, and write down what came; what is right already is kept.

        ``revision`` is another one than the manifest's. Raises ``WeightsError`` with the reason and the way out.
        """
        try:
            return self._pull(entry, revision or entry.revision)
        except Unreachable as error:
            raise WeightsError(f"{error} {by_hand(entry, self.root, self.hub)}") from error
        except OSError as error:
            raise WeightsError(f"{self.root / entry.folder} cannot be written: {error.strerror}.") from error

    def _pull(self, entry: Entry, asked: str) -> Record:
        folder, pulling = self.root / entry.folder, self.root / entry.folder / PULLING / entry.name
        commit, wanted = self._wanted(entry, asked)
        before = read_record(folder, entry.name)
        kept = dict(found for one in wanted if (found := self._kept(one, folder, before)) is not None)
        missing = [one for one in wanted if one.name not in kept and not (one.name == PICKLED and SINGLE in kept)]
        try:
            pulling.mkdir(parents=True, exist_ok=True)
            came = self._bring(entry, missing, pulling)
        except WeightsError:
            _leave_nothing_empty(pulling, self.root)
            raise
        files = kept | {name: one.pulled for name, one in came.items()}
        record = Record(_source(entry, self.hub), commit, asked, _now(), files)
        _put_in_place(entry, folder, came, record)
        return record

    def _bring(self, entry: Entry, missing: Sequence[Wanted], pulling: Path) -> dict[str, _Came]:
        self._need_room(_still_to_come(missing, pulling), pulling)
        came = {one.name: self._fetch(entry, one, pulling) for one in missing}
        if PICKLED in came:
            came[SINGLE] = self._converted(came.pop(PICKLED), pulling)
        return came

    def _wanted(self, entry: Entry, asked: str) -> tuple[str, Sequence[Wanted]]:
        if entry.releases:
            return "", [_release(entry, release) for release in entry.releases]
        known = entry.sha256 if asked == entry.revision else {}
        snapshot = look_up(self.client, self.hub, entry.repo, asked, known)
        return snapshot.commit, snapshot.files

    def _kept(self, wanted: Wanted, folder: Path, before: Record | None) -> tuple[str, Pulled] | None:
        """The file that is in place already, under its name, if it is the right one."""
        if wanted.name == PICKLED:
            return self._kept_conversion(wanted, folder, before)
        path = folder / wanted.name
        if not path.is_file() or (wanted.size is not None and path.stat().st_size != wanted.size):
            return None
        hasher = hashed(path, wanted.digest, name=wanted.name, watch=self.watch)
        return (wanted.name, Pulled(path.stat().st_size, hasher.sha256, str(wanted.digest))) if hasher.fits() else None

    def _kept_conversion(self, wanted: Wanted, folder: Path, before: Record | None) -> tuple[str, Pulled] | None:
        """The safetensors that were made here from the very same file."""
        pulled = before.files.get(SINGLE) if before else None
        if pulled is None or wanted.digest is None or pulled.checked != _made_from(wanted.digest.hex):
            return None
        path = folder / SINGLE
        whole = path.is_file() and hashed(path, None, name=SINGLE, watch=self.watch).sha256 == pulled.sha256
        return (SINGLE, pulled) if whole else None

    def _need_room(self, need: int, pulling: Path) -> None:
        free = self.free_bytes(pulling)
        if need and free < need + SPARE_BYTES:
            raise WeightsError(
                f"There is too little room: {need / 1e9:.2f} GB are still to come, {free / 1e9:.2f} GB are free at "
                f"{self.root}. Make room, or let WEIGHTS_DIR name a folder on another disk."
            )

    def _fetch(self, entry: Entry, wanted: Wanted, pulling: Path) -> _Came:
        if wanted.url.endswith(".zip"):
            return self._fetch_zipped(wanted, pulling)
        part = _part(wanted, pulling)
        headers = {} if entry.releases else self.hub.headers
        sha256 = download(self.client, Request(wanted, headers, self.watch), part, self.patience)
        return _Came(Pulled(part.stat().st_size, sha256, str(wanted.digest)), part)

    def _fetch_zipped(self, wanted: Wanted, pulling: Path) -> _Came:
        """A file that comes in a ZIP archive, whose own hash nobody tells: what is in it is checked."""
        path, part = pulling / wanted.name, _part(wanted, pulling)
        if not path.is_file():
            archive = Request(replace(wanted, digest=None), {}, self.watch)
            download(self.client, archive, part, self.patience)
            self._unzip(wanted, part, path)
        hasher = hashed(path, wanted.digest)
        if hasher.fits():
            return _Came(Pulled(path.stat().st_size, hasher.sha256, str(wanted.digest)), path)
        path.unlink()
        raise WeightsError(
            f"{wanted.name} came, but it is not the file it should be: it does not have the {wanted.digest}. It was "
            f"deleted. Pull again; if that does not help, {httpx.URL(wanted.url).host} serves another."
        )

    def _unzip(self, wanted: Wanted, part: Path, path: Path) -> None:
        unpacked = path.with_name(f"{path.name}.unpacked")
        try:
            with zipfile.ZipFile(part) as archive, archive.open(wanted.name) as inside, unpacked.open("wb") as file:
                self._need_room(archive.getinfo(wanted.name).file_size, part)
                shutil.copyfileobj(inside, file)
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError) as error:
            unpacked.unlink(missing_ok=True)
            raise WeightsError(
                f"What {httpx.URL(wanted.url).host} sends is no ZIP archive with {wanted.name} in it. It was deleted; "
                "pull again."
            ) from error
        else:
            unpacked.replace(path)
        finally:
            part.unlink()

    def _converted(self, pickled: _Came, pulling: Path) -> _Came:
        target = pulling / SINGLE
        to_safetensors(pickled.path, target)
        pulled = Pulled(target.stat().st_size, hashed(target, None).sha256, _made_from(pickled.pulled.sha256))
        return _Came(pulled, target)


def by_hand(entry: Entry, root: Path, hub: Hub) -> str:
    """How to get an entry onto a machine that does not reach its source."""
    if entry.releases:
        where = ", ".join(release.url for release in entry.releases) + " (unpacked)"
    else:
        where = f"{hub.endpoint.rstrip('/')}/{entry.repo}/tree/{entry.revision}"
    mirror = "" if entry.releases else " If there is a mirror, set HF_ENDPOINT to it."
    return (
        f"Check the network and the proxy (HTTPS_PROXY).{mirror} Without a network, pull on a machine that has one and "
        f"copy its folder {entry.folder} into {root}, or fetch the files from {where} and put them into "
        f"{root / entry.folder}."
    )


def _release(entry: Entry, release: Release) -> Wanted:
    return Wanted(release.name, release.url, None, known_digest(entry, release.name))


def _part(wanted: Wanted, pulling: Path) -> Path:
    return pulling / f"{wanted.name}.{wanted.mark}.part"


def _still_to_come(missing: Sequence[Wanted], pulling: Path) -> int:
    """How many bytes there are to fetch; tensors that have to be converted need their room twice."""
    parts = [_part(one, pulling) for one in missing]
    have = sum(part.stat().st_size for part in parts if part.is_file())
    return sum((one.size or 0) * (2 if one.name == PICKLED else 1) for one in missing) - have


def _made_from(sha256: str) -> str:
    return f"made here from {PICKLED} with the SHA-256 {sha256}"


def _put_in_place(entry: Entry, folder: Path, came: Mapping[str, _Came], record: Record) -> None:
    """Move what came to its place, and take away what another revision left there."""
    before = read_record(folder, entry.name)
    for name, one in came.items():
        one.path.replace(folder / name)
    write_record(folder, entry.name, record)
    for name in set(before.files if before else ()) - set(record.files):
        (folder / name).unlink(missing_ok=True)
    pulling = folder / PULLING / entry.name
    shutil.rmtree(pulling)
    _leave_nothing_empty(pulling.parent, folder)


def _leave_nothing_empty(pulling: Path, root: Path) -> None:
    for part in pulling.glob("*.part"):
        if not part.stat().st_size:
            part.unlink()
    for folder in (pulling, *pulling.parents):
        if folder == root or any(folder.iterdir()):
            return
        folder.rmdir()


def _source(entry: Entry, hub: Hub) -> str:
    return entry.source if entry.releases else f"{hub.endpoint.rstrip('/')}/{entry.repo}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
