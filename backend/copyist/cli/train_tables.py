"""What ``copyist train`` shows: how it stands, runs, and versions of the model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from copyist.db import models, training_plan
from copyist.db.examples import Counts
from copyist.db.learning_tables import ModelVersion, TrainingPause, TrainingRun
from copyist.db.states import RUN_OPEN, ModelStatus, RunStatus
from copyist.db.training_plan import Rules

_PLAIN_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""
_COLOURS: dict[str, str] = {
    RunStatus.FAILED: "red",
    RunStatus.COMPLETED: "green",
    RunStatus.RUNNING: "cyan",
    ModelStatus.CHAMPION: "green",
    ModelStatus.CHALLENGER: "cyan",
}


def show(table: Table) -> None:
    """Print a table to the standard output."""
    console = Console()
    (console if console.is_terminal else Console(width=_PLAIN_WIDTH)).print(table)


def status_table(
    rules: Rules,
    counts: Counts,
    *,
    champion: ModelVersion | None,
    challengers: Sequence[ModelVersion],
    active: TrainingRun | None,
    paused: TrainingPause | None,
    trainer_alive: bool,
    last: TrainingRun | None,
    champion_problem: str | None,
) -> Table:
    """How it stands with learning."""
    serves = "the base, as published"
    if champion:
        serves = f"version {champion.id} since {_minute(champion.promoted_at)}, {_rates(champion)}"
    found = (
        f"{counts.train} to learn from, {counts.dev} to tell when to end, "
        f"{counts.holdout_pages} pages to examine models on ({counts.holdout_pages_partial} more lack lines)"
    )
    rows = {
        "reads handwriting": serves,
        "lines": f"{counts.corrected} corrected, {counts.lines - counts.corrected} found right",
        "of these": found,
        "not yet": f"{counts.waiting} wait to be cut out of their pages, {counts.with_problem} have no picture",
        "new": f"{counts.new} of {rules.retrain_after}",
        "run": run_in_words(active) if active else "none",
        "next": training_plan.why_not(counts, rules, active=active, paused=paused, last=last)
        or "A run is about to begin.",
        "trainer": "alive" if trainer_alive else "none; start `copyist trainer`",
    }
    if champion and champion_problem:
        rows["but"] = champion_problem
    if challengers:
        names = ", ".join(f"version {version.id} ({_rates(version)})" for version in challengers)
        rows["to be decided"] = f"{names}: `copyist train promote VERSION`"
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    for name, words in rows.items():
        table.add_row(name, escape(words))
    return table


def run_table(runs: Sequence[TrainingRun]) -> Table:
    """Runs, newest first."""
    table = _table("asked for", "by", "status", "what came of it")
    table.add_column("id", no_wrap=True)
    for run in runs:
        by = run.requested_by or run.trigger
        table.add_row(_minute(run.created_at), escape(by), _state(run.status), escape(result_of(run)), run.id)
    return table


def model_table(versions: Sequence[ModelVersion]) -> Table:
    """Versions of the model, newest first."""
    table = _table("version", "status", "made", "served from", "wrong characters", "base")
    table.add_column("run", no_wrap=True)
    for version in versions:
        gone = " (files deleted)" if version.pruned_at else ""
        cells = (_minute(version.created_at), _minute(version.promoted_at), _rates(version), escape(version.base))
        table.add_row(str(version.id), _state(version.status) + gone, *cells, version.run_id)
    return table


def run_in_words(run: TrainingRun) -> str:
    """Where a run is, in a few words."""
    told = run.progress
    if run.cancel_asked:
        return f"{run.id} is being cancelled"
    if run.status == RunStatus.QUEUED or not told.get("phase"):
        return f"{run.id} is {run.status}"
    steps = f", step {told['step']} of {told['steps']}" if told.get("step") and told.get("steps") else ""
    stands = f", stands still ({told['paused'].rstrip('.')})" if told.get("paused") else ""
    return f"{run.id} is {run.status}: {told['phase']}{steps}{stands}"


def result_of(run: TrainingRun) -> str:
    """What came of a run, or where it is."""
    if run.error_detail:
        return run.error_detail
    version = f"version {run.version_id} " if run.version_id else ""
    outcome = (run.outcome or "").replace("_", " ")
    if run.reason:
        return f"{version}{outcome}: {run.reason}"
    return str(run.progress.get("phase", "")) if run.status in RUN_OPEN else ""


def _rates(version: ModelVersion) -> str:
    rates = {"held-out pages": models.cer(version, "holdout"), "other hands": models.cer(version, "general")}
    known = [f"{100 * rate:.1f} % on {where}" for where, rate in rates.items() if rate is not None]
    return ", ".join(known) or "not examined"


def _table(*columns: str) -> Table:
    return Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)


def _state(status: str) -> str:
    colour = _COLOURS.get(status)
    return f"[{colour}]{status}[/]" if colour else str(status)


def _minute(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}" if moment else "never"
