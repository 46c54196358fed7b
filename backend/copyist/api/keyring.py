"""The keys that were sent to this process lately, so that not every request asks the database for its key."""

from __future__ import annotations

import logging
import time

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.concurrency import run_in_threadpool

from copyist.db import keys
from copyist.db.session import Database
from copyist.db.tables import ApiKey
from copyist.errors import KeyMissing, Unavailable

log = logging.getLogger(__name__)


class Keyring:
    """Keys by their hashes. Only good ones are remembered, so guesses fill no memory."""

    FRESH_S = 3.0
    """So long a key is believed: one that is revoked elsewhere opens nothing after that."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, tuple[float, ApiKey]] = {}

    async def key(self, secret: str) -> ApiKey:
        """The key that was sent. Raises ``KeyMissing`` if it is not good, ``Unavailable`` while nobody can tell."""
        key_hash = keys.hash_of(secret)
        until, key = self._known.get(key_hash, (0.0, None))
        if key is None or until < time.monotonic():
            key = await run_in_threadpool(self._look, key_hash)
        if why := keys.objection(key):
            raise KeyMissing(why=why)
        return key

    def forget(self, key_id: str) -> None:
        """Ask the database again for this key."""
        self._known = {key_hash: one for key_hash, one in self._known.items() if one[1].id != key_id}

    def _look(self, key_hash: str) -> ApiKey:
        try:
            with self._db.read() as session:
                key = keys.find(session, key_hash)
        except (DBAPIError, NoConnectionFree) as error:
            raise Unavailable(what="The database") from error
        if key is None:
            raise KeyMissing(why="The one you sent is not known.")
        if keys.objection(key) is None:
            moment = time.monotonic()
            fresh = {other: one for other, one in self._known.items() if one[0] >= moment}
            self._known = fresh | {key_hash: (moment + self.FRESH_S, key)}
            self._note_use(key)
        return key

    def _note_use(self, key: ApiKey) -> None:
        if keys.is_use_noted(key):
            return
        try:
            with self._db.write() as session:
                keys.note_use(session, key.id)
        except (DBAPIError, NoConnectionFree) as error:
            log.warning("the use of the key %s was not noted: %s", key.hint, type(error).__name__)
