"""``/api/webhooks``: where an owner is told of jobs, with which secret, and what was delivered."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import httpx
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from copyist.api import openapi
from copyist.api.callers import Asks, Scope, needs
from copyist.api.cursors import Paging
from copyist.api.problems import InvalidRequest
from copyist.api.schemas import shown
from copyist.api.service import Here, Service
from copyist.db import deliveries, webhooks
from copyist.db.deliveries import DeliveryStatus
from copyist.db.tables import Delivery, Webhook
from copyist.errors import (
    InvalidOption,
    InvalidWebhook,
    NotFound,
    NoWebhook,
    Unavailable,
    WebhookRefused,
    WebhooksOff,
)
from copyist.fetch import web

MAX_URL = 2000
LAST_PORT = 65_535
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


def checked_url(service: Service, url: str | None) -> str | None:
    """An address that messages may be sent to, as far as can be said without asking for it, as it is stored.

    Names are not resolved here: their addresses are checked with each attempt. Nothing is made of an empty address.
    Raises ``WebhooksOff``, ``InvalidWebhook`` or ``WebhookRefused``.
    """
    if not url or not url.strip():
        return None
    if not service.settings.webhooks:
        raise WebhooksOff
    found = _parsed(url.strip())
    address = web.literal(found.host)
    private = service.settings.webhook_private_addresses
    if address is None and not _NAME.fullmatch(found.raw_host.decode("ascii")):
        raise InvalidWebhook(limit=MAX_URL)
    if address is not None and not web.on_any_port(private=private)(address, 1):
        raise WebhookRefused
    if not private and _is_this_machine(found.host):
        raise WebhookRefused
    return str(found)


def _parsed(url: str) -> httpx.URL:
    """The address in its one spelling: with a path, so that those of one server begin alike, and no fragment."""
    try:
        found = httpx.URL(url)
        found = found.copy_with(raw_path=found.raw_path, fragment=None)
        host = found.host  # Read late, and it may be none of IDNA.
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidWebhook(limit=MAX_URL) from error
    is_web = found.scheme in ("http", "https") and not found.userinfo
    # An address of IPv6 may have a zone, which means something to one machine alone.
    has_host = bool(host) and "%" not in host
    has_port = found.port is None or 0 < found.port <= LAST_PORT
    if not (is_web and has_host and has_port) or len(str(found)) > MAX_URL:
        raise InvalidWebhook(limit=MAX_URL)
    return found


def _is_this_machine(host: str) -> bool:
    """Whether a name always means the machine itself (RFC 6761)."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


# --- what is asked and answered -----------------------------------------------------------------------------------

_ID = "5f0c7b1e-93d4-4a55-8a0e-6a1d2c3b4e5f"
_JOB_ID = "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11"
_URL = "https://example.org/copyist"
_AT = "2025-12-01T09:30:01.420000Z"
_PAYLOAD: dict[str, Any] = {
    "type": "job.completed",
    "timestamp": _AT,
    "data": {
        "id": _JOB_ID,
        "status": "completed",
        "filename": "scan.pdf",
        "batch_id": None,
        "progress": {"pages_done": 3, "pages_failed": 0, "pages_total": 3},
        "error": None,
        "metadata": {"shelf": 3},
        "links": {"self": f"/api/jobs/{_JOB_ID}", "result": f"/api/jobs/{_JOB_ID}/result.txt"},
    },
}
WEBHOOK: dict[str, Any] = {"url": _URL, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}
DELIVERY: dict[str, Any] = {
    "id": _ID,
    "event": "job.completed",
    "job_id": _JOB_ID,
    "url": _URL,
    "status": "pending",
    "attempts": 2,
    "next_at": "2025-12-01T09:30:38.100000Z",
    "response_status": 500,
    "error": "It answered 500.",
    "created_at": _AT,
    "delivered_at": None,
}
AGAIN = DELIVERY | {"attempts": 0, "response_status": None, "error": None}
PING = AGAIN | {"event": "ping", "job_id": None}


class WebhookBody(BaseModel):
    """Where the owner of the key is told of all jobs, and the secret that every message is signed with."""

    model_config = shown(WEBHOOK)

    url: str | None = Field(description="Null: only the `callback_url` of single jobs is told.")
    secret: str = Field(description="For a library of Standard Webhooks, or any HMAC-SHA256.")


class WebhookChange(BaseModel):
    """Where to tell of all jobs from now on."""

    model_config = shown({"url": _URL})

    url: str | None = Field(max_length=MAX_URL, description="Null: nowhere")


class TestCall(BaseModel):
    """Where to send a message that tells nothing."""

    model_config = shown({"url": _URL})

    url: str | None = Field(default=None, max_length=MAX_URL, description="Else the one that is set")


class DeliveryBody(BaseModel):
    """One message to one address."""

    model_config = shown(DELIVERY)

    id: str = Field(description="The `webhook-id` of every attempt.")
    event: str = Field(examples=["job.completed", "job.failed", "job.cancelled", "ping"])
    job_id: str | None
    url: str
    status: DeliveryStatus
    attempts: int
    next_at: datetime | None = Field(description="When it is tried next; null when that is not to be.")
    response_status: int | None = Field(description="What the receiver answered last.")
    error: str | None = Field(description="Why it has not arrived.")
    created_at: datetime
    delivered_at: datetime | None


class DeliveryWhole(DeliveryBody):
    """One message to one address, with what it says."""

    model_config = shown(DELIVERY | {"payload": _PAYLOAD})

    payload: dict[str, Any]


class DeliveryList(BaseModel):
    """Some deliveries, newest first; ask again with ``cursor=next_cursor`` for more."""

    model_config = shown({"deliveries": [DELIVERY], "next_cursor": None})

    deliveries: list[DeliveryBody]
    next_cursor: str | None


def _webhook(found: Webhook) -> WebhookBody:
    return WebhookBody(url=found.url, secret=found.secret)


def _delivery(found: Delivery) -> DeliveryBody:
    return DeliveryBody(**_fields(found))


def _fields(found: Delivery) -> dict[str, Any]:
    fields = {name: getattr(found, name) for name in DeliveryBody.model_fields}
    return fields if found.status == DeliveryStatus.PENDING else fields | {"next_at": None}


# --- the routes ---------------------------------------------------------------------------------------------------

router = APIRouter(prefix="/api/webhooks", tags=["webhooks"], dependencies=[needs(Scope.WRITE)])

WHERE = {"Location": {"description": "Where the delivery is.", "schema": {"type": "string"}}}


@router.get("", summary="The webhook and its secret", responses=openapi.answers(Unavailable))
def look(here: Here, caller: Asks) -> WebhookBody:
    """The secret is made when it is first asked for, or first needed."""
    with here.db.write() as session:
        return _webhook(webhooks.of_owner(session, caller.owner))


@router.put(
    "",
    summary="Set or unset the webhook",
    responses=openapi.answers(*openapi.WEBHOOK, InvalidRequest, Unavailable),
)
def change(here: Here, caller: Asks, wanted: WebhookChange) -> WebhookBody:
    """Every job that ends from now on is told of there, beside its own `callback_url`."""
    url = checked_url(here, wanted.url)
    with here.db.write() as session:
        return _webhook(webhooks.set_url(session, caller.owner, url))


@router.post("/secret", summary="Make a new secret", responses=openapi.answers(Unavailable))
def rotate(here: Here, caller: Asks) -> WebhookBody:
    """Every attempt from now on is signed with the new secret, also those at messages that wait already."""
    with here.db.write() as session:
        return _webhook(webhooks.change_secret(session, caller.owner))


@router.post(
    "/test",
    status_code=202,
    summary="Send a message that tells nothing",
    responses=openapi.answers(*openapi.WEBHOOK, NoWebhook, InvalidRequest, Unavailable)
    | {202: {"headers": WHERE} | openapi.example(PING)},
)
def test(here: Here, caller: Asks, response: Response, wanted: TestCall | None = None) -> DeliveryBody:
    """A `ping` goes through the queue to the address that is set, or to `url`. Look at the delivery to see what came of
    it.
    """
    named = checked_url(here, wanted.url if wanted else None)
    with here.db.write() as session:
        url = named or checked_url(here, webhooks.of_owner(session, caller.owner).url)
        if url is None:
            raise NoWebhook
        sent = _delivery(webhooks.ping(session, caller.owner, url))
    response.headers["Location"] = f"/api/webhooks/deliveries/{sent.id}"
    return sent


@router.get(
    "/deliveries",
    summary="List deliveries, newest first",
    responses=openapi.answers(InvalidOption, InvalidRequest, Unavailable),
)
def newest(
    here: Here,
    caller: Asks,
    paging: Paging,
    job: Annotated[UUID | None, Query(description="Of this job")] = None,
    status: DeliveryStatus | None = None,
) -> DeliveryList:
    """They are kept for 30 days. Pages by cursor: pass `next_cursor` back until it is null, or follow `Link`."""
    wanted = deliveries.Filter(owner=caller.sees, job_id=str(job) if job else None, status=status)
    with here.db.read() as session:
        found = deliveries.newest(session, wanted, limit=paging.limit, before=paging.before)
    some, following = paging.cut(found)
    return DeliveryList(deliveries=[_delivery(one) for one in some], next_cursor=following)


@router.get("/deliveries/{delivery_id}", summary="Look at a delivery", responses=openapi.answers(NotFound, Unavailable))
def one(here: Here, caller: Asks, delivery_id: str) -> DeliveryWhole:
    """What became of it, and what it says."""
    with here.db.read() as session:
        found = deliveries.get(session, delivery_id, caller.sees)
    return DeliveryWhole(**_fields(found), payload=json.loads(found.payload))


@router.post(
    "/deliveries/{delivery_id}/redeliver",
    status_code=202,
    summary="Send a message again",
    responses=openapi.answers(NotFound, WebhooksOff, Unavailable) | {202: {"headers": WHERE} | openapi.example(AGAIN)},
)
def redeliver(here: Here, caller: Asks, response: Response, delivery_id: str) -> DeliveryBody:
    """At once, whatever became of it; with the same `webhook-id` and body, and with all attempts before it."""
    if not here.settings.webhooks:
        raise WebhooksOff
    with here.db.write() as session:
        found = _delivery(deliveries.again(session, delivery_id, caller.sees))
    response.headers["Location"] = f"/api/webhooks/deliveries/{found.id}"
    return found
