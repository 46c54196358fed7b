"""Who wants to be told what: the address and the secret of each owner, and the message about a job that has ended."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from copyist.db import deliveries
from copyist.db.insert import insert
from copyist.db.progress import progress_of
from copyist.db.tables import Delivery, Job, Webhook, now

SECRET_BYTES = 32
"""Standard Webhooks wants 24 to 64."""


def of_owner(session: Session, owner: str) -> Webhook:
    """The owner's webhook; where there is none yet it is made, with a secret and without an address."""
    found = session.get(Webhook, owner)
    if found is None:
        new = insert(session, Webhook).values(owner=owner, secret=_new_secret())
        session.execute(new.on_conflict_do_nothing())
        found = session.get_one(Webhook, owner)
    return found


def set_url(session: Session, owner: str, url: str | None) -> Webhook:
    """Tell the owner of all jobs at ``url`` from now on, or nowhere."""
    found = of_owner(session, owner)
    found.url = url
    return found


def change_secret(session: Session, owner: str) -> Webhook:
    """Sign with a new secret from now on, also what is tried again."""
    found = of_owner(session, owner)
    found.secret = _new_secret()
    return found


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def job_ended(session: Session, job: Job) -> None:
    """Put into the queue what is to be told of a job that has just ended, in the transaction that ends it."""
    # This is asked at the end of every job, and mostly answered by nothing: so it is one look at a primary key.
    own = session.scalar(select(Webhook.url).where(Webhook.owner == job.owner))
    urls = dict.fromkeys(url for url in (job.callback_url, own) if url)
    if urls:
        event = f"job.{job.status.value}"
        payload = _message(event, job.finished_at or now(), _about(session, job))
        for url in urls:
            deliveries.put(session, owner=job.owner, url=url, event=event, payload=payload, job_id=job.id)


def ping(session: Session, owner: str, url: str) -> Delivery:
    """Put a message into the queue that tells nothing, for an owner to see whether it arrives."""
    payload = _message("ping", now(), {"message": "Deliveries of Copyist arrive here."})
    return deliveries.put(session, owner=owner, url=url, event="ping", payload=payload)


def _message(event: str, moment: datetime, data: Mapping[str, Any]) -> str:
    """A message of Standard Webhooks: what happened, when, and to what."""
    timestamp = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"type": event, "timestamp": timestamp, "data": data}, separators=(",", ":"))


def _about(session: Session, job: Job) -> dict[str, Any]:
    progress = progress_of(session, [job.id])[job.id]
    own = f"/api/jobs/{job.id}"
    return {
        "id": job.id,
        "status": job.status.value,
        "filename": job.filename,
        "batch_id": job.batch_id,
        "progress": {
            "pages_done": progress.done,
            "pages_failed": progress.failed,
            "pages_total": job.pages_total,
        },
        "error": {"code": job.error_code, "detail": job.error_detail or ""} if job.error_code else None,
        "metadata": job.labels,
        "links": {"self": own, "result": f"{own}/result.txt" if progress.done else None},
    }
