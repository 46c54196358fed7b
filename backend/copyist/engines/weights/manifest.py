"""``manifest.toml``: the models that can be pulled, where each comes from, and under which licence."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from copyist.engines.weights import WeightsError

FILE = "manifest.toml"
_IN_THE_SOURCE = Path(__file__).resolve().parents[4] / "weights" / FILE
"""Where the manifest is when the package runs from its source, as it does in this project's images."""


@dataclass(frozen=True)
class Release:
    """One file that a project publishes by itself: at ``url`` it lies plain or in a ZIP archive, under its name."""

    name: str
    url: str
    md5: str = ""


@dataclass(frozen=True)
class Entry:
    """A model that can be pulled.

    It comes from ``repo`` on the hub at ``revision`` (a commit, or a branch that is looked up when it is pulled), or
    is made of ``releases``. ``sha256`` are hashes of the repo's files that are known beforehand. ``consent`` is what a
    person has to agree to first; ``size`` is about how much there is to fetch, for people.
    """

    name: str
    purpose: str
    licence: str
    folder: str
    size: str = ""
    repo: str = ""
    revision: str = "main"
    consent: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)
    releases: tuple[Release, ...] = ()

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        return self.repo or self.releases[0].url.rpartition("/")[0]


def find_manifest(root: Path) -> Path:
    """The manifest for the weights folder ``root``: the one in it, else the one of the source.

    A folder of weights is often a volume, to which nobody has copied the manifest.
    """
    for path in (root / FILE, _IN_THE_SOURCE):
        if path.is_file():
            return path
    raise WeightsError(f"There is no {FILE} in {root}. Copy it there from the folder weights of Copyist's source.")


def read_manifest(path: Path) -> dict[str, Entry]:
    """The entries by name, in the order of the file; raises ``WeightsError`` naming the entry that cannot work."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}.") from error
    return {name: _entry(path, name, values) for name, values in content.items()}


def chosen(entries: Mapping[str, Entry], names: Iterable[str]) -> list[Entry]:
    """The entries called ``names``, each once; raises ``WeightsError`` with the names there are."""
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in entries]
    if unknown:
        raise WeightsError(f'There are no weights "{unknown[0]}". Use {", ".join(entries)}.')
    return [entries[name] for name in wanted]


def _entry(path: Path, name: str, values: Mapping[str, Any]) -> Entry:
    try:
        facts = dict(values)
        releases = tuple(Release(**one) for one in facts.pop("releases", ()))
        entry = Entry(name=name, releases=releases, **facts)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"The entry {name} of {path} cannot be understood: {error}.") from error
    if bool(entry.repo) == bool(entry.releases):
        raise WeightsError(f"The entry {name} of {path} needs either a repo or releases.")
    for plain in (entry.folder, *(release.name for release in releases), *entry.sha256):
        if not is_plain(plain):
            raise WeightsError(f'The entry {name} of {path} has "{plain}", which would lead out of its folder.')
    return entry


def is_plain(name: str) -> bool:
    """Whether ``name`` is the name of a file or folder, without a way to anywhere else, and not a hidden one."""
    return bool(name) and PurePosixPath(name).name == name and "\\" not in name and not name.startswith(".")
