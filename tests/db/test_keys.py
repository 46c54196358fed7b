"""Keys in the database: kept as a hash, good until they expire or are revoked."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from copyist.db import keys
from copyist.db.keys import Scope, Tier
from copyist.db.session import Database
from copyist.db.tables import ApiKey, now
from copyist.errors import NotFound


def make(db: Database, **fields: object) -> tuple[ApiKey, str]:
    with db.write() as session:
        return keys.create(session, name="x", **fields)  # type: ignore[arg-type]


def test_nothing_of_a_key_is_kept_but_its_hash_and_its_first_letters(db: Database) -> None:
    key, secret = make(db)
    assert secret.startswith("ck_") and len(secret) == 46
    with db.read() as session:
        kept = str(session.execute(text("SELECT * FROM api_keys")).all())
        found = keys.find(session, keys.hash_of(secret))
        assert keys.find(session, keys.hash_of(secret[:-1])) is None
    assert secret[9:] not in kept and key.hint == secret[:8]
    assert found is not None
    assert (found.id, found.owner, found.scopes, found.tier) == (key.id, key.id, ["read", "write"], "standard")
    assert make(db)[1] != secret


def test_a_key_may_share_its_owner_and_have_a_tier(db: Database) -> None:
    key, _ = make(db, owner="archive", scopes=[Scope.ADMIN, Scope.READ, Scope.READ], tier=Tier.UNLIMITED)
    assert (key.owner, key.scopes, key.tier) == ("archive", ["admin", "read"], "unlimited")


@pytest.mark.parametrize(("expires", "is_good"), [(None, True), (timedelta(hours=1), True), (-timedelta(1), False)])
def test_a_key_is_good_until_it_expires(db: Database, expires: timedelta | None, is_good: bool) -> None:
    _, secret = make(db, expires_at=now() + expires if expires else None)
    with db.read() as session:
        found = keys.find(session, keys.hash_of(secret))
    assert found is not None
    assert (keys.objection(found) is None) is is_good


def test_revoking_twice_is_revoking_once(db: Database) -> None:
    key, _ = make(db)
    moments: set[datetime | None] = set()
    for _ in range(2):
        with db.write() as session:
            moments.add(keys.revoke(session, key.id).revoked_at)
    assert len(moments) == 1 and None not in moments
    with db.read() as session:
        assert "revoked" in str(keys.objection(keys.get(session, key.id)))
        assert [one.id for one in keys.like(session, key.id)] == [key.id]
        assert keys.like(session, key.hint) == []


@pytest.mark.parametrize("key_id", ["no-such-key", "a\0b", ""])
def test_what_is_no_key_cannot_be_revoked(db: Database, key_id: str) -> None:
    with pytest.raises(NotFound), db.write() as session:
        keys.revoke(session, key_id)


def test_its_use_is_noted_once_a_minute(db: Database) -> None:
    key, _ = make(db)

    def note(moment: datetime | None) -> datetime | None:
        with db.write() as session:
            keys.get(session, key.id).last_used_at = moment
        with db.write() as session:
            keys.note_use(session, key.id)
        with db.read() as session:
            return keys.get(session, key.id).last_used_at

    recent = now() - timedelta(seconds=50)
    assert note(recent) == recent
    for stale in (None, now() - timedelta(seconds=70)):
        noted = note(stale)
        assert noted is not None and noted > recent


def test_keys_are_listed_newest_first_and_from_a_place_on(db: Database) -> None:
    made = [make(db)[0] for _ in range(3)]
    with db.read() as session:
        first = keys.newest(session, limit=2)
        rest = keys.newest(session, limit=2, before=(first[1].created_at, first[1].id))
    assert [key.id for key in (*first, *rest)] == [key.id for key in made[::-1]]
