"""What is asked and answered about training: its state, runs, versions of the model and decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from copyist.api.schemas import NO_NUL, shown
from copyist.db.states import ModelStatus, RunStatus

_RUN_ID = "9f2d7c1e-4f0a-4a57-8a3d-1d5a4f0f9c22"
_FIGURES: dict[str, Any] = {
    "holdout": {"champion": 0.084, "challenger": 0.031, "change": -0.053, "worst": -0.037, "pages": 14, "lines": 212},
    "general": {"champion": 0.041, "challenger": 0.042, "change": 0.001, "worst": 0.003, "pages": 24, "lines": 200},
}
_REASON = (
    "It reads this handwriting better and has not forgotten others. On 14 held-out pages (212 lines) it makes 3.1 % "
    "errors in place of 8.4 %."
)
DECISION: dict[str, Any] = {
    "id": 5,
    "action": "promoted",
    "version": 3,
    "from_version": 2,
    "actor": "gate",
    "reason": _REASON,
    "figures": _FIGURES,
    "at": "2026-03-01T02:31:07Z",
}
VERSION: dict[str, Any] = {
    "version": 3,
    "status": "champion",
    "created_at": "2026-03-01T02:31:07Z",
    "promoted_at": "2026-03-01T02:31:07Z",
    "retired_at": None,
    "pruned_at": None,
    "replaced": 2,
    "run": _RUN_ID,
    "base": "trocr-small-handwritten",
    "base_sha256": "5e" * 32,
    "dataset_sha256": "d1" * 32,
    "parameters": {"rank": 16, "epochs": 10, "learning_rate": 0.0001},
    "code_version": "0.1.0",
    "holdout_cer": 0.031,
    "general_cer": 0.042,
    "figures": _FIGURES,
    "files": {"model.safetensors": {"sha256": "a7" * 32, "size": 246430696}},
    "links": {"self": "/api/training/models/3", "run": f"/api/training/runs/{_RUN_ID}"},
}
RUN: dict[str, Any] = {
    "id": _RUN_ID,
    "status": "completed",
    "trigger": "corrections",
    "requested_by": "",
    "created_at": "2026-03-01T02:00:03Z",
    "started_at": "2026-03-01T02:00:05Z",
    "finished_at": "2026-03-01T02:31:07Z",
    "attempts": 1,
    "cancel_asked": False,
    "progress": {"phase": "general", "step": 300, "steps": 300, "epoch": 10, "loss": 0.21, "dev_cer": 0.034},
    "eta": None,
    "dataset_sha256": "d1" * 32,
    "base": "trocr-small-handwritten",
    "base_sha256": "5e" * 32,
    "parameters": {"epochs": 10},
    "code_version": "0.1.0",
    "libraries": {"torch": "2.13.0"},
    "device": "cpu",
    "outcome": "promoted",
    "reason": _REASON,
    "figures": _FIGURES,
    "version": 3,
    "error": None,
    "links": {
        "self": f"/api/training/runs/{_RUN_ID}",
        "steps": f"/api/training/runs/{_RUN_ID}/steps",
        "model": "/api/training/models/3",
    },
}
_OPEN = {"finished_at": None, "outcome": None, "reason": None, "figures": None, "version": None}
_OPEN_LINKS = {"links": RUN["links"] | {"model": None}}
RUNNING: dict[str, Any] = (
    RUN
    | _OPEN
    | _OPEN_LINKS
    | {
        "status": "running",
        "progress": {"phase": "training", "step": 40, "steps": 300, "epoch": 2, "loss": 1.03},
        "eta": "2026-03-01T02:29:00Z",
    }
)
QUEUED: dict[str, Any] = RUNNING | {
    "status": "queued",
    "trigger": "manual",
    "requested_by": "the front desk",
    "started_at": None,
    "attempts": 0,
    "progress": {},
    "eta": None,
    "dataset_sha256": None,
    "base": None,
    "base_sha256": None,
    "code_version": "",
    "libraries": {},
    "device": None,
}
CANCELLED: dict[str, Any] = QUEUED | {
    "status": "cancelled",
    "cancel_asked": True,
    "finished_at": "2026-03-01T02:00:04Z",
}
STEP: dict[str, Any] = {
    "step": 40,
    "epoch": 2,
    "loss": 1.03,
    "learning_rate": 0.0001,
    "dev_cer": None,
    "seconds": 2.9,
    "at": "2026-03-01T02:02:11Z",
}
STATUS: dict[str, Any] = {
    "enabled": True,
    "trainer": {"alive": True, "problem": None},
    "paused": None,
    "counts": {
        "lines": 412,
        "corrected": 168,
        "confirmed": 244,
        "train": 301,
        "dev": 41,
        "holdout_pages": 4,
        "holdout_pages_partial": 1,
        "waiting": 0,
        "with_problem": 2,
        "new": 37,
    },
    "needed": 50,
    "missing": 13,
    "may_start": True,
    "next": "37 lines are new since the last run; the next begins with 50, or one at 02:00.",
    "nightly_at": "02:00",
    "champion": {"version": 3, "since": "2026-03-01T02:31:07Z", "holdout_cer": 0.031, "general_cer": 0.042},
    "champion_problem": None,
    "challengers": [],
    "active_run": None,
}


class Wish(BaseModel):
    """How to train, where that is to be other than the settings say."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"epochs": 5}]})

    epochs: int | None = Field(default=None, ge=1, le=1000)
    patience: int | None = Field(
        default=None, ge=1, le=1000, description="Epochs without a better dev CER until it ends"
    )
    batch: int | None = Field(default=None, ge=1, le=256)
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    weight_decay: float | None = Field(default=None, ge=0, le=1)
    warmup: float | None = Field(default=None, ge=0, le=1)
    rank: int | None = Field(default=None, ge=1, le=512)
    alpha: int | None = Field(default=None, ge=1, le=1024)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    encoder_layers: int | None = Field(default=None, ge=0, le=100, description="Of the encoder's last; 0: all")
    blend: float | None = Field(default=None, gt=0, le=1, description="How far from the base to what was trained")
    variants: int | None = Field(default=None, ge=0, le=100, description="How many ways each line is shown in")
    replay: float | None = Field(default=None, ge=0, le=0.9, description="Share of general lines, against forgetting")
    seed: int | None = Field(default=None, ge=0, le=2**31 - 1)


class RunWish(BaseModel):
    """A run to be made."""

    model_config = shown({"parameters": {"epochs": 5}}, {})

    parameters: Wish = Field(default_factory=Wish)


class Why(BaseModel):
    """Why somebody decides so; it is kept with the decision."""

    model_config = shown({"reason": "Version 3 misreads the new forms."})

    reason: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        default="", max_length=2000, pattern=NO_NUL
    )


class TrainerBody(BaseModel):
    """Whether somebody is there to do a run."""

    alive: bool
    problem: str | None = Field(description="What to do where there is none.")


class PausedBody(BaseModel):
    """Who paused training, and when."""

    by: str
    at: datetime


class CountsBody(BaseModel):
    """How much there is to learn from."""

    lines: int = Field(description="Lines that somebody corrected or found right.")
    corrected: int
    confirmed: int
    train: int = Field(description="Lines that a run would learn from.")
    dev: int = Field(description="Lines that tell a run when to end.")
    holdout_pages: int = Field(description="Pages that models are examined on: all of their lines are verified.")
    holdout_pages_partial: int = Field(description="Pages held out that lack some lines.")
    waiting: int = Field(description="Lines that wait to be cut out of their pages.")
    with_problem: int = Field(description="Lines of which there is no picture.")
    new: int = Field(description="Lines that no run has seen.")


class ServingBody(BaseModel):
    """A version in short. Error rates (CER, 0 to 1) are those it was judged by; null where nobody knows them."""

    version: int
    since: datetime = Field(description="When it began to serve, or, of a challenger, when it was made.")
    holdout_cer: float | None = Field(description="On pages of this hand that it never saw.")
    general_cer: float | None = Field(description="On other hands.")


class DecisionBody(BaseModel):
    """Who or what decided which version serves, and why."""

    model_config = shown(DECISION)

    id: int
    action: str = Field(examples=["promoted", "refused", "needs_review", "rolled_back"])
    version: int | None = Field(description="Of a roll back the one that serves afterwards; null: the base.")
    from_version: int | None = Field(description="The one that served before; null: the base.")
    actor: str = Field(description="`gate`, or who asked for it.")
    reason: str
    figures: dict[str, Any]
    at: datetime


class DecisionList(BaseModel):
    """Some decisions, newest first; ask again with ``before=next_before`` for more."""

    model_config = shown({"decisions": [DECISION], "next_before": None})

    decisions: list[DecisionBody]
    next_before: int | None


class VersionLinks(BaseModel):
    """Where to go from a version."""

    self: str
    run: str


class VersionBody(BaseModel):
    """A version of the model, with all that it came from."""

    model_config = shown(VERSION)

    version: int
    status: ModelStatus
    created_at: datetime
    promoted_at: datetime | None = Field(description="When it began to serve, the last time.")
    retired_at: datetime | None
    pruned_at: datetime | None = Field(description="When its files were deleted: it cannot serve again.")
    replaced: int | None = Field(description="The version that a roll back from it leads to; null: the base.")
    run: str
    base: str
    base_sha256: str
    dataset_sha256: str
    parameters: dict[str, Any]
    code_version: str
    holdout_cer: float | None
    general_cer: float | None
    figures: dict[str, Any]
    files: dict[str, Any]
    links: VersionLinks


class VersionWhole(VersionBody):
    """A version, and what was decided about it."""

    model_config = shown(VERSION | {"decisions": [DECISION]})

    decisions: list[DecisionBody] = Field(description="The last 100, newest first.")


class VersionList(BaseModel):
    """Some versions, newest first; ask again with ``before=next_before`` for more."""

    model_config = shown({"models": [VERSION], "next_before": None})

    models: list[VersionBody]
    next_before: int | None


class Serving(BaseModel):
    """What serves from now on."""

    model_config = shown({"champion": STATUS["champion"]}, {"champion": None})

    champion: ServingBody | None = Field(description="Null: the base, as published.")


class RunError(BaseModel):
    """Why a run failed."""

    code: str
    detail: str


class RunLinks(BaseModel):
    """Where to go from a run."""

    self: str
    steps: str
    model: str | None


class RunBody(BaseModel):
    """A run of training."""

    model_config = shown(RUN, RUNNING)

    id: str
    status: RunStatus
    trigger: str = Field(examples=["manual", "corrections", "nightly"])
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    cancel_asked: bool
    progress: dict[str, Any] = Field(description="`phase`, `step` of `steps`, `epoch`, `loss`, `dev_cer`, `paused`.")
    eta: datetime | None = Field(description="When its last step will have been made, if it does not end early.")
    dataset_sha256: str | None
    base: str | None
    base_sha256: str | None
    parameters: dict[str, Any]
    code_version: str
    libraries: dict[str, Any]
    device: str | None
    outcome: str | None = Field(examples=["promoted", "refused", "needs_review"])
    reason: str | None
    figures: dict[str, Any] | None
    version: int | None = Field(description="The version that came of it.")
    error: RunError | None
    links: RunLinks


class RunList(BaseModel):
    """Some runs, newest first; ask again with ``cursor=next_cursor`` for more."""

    model_config = shown({"runs": [RUN], "next_cursor": None})

    runs: list[RunBody]
    next_cursor: str | None


class StepBody(BaseModel):
    """One step of a run."""

    step: int
    epoch: int
    loss: float
    learning_rate: float
    dev_cer: float | None = Field(description="On the last step of an epoch.")
    seconds: float
    at: datetime


class StepList(BaseModel):
    """Some steps, in order; ask again with ``after=next_after`` for more, until it is null."""

    model_config = shown({"steps": [STEP], "next_after": None})

    steps: list[StepBody]
    next_after: int | None


class StatusBody(BaseModel):
    """How it stands with learning."""

    model_config = shown(STATUS, STATUS | {"active_run": RUNNING, "may_start": False})

    enabled: bool = Field(description="Whether the setting TRAINING lets it learn.")
    trainer: TrainerBody
    paused: PausedBody | None
    counts: CountsBody
    needed: int = Field(description="A run begins by itself after so many new lines.")
    missing: int = Field(description="So many lines are missing until then.")
    may_start: bool = Field(description="Whether a run that is asked for now would be taken.")
    next: str | None = Field(description="Why no run begins by itself just now; null: one is about to.")
    nightly_at: str | None = Field(description="When one begins each night if anything is new; null: never.")
    champion: ServingBody | None = Field(description="What reads handwriting; null: the base, as published.")
    champion_problem: str | None = Field(
        description="Why a worker does not read with it, in a sentence; null where all do."
    )
    challengers: list[ServingBody] = Field(description="Versions that wait for a person to decide.")
    active_run: RunBody | None
