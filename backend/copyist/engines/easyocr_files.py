"""EasyOCR's model files on the disk: which are whole, what can be read with them, whether they are the right ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from copyist.engines.easyocr_models import CODES, DETECTOR, ENGLISH, ENTRIES, MODELS, Network, networks_in
from copyist.engines.weights.intact import fault_of

_LEAST_BYTES = 1_000_000
"""Far less than any published model has; a file of PyTorch's older format shows no other sign of a cut."""


@dataclass(frozen=True)
class ModelFiles:
    """What a folder holds: names of the whole models, of one's own ``networks``, and ``faults`` by file name.

    ``download`` counts published models that are missing as there: the library fetches them on first use.
    """

    folder: Path
    models: frozenset[str]
    networks: tuple[Network, ...]
    faults: Mapping[str, str]
    download: bool

    @property
    def languages(self) -> tuple[str, ...]:
        """Tesseract's names of the languages that can be read now."""
        codes = {code for network in self.usable_networks for code in network.languages}
        for file, languages in MODELS.items():
            if self.has(DETECTOR) and self.has(file):
                codes.update(languages.values())
        return tuple(sorted(language for language, code in CODES.items() if code in codes))

    @property
    def usable_networks(self) -> tuple[Network, ...]:
        """One's own networks that find text themselves or have the published finder beside them."""
        return tuple(network for network in self.networks if network.finds_text or self.has(DETECTOR))

    @property
    def names(self) -> str:
        """The models for people."""
        return ", ".join(
            [*(network.name for network in self.networks), *(Path(file).stem for file in sorted(self.models))]
        )

    @property
    def memory_bytes(self) -> int | None:
        """What the finder of text and the largest recogniser weigh: one of these is loaded at a time."""
        own = [network.weights for network in self.networks]
        recognisers = [*own, *(self.folder / file for file in self.models - {DETECTOR})]
        detector = (self.folder / DETECTOR).stat().st_size if DETECTOR in self.models else 0
        return max((path.stat().st_size for path in recognisers), default=0) + detector or None

    def why_nothing_can_be_read(self) -> str:
        """What is missing or broken, with the way out."""
        if self.faults:
            file, fault = next(iter(self.faults.items()))
            return f"easyocr/{file} {fault}. {way_out(file)}"
        absent = [name for name in (DETECTOR, ENGLISH) if name not in self.models] or [ENGLISH]
        return (
            f"Weights are missing: {' and '.join(absent)}. Fetch them by `copyist weights pull easyocr`, put them into "
            "the folder easyocr of the weights folder, or set WEIGHTS_DOWNLOAD=true."
        )

    def has(self, file: str) -> bool:
        """Whether a published ``file`` is there, or is fetched when it is needed."""
        return self.download or file in self.models


def look_into(folder: Path, *, download: bool) -> ModelFiles:
    """What is in ``folder``; only the edges of the files are read."""
    published = [folder / name for name in (DETECTOR, *MODELS) if (folder / name).is_file()]
    faults = {path.name: fault for path in published if (fault := fault_of(path, least_bytes=_LEAST_BYTES))}
    networks = []
    for network in networks_in(folder / "custom"):
        if not network.languages:
            faults[f"custom/{network.name}.yaml"] = "has no list of languages, lang_list"
        elif fault := fault_of(network.weights):
            faults[f"custom/{network.weights.name}"] = fault
        else:
            networks.append(network)
    whole = frozenset(path.name for path in published if path.name not in faults)
    return ModelFiles(folder, whole, tuple(networks), faults, download)


def way_out(file: str) -> str:
    """How to get a right ``file``: a published one by its entry in the manifest of the weights."""
    entry = ENTRIES.get(file)
    return (
        f"Fetch it again by `copyist weights pull {entry}`."
        if entry
        else "Replace it: weights/README.md says what belongs there."
    )


def differs(path: Path, config: Any) -> bool:
    """Whether a published file has another MD5 than EasyOCR's own ``config`` says; such a file is not unpickled.

    A pickle can hold code. The MD5 is taken once, and again only when the file has another size or time.
    """
    recognisers = [model for generation in config.recognition_models.values() for model in generation.values()]
    known = {model["filename"]: model["md5sum"] for model in (*config.detection_models.values(), *recognisers)}
    status = path.stat()
    return known.get(path.name) != _md5(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _md5(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
