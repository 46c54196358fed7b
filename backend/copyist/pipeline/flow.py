"""The way of a page, on one screen: its text layer if that is real, else the engine of the chain that reads it.

Formulas for which that engine wrote no LaTeX go to an engine for formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

from copyist.document import Mode, Page, TextPolicy
from copyist.engines.base import Engine, ReadOptions, Stop, Try
from copyist.errors import DamagedFile, PageDamaged, TooManyPixels
from copyist.pipeline.assemble import assemble, is_blank
from copyist.pipeline.formulas import BareFormulas, without_empty
from copyist.pipeline.prepare import place
from copyist.pipeline.render import REFERENCE_DPI, PageSource
from copyist.pipeline.textlayer import read_text_layer
from copyist.pipeline.upright import read_upright

_NO_SKIPS: Mapping[str, Try] = MappingProxyType({})
_NOT_THE_ENGINE = (PageDamaged, DamagedFile, TooManyPixels)
"""What is wrong with the page itself: no other engine would do better."""
VERSION = 1
"""Raise it when rendering or preparing changes what engines see: cached readings are then made again."""


class ChainReading(Protocol):
    """What a chain made of a page."""

    @property
    def page(self) -> Page | None:
        """The reading kept."""

    @property
    def trail(self) -> tuple[Try, ...]:
        """Every try."""

    @property
    def degraded(self) -> bool:
        """Whether it is only a placeholder."""

    @property
    def may_be_cached(self) -> bool:
        """Whether it would come out the same again."""


class Chain(Protocol):
    """The engines in their order, as ``copyist.engines.chain`` goes through them."""

    def read(
        self,
        read_with: Callable[[Engine], Page],
        *,
        mode: Mode,
        languages: Sequence[str],
        skip: Mapping[str, Try],
        on_start: Callable[[str], object],
        on_turn: Callable[[str], object],
        stop: Stop,
        has_ink: Callable[[], bool],
        let_through: tuple[type[BaseException], ...],
    ) -> ChainReading:
        """Read one page."""
        ...


def _nobody() -> None:
    """There are no engines for formulas."""


@dataclass(frozen=True)
class PageReading:
    """A page as it was read, ``None`` when no engine could; every engine tried; whether it is only a placeholder.

    ``had_bare_formulas``: what it became depends on the engines for formulas, too, be it that there are none.
    """

    page: Page | None
    trail: tuple[Try, ...] = ()
    degraded: bool = False
    may_be_cached: bool = True
    had_bare_formulas: bool = False


def read_page(
    source: PageSource,
    number: int,
    *,
    chain: Chain,
    options: ReadOptions,
    text: TextPolicy = TextPolicy.AUTO,
    formulas: Callable[[], Chain | None] = _nobody,
    skip: Mapping[str, Try] = _NO_SKIPS,
    on_start: Callable[[str], object] = str,
    on_turn: Callable[[str], object] = str,
    let_through: tuple[type[BaseException], ...] = (),
) -> PageReading:
    """Read page ``number`` (from 1) of an open file.

    ``formulas`` gives the engines for those formulas that ``chain`` leaves without LaTeX; it is called where there are
    any. ``skip``, ``on_start``, ``on_turn`` and ``let_through`` go to the chain: engines known to fail on this page,
    who hears which engine is wanted and which begins to read, and exceptions (a cancel) that are no engine's fault.
    Raises ``PageDamaged``, ``DamagedFile`` or ``TooManyPixels`` when there is no page to show an engine.
    """
    if text is not TextPolicy.FORCE and options.mode is Mode.DOCUMENT:
        page = read_text_layer(source, number, always=text is TextPolicy.ONLY)
        if page is not None:
            return PageReading(page)
    ask = partial(
        _ask,
        skip=skip,
        on_start=on_start,
        on_turn=on_turn,
        stop=options.stop,
        has_ink=lambda: not is_blank(source.image(number, REFERENCE_DPI)),
    )
    reading = ask(
        chain,
        lambda engine: read_with(engine, source, number, options),
        mode=options.mode,
        languages=options.languages,
        let_through=(*_NOT_THE_ENGINE, *let_through),
    )
    if reading.page is None:
        return reading
    bare = BareFormulas(source, number, reading.page)
    helpers = formulas() if bare.blocks and options.mode is not Mode.FORMULA else None
    if helpers is None:
        return replace(reading, page=without_empty(reading.page), had_bare_formulas=bool(bare.blocks))
    # The page was read: whatever is wrong with it now is no reason to lose that.
    read = ask(
        helpers,
        lambda engine: bare.read(engine, options),
        mode=Mode.FORMULA,
        languages=(),
        let_through=let_through,
    )
    return PageReading(
        without_empty(bare.put_back(read.page) if read.page else reading.page),
        (*reading.trail, *bare.told(read.trail, read.page)),
        reading.degraded,
        reading.may_be_cached and read.may_be_cached,
        had_bare_formulas=True,
    )


def _ask(chain: Chain, read: Callable[[Engine], Page], **options: Any) -> PageReading:
    """What ``chain`` makes of the page with ``read``."""
    found = chain.read(read, **options)
    return PageReading(found.page, found.trail, found.degraded, found.may_be_cached)


def read_with(engine: Engine, source: PageSource, number: int, options: ReadOptions) -> Page:
    """One engine's reading of a page, in the coordinates of the page as uploaded.

    The page is prepared as it seems to lie. Where the reading is so doubtful that it may lie otherwise, that is
    looked into, and it is read once more.
    """
    whole = place(source.image(number, engine.dpi), source.size(number))
    if options.mode is Mode.DOCUMENT:
        prepared, reading = read_upright(engine, whole, options)
    else:
        prepared, reading = whole, engine.read([whole.image], options)[0]
    return assemble(reading, prepared.placement, number=number, dpi=source.dpi(number))


def render_settings() -> str:
    """What decides which pixels engines see: a part of the result cache's key."""
    return f"pipeline-{VERSION}@{REFERENCE_DPI}"
