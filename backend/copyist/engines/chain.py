"""The fallback: which engines are tried on a page, in which order, and whose reading is kept.

``best`` takes the first engine of the chain that reads a whole page. ``fast`` takes the cheapest one and climbs to the
next dearer while the page's confidence is under a threshold, keeping the better reading. An engine that is not ready,
raises, or returns what is no reading is left behind; the page's trail says so in words. ``mock`` only ever stands last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from copyist.document import Page
from copyist.engines.base import (
    FAULTS,
    Availability,
    Engine,
    GarbageError,
    Mode,
    NotReady,
    Outcome,
    Stop,
    TimedOut,
    Try,
)
from copyist.engines.garbage import is_loop
from copyist.engines.notes import noting
from copyist.engines.registry import Registry
from copyist.errors import ConfigurationError, CopyistError, PageDamaged

log = logging.getLogger(__name__)

MOCK = "mock"
FOR_ONE_MODE = ("trocr", "nougat", "formula")
"""Engines for handwriting, papers and formulas only: they stand in every chain, and are asked about no other page."""
DEFAULT_ORDER = (*FOR_ONE_MODE, "dots", "easyocr", "rapidocr", "tesseract", MOCK)
"""Those for one kind of page, then from the best reader to the last resort."""
INSTEAD = MappingProxyType({Mode.HANDWRITING: Mode.DOCUMENT, Mode.PAPER: Mode.DOCUMENT})
"""Modes in which engines for another mode read where none of their own is ready: less well, but they read."""
CLIMB_BELOW = 0.94
"""Page confidence under which ``fast`` tries a dearer engine.

Measured for Tesseract: clean pages and scans have 0.95 and more, typescript with 3 % of errors and more at most 0.93,
handwriting at most 0.62.
"""
_FAR_LESS_TEXT = 0.6
"""A reading with under this share of the other's characters has missed text, however sure it is of the rest."""
_NO_SKIPS: Mapping[str, Try] = MappingProxyType({})


def _tell_nobody(_name: str) -> None:
    """Hear an engine's name for a caller who does not ask."""


ReadWith = Callable[[Engine], Page]
"""Reads the page with an engine: renders and prepares it, calls ``Engine.read`` and maps the boxes back."""


class Strategy(StrEnum):
    """Which reader comes first: the best, or the cheapest that will do."""

    BEST = "best"
    FAST = "fast"


@dataclass(frozen=True)
class ChainReading:
    """What the chain made of a page: the reading kept (``None`` when no engine read) and every try, in order."""

    page: Page | None
    trail: tuple[Try, ...]
    degraded: bool = False

    @property
    def may_be_cached(self) -> bool:
        """Whether the same page would be read the same way again: nothing broke, and a real engine read it."""
        if self.page is None or self.degraded or not self.page.complete:
            return False
        return not any(map(_broke, self.trail))


def _broke(step: Try) -> bool:
    """Whether a step may go otherwise the next time: a fault, or an engine that was tried and proved to be absent."""
    return step.outcome in FAULTS or (step.outcome is Outcome.NOT_READY and step.seconds > 0)


@dataclass(frozen=True)
class Chain:
    """An ordered set of engines and the way to go through them. ``names`` run from the first choice to the last."""

    registry: Registry
    names: tuple[str, ...]
    strategy: Strategy = Strategy.BEST
    climb_below: float = CLIMB_BELOW
    wished: str | None = None
    """The engine that somebody asked for by name; the trail says so when it does not read in the page's mode."""

    def order(self, mode: Mode = Mode.DOCUMENT) -> tuple[str, ...]:
        """The engines in the order in which they are tried on a page of ``mode``.

        One that was asked for comes first, then those made for the mode, then those that read it, too; for ``fast``
        each by cost. ``mock`` is last in any case. Engines for other modes are left out, unless asked for.
        """
        real = [name for name in self.names if name != MOCK and (self._reads(name, mode) or name == self.wished)]
        if self.strategy is Strategy.FAST:
            real.sort(key=lambda name: self.registry.engine_class(name).cost)
        real.sort(key=lambda name: (name != self.wished, not self._is_made_for(name, mode)))
        return (*real, *(name for name in self.names if name == MOCK))

    def identity(self, mode: Mode = Mode.DOCUMENT) -> str:
        """What decides how a page is read in ``mode``: strategy, threshold and the ready engines with versions.

        A part of the result cache's key: it changes when a model is installed, replaced or taken away.
        """
        known = self.order(mode)
        ready = [(name, self.registry.check(name)) for name in known]
        engines = ",".join(f"{name}@{found.version}" for name, found in ready if found.ready)
        return f"{self.strategy}<{self.climb_below:g}:{engines}" if self._climbs else f"{self.strategy}:{engines}"

    def read(
        self,
        read_with: ReadWith,
        *,
        mode: Mode = Mode.DOCUMENT,
        languages: Sequence[str] = (),
        skip: Mapping[str, Try] = _NO_SKIPS,
        on_start: Callable[[str], object] = _tell_nobody,
        on_turn: Callable[[str], object] = _tell_nobody,
        stop: Stop | None = None,
        has_ink: Callable[[], bool] = lambda: False,
        let_through: tuple[type[BaseException], ...] = (PageDamaged,),
    ) -> ChainReading:
        """Read one page.

        ``mode`` leaves out engines that do not read in it (``INSTEAD`` says who reads for them), ``languages`` passes
        over engines without a model for one of them. ``skip`` holds engines that are known to have crashed or hung on
        this page: their try goes into the trail as it is. ``on_start`` hears an engine's name before it is loaded,
        ``on_turn`` when it begins to read this page; ``stop`` ends the waiting between the two.
        ``has_ink`` is asked by ``fast`` when a reading holds no text: an empty reading of a page that clearly is not
        blank does not end the climb. Exceptions of ``let_through`` (a page that cannot be rendered, a cancel) are no
        engine's fault and leave the chain; every other one is a try that failed.
        """
        climb = _Climb(self.climb_below if self._climbs else 0.0, has_ink)
        for name in self.order(mode):
            if climb.page is not None and name == MOCK:
                break
            refusal = skip.get(name) or self._refusal(name, mode, languages)
            if refusal is not None:
                climb.trail.append(refusal)
                continue
            on_start(name)
            climb.add(*self._try(name, read_with, on_turn, stop, let_through))
            if climb.is_done(made_for_it=mode is not Mode.DOCUMENT and self._is_made_for(name, mode)):
                break
        return ChainReading(climb.page, tuple(climb.trail), degraded=climb.kept == MOCK)

    @property
    def _climbs(self) -> bool:
        return self.strategy is Strategy.FAST

    def _refusal(self, name: str, mode: Mode, languages: Sequence[str]) -> Try | None:
        if not self._reads(name, mode):
            return Try(name, Outcome.NOT_READY, f"It does not read in the mode {mode}.")
        reason = _why_not(self.registry.check(name), languages)
        return Try(name, Outcome.NOT_READY, reason) if reason else None

    def _reads(self, name: str, mode: Mode) -> bool:
        return bool({mode, INSTEAD.get(mode, mode)} & self.registry.engine_class(name).modes)

    def _is_made_for(self, name: str, mode: Mode) -> bool:
        modes = self.registry.engine_class(name).modes
        return mode in modes and (mode is Mode.DOCUMENT or Mode.DOCUMENT not in modes)

    def _try(
        self,
        name: str,
        read_with: ReadWith,
        on_turn: Callable[[str], object],
        stop: Stop | None,
        let_through: tuple[type[BaseException], ...],
    ) -> tuple[Try, Page | None]:
        started = time.perf_counter()
        with noting() as notes:
            try:
                with self.registry.turn(name, stop) as engine:
                    on_turn(name)
                    page = read_with(engine)
                if is_loop(page.text):
                    raise GarbageError("One fragment over and over")
            except let_through:
                raise
            except Exception as error:
                log.warning("Engine %s did not read the page", name, exc_info=not isinstance(error, NotReady))
                outcome, reason = _judge(error)
                return Try(name, outcome, reason, time.perf_counter() - started, notes=tuple(notes)), None
        seconds = time.perf_counter() - started
        return Try(name, Outcome.READ, "", seconds, page.confidence, tuple(notes)), page


class _Climb:
    """The reading kept so far and the trail of a page. ``enough`` is the confidence that ends the climb, 0 for any."""

    def __init__(self, enough: float, has_ink: Callable[[], bool]) -> None:
        self.trail: list[Try] = []
        self.page: Page | None = None
        self.kept: str | None = None
        self._enough = enough
        self._has_ink = has_ink

    def add(self, step: Try, page: Page | None) -> None:
        """Note a try, and keep its reading if it is better than the one before."""
        if page is None:
            self.trail.append(step)
        elif self.page is None or _is_better(page, self.page):
            self.trail = [_set_aside(one, step, page) if one.engine == self.kept else one for one in self.trail]
            self.trail.append(step)
            self.page, self.kept = page, step.engine
        else:
            winner = next(one for one in self.trail if one.engine == self.kept)
            self.trail.append(_set_aside(step, winner, self.page))

    def is_done(self, *, made_for_it: bool) -> bool:
        """Whether the reading kept is good enough to stop.

        ``made_for_it`` says that the last engine was made for such pages: how sure one for documents is of handwriting
        says nothing, so its text stands, however sure it is.
        """
        if self.page is None or not self.page.complete:
            return False
        if not self.page.text.strip():
            return self._enough == 0 or not self._has_ink()
        return made_for_it or self.page.confidence is None or self.page.confidence >= self._enough


def chain_order(backend: str, fallback: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """The names of a worker's chain, from the settings ``OCR_BACKEND`` and ``OCR_FALLBACK``.

    ``backend`` "auto" means all of ``DEFAULT_ORDER`` that is ``known``; a name starts the chain there. ``fallback``
    says what follows (an empty one: nothing), ``None`` the rest of the default order and engines for one mode. Raises
    ``ConfigurationError`` for a name, asked for by a person, that is not known.
    """
    asked = [*(() if backend == "auto" else (backend,)), *(fallback or ())]
    for name in asked:
        if name not in known:
            names = ", ".join(("auto", *known))
            raise ConfigurationError(problem=f'There is no engine "{name}". Use one of: {names}.')
    available = [name for name in DEFAULT_ORDER if name in known]
    if backend == "auto":
        return tuple(dict.fromkeys(available if fallback is None else fallback or available))
    if backend == MOCK:
        return (MOCK, *(fallback or ()))
    after = available[available.index(backend) + 1 :] if backend in available else available
    after = [*(name for name in FOR_ONE_MODE if name in available), *after]
    return tuple(dict.fromkeys((backend, *(after if fallback is None else fallback))))


def _is_better(page: Page, than: Page) -> bool:
    mine, yours = len(page.text), len(than.text)
    if min(mine, yours) < _FAR_LESS_TEXT * max(mine, yours):
        return mine > yours
    if page.complete != than.complete:
        return page.complete
    return (page.confidence or 0.0) > (than.confidence or 0.0)


def _set_aside(loser: Try, winner: Try, page: Page) -> Try:
    sure = "" if winner.confidence is None else f" at confidence {winner.confidence:.2f}"
    reason = f"The reading by {winner.engine} was kept: {len(page.text)} characters{sure}."
    return replace(loser, outcome=Outcome.KEPT_OTHER, reason=reason)


def _why_not(found: Availability, languages: Sequence[str]) -> str:
    """Why an engine cannot take the page; empty when it can."""
    if not found.ready:
        return found.reason or "It is not ready here."
    missing = [language for language in languages if language not in found.languages] if found.languages else []
    return f"It has no model for {', '.join(missing)}; it reads {', '.join(found.languages)}." if missing else ""


def _judge(error: Exception) -> tuple[Outcome, str]:
    """What an exception means for the trail, in words without paths or internals."""
    if isinstance(error, NotReady):
        return Outcome.NOT_READY, str(error)
    if isinstance(error, TimedOut):
        return Outcome.TIMED_OUT, str(error)
    if isinstance(error, GarbageError):
        return Outcome.GARBAGE, "What it gave back is not a reading."
    if isinstance(error, CopyistError):
        return Outcome.FAILED, error.detail
    if isinstance(error, MemoryError):
        return Outcome.FAILED, "It ran out of memory."
    return Outcome.FAILED, "It stopped with an error; the log has the details."
