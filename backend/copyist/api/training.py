"""``/api/training``: how it stands with learning, runs, versions of the model, and who decided which one serves."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from copyist.api import openapi
from copyist.api.callers import Asks, Scope, needs
from copyist.api.cursors import Paging
from copyist.api.problems import InvalidRequest
from copyist.api.service import Here, Service
from copyist.api.training_schemas import (
    CANCELLED,
    QUEUED,
    DecisionList,
    RunBody,
    RunList,
    RunWish,
    Serving,
    StatusBody,
    StepBody,
    StepList,
    VersionBody,
    VersionList,
    VersionWhole,
    Why,
)
from copyist.api.training_views import (
    PREFIX,
    decision_bodies,
    name_of,
    rules,
    run_body,
    serving_body,
    status_body,
    version_body,
)
from copyist.db import examples, models, runs, training_plan
from copyist.db.learning_tables import TrainingRun
from copyist.errors import (
    CannotPromote,
    Forbidden,
    InvalidOption,
    KeyMissing,
    NotFound,
    NothingToRollBack,
    RunActive,
    RunEnded,
    TooFewLines,
    TrainingOff,
    Unavailable,
)

router = APIRouter(prefix=PREFIX, tags=["training"])

REFUSED = (KeyMissing, Forbidden, Unavailable)
WHERE = {"headers": {"Location": openapi.LOCATION["Location"] | {"description": "Where the run is: poll there."}}}
LARGEST = 2**31 - 1
"""The largest number that a database's column holds."""
TOLD = 100
_VERSION = re.compile(r"v?([0-9]{1,10})")

Limit = Annotated[int, Query(ge=1, le=200)]
Before = Annotated[int | None, Query(ge=1, le=LARGEST, description="Go on below this number")]


async def _may_look(caller: Asks) -> None:
    if not (caller.may(Scope.READ) or caller.may(Scope.TRAIN)):
        raise Forbidden(scope=Scope.READ.value)


def _number(version: str) -> int:
    """The number in ``3`` or ``v3``; raises ``NotFound``."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise NotFound(what="version of the model")
    return int(found[1])


# --- how it stands ------------------------------------------------------------------------------------------------


@router.get(
    "", summary="How it stands with learning", dependencies=[Depends(_may_look)], responses=openapi.answers(*REFUSED)
)
def status(here: Here) -> StatusBody:
    """How much was corrected, what serves, and when the next run begins, or why it does not."""
    with here.db.read() as session:
        return status_body(here, session)


@router.post("/pause", summary="Pause training", dependencies=[needs(Scope.TRAIN)], responses=openapi.answers(*REFUSED))
def pause(here: Here, caller: Asks) -> StatusBody:
    """No run begins, and the one under way stands still within seconds, until somebody resumes."""
    with here.db.write() as session:
        runs.pause(session, name_of(session, caller))
        return status_body(here, session)


@router.post(
    "/resume", summary="Go on with training", dependencies=[needs(Scope.TRAIN)], responses=openapi.answers(*REFUSED)
)
def resume(here: Here) -> StatusBody:
    """The run that stood still goes on where it was. Without a pause nothing changes."""
    with here.db.write() as session:
        runs.resume(session)
        waiting = runs.to_send(session, again=False)
        body = status_body(here, session)
    _send(here, waiting)
    return body


def _send(service: Service, run_ids: list[str]) -> None:
    # A message that does not go out is sent by the sweep.
    for run_id in run_ids:
        service.sender.train(run_id)


# --- runs ---------------------------------------------------------------------------------------------------------


@router.post(
    "/runs",
    status_code=202,
    summary="Start a run",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, TrainingOff, RunActive, TooFewLines, InvalidRequest)
    | {202: WHERE | openapi.example(QUEUED)},
)
def start(here: Here, caller: Asks, response: Response, wish: RunWish | None = None) -> RunBody:
    """One runs at a time, on the queue `training`. While training is paused it waits."""
    ours = rules(here)
    if not ours.is_on:
        raise TrainingOff
    parameters = wish.parameters.model_dump(exclude_none=True) if wish else {}
    with here.db.read() as session:
        counts = examples.counts(session)
        if counts.train < ours.min_lines and runs.active(session) is None:
            raise training_plan.too_few(counts, ours.min_lines)
    with here.db.write() as session:
        run = runs.create(session, trigger="manual", requested_by=name_of(session, caller), parameters=parameters)
        body, waiting = run_body(session, run), runs.to_send(session, again=False)
    _send(here, waiting)
    response.headers["Location"] = body.links.self
    return body


@router.get(
    "/runs",
    summary="List runs, newest first",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, InvalidOption, InvalidRequest),
)
def newest(here: Here, paging: Paging) -> RunList:
    """Pages by cursor: pass `next_cursor` back until it is null, or follow `Link`."""
    last = TrainingRun(created_at=paging.before[0], id=paging.before[1]) if paging.before else None
    with here.db.read() as session:
        some, following = paging.cut(runs.newest(session, paging.limit, last))
        return RunList(runs=[run_body(session, run) for run in some], next_cursor=following)


@router.get(
    "/runs/{run_id}",
    summary="Look at a run",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, NotFound),
)
def one(here: Here, run_id: str) -> RunBody:
    """Where it is, what came of it and why, or why it failed."""
    with here.db.read() as session:
        return run_body(session, runs.get(session, run_id))


@router.get(
    "/runs/{run_id}/steps",
    summary="The steps of a run, as they went",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, NotFound, InvalidRequest),
)
def steps(
    here: Here,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=LARGEST, description="Steps after this one")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> StepList:
    """Loss and learning rate of each step, and the error rate on the dev lines at the end of each epoch."""
    with here.db.read() as session:
        found = runs.steps(session, runs.get(session, run_id).id, after=after, limit=limit + 1)
    some = [StepBody.model_validate(step, from_attributes=True) for step in found[:limit]]
    return StepList(steps=some, next_after=some[-1].step if len(found) > limit else None)


@router.delete(
    "/runs/{run_id}",
    status_code=202,
    summary="Cancel a run",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, NotFound, RunEnded) | {202: openapi.example(CANCELLED)},
)
def cancel(here: Here, run_id: str) -> RunBody:
    """One that waits is cancelled at once; one that is under way is stopped within seconds. The champion serves on."""
    with here.db.write() as session:
        return run_body(session, runs.cancel(session, run_id))


# --- versions of the model ----------------------------------------------------------------------------------------


@router.get(
    "/models",
    summary="List versions of the model, newest first",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, InvalidRequest),
)
def versions(here: Here, limit: Limit = 50, before: Before = None) -> VersionList:
    """Those whose files were deleted, too. The base as published is none of them."""
    with here.db.read() as session:
        found = models.newest(session, limit=limit + 1, before=before)
    some = [version_body(version) for version in found[:limit]]
    return VersionList(models=some, next_before=some[-1].version if len(found) > limit else None)


@router.get(
    "/models/{version}",
    summary="Look at a version of the model",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, NotFound),
)
def version_of(here: Here, version: str) -> VersionWhole:
    """Where it came from, its figures, and what was decided about it. `3` and `v3` are the same."""
    with here.db.read() as session:
        found = models.get(session, _number(version))
        decided = decision_bodies(models.decisions(session, version=found.id, limit=TOLD))
    return VersionWhole(**version_body(found).model_dump(), decisions=decided)


@router.post(
    "/models/{version}/promote",
    summary="Let a version serve",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, NotFound, CannotPromote, InvalidRequest),
)
def promote(here: Here, caller: Asks, version: str, why: Why | None = None) -> VersionBody:
    """Whatever the gate said. Workers take it up between two pages; the one before is kept for a roll back."""
    reason = (why and why.reason) or "Promoted by hand."
    with here.db.write() as session:
        actor = name_of(session, caller)
        return version_body(models.promote(session, _number(version), actor=actor, reason=reason))


@router.post(
    "/rollback",
    summary="Let the version before serve again",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, NothingToRollBack, InvalidRequest),
)
def roll_back(here: Here, caller: Asks, why: Why | None = None) -> Serving:
    """The one that the champion took the place of, or, before the first, the base. Nothing is trained anew."""
    reason = (why and why.reason) or "Rolled back by hand."
    with here.db.write() as session:
        serves = models.roll_back(session, actor=name_of(session, caller), reason=reason)
        return Serving(champion=serving_body(serves) if serves else None)


@router.get(
    "/decisions",
    summary="Who decided which version serves",
    dependencies=[needs(Scope.TRAIN)],
    responses=openapi.answers(*REFUSED, InvalidRequest),
)
def decisions(here: Here, limit: Limit = 50, before: Before = None) -> DecisionList:
    """Promotions, refusals and roll backs, by the gate and by people, newest first; none is ever changed."""
    with here.db.read() as session:
        found = decision_bodies(models.decisions(session, limit=limit + 1, before=before))
    return DecisionList(decisions=found[:limit], next_before=found[limit - 1].id if len(found) > limit else None)
