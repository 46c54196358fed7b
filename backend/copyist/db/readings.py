"""Readings, and the cache that is made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from copyist import document
from copyist.db.insert import insert
from copyist.db.tables import Page, Reading


def store(session: Session, page: document.Page, cache_key: str | None) -> int:
    """Keep a reading and give its id. Two workers that made the same one at once end up sharing the first."""
    values = {
        "cache_key": cache_key,
        "engine": page.engine,
        "engine_version": page.engine_version,
        "confidence": page.confidence,
        "page": page.model_dump_json(),
        "text": page.text,
    }
    statement = insert(session, Reading).values(**values)
    if cache_key is not None:
        statement = statement.on_conflict_do_nothing(index_elements=[Reading.cache_key])
    made = session.scalar(statement.returning(Reading.id))
    if made is None:
        made = session.scalar(select(Reading.id).where(Reading.cache_key == cache_key))
    assert made is not None, "the reading that stood in the way is gone"
    return made


@dataclass(frozen=True)
class Known:
    """A reading that is there, without its text."""

    id: int
    engine: str
    confidence: float | None


def cached(session: Session, keys: Iterable[str]) -> dict[str, Known]:
    """Readings kept under these cache keys."""
    wanted = list(keys)
    found: dict[str, Known] = {}
    columns = (Reading.cache_key, Reading.id, Reading.engine, Reading.confidence)
    for start in range(0, len(wanted), 500):
        for key, number, engine, confidence in session.execute(
            select(*columns).where(Reading.cache_key.in_(wanted[start : start + 500]))
        ):
            found[str(key)] = Known(number, engine, confidence)
    return found


def drop_unused(session: Session, ids: Iterable[int]) -> None:
    """Delete those of these readings that no page uses any more."""
    wanted = list(ids)
    for start in range(0, len(wanted), 500):
        batch = wanted[start : start + 500]
        used = exists().where(Page.reading_id == Reading.id)
        session.execute(
            delete(Reading).where(Reading.id.in_(batch), ~used).execution_options(synchronize_session=False)
        )
