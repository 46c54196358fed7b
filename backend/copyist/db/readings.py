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
        # Written as it is, so that nobody drops it before it is used here.
        statement = statement.on_conflict_do_update(index_elements=[Reading.cache_key], set_={"cache_key": cache_key})
    return session.scalars(statement.returning(Reading.id)).one()


@dataclass(frozen=True)
class Known:
    """A reading that is there, without its text."""

    id: int
    engine: str
    confidence: float | None


def cached(session: Session, keys: Iterable[str], *, hold: bool = False) -> dict[str, Known]:
    """Readings kept under these cache keys. With ``hold`` nobody drops them before this transaction has ended."""
    wanted = list(keys)
    found: dict[str, Known] = {}
    columns = (Reading.cache_key, Reading.id, Reading.engine, Reading.confidence)
    for start in range(0, len(wanted), 500):
        query = select(*columns).where(Reading.cache_key.in_(wanted[start : start + 500])).order_by(Reading.id)
        if hold:
            query = query.with_for_update(read=True, key_share=True)
        for key, number, engine, confidence in session.execute(query):
            found[str(key)] = Known(number, engine, confidence)
    return found


def hold(session: Session, reading_id: int) -> bool:
    """Keep others from dropping a reading before this transaction has ended; ``False`` if it is gone already."""
    held = select(Reading.id).where(Reading.id == reading_id).with_for_update(read=True, key_share=True)
    return session.scalar(held) is not None


def drop_unused(session: Session, ids: Iterable[int]) -> None:
    """Delete those of these readings that no page uses any more."""
    wanted = sorted(ids)
    for start in range(0, len(wanted), 500):
        batch = wanted[start : start + 500]
        # Whoever is about to use one holds it: so that is waited for before it is looked who does.
        session.execute(select(Reading.id).where(Reading.id.in_(batch)).order_by(Reading.id).with_for_update())
        used = exists().where(Page.reading_id == Reading.id)
        session.execute(
            delete(Reading).where(Reading.id.in_(batch), ~used).execution_options(synchronize_session=False)
        )
