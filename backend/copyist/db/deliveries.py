"""The messages of webhooks: each row is its place in the queue, and afterwards what became of it.

::

    pending ──▶ delivered | failed        (a redelivery leads back)

``next_at`` is when something is to be done with a row next. While it is pending that is its next attempt, or, during
one, the moment from which whoever makes it is taken for dead; after the end it is when the row is forgotten. So both
searches, for what to send and for what to forget, walk along one index. ``attempts`` is counted before each attempt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Update, delete, func, not_, or_, select, tuple_, update
from sqlalchemy.orm import Session

from copyist.db.tables import Delivery, Webhook, now
from copyist.errors import NotFound

KEPT = timedelta(days=30)
"""How long a delivery is remembered after its end."""
INTERRUPTED = "The last attempt was interrupted."
GONE = "It answered 410, so nothing more is sent there."


class DeliveryStatus(StrEnum):
    """States of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


def put(session: Session, *, owner: str, url: str, event: str, payload: str, job_id: str | None = None) -> Delivery:
    """Put a message into the queue, to be sent at once."""
    delivery = Delivery(
        id=str(uuid4()), owner=owner, url=url, event=event, payload=payload, job_id=job_id, next_at=now()
    )
    session.add(delivery)
    session.flush()
    return delivery


def get(session: Session, delivery_id: str, owner: str | None) -> Delivery:
    """The delivery; raises ``NotFound``, also for somebody else's. ``owner`` is who asks, ``None`` sees everybody's."""
    delivery = session.get(Delivery, delivery_id) if _is_id(delivery_id) else None
    if delivery is None or owner not in (None, delivery.owner):
        raise NotFound(what="delivery")
    return delivery


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


@dataclass(frozen=True)
class Filter:
    """Which deliveries to list; ``None`` asks for nothing."""

    owner: str | None = None
    job_id: str | None = None
    status: DeliveryStatus | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """What a row must meet."""
        wanted = ((Delivery.owner, self.owner), (Delivery.job_id, self.job_id), (Delivery.status, self.status))
        return [column == value for column, value in wanted if value is not None]


def newest(
    session: Session, wanted: Filter, *, limit: int, before: tuple[datetime, str] | None = None
) -> list[Delivery]:
    """Deliveries, newest first, from after the position ``before`` (creation time and id of the last one seen)."""
    query = select(Delivery).where(*wanted.conditions())
    if before is not None:
        query = query.where(tuple_(Delivery.created_at, Delivery.id) < before)
    return list(session.scalars(query.order_by(Delivery.created_at.desc(), Delivery.id.desc()).limit(limit)))


def again(session: Session, delivery_id: str, owner: str | None) -> Delivery:
    """Send a message again, under the same id, with all attempts before it; raises ``NotFound``."""
    delivery = get(session, delivery_id, owner)
    delivery.status, delivery.attempts, delivery.next_at = DeliveryStatus.PENDING, 0, now()
    delivery.response_status, delivery.error, delivery.delivered_at = None, None, None
    # An attempt that is under way does not count any more.
    delivery.lease_token, delivery.lease_until = None, None
    session.flush()
    return delivery


# --- for whoever sends --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waiting:
    """A message whose time has come."""

    id: str
    owner: str
    url: str


@dataclass(frozen=True)
class Attempt:
    """A message that is ours to send until the lease runs out; ``number`` counts from 1."""

    id: str
    token: str
    owner: str
    url: str
    payload: str
    number: int


def due(session: Session, *, limit: int, not_to: Collection[str] = (), not_of: Collection[str] = ()) -> list[Waiting]:
    """Messages whose time has come, the longest waiting first.

    None whose address begins with one of ``not_to``, and none of the owners ``not_of``.
    """
    query = select(Delivery.id, Delivery.owner, Delivery.url).where(
        Delivery.status == DeliveryStatus.PENDING,
        Delivery.next_at <= now(),
        *(not_(Delivery.url.startswith(origin, autoescape=True)) for origin in not_to),
        Delivery.owner.not_in(not_of),
    )
    return [Waiting(*row) for row in session.execute(query.order_by(Delivery.next_at).limit(limit))]


def take(session: Session, ids: Iterable[str], *, token: str, lease_s: float, max_attempts: int) -> list[Attempt]:
    """Those of the messages that nobody else has taken meanwhile, claimed in one statement."""
    moment = now()
    until = moment + timedelta(seconds=lease_s)
    ours = (Delivery.id.in_(list(ids)), Delivery.status == DeliveryStatus.PENDING, Delivery.next_at <= moment)
    # Whoever made the last attempt died over it.
    session.execute(
        _quietly(update(Delivery).where(*ours, Delivery.attempts >= max_attempts)).values(
            **_ended(DeliveryStatus.FAILED), error=func.coalesce(Delivery.error, INTERRUPTED)
        )
    )
    taken = session.execute(
        _quietly(update(Delivery).where(*ours))
        .values(attempts=Delivery.attempts + 1, lease_token=token, lease_until=until, next_at=until)
        .returning(Delivery.id, Delivery.owner, Delivery.url, Delivery.payload, Delivery.attempts)
    )
    return [Attempt(row.id, token, row.owner, row.url, row.payload, row.attempts) for row in taken]


def delivered(session: Session, attempt: Attempt, response_status: int) -> None:
    """It has arrived."""
    values = _ended(DeliveryStatus.DELIVERED)
    _settle(session, attempt, **values, response_status=response_status, error=None, delivered_at=now())


def put_off(session: Session, attempt: Attempt, *, wait_s: float, response_status: int | None, error: str) -> None:
    """It has not arrived and is tried again in ``wait_s``."""
    later = {"next_at": now() + timedelta(seconds=wait_s), "lease_token": None, "lease_until": None}
    _settle(session, attempt, **later, response_status=response_status, error=error)


def failed(session: Session, attempt: Attempt, *, response_status: int | None, error: str) -> None:
    """It has not arrived and is given up."""
    _settle(session, attempt, **_ended(DeliveryStatus.FAILED), response_status=response_status, error=error)


def gone(session: Session, attempt: Attempt, response_status: int) -> None:
    """The receiver is there no more: nothing of this owner's is sent to that address, unless the owner sets it anew."""
    failed(session, attempt, response_status=response_status, error=GONE)
    waiting = (Delivery.owner == attempt.owner, Delivery.url == attempt.url, Delivery.status == DeliveryStatus.PENDING)
    session.execute(_quietly(update(Delivery).where(*waiting)).values(**_ended(DeliveryStatus.FAILED), error=GONE))
    own = (Webhook.owner == attempt.owner, Webhook.url == attempt.url)
    session.execute(_quietly(update(Webhook).where(*own)).values(url=None))


def forget_old(session: Session, *, limit: int) -> int:
    """Delete what ended ``KEPT`` ago, and what waited for so long while nobody sent anything; gives how many."""
    moment = now()
    ended = Delivery.status.in_((DeliveryStatus.DELIVERED, DeliveryStatus.FAILED)) & (Delivery.next_at < moment)
    stale = (Delivery.status == DeliveryStatus.PENDING) & (Delivery.next_at < moment - KEPT)
    old = select(Delivery.id).where(or_(ended, stale)).limit(limit)
    found = session.execute(delete(Delivery).where(Delivery.id.in_(old)).returning(Delivery.id))
    return len(found.all())


def _settle(session: Session, attempt: Attempt, **values: Any) -> None:
    """Write down what became of an attempt, unless it is ours no more."""
    ours = (Delivery.id == attempt.id, Delivery.lease_token == attempt.token)
    session.execute(_quietly(update(Delivery).where(*ours)).values(**values))


def _ended(status: DeliveryStatus) -> dict[str, Any]:
    return {"status": status, "next_at": now() + KEPT, "lease_token": None, "lease_until": None}


def _quietly(statement: Update) -> Update:
    """Without looking for the rows among the objects of the session: none of them is there."""
    return statement.execution_options(synchronize_session=False)
