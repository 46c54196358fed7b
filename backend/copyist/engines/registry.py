"""Which engines there are, by name, and the ones that are loaded in this process.

Every engine enters by the same door, a ``"module:Class"`` string; built-in ones are listed here, others come as plugins
(the setting ``OCR_PLUGINS``). A class is imported when it is first asked about; by the contract that imports nothing
heavy, and the heavy libraries come with the first page. A heavy engine that nobody has used for a while is unloaded,
and loaded again when it is wanted. One that could not be loaded is not asked again for a minute.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, cast

from copyist.engines.base import Availability, Engine, EngineSettings, NotReady, Stop
from copyist.errors import ConfigurationError, InvalidOption

log = logging.getLogger(__name__)

BUILT_IN = MappingProxyType(
    {
        "trocr": "copyist.engines.trocr:TrOcr",
        "nougat": "copyist.engines.nougat:Nougat",
        "formula": "copyist.engines.formula.engine:Formula",
        "dots": "copyist.engines.dots.engine:Dots",
        "easyocr": "copyist.engines.easyocr:EasyOcr",
        "rapidocr": "copyist.engines.rapidocr:RapidOcr",
        "tesseract": "copyist.engines.tesseract:Tesseract",
        "mock": "copyist.engines.mock:Mock",
    }
)


RETRY_LOADING_S = 60.0
"""How long an engine that could not be loaded counts as not ready: loading it for every page would cost more."""


_LOOK_EVERY_S = 0.2


class State(StrEnum):
    """How far an engine is in this process."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    LOADED = "loaded"
    FAILED = "failed"


def _tell_nobody(_name: str, _state: State) -> None:
    """Hear of an engine's state for somebody who does not ask."""


@dataclass
class _Slot:
    """One engine in this process. ``turns`` lets in as many readers as it takes at once.

    ``lock`` is held while it is loaded; ``loading`` is what was found of it before, for as long as that takes.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    engine: Engine | None = None
    turns: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))
    readers: int = 0
    loading: Availability | None = None
    used_at: float = 0.0
    refusal: str = ""
    refused_until: float = 0.0


class _Waitable(Protocol):
    """A lock or a semaphore."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...


def _wait_for(lock: _Waitable, stop: Stop | None) -> None:
    """Acquire ``lock``, unless ``stop`` is asked first: then raise its reason."""
    while not lock.acquire(timeout=_LOOK_EVERY_S):
        if stop is not None:
            stop.check()


class Registry:
    """The engines of one configuration, and one loaded instance of each that was used.

    ``idle_s`` is after how many seconds without a reader a heavy engine is unloaded; 0 keeps it. ``on_state`` hears
    when an engine is loaded, was loaded, failed to load or was unloaded. Safe to use from threads.
    """

    def __init__(
        self,
        settings: EngineSettings,
        plugins: Iterable[str] = (),
        *,
        idle_s: float = 0.0,
        on_state: Callable[[str, State], object] = _tell_nobody,
    ) -> None:
        self.settings = settings
        self._doors = dict(BUILT_IN)
        self._classes: dict[str, type[Engine]] = {}
        self._slots: dict[str, _Slot] = {}
        self._idle_s, self._on_state = idle_s, on_state
        self._caretaker: threading.Thread | None = None
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
        """Whether ``name`` can read here. Raises only for a name that does not exist.

        While it is being loaded, what was found before holds: the memory that is missing may be its own.
        """
        slot = self._slots.get(name)
        if slot is not None and (before := slot.loading) is not None:
            return before
        try:
            found = self.engine_class(name).check(self.settings)
            refusal = self._refusal(name)
            return replace(found, ready=False, reason=refusal) if found.ready and refusal else found
        except InvalidOption:
            raise
        except Exception:
            log.exception("The check of engine %s failed", name)
            return Availability(ready=False, reason="Its check failed; the log has the reason.")

    def survey(self) -> dict[str, Availability]:
        """Every engine and whether it can read here; never raises."""
        return {name: self.check(name) for name in self.names}

    def load(self, name: str) -> Engine:
        """The one instance of ``name`` in this process, made on first use.

        Raises ``NotReady`` while a failure to load it is fresh, and else whatever its constructor raises.
        """
        engine_class, slot = self.engine_class(name), self._slot(name)
        with slot.lock:
            if slot.engine is None:
                if self._refusal(name):
                    raise NotReady(slot.refusal)
                slot.engine = self._load(name, engine_class, slot)
                slot.used_at = time.monotonic()
                self._take_care()
            return slot.engine

    @contextmanager
    def turn(self, name: str, stop: Stop | None = None) -> Iterator[Engine]:
        """Read with ``name``: wait for a turn, as many at once as it takes, and keep it loaded meanwhile.

        ``stop`` ends the waiting, too.
        """
        slot = self._slot(name)
        # From here on it is not unloaded, so that nobody who waits for a turn is left without an engine.
        self._count(slot, 1)
        try:
            _wait_for(slot.lock, stop)
            try:
                engine, turns = self.load(name), slot.turns
            finally:
                slot.lock.release()
            _wait_for(turns, stop)
            try:
                yield engine
            finally:
                turns.release()
        finally:
            self._count(slot, -1)

    def _count(self, slot: _Slot, more: int) -> None:
        # Not under the slot's lock: whoever is asked to stop while another loads would wait for that on the way out.
        with self._lock:
            slot.readers += more
            slot.used_at = time.monotonic()

    def is_loaded(self, name: str) -> bool:
        """Whether the engine is in this process's memory."""
        return self._slot(name).engine is not None

    def is_loading(self, name: str) -> bool:
        """Whether somebody is just loading the engine in this process."""
        return self._slot(name).loading is not None

    def close(self) -> None:
        """Close every loaded engine; the registry can be used again and loads them anew."""
        for name in list(self._slots):
            self._unload(name)

    def unload_idle(self) -> None:
        """Unload heavy engines that nobody has used for ``idle_s`` seconds."""
        for name, slot in list(self._slots.items()):
            with slot.lock:
                if self._is_idle(name, slot):
                    log.info("Engine %s was idle for %g s and is unloaded", name, self._idle_s)
                    self._unload(name)

    def _slot(self, name: str) -> _Slot:
        with self._lock:
            return self._slots.setdefault(name, _Slot())

    def _load(self, name: str, engine_class: type[Engine], slot: _Slot) -> Engine:
        slot.loading = self.check(name)
        self._on_state(name, State.LOADING)
        try:
            engine = engine_class(self.settings)
        except Exception as error:
            slot.refusal = str(error) if isinstance(error, NotReady) else "It could not be loaded; the log has why."
            slot.refused_until = time.monotonic() + RETRY_LOADING_S
            self._on_state(name, State.FAILED)
            raise
        finally:
            slot.loading = None
        slot.turns = threading.Semaphore(max(1, self.check(name).at_once))
        self._on_state(name, State.LOADED)
        return engine

    def _unload(self, name: str) -> None:
        slot = self._slot(name)
        with slot.lock:
            engine, slot.engine = slot.engine, None
            if engine is None:
                return
            try:
                engine.close()
            except Exception:
                log.exception("Engine %s did not close cleanly", name)
            self._on_state(name, State.UNLOADED)

    def _refusal(self, name: str) -> str:
        slot = self._slots.get(name)
        return slot.refusal if slot and slot.engine is None and time.monotonic() < slot.refused_until else ""

    def _is_idle(self, name: str, slot: _Slot) -> bool:
        used = slot.readers or time.monotonic() - slot.used_at < self._idle_s
        return bool(slot.engine and self.engine_class(name).heavy and not used)

    def _take_care(self) -> None:
        """Look after idle engines from a thread, started with the first engine, in the process that has it."""
        if self._idle_s and self._caretaker is None:
            self._caretaker = threading.Thread(target=self._look_after, name="idle-engines", daemon=True)
            self._caretaker.start()

    def _look_after(self) -> None:
        while True:
            time.sleep(min(max(self._idle_s / 4, 0.05), 5.0))
            self.unload_idle()

    def _forget(self) -> None:
        self._slots = {}
        self._caretaker = None
        self._lock = threading.Lock()


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
