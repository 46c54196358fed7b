"""The tables. Times are UTC; JSON columns hold plain lists and objects."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Enum, ForeignKey, Index, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from copyist.db.states import JobStatus, PageStatus


def now() -> datetime:
    """The present moment, UTC."""
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment that comes back with its time zone from SQLite, too."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give UTC back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def one_of(states: type[StrEnum]) -> Enum:
    """A column for the words of ``states``, kept as text so that a new state needs no change of a database type."""
    return Enum(states, native_enum=False, length=16, values_callable=lambda kind: [state.value for state in kind])


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {datetime: UTCDateTime, dict[str, Any]: JSON, list[Any]: JSON, str: Text}  # noqa: RUF012


class File(Base):
    """The bytes of uploads, kept once per SHA-256 (the bytes themselves are in the blob store)."""

    __tablename__ = "files"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Job(Base):
    """One upload to be read. ``pages_total`` is unknown (``None``) until intake has looked into the file."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[JobStatus] = mapped_column(one_of(JobStatus), default=JobStatus.PENDING)
    filename: Mapped[str]
    file_sha256: Mapped[str] = mapped_column(ForeignKey("files.sha256"), index=True)
    options: Mapped[dict[str, Any]]
    # "metadata" is taken by SQLAlchemy.
    labels: Mapped[dict[str, Any]] = mapped_column("metadata")
    priority: Mapped[int]
    queue: Mapped[str]
    home_queue: Mapped[str] = mapped_column(server_default="")
    """Where its pages belong; ``queue`` differs while nobody serves that."""
    pages_total: Mapped[int | None]
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    lease_token: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    owner: Mapped[str] = mapped_column(default="", server_default="")
    """Whose it is; empty where no key was needed."""
    batch_id: Mapped[str | None]
    callback_url: Mapped[str | None]
    keep_days: Mapped[float | None]
    """Instead of ``KEEP_JOBS_DAYS``; 0 keeps it until somebody deletes it."""
    delete_at: Mapped[datetime | None] = mapped_column(index=True)
    """When ``keep_days`` are over, once it has ended."""
    deadline: Mapped[datetime | None]
    """Its pages that are not read by then are given up."""
    traceparent: Mapped[str | None]
    """The trace that it was uploaded in (W3C): whoever works on it, whenever, goes on with that."""
    changes: Mapped[int] = mapped_column(default=0, server_default="0")
    """Goes up by one with each page that is settled and each change of its status, under the lock of this row."""

    __table_args__ = (
        Index("ix_jobs_status_sent", "status", "sent_at"),
        Index("ix_jobs_created", "created_at", "id"),
        Index("ix_jobs_owner_created", "owner", "created_at", "id"),
        Index("ix_jobs_batch", "batch_id", "created_at", "id"),
        # Each job that is shown asks how many wait before it.
        Index("ix_jobs_waiting", "status", "queue", "priority", "created_at"),
    )


class Page(Base):
    """One page of a job: the unit of work, of retry, of progress."""

    __tablename__ = "pages"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[PageStatus] = mapped_column(one_of(PageStatus), default=PageStatus.PENDING)
    reading_id: Mapped[int | None] = mapped_column(ForeignKey("readings.id"), index=True)
    trail: Mapped[list[Any]] = mapped_column(default=list)
    engine_running: Mapped[str | None]
    degraded: Mapped[bool] = mapped_column(default=False)
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    lease_token: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    change: Mapped[int | None]
    """Which change of its job (``Job.changes``) settled it."""

    __table_args__ = (
        Index("ix_pages_job_status", "job_id", "status", "number"),
        Index("ix_pages_status_lease", "status", "lease_until"),
    )


class Reading(Base):
    """What one engine made of one page. ``cache_key`` is set on readings that may be used again."""

    __tablename__ = "readings"

    id: Mapped[int] = mapped_column(primary_key=True)
    cache_key: Mapped[str | None] = mapped_column(unique=True)
    engine: Mapped[str]
    engine_version: Mapped[str]
    confidence: Mapped[float | None]
    page: Mapped[str]
    """The ``document.Page`` as JSON."""
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Worker(Base):
    """A worker that has shown itself: what it serves, and which engines it has."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    queues: Mapped[list[Any]]
    concurrency: Mapped[int]
    engines: Mapped[dict[str, Any]]
    seen_at: Mapped[datetime] = mapped_column(default=now)


class Lock(Base):
    """A named lease, so that one process at a time does a thing."""

    __tablename__ = "locks"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    until: Mapped[datetime]


class ApiKey(Base):
    """A key to the API. The key itself is shown once, when it is made; here is its hash."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]
    """The first letters of the key, for people to tell their keys apart."""
    name: Mapped[str]
    owner: Mapped[str] = mapped_column(index=True)
    """Jobs belong to owners; several keys may have the same one, so that a key can be replaced."""
    scopes: Mapped[list[Any]]
    tier: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Batch(Base):
    """Several files that were sent together: its jobs point here. ``refused`` lists the files that became no job."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    labels: Mapped[dict[str, Any]] = mapped_column("metadata")
    refused: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_batches_owner_created", "owner", "created_at", "id"),)


class IdempotencyKey(Base):
    """A request that is not to be done twice, and the id of what it makes; ``done`` is false while it is under way."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    resource: Mapped[str]
    done: Mapped[bool] = mapped_column(default=False)
    until: Mapped[datetime] = mapped_column(index=True)


class GoneJob(Base):
    """A job that expired: its id is remembered for a while, so that whoever asks is told so."""

    __tablename__ = "gone_jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    gone_at: Mapped[datetime] = mapped_column(default=now, index=True)


class Webhook(Base):
    """Where an owner wants to be told of all jobs, and the secret that all deliveries to the owner are signed with."""

    __tablename__ = "webhooks"

    owner: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str | None]
    secret: Mapped[str]
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class Delivery(Base):
    """One message of a webhook: its row is its place in the queue, and what became of it."""

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(index=True)
    url: Mapped[str]
    event: Mapped[str]
    payload: Mapped[str]
    """The body as it is sent and signed, the same with every attempt."""
    status: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime | None]
    lease_token: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    response_status: Mapped[int | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    delivered_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_deliveries_status_next", "status", "next_at"),
        Index("ix_deliveries_owner_created", "owner", "created_at", "id"),
        Index("ix_deliveries_created", "created_at", "id"),
    )
