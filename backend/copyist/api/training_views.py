"""Runs, versions and the state of training, as callers see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from copyist.api.callers import Caller
from copyist.api.service import Service
from copyist.api.training_schemas import (
    CountsBody,
    DecisionBody,
    PausedBody,
    RunBody,
    RunError,
    RunLinks,
    ServingBody,
    StatusBody,
    TrainerBody,
    VersionBody,
    VersionLinks,
)
from copyist.db import examples, models, presence, runs, training_plan
from copyist.db.examples import Counts
from copyist.db.learning_tables import Decision, ModelVersion, TrainingRun
from copyist.db.states import RunStatus
from copyist.db.tables import ApiKey, now

PREFIX = "/api/training"
SOMEBODY = "somebody"
"""Whose decision it is where no key was needed."""
LATELY = 20
"""The pace of a run is that of so many of its last steps."""
NO_TRAINER = (
    "No trainer is running, so runs wait. `copyist up` starts one where the extra `training` is installed; elsewhere "
    "start `copyist trainer`."
)


def name_of(session: Session, caller: Caller) -> str:
    """What a caller's decisions are signed with: the owner, or the name of a key that is its own owner."""
    own = session.get(ApiKey, caller.owner) if caller.owner else None
    return own.name if own else caller.owner or SOMEBODY


def rules(service: Service) -> training_plan.Rules:
    """When a run begins by itself, by the settings."""
    found = service.settings
    return training_plan.Rules(
        is_on=found.training != "off",
        retrain_after=found.retrain_after,
        min_lines=found.train_min_lines,
        nightly_at=found.train_at,
    )


def status_body(service: Service, session: Session) -> StatusBody:
    """How it stands with learning."""
    counts, active, paused = examples.counts(session), runs.active(session), runs.paused(session)
    ours, champion, alive = rules(service), models.champion(session), presence.trainer_alive(session)
    last = next(iter(runs.newest(session, 1)), None)
    return StatusBody(
        enabled=ours.is_on,
        trainer=TrainerBody(alive=alive, problem=None if alive or not ours.is_on else NO_TRAINER),
        paused=PausedBody(by=paused.by or SOMEBODY, at=paused.at) if paused else None,
        counts=counts_body(counts),
        needed=ours.retrain_after,
        missing=max(0, ours.retrain_after - counts.new, ours.min_lines - counts.train),
        may_start=ours.is_on and active is None and counts.train >= ours.min_lines,
        next=training_plan.why_not(counts, ours, active=active, paused=paused, last=last),
        nightly_at=ours.nightly_at or None,
        champion=serving_body(champion) if champion else None,
        champion_problem=presence.champion_problem(session) if champion else None,
        challengers=[serving_body(version) for version in models.challengers(session)],
        active_run=run_body(session, active) if active else None,
    )


def counts_body(counts: Counts) -> CountsBody:
    """How much there is to learn from."""
    return CountsBody(**asdict(counts), confirmed=counts.lines - counts.corrected)


def run_body(session: Session, run: TrainingRun) -> RunBody:
    """A run with its progress."""
    same = {
        name: getattr(run, name) for name in RunBody.model_fields if name not in ("eta", "version", "error", "links")
    }
    path = f"{PREFIX}/runs/{run.id}"
    model = None if run.version_id is None else f"{PREFIX}/models/{run.version_id}"
    return RunBody(
        **same,
        eta=_eta(session, run),
        version=run.version_id,
        error=RunError(code=run.error_code, detail=run.error_detail or "") if run.error_code else None,
        links=RunLinks(self=path, steps=f"{path}/steps", model=model),
    )


def _eta(session: Session, run: TrainingRun) -> datetime | None:
    """When all steps will have been made at the pace of the last ones; ``None`` while none are."""
    told = run.progress
    step, steps = told.get("step"), told.get("steps")
    is_stepping = run.status == RunStatus.RUNNING and told.get("phase") == "training" and not told.get("paused")
    if not (is_stepping and isinstance(step, int) and isinstance(steps, int)):
        return None
    lately = [one.seconds for one in runs.steps(session, run.id, after=max(0, step - LATELY), limit=LATELY)]
    if not lately:
        return None
    return now() + timedelta(seconds=max(0, steps - step) * sum(lately) / len(lately))


def serving_body(version: ModelVersion) -> ServingBody:
    """A version in short."""
    return ServingBody(
        version=version.id,
        since=version.promoted_at or version.created_at,
        holdout_cer=models.cer(version, "holdout"),
        general_cer=models.cer(version, "general"),
    )


def version_body(version: ModelVersion) -> VersionBody:
    """A version with all that it came from."""
    return VersionBody(
        version=version.id,
        status=version.status,
        created_at=version.created_at,
        promoted_at=version.promoted_at,
        retired_at=version.retired_at,
        pruned_at=version.pruned_at,
        replaced=version.replaced_id,
        run=version.run_id,
        base=version.base,
        base_sha256=version.base_sha256,
        dataset_sha256=version.dataset_sha256,
        parameters=version.parameters,
        code_version=version.code_version,
        holdout_cer=models.cer(version, "holdout"),
        general_cer=models.cer(version, "general"),
        figures=version.figures,
        files=version.files,
        links=VersionLinks(self=f"{PREFIX}/models/{version.id}", run=f"{PREFIX}/runs/{version.run_id}"),
    )


def decision_bodies(decisions: Sequence[Decision]) -> list[DecisionBody]:
    """Decisions, each with who made it."""
    return [
        DecisionBody(
            id=one.id,
            action=one.action,
            version=one.version_id,
            from_version=one.from_id,
            actor=one.actor,
            reason=one.reason,
            figures=one.figures,
            at=one.at,
        )
        for one in decisions
    ]
