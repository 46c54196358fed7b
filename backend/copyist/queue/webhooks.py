"""Sends the messages of webhooks, signed as Standard Webhooks says (standardwebhooks.com), until they are taken.

It is a thread of beat's process: a receiver that answers slowly holds up no page and no sweep. The rows of
``deliveries`` are the queue, each attempt is made under a lease, and so a beat that is killed loses nothing, and two
beats send nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from uuid import uuid4

import httpx
import standardwebhooks
from sqlalchemy.exc import SQLAlchemyError

from copyist import __version__
from copyist.db import deliveries, webhooks
from copyist.db.deliveries import Attempt, Waiting
from copyist.errors import AddressRefused, FetchFailed, InvalidSource
from copyist.fetch.web import Checked, MayConnect, on_any_port
from copyist.queue.footing import Footing
from copyist.reasons import Trouble

log = logging.getLogger(__name__)

THREAD = "webhooks"
AT_ONCE = 32
AT_ONCE_PER_HOST = 4
AT_ONCE_PER_OWNER = 24
"""Whose receivers are many and silent leaves some room for the others."""
LOOK_EVERY_S = 1.0
LOOK_AT = 200
"""Messages that one look finds: more than can be sent at once, in case many are for one host."""
SPARE_LEASE_S = 30.0
"""How long after its time limit an attempt may still be written down."""
FORGET_AT_ONCE = 1000

GAPS_S = (5, 30, 120, 900, 3600, 7200, 14_400, 28_800, 43_200)
"""From one attempt to the next, the last one again and again: ten attempts take 27.3 hours, or up to a fifth more."""
JITTER = 0.2
LONGEST_RETRY_AFTER_S = 43_200
ASKS_FOR_TIME = (429, 503)
GONE = 410

Found = TypeVar("Found")


@dataclass(frozen=True)
class Answer:
    """What came of an attempt: the ``status`` of the answer, if there was one; the ``error``, unless it has arrived."""

    status: int | None = None
    error: str | None = None
    retry_after_s: float = 0.0


def keep_delivering(here: Footing) -> None:
    """Have a thread of this process deliver from now on; does nothing where one does, or where no webhooks are sent."""
    if here.settings.webhooks and THREAD not in {thread.name for thread in threading.enumerate()}:
        threading.Thread(target=_deliver, args=(here,), name=THREAD, daemon=True).start()


def _deliver(here: Footing) -> None:
    try:
        asyncio.run(Deliverer(here).run())
    except Exception:
        log.exception("webhooks are not sent any more; the next sweep begins anew")


def forget_old(here: Footing) -> bool:
    """Delete deliveries that ended long ago; ``True`` if there are more."""
    with here.db.write() as session:
        return deliveries.forget_old(session, limit=FORGET_AT_ONCE) == FORGET_AT_ONCE


class Deliverer:
    """Finds the messages whose time has come and sends them, several at a time, but few to one host."""

    def __init__(self, here: Footing, *, gaps_s: Sequence[float] = GAPS_S) -> None:
        self._db, self._settings, self._gaps_s = here.db, here.settings, gaps_s
        self._may_connect = on_any_port(private=here.settings.webhook_private_addresses)
        # One at a time: what is written down here never waits for itself.
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="deliveries")
        self._trouble = Trouble(log, "the database")
        self._under_way: dict[asyncio.Task[None], Attempt] = {}

    async def run(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Deliver for ever, or until ``is_over``."""
        # Names are asked for in threads, and one whose servers are silent keeps its thread for longer than its attempt.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4 * AT_ONCE, thread_name_prefix="names"))
        while not is_over():
            if len(self._under_way) < AT_ONCE:
                await self._begin()
            if self._under_way:
                await asyncio.wait([*self._under_way], timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(LOOK_EVERY_S)

    async def _begin(self) -> None:
        """Begin with what is due, as far as there is room."""
        try:
            chosen = self._choose(await self._ask(self._due))
            attempts = await self._ask(lambda: self._take(chosen)) if chosen else []
            self._trouble.over()
        except SQLAlchemyError as error:
            self._trouble.met(error)
            return
        for attempt, secret in attempts:
            task = asyncio.create_task(self._attempt(attempt, secret))
            self._under_way[task] = attempt
            task.add_done_callback(self._under_way.pop)

    def _due(self) -> list[Waiting]:
        hosts, owners = self._busy()
        with self._db.read() as session:
            return deliveries.due(
                session,
                limit=LOOK_AT,
                not_to=[host for host, count in hosts.items() if count >= AT_ONCE_PER_HOST],
                not_of=[owner for owner, count in owners.items() if count >= AT_ONCE_PER_OWNER],
            )

    def _busy(self) -> tuple[Counter[str], Counter[str]]:
        """How many attempts are under way to each host, and of each owner."""
        attempts = tuple(self._under_way.values())
        return Counter(_origin(one.url) for one in attempts), Counter(one.owner for one in attempts)

    def _choose(self, waiting: Sequence[Waiting]) -> list[str]:
        hosts, owners = self._busy()
        chosen: list[str] = []
        for one in waiting:
            host = _origin(one.url)
            has_room = hosts[host] < AT_ONCE_PER_HOST and owners[one.owner] < AT_ONCE_PER_OWNER
            if has_room and hosts.total() < AT_ONCE:
                hosts[host] += 1
                owners[one.owner] += 1
                chosen.append(one.id)
        return chosen

    def _take(self, ids: Sequence[str]) -> list[tuple[Attempt, str]]:
        """Attempts that are ours, each with the secret to sign with."""
        lease_s = self._settings.webhook_timeout_s + SPARE_LEASE_S
        most = self._settings.webhook_attempts
        with self._db.write() as session:
            taken = deliveries.take(session, ids, token=str(uuid4()), lease_s=lease_s, max_attempts=most)
            secrets = {owner: webhooks.of_owner(session, owner).secret for owner in {one.owner for one in taken}}
        return [(one, secrets[one.owner]) for one in taken]

    async def _attempt(self, attempt: Attempt, secret: str) -> None:
        try:
            answer = await post(
                attempt, secret, timeout_s=self._settings.webhook_timeout_s, may_connect=self._may_connect
            )
            await self._ask(lambda: self._settle(attempt, answer))
        except SQLAlchemyError as error:
            self._trouble.met(error)
        except Exception:
            log.exception("delivery %s is tried again when its lease has run out", attempt.id)

    def _settle(self, attempt: Attempt, answer: Answer) -> None:
        with self._db.write() as session:
            if answer.error is None:
                deliveries.delivered(session, attempt, answer.status or 0)
            elif answer.status == GONE:
                deliveries.gone(session, attempt, answer.status)
            elif attempt.number >= self._settings.webhook_attempts:
                deliveries.failed(session, attempt, response_status=answer.status, error=answer.error)
            else:
                wait_s = pause_s(attempt.number, answer.retry_after_s, self._gaps_s)
                deliveries.put_off(session, attempt, wait_s=wait_s, response_status=answer.status, error=answer.error)
        if answer.error is not None:
            log.info("attempt %d of delivery %s failed: %s", attempt.number, attempt.id, answer.error)

    async def _ask(self, question: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._asking, question)


def _origin(url: str) -> str:
    """How addresses of the same server begin; an address that is none is a server of its own."""
    try:
        found = httpx.URL(url)
        return f"{found.scheme}://{found.netloc.decode('ascii')}/"
    except (httpx.InvalidURL, UnicodeError):
        return url


def pause_s(number: int, retry_after_s: float, gaps_s: Sequence[float] = GAPS_S) -> float:
    """The time until the next attempt: longer with each, not the same for all, and longer still if that was asked."""
    gap_s = gaps_s[min(number, len(gaps_s)) - 1] * random.uniform(1, 1 + JITTER)  # noqa: S311
    return max(gap_s, min(retry_after_s, LONGEST_RETRY_AFTER_S))


async def post(attempt: Attempt, secret: str, *, timeout_s: float, may_connect: MayConnect) -> Answer:
    """Send a message once. The address is resolved and checked now, and only the head of the answer is read."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _post(attempt, secret, may_connect)
    except TimeoutError:
        return Answer(error=f"There was no answer within {timeout_s:g} s.")
    except AddressRefused:
        return Answer(error="The address leads into a private network or to this machine, where nothing is sent.")
    except FetchFailed as error:
        return Answer(error=str(error.fields["reason"]))
    except (InvalidSource, httpx.InvalidURL, UnicodeError):
        return Answer(error="The address is none that can be sent to.")
    except (httpx.HTTPError, OSError) as error:
        return Answer(error=_why(error))


async def _post(attempt: Attempt, secret: str, may_connect: MayConnect) -> Answer:
    moment = datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "user-agent": f"copyist/{__version__}",
        "webhook-id": attempt.id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign(attempt.id, moment, attempt.payload),
    }
    # A client of its own for each: hosts may share an address, and must not share a connection and its certificate.
    async with httpx.AsyncClient(transport=Checked(may_connect), trust_env=False, timeout=None) as client:  # noqa: S113
        request = client.build_request("POST", attempt.url, content=attempt.payload.encode(), headers=headers)
        response = await client.send(request, stream=True, follow_redirects=False)
        await response.aclose()
    return _answer(response)


def _answer(response: httpx.Response) -> Answer:
    status = response.status_code
    if response.is_success:
        return Answer(status)
    if response.is_redirect:
        return Answer(status, f"It answered {status}, and redirects are not followed.")
    asked_s = _retry_after_s(response.headers.get("retry-after", "")) if status in ASKS_FOR_TIME else 0.0
    return Answer(status, f"It answered {status}.", asked_s)


def _retry_after_s(value: str) -> float:
    """The header, RFC 9110 section 10.2.3: seconds or a date; 0 for anything else."""
    if value.isascii() and value.isdigit():
        return float(value[:12])
    with suppress(ValueError, OverflowError):
        return (parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return 0.0


def _why(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "Its certificate is not valid for this address."
        cause = cause.__cause__ or cause.__context__
    connected = not isinstance(error, httpx.ConnectError)
    return "There was no whole answer." if connected else "No connection could be made: nothing answers there."
