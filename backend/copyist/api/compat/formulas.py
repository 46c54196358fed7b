"""What the services for formulas share: who can read one here, and the LaTeX of what was read.

A text that no engine for formulas made is never given out as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from copyist import errors
from copyist.api.callers import Caller
from copyist.api.results import read_document
from copyist.api.schemas import JobBody
from copyist.api.service import Service
from copyist.api.uploads import Form
from copyist.document import Block, BlockKind, Mode, TextPolicy
from copyist.errors import NoFormulaEngine
from copyist.queue.routing import Priority

DOTS = "dots"
"""Reads documents, and the formulas in them as LaTeX."""

FAILURES = (
    errors.NoPageRead,
    errors.NoResult,
    errors.StillReading,
    errors.OnlyPlaceholder,
    errors.NoFormulaEngine,
    errors.Unavailable,
)
"""What may come of waiting for a formula."""


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


def latex(service: Service, caller: Caller, job: JobBody) -> str:
    """The LaTeX of a job that was made with ``form``, a formula a line; empty where nothing stood.

    Raises ``NoFormulaEngine`` where it was read by an engine that knows no formulas, the others having failed.
    """
    document = read_document(service, caller, job.id)
    # In the mode for formulas nobody else is asked; among engines for documents it may have been anybody.
    if job.options.mode is not Mode.FORMULA and any(page.engine != DOTS for page in document.pages):
        raise NoFormulaEngine
    blocks = [block for page in document.pages for block in page.blocks]
    formulas = [block for block in blocks if block.kind is BlockKind.FORMULA]
    return "\n".join(text for block in formulas or blocks if (text := _text(block)))


def confidence(job: JobBody) -> float | None:
    """How sure the engine is, 0 to 1 with four places, as the old services have it."""
    return None if job.confidence is None else round(job.confidence, 4)


def _text(block: Block) -> str:
    return (block.markup or block.text).strip()
