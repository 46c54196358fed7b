"""Which engines there are, by name, and the ones that are loaded in this process.

Every engine enters by the same door, a ``"module:Class"`` string; built-in ones are listed here, others come as plugins
(the setting ``OCR_PLUGINS``). A class is imported when it is first asked about; by the contract that imports nothing
heavy, and the heavy libraries come with the first page.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Iterable
from functools import lru_cache
from types import MappingProxyType
from typing import cast

from copyist.engines.base import Availability, Engine, EngineSettings
from copyist.errors import ConfigurationError, InvalidOption

log = logging.getLogger(__name__)

BUILT_IN = MappingProxyType(
    {
        "easyocr": "copyist.engines.easyocr:EasyOcr",
        "rapidocr": "copyist.engines.rapidocr:RapidOcr",
        "tesseract": "copyist.engines.tesseract:Tesseract",
        "mock": "copyist.engines.mock:Mock",
    }
)


class Registry:
    """The engines of one configuration, and one loaded instance of each that was used.

    Loading is guarded by a lock; reading is not, since a worker's process reads one page at a time.
    """

    def __init__(self, settings: EngineSettings, plugins: Iterable[str] = ()) -> None:
        self.settings = settings
        self._doors = dict(BUILT_IN)
        self._classes: dict[str, type[Engine]] = {}
        self._loaded: dict[str, Engine] = {}
        self._lock = threading.Lock()
        for door in plugins:
            engine = _import_plugin(door)
            self._doors[engine.name] = door
            self._classes[engine.name] = engine
        # A forked child must not share its parent's loaded models, sessions and device handles.
        os.register_at_fork(after_in_child=self._forget)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all engines, ready or not: built-in ones from dear to cheap, then plugins."""
        return tuple(self._doors)

    def engine_class(self, name: str) -> type[Engine]:
        """The class behind ``name``; raises ``InvalidOption`` with the names there are when there is none."""
        if name not in self._doors:
            raise InvalidOption(value=name, option="engine", allowed=", ".join(self.names))
        if name not in self._classes:
            self._classes[name] = _import_class(self._doors[name])
        return self._classes[name]

    def check(self, name: str) -> Availability:
        """Whether ``name`` can read here. Raises only for a name that does not exist."""
        try:
            return self.engine_class(name).check(self.settings)
        except InvalidOption:
            raise
        except Exception:
            log.exception("The check of engine %s failed", name)
            return Availability(ready=False, reason="Its check failed; the log has the reason.")

    def survey(self) -> dict[str, Availability]:
        """Every engine and whether it can read here; never raises."""
        return {name: self.check(name) for name in self.names}

    def load(self, name: str) -> Engine:
        """The one instance of ``name`` in this process, made on first use; raises whatever its constructor raises."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self.engine_class(name)(self.settings)
            return self._loaded[name]

    def close(self) -> None:
        """Close every loaded engine; the registry can be used again and loads them anew."""
        with self._lock:
            loaded, self._loaded = self._loaded, {}
        for name, engine in loaded.items():
            try:
                engine.close()
            except Exception:
                log.exception("Engine %s did not close cleanly", name)

    def _forget(self) -> None:
        self._loaded = {}
        self._lock = threading.Lock()


@lru_cache(maxsize=8)
def shared_registry(settings: EngineSettings, plugins: tuple[str, ...] = ()) -> Registry:
    """The registry of this process for a configuration; the same one for every call."""
    return Registry(settings, plugins)


def _import_class(door: str) -> type[Engine]:
    module, _, name = door.partition(":")
    return cast(type[Engine], getattr(importlib.import_module(module), name))


def _import_plugin(door: str) -> type[Engine]:
    try:
        engine = _import_class(door)
        if not isinstance(engine.name, str):
            raise TypeError("its name is not a string")
    except Exception as error:
        raise ConfigurationError(
            problem=f'OCR_PLUGINS names "{door}", which cannot be imported. Use "module:Class" of an installed module.'
        ) from error
    return engine
