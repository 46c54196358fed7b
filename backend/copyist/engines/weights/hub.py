"""The Hugging Face hub, as far as it is needed to pull a checkpoint: which files a revision has, and what they hash to.

Asked by plain HTTP rather than with ``huggingface_hub``: that library comes with transformers only, while weights are
also pulled where no model runs; and releases on GitHub, which it does not know, then arrive by the same code, with the
same words when something is wrong. API: https://huggingface.co/docs/hub/api, ``GET /api/models/{repo}/revision/{rev}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any
from urllib.parse import quote

import httpx

from copyist.engines.weights import Unreachable, WeightsError
from copyist.engines.weights.manifest import is_plain
from copyist.engines.weights.wanted import Algorithm, Digest, Wanted

PUBLIC = "https://huggingface.co"
WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*LICENSE*", "*LICENCE*", "NOTICE*")
"""What a checkpoint is made of here. Never ``*.py``: code of a model's repository is not run, so it is not fetched."""
PICKLED = "pytorch_model.bin"
"""The tensors of older repositories, fetched only where there are none as safetensors."""


@dataclass(frozen=True)
class Hub:
    """A hub or its mirror: ``endpoint`` as in ``HF_ENDPOINT``, ``token`` as in ``HF_TOKEN``."""

    endpoint: str = PUBLIC
    token: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What a request to the hub carries; httpx takes the token off when it is sent on to another host."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass(frozen=True)
class Snapshot:
    """A revision of a repository: the commit it stands for, and the files of it that are wanted."""

    commit: str
    files: tuple[Wanted, ...]


def look_up(client: httpx.Client, hub: Hub, repo: str, revision: str, known: Mapping[str, str]) -> Snapshot:
    """What ``repo`` has at ``revision``; ``known`` are SHA-256s by file name, which come before what the hub says.

    Raises ``Unreachable`` when the hub does not answer, ``WeightsError`` when it refuses or has no such revision.
    """
    url = f"{hub.endpoint.rstrip('/')}/api/models/{repo}/revision/{quote(revision, safe='')}"
    try:
        answer = client.get(url, params={"blobs": "true"}, headers=hub.headers)
    except httpx.RequestError as error:
        raise Unreachable(f"{httpx.URL(url).host} cannot be reached ({type(error).__name__}).") from error
    if answer.status_code != 200:
        raise WeightsError(_refusal(answer.status_code, repo, revision, httpx.URL(url).host))
    try:
        content = answer.json()
        commit, siblings = str(content["sha"]), list(content["siblings"])
        found = [_wanted(hub, repo, commit, one, known) for one in siblings if is_plain(str(one["rfilename"]))]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{httpx.URL(url).host} answered with something that is no list of files.") from error
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise WeightsError(f"{httpx.URL(url).host} does not say which commit {revision} of {repo} is.")
    return Snapshot(commit, _choose(repo, revision, found))


def _wanted(hub: Hub, repo: str, commit: str, sibling: Mapping[str, Any], known: Mapping[str, str]) -> Wanted:
    name, size, large = str(sibling["rfilename"]), int(sibling["size"]), sibling.get("lfs")
    if name in known:
        digest = Digest(Algorithm.SHA256, known[name], "the manifest")
    elif large:
        digest = Digest(Algorithm.SHA256, str(large["sha256"]), "the hub")
    else:
        digest = Digest(Algorithm.GIT, str(sibling["blobId"]), "the hub")
    return Wanted(name, f"{hub.endpoint.rstrip('/')}/{repo}/resolve/{commit}/{quote(name)}", size, digest)


def _choose(repo: str, revision: str, found: list[Wanted]) -> tuple[Wanted, ...]:
    files = [one for one in found if any(fnmatch(one.name, pattern) for pattern in WANTED)]
    names = {one.name for one in files}
    if not any(name.endswith(".safetensors") for name in names):
        pickled = [one for one in found if one.name == PICKLED]
        if not pickled:
            raise WeightsError(
                f"{repo} has no *.safetensors and no {PICKLED} at {revision}; name another with --revision."
            )
        files += pickled
    if "config.json" not in names:
        raise WeightsError(f"{repo} has no config.json at {revision}; name another with --revision.")
    return tuple(files)


def _refusal(status: int, repo: str, revision: str, host: str) -> str:
    if status in (401, 403):
        return (
            f"{host} has no {repo}, or does not give it to everybody ({status}). Look at it there; if it asks for it, "
            "accept its terms, make an access token, and set that as HF_TOKEN."
        )
    if status == 404:
        return f"{host} has no revision {revision} of {repo}. Look there which there are, and name one by --revision."
    return f"{host} answered {status} when it was asked for the files of {repo}. Try again later."
