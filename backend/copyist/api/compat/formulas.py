"""What the services for formulas share: who can read one here, and the LaTeX of what was read.

A text that no engine for formulas made is never given out as one, and a picture without a formula is no success.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from copyist import errors
from copyist.api.callers import Caller
from copyist.api.results import read_document
from copyist.api.schemas import JobBody
from copyist.api.service import Service
from copyist.api.uploads import Form
from copyist.db.tables import Page
from copyist.document import Block, BlockKind, Mode, Outcome, TextPolicy
from copyist.errors import NoFormulaEngine, NothingFound
from copyist.queue.routing import Priority

DOTS = "dots"
"""Reads documents, and the formulas in them as LaTeX."""

FAILURES = (
    errors.NoPageRead,
    errors.NoResult,
    errors.StillReading,
    errors.OnlyPlaceholder,
    errors.NoFormulaEngine,
    errors.NothingFound,
    errors.Unavailable,
)
"""What may come of waiting for a formula."""

NOTHING = "No formula was found in this picture."


@dataclass(frozen=True)
class Formula:
    """What was read: LaTeX, how sure the engine is (0 to 1), and what a person should know of it, in sentences."""

    latex: str
    confidence: float | None
    warnings: tuple[str, ...] = ()


def form(engines: Mapping[str, Mapping[str, Any]]) -> Form:
    """How one picture of a formula is to be read by the engines there are; raises ``NoFormulaEngine``."""
    ready = readers(engines)
    if not ready:
        raise NoFormulaEngine
    by_mode = any(Mode.FORMULA in engines[name]["modes"] for name in ready)
    return Form(
        mode=(Mode.FORMULA if by_mode else Mode.DOCUMENT).value,
        engine=None if by_mode else DOTS,
        pages="1",
        text=TextPolicy.FORCE.value,
        priority=Priority.INTERACTIVE.value,
    )


def readers(engines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The engines that are ready and write formulas as LaTeX. The mock engine reads nothing."""
    named = {name for name, facts in engines.items() if facts["ready"] and Mode.FORMULA in facts["modes"]} - {"mock"}
    dots = {DOTS} if engines.get(DOTS, {}).get("ready") else set()
    return sorted(named) + sorted(dots - named)


def found(service: Service, caller: Caller, job: JobBody) -> Formula:
    """The formula of a job that was made with ``form``; of several the LaTeX has one a line.

    Raises ``NothingFound`` with the engine's reason, and ``NoFormulaEngine`` where it was read by an engine that knows
    no formulas, the others having failed.
    """
    document = read_document(service, caller, job.id)
    by_mode = job.options.mode is Mode.FORMULA
    # In the mode for formulas nobody else is asked; among engines for documents it may have been anybody.
    if not by_mode and any(page.engine != DOTS for page in document.pages):
        raise NoFormulaEngine
    # What an engine for documents writes down on its way says nothing about a formula.
    notes = _notes(service, job) if by_mode else ()
    blocks = [block for page in document.pages for block in page.blocks]
    formulas = [block for block in blocks if block.kind is BlockKind.FORMULA]
    latex = "\n".join(text for block in formulas or blocks if (text := _text(block)))
    if not latex:
        raise NothingFound(reason=" ".join(notes) or NOTHING)
    sure, enough = job.confidence, service.settings.ocr_confidence_threshold
    unsure = (
        () if sure is None or sure >= enough else (f"The engine is only {sure:.0%} sure of this formula: check it.",)
    )
    return Formula(latex, None if sure is None else round(sure, 4), (*notes, *unsure))


def _notes(service: Service, job: JobBody) -> tuple[str, ...]:
    """What the engine wrote down while it read the job's pages, be it for another job with the same picture."""
    with service.db.read() as session:
        pages = session.execute(select(Page.trail, Page.reading_id).where(Page.job_id == job.id).order_by(Page.number))
        trails = []
        for trail, reading_id in pages.all():
            if trail and trail[-1]["outcome"] == Outcome.CACHED:
                # Who made the reading that was found in the cache ended first of all who have it.
                same = select(Page.trail).where(Page.reading_id == reading_id).order_by(Page.finished_at).limit(1)
                trail = session.scalar(same) or []
            trails.append(trail)
    steps = [step for trail in trails for step in trail if step["outcome"] == Outcome.READ]
    return tuple(dict.fromkeys(note for step in steps for note in step.get("notes", ())))


def _text(block: Block) -> str:
    return (block.markup or block.text).strip()
