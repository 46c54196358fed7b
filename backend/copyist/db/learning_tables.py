"""The tables of what people corrected, and of what was learned from it.

Corrections, decisions and steps are only ever added. Nothing here refers to a job by a foreign key: what was corrected
outlives a job that expires.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from copyist.db.states import ModelStatus, RunStatus
from copyist.db.tables import Base, now, one_of


class Correction(Base):
    """One revision of one line. The last one of a line is its text; the first one's ``before`` is what was read.

    ``page`` counts from 1, ``line`` from 0 in reading order of the page's reading. ``after`` equal to ``before`` says
    that somebody found the line right.
    """

    __tablename__ = "corrections"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str]
    owner: Mapped[str]
    file_sha256: Mapped[str]
    page: Mapped[int]
    line: Mapped[int]
    box: Mapped[list[Any]]
    """``[left, top, right, bottom]`` in pixels of the page as uploaded."""
    before: Mapped[str]
    after: Mapped[str]
    source: Mapped[str]
    """``api``, ``desk``, ``text`` (a corrected text file) or ``page.xml``."""
    author: Mapped[str] = mapped_column(default="")
    parent_id: Mapped[int | None]
    """The revision that this one follows; ``None`` for a line's first."""
    engine: Mapped[str]
    engine_version: Mapped[str]
    confidence: Mapped[float | None]
    """The engine's, of the line as it was read."""
    created_at: Mapped[datetime] = mapped_column(default=now)

    # Without it SQLite gives the id of a revision that went with its job to the next one, which was never learned from.
    __table_args__ = (Index("ix_corrections_line", "job_id", "page", "line", "id"), {"sqlite_autoincrement": True})


class LinePicture(Base):
    """A line that somebody corrected, as the model will see it: cut out by a worker, soon after.

    ``sha256`` is of the PNG under ``storage.line_key``; with neither that nor a ``problem`` it waits to be cut out.
    """

    __tablename__ = "line_pictures"

    job_id: Mapped[str] = mapped_column(primary_key=True)
    page: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    lines_on_page: Mapped[int]
    """How many lines the page's reading has: a page is verified when each of them is."""
    sha256: Mapped[str | None] = mapped_column(index=True)
    page_sha256: Mapped[str | None]
    """Hash of the page's pixels: the same picture in another file is the same page."""
    split: Mapped[str | None]
    """``train``, ``dev`` or ``holdout``: told by ``page_sha256``, written once, never changed."""
    recipe: Mapped[str | None]
    """How lines are found and cut out, with its version."""
    problem: Mapped[str | None]
    """Why there is no picture, in words."""
    attempts: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index(
            "ix_line_pictures_waiting",
            "created_at",
            sqlite_where=text("sha256 IS NULL AND problem IS NULL"),
            postgresql_where=text("sha256 IS NULL AND problem IS NULL"),
        ),
    )


class Dataset(Base):
    """What a run learned from: the manifest lies under ``storage.dataset_key(sha256)``, its own hash."""

    __tablename__ = "datasets"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    counts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


_ACTIVE, _SERVES = text("status IN ('queued', 'running')"), text("status = 'champion'")


class TrainingRun(Base):
    """One training: a row that a trainer claims under a lease. ``kind`` is what is learned: ``handwriting``."""

    __tablename__ = "training_runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[RunStatus] = mapped_column(one_of(RunStatus), default=RunStatus.QUEUED)
    trigger: Mapped[str]
    """``manual``, ``corrections`` (there were enough new ones) or ``nightly``."""
    requested_by: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    sent_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    lease_token: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    last_correction_id: Mapped[int | None]
    """Corrections up to this one are in its dataset; later ones count for the next run."""
    dataset_sha256: Mapped[str | None]
    base: Mapped[str | None]
    base_sha256: Mapped[str | None]
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    code_version: Mapped[str] = mapped_column(default="")
    libraries: Mapped[dict[str, Any]] = mapped_column(default=dict)
    device: Mapped[str | None]
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Where it is: ``phase``, ``step``, ``steps``, ``epoch``, ``loss``, ``dev_cer``, ``paused``."""
    figures: Mapped[dict[str, Any] | None]
    outcome: Mapped[str | None]
    """``promoted``, ``refused`` or ``needs_review``."""
    reason: Mapped[str | None]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    version_id: Mapped[int | None]

    __table_args__ = (
        Index("ux_training_runs_active", "kind", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
        Index("ix_training_runs_created", "created_at", "id"),
    )


class TrainingStep(Base):
    """One step of a run, as it went; ``dev_cer`` stands on the last step of an epoch that was evaluated."""

    __tablename__ = "training_steps"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    loss: Mapped[float]
    learning_rate: Mapped[float]
    dev_cer: Mapped[float | None]
    seconds: Mapped[float]
    at: Mapped[datetime] = mapped_column(default=now)


class ModelVersion(Base):
    """A model that was trained here, with all that it came from. Its id is its number: version 3 is ``v3``."""

    __tablename__ = "model_versions"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[ModelStatus] = mapped_column(one_of(ModelStatus), default=ModelStatus.CHALLENGER)
    run_id: Mapped[str]
    base: Mapped[str]
    base_sha256: Mapped[str]
    dataset_sha256: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    code_version: Mapped[str]
    figures: Mapped[dict[str, Any]]
    files: Mapped[dict[str, Any]]
    """``{name: {"sha256": ..., "size": ...}}`` of what lies under ``storage.model_key(id, name)``."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    promoted_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]
    pruned_at: Mapped[datetime | None]
    """When its files were deleted."""
    replaced_id: Mapped[int | None]
    """Which version it took the place of when it was promoted; ``None``: the base as published."""

    __table_args__ = (
        Index("ux_model_versions_champion", "kind", unique=True, sqlite_where=_SERVES, postgresql_where=_SERVES),
        {"sqlite_autoincrement": True},
    )


class Decision(Base):
    """Who or what decided which model serves, and why: append-only."""

    __tablename__ = "model_decisions"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    action: Mapped[str]
    """``promoted``, ``refused``, ``needs_review`` or ``rolled_back``."""
    version_id: Mapped[int | None]
    """The version that is decided about; of a roll back the one that serves afterwards, ``None`` for the base."""
    from_id: Mapped[int | None]
    """The version that served before."""
    actor: Mapped[str]
    """``gate``, or the name of a person's key."""
    reason: Mapped[str]
    figures: Mapped[dict[str, Any]] = mapped_column(default=dict)
    at: Mapped[datetime] = mapped_column(default=now)


class TrainingPause(Base):
    """While there is a row, no run begins and the one under way stands still."""

    __tablename__ = "training_pauses"

    kind: Mapped[str] = mapped_column(primary_key=True)
    by: Mapped[str]
    at: Mapped[datetime] = mapped_column(default=now)
