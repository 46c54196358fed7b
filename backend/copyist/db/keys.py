"""Keys to the API: made, found by what a client sends, revoked.

A key is 32 random bytes, so nobody can guess it, and nobody could find it from its hash by trying: a plain SHA-256 is
enough. The slow hashes that passwords need protect what people make up; here they would only make every request slow.
A key is looked up by its hash, so how long that takes tells nothing of the key: a wrong one has another hash.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid4

from sqlalchemy import or_, select, tuple_, update
from sqlalchemy.orm import Session

from copyist.db.tables import ApiKey, now
from copyist.errors import NotFound

PREFIX = "ck_"
KEY_BYTES = 32
HINT_LETTERS = 8
USE_NOTED_EVERY = timedelta(minutes=1)


class Scope(StrEnum):
    """What a key is good for."""

    READ = "read"
    """See jobs and results."""
    WRITE = "write"
    """Send files, cancel, retry and delete jobs, set a webhook."""
    CORRECT = "correct"
    """Correct lines."""
    TRAIN = "train"
    """Start trainings, promote and roll back models."""
    ADMIN = "admin"
    """All of that, everybody's jobs, keys and ``/metrics``."""


class Tier(StrEnum):
    """How much a caller may send."""

    ANONYMOUS = "anonymous"
    STANDARD = "standard"
    UNLIMITED = "unlimited"


DEFAULT_SCOPES = (Scope.READ, Scope.WRITE)


def create(
    session: Session,
    *,
    name: str,
    owner: str | None = None,
    scopes: Collection[Scope] = DEFAULT_SCOPES,
    tier: Tier = Tier.STANDARD,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key: its row, and the key itself, which nobody can tell again. Without an ``owner`` it is its own."""
    secret, key_id = PREFIX + secrets.token_urlsafe(KEY_BYTES), str(uuid4())
    key = ApiKey(
        id=key_id,
        hash=hash_of(secret),
        hint=secret[:HINT_LETTERS],
        name=name,
        owner=owner or key_id,
        scopes=sorted(set(scopes)),
        tier=tier.value,
        created_at=now(),
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, secret


def hash_of(secret: str) -> str:
    """What is kept of a key: its SHA-256 in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find(session: Session, key_hash: str) -> ApiKey | None:
    """The key with this hash, also one that has expired or was revoked: see ``objection``."""
    return session.scalar(select(ApiKey).where(ApiKey.hash == key_hash))


def objection(key: ApiKey) -> str | None:
    """Why the key is not good any more, as a sentence; ``None`` while it is."""
    if key.revoked_at is not None:
        return "The one you sent was revoked."
    if key.expires_at is not None and key.expires_at <= now():
        return "The one you sent has expired."
    return None


def get(session: Session, key_id: str) -> ApiKey:
    """The key with this id; raises ``NotFound``."""
    # PostgreSQL refuses a text with a NUL in it.
    key = None if "\0" in key_id else session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(what="key")
    return key


def like(session: Session, id_or_hint: str) -> list[ApiKey]:
    """The keys with this id, or that begin with these letters and are not revoked."""
    by_hint = (ApiKey.hint == id_or_hint) & ApiKey.revoked_at.is_(None)
    return list(session.scalars(select(ApiKey).where(or_(ApiKey.id == id_or_hint, by_hint))))


def newest(session: Session, *, limit: int, before: tuple[datetime, str] | None = None) -> list[ApiKey]:
    """Keys, newest first, from after the position ``before`` (creation time and id of the last one seen)."""
    query = select(ApiKey).order_by(ApiKey.created_at.desc(), ApiKey.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tuple_(ApiKey.created_at, ApiKey.id) < before)
    return list(session.scalars(query))


def revoke(session: Session, key_id: str) -> ApiKey:
    """Let the key be good for nothing from now on; one that is revoked stays as it is. Raises ``NotFound``."""
    key = get(session, key_id)
    key.revoked_at = key.revoked_at or now()
    return key


def note_use(session: Session, key_id: str) -> None:
    """Write down that the key was used, at most once in ``USE_NOTED_EVERY``."""
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now() - USE_NOTED_EVERY)
    session.execute(update(ApiKey).where(ApiKey.id == key_id, stale).values(last_used_at=now()))


def is_use_noted(key: ApiKey) -> bool:
    """Whether its last use was written down a short while ago."""
    return key.last_used_at is not None and key.last_used_at > now() - USE_NOTED_EVERY
