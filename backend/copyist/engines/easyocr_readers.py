"""Makes EasyOCR's readers: its published models or a network of one's own, checked before anything is unpickled."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copyist.engines.base import NotReady
from copyist.engines.easyocr_files import ModelFiles, differs, way_out
from copyist.engines.easyocr_models import CODES, DETECTOR, Network, model_file
from copyist.engines.torchvision_shim import import_torchvision
from copyist.errors import InvalidOption

_USUAL_LINE_HEIGHT = 64
"""Height in pixels at which EasyOCR's own models read a line."""


@dataclass(frozen=True)
class LoadedReader:
    """A reader, the languages it was made for, its line height in pixels, and the finder of text it brought."""

    languages: tuple[str, ...]
    reader: Any
    line_height: int
    find_text: Any = None


class Readers:
    """Makes readers for sets of languages from ``files``, on the GPU or not.

    ``easyocr`` and ``torch`` are the libraries. Raises ``NotReady`` at once when the published finder of text, which
    nearly every reader needs, is not the published file.
    """

    def __init__(self, files: ModelFiles, *, easyocr: Any, torch: Any, on_gpu: bool) -> None:
        self._files, self._easyocr, self._torch, self._on_gpu = files, easyocr, torch, on_gpu
        if not any(network.finds_text for network in files.networks):
            self._refuse_wrong(DETECTOR)

    def make(self, languages: tuple[str, ...]) -> LoadedReader:
        """The reader for ``languages`` (Tesseract's names), one's own network before the published models.

        Raises ``InvalidOption`` for languages that no one model reads together, ``NotReady`` for files that cannot be
        loaded and for a GPU without room.
        """
        own, file = self._chosen(languages)
        codes = [CODES[language] for language in languages]
        try:
            if own is not None:
                return self._own_network(languages, codes, own)
            self._refuse_wrong(DETECTOR, file)
            return LoadedReader(languages, self._reader(codes, self._files.folder), _USUAL_LINE_HEIGHT)
        except NotReady:
            raise
        except self._torch.OutOfMemoryError as error:
            raise NotReady(
                "The GPU has too little free memory for EasyOCR's models. Free some, or let EasyOCR read on the CPU: "
                "start its worker with CUDA_VISIBLE_DEVICES empty."
            ) from error
        except Exception as error:
            raise NotReady(_why_not_loaded(error, own, file)) from error

    def _chosen(self, languages: Sequence[str]) -> tuple[Network | None, str]:
        """A network of one's own that reads all of ``languages``, else the published file that does."""
        known = self._files.languages
        if set(languages) <= set(known):
            codes = {CODES[language] for language in languages}
            for network in self._files.usable_networks:
                if codes <= set(network.languages):
                    return network, ""
            file = model_file(languages)
            if file is not None and self._files.has(file):
                return None, file
        allowed = f"languages that one model reads together, of {', '.join(known)}"
        raise InvalidOption(value="+".join(languages), option="languages", allowed=allowed)

    def _refuse_wrong(self, *files: str) -> None:
        """Raise ``NotReady`` for a published file that is another one; the library fetches it anew where it may."""
        for file in files:
            if file in self._files.models and not self._files.download:
                path = self._files.folder / file
                if not path.is_file() or differs(path, self._easyocr.config):
                    raise NotReady(f"easyocr/{file} is not the published file: its MD5 is another. {way_out(file)}")

    def _own_network(self, languages: tuple[str, ...], codes: list[str], network: Network) -> LoadedReader:
        code = _imported(network)
        reader = self._reader(
            codes,
            network.folder,
            recog_network=network.name,
            user_network_directory=str(network.folder),
            detector=False,
        )
        line_height = int(self._easyocr.easyocr.imgH)
        if network.finds_text:
            return LoadedReader(languages, reader, line_height, code.find_text)
        self._refuse_wrong(DETECTOR)
        reader.model_storage_directory = str(self._files.folder)
        reader.setDetector("craft")
        return LoadedReader(languages, reader, line_height)

    def _reader(self, codes: list[str], storage: Path, **own: Any) -> Any:
        return self._easyocr.Reader(
            codes,
            gpu=self._on_gpu,
            model_storage_directory=str(storage),
            download_enabled=self._files.download,
            verbose=False,
            **{"user_network_directory": str(self._files.folder / "custom"), **own},
        )


def libraries() -> tuple[Any, Any]:
    """EasyOCR and torch, imported now; raises ``NotReady`` where they are broken."""
    try:
        import_torchvision()
        return importlib.import_module("easyocr"), importlib.import_module("torch")
    except (ImportError, OSError) as error:
        reason = f"EasyOCR's libraries cannot be loaded ({error}); install copyist with [easyocr] again."
        raise NotReady(reason) from error


def _imported(network: Network) -> Any:
    """The code of a network, read anew, where the library will look for it: under its bare name, among all modules."""
    known = sys.modules.get(network.name)
    if known is not None and Path(getattr(known, "__file__", None) or "").parent.name != network.folder.name:
        raise NotReady(f"The network easyocr/custom/{network.name} has the name of a module that is in use; rename it.")
    spec = importlib.util.spec_from_file_location(network.name, network.folder / f"{network.name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(network.name)
    module = sys.modules[network.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _why_not_loaded(error: Exception, network: Network | None, file: str) -> str:
    if network is not None:
        return (
            f"The network easyocr/custom/{network.name} cannot be loaded ({type(error).__name__}). Its three files "
            "have to fit each other: see weights/README.md."
        )
    return f"easyocr/{DETECTOR} or {file} cannot be loaded or fetched ({type(error).__name__}). {way_out(file)}"
