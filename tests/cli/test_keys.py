"""``copyist keys``: the key alone on the standard output, everything else beside it."""

from __future__ import annotations

import os
from datetime import timedelta

from copyist.db import keys, migrate
from copyist.db.session import Database
from tests.cli.conftest import Run


def test_a_key_is_made_shown_and_revoked(copyist: Run, sqlite_url: str) -> None:
    arguments = ("the [scanner]", "--owner", "archive", "--scope", "read", "--scope", "train", "--days", "3")
    made = copyist("keys", "create", *arguments, DATABASE_URL=sqlite_url)
    secret = made.stdout.removesuffix("\n")
    assert made.returncode == 0 and secret.startswith("ck_") and "\n" not in secret
    assert "archive" in made.stderr and secret not in made.stderr
    database = Database(sqlite_url)
    with database.read() as session:
        key = keys.find(session, keys.hash_of(secret))
    assert key is not None and key.expires_at is not None
    days = (key.expires_at - key.created_at) / timedelta(days=1)
    assert (key.owner, key.scopes, round(days)) == ("archive", ["read", "train"], 3)

    assert copyist("keys", "revoke", key.hint, DATABASE_URL=sqlite_url).returncode == 0
    with database.read() as session:
        assert keys.get(session, key.id).revoked_at is not None
    database.close()
    listed = copyist("keys", "list", DATABASE_URL=sqlite_url).stdout
    assert "the [scanner]" in listed and key.id in listed and "revoked" in listed
    assert secret not in listed


def test_what_names_no_key_or_several_revokes_none(copyist: Run, sqlite_url: str) -> None:
    none = copyist("keys", "revoke", "ck_nonon", DATABASE_URL=sqlite_url)
    assert none.returncode == 1 and "no such key" in none.stderr
    migrate.upgrade(sqlite_url)
    database = Database(sqlite_url)
    with database.write() as session:
        made = [keys.create(session, name=name)[0] for name in "ab"]
        for key in made:
            key.hint = "ck_alike"
    several = copyist("keys", "revoke", "ck_alike", DATABASE_URL=sqlite_url)
    assert several.returncode == 1 and all(key.id in several.stderr for key in made)
    with database.read() as session:
        assert [keys.get(session, key.id).revoked_at for key in made] == [None, None]
    database.close()


def test_a_tier_that_no_key_has_makes_none(copyist: Run, sqlite_url: str) -> None:
    done = copyist("keys", "create", "x", "--tier", "anonymous", DATABASE_URL=sqlite_url)
    assert (done.returncode, done.stdout) == (os.EX_USAGE, "")


def test_a_database_that_cannot_be_is_a_sentence(copyist: Run) -> None:
    done = copyist("keys", "list", DATABASE_URL="nonsense")
    assert (done.returncode, done.stdout) == (os.EX_CONFIG, "")
    assert "DATABASE_URL" in done.stderr and "Traceback" not in done.stderr
