"""What a worker's process works with: what it stands on, and the engines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from copyist import settings as configuration
from copyist.db import migrate
from copyist.document import Decoding, Mode
from copyist.engines.base import Availability, ReadOptions, Stop
from copyist.engines.chain import Chain
from copyist.engines.gpu import gpus
from copyist.engines.registry import Registry, State
from copyist.engines.setup import engine_settings, formula_engines, make_chain
from copyist.pipeline.flow import render_settings
from copyist.queue import champion
from copyist.queue.board import Board
from copyist.queue.footing import Footing, connect
from copyist.queue.routing import Queue
from copyist.settings import Settings

MEMORIES = ("cpu", "cuda")
"""Devices of engines that load their model themselves; others name the address of who does."""


@dataclass
class Context(Footing):
    """One per process."""

    registry: Registry
    board: Board
    found: dict[str, Availability] = field(default_factory=dict)
    """Engines whose models lie in this machine's memory, as they were when they were last found ready."""

    def chain(self, options: Mapping[str, Any]) -> Chain:
        """The chain of engines for a job's options."""
        settings = self.settings
        return make_chain(
            self.registry,
            options.get("engine"),
            backend=settings.ocr_backend,
            fallback=settings.ocr_fallback,
            strategy=settings.ocr_strategy,
            climb_below=settings.ocr_climb_threshold,
        )

    def read_options(self, options: Mapping[str, Any], stop: Stop | None = None) -> ReadOptions:
        """A job's options as engines take them; ``stop`` ends the reading."""
        return ReadOptions(
            mode=Mode(options.get("mode", Mode.DOCUMENT)),
            languages=tuple(options.get("languages") or self.settings.ocr_languages),
            decoding=Decoding.model_validate(options.get("decoding") or {}),
            stop=stop or Stop(),
        )

    def identities(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """What reads with a job's options: the identity of its chain, and the same with the engines for its formulas.

        The first decides about a page without formulas that the chain left bare, the last about one with some. None
        where no reading is kept for the next time.
        """
        if not self.settings.result_cache:
            return ()
        chain, mode = self.chain(options), self.read_options(options).mode
        identity = chain.identity(mode)
        if mode is Mode.FORMULA:
            return (identity,)
        helpers = ",".join(f"{name}@{version}" for name, version in formula_engines(chain).items())
        return (identity, f"{identity};{helpers}")

    def cache_key(self, sha256: str, number: int, options: Mapping[str, Any], identity: str) -> str:
        """Where a reading is kept for the next time: a hash of all that it depends on; ``identity`` is one of them."""
        read = self.read_options(options)
        parts = [sha256, number, render_settings(), identity, read.mode, read.languages, options.get("text")]
        parts.append(read.decoding.model_dump(exclude_none=True))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def check(self, name: str) -> Availability:
        """Whether ``name`` can read in this worker.

        While one of its processes has loaded it, what was found before holds: the memory that is missing is its own.
        """
        if self.board.state(name) in (State.LOADING, State.LOADED) and name in self.found:
            return self.found[name]
        found = self.registry.check(name)
        if found.ready and found.device in MEMORIES:
            self.found[name] = found
        return found

    def survey(self) -> dict[str, Availability]:
        """Every engine and whether it can read in this worker."""
        return {name: self.check(name) for name in self.registry.names}

    def queues(self) -> list[str]:
        """The queues this worker serves: ``gpu`` where an engine that needs one is ready, ``cpu`` otherwise, too."""
        ready = [name for name, found in self.survey().items() if found.ready]
        on_gpu = {name for name in ready if self.registry.engine_class(name).needs_gpu}
        if self.settings.ocr_backend == "auto":
            return [Queue.CPU.value, *([Queue.GPU.value] if on_gpu else []), Queue.PICTURES.value]
        start = self.registry.engine_class(self.settings.ocr_backend)
        return [Queue.GPU.value if start.needs_gpu else Queue.CPU.value, Queue.PICTURES.value]

    def gpu_engine(self) -> str | None:
        """The first engine of the chain that needs a GPU and is ready."""
        wanted = (name for name in self.chain({}).order() if self.registry.engine_class(name).needs_gpu)
        return next((name for name in wanted if self.check(name).ready), None)

    def pages_at_once(self, queue: str) -> int:
        """How many pages one process reads at once that come from ``queue``."""
        name = self.gpu_engine() if queue == Queue.GPU else None
        return 1 if name is None else self.check(name).at_once

    def processes(self) -> int:
        """How many children this worker has: as many as it may, but one per card where the model lies on a GPU."""
        name = self.gpu_engine()
        is_here = name is not None and self.check(name).device.startswith("cuda")
        return max(1, len(gpus())) if is_here else self.settings.celery_worker_concurrency

    def engines(self) -> dict[str, dict[str, Any]]:
        """What this worker tells about its engines."""
        return {
            name: {
                "ready": found.ready,
                "reason": found.reason,
                "version": found.version,
                "languages": list(found.languages),
                "needs_gpu": self.registry.engine_class(name).needs_gpu,
                "modes": sorted(self.registry.engine_class(name).modes),
                "device": found.device,
                "model": found.model,
                "memory_bytes": found.memory_bytes,
                "details": dict(found.details),
                "state": self.board.state(name).value,
                **({"champion": champion.told(self)} if name == champion.ENGINE else {}),
            }
            for name, found in self.survey().items()
        }


_inherited: list[Context] = []


def build(settings: Settings) -> Context:
    """Connect everything for ``settings``; the database is migrated first."""
    # A forked child finds the database as its parent left it.
    if not _inherited:
        migrate.upgrade(settings.database)
    registry = Registry(
        engine_settings(settings.model_dump()),
        settings.ocr_plugins,
        idle_s=settings.model_idle_seconds,
        on_state=lambda name, state: board.tell(name, state),
    )
    board = _inherited[0].board if _inherited else Board(registry.names)
    return Context(**vars(connect(settings)), registry=registry, board=board)


@cache
def context() -> Context:
    """The context of this process."""
    return build(configuration.load())


def forget_parent() -> None:
    """In a forked child: make our own connections, and keep the collector from closing the parent's under it."""
    if context.cache_info().currsize:
        _inherited.append(context())
        context.cache_clear()
