"""Messages arrive at a real receiver: signed, tried again, at no address that is not allowed, and never lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpcore
import pytest
from sqlalchemy import update
from standardwebhooks import Webhook, WebhookVerificationError

from copyist import __version__
from copyist.db import deliveries, jobs, webhooks
from copyist.db.deliveries import DeliveryStatus
from copyist.db.states import JobStatus
from copyist.db.tables import Delivery, Job, now
from copyist.queue import webhooks as sending
from copyist.queue.context import Context
from copyist.queue.periodic import works
from copyist.queue.webhooks import GAPS_S, Deliverer, keep_delivering, pause_s
from tests.queue.rows import make_job
from tests.receiver import Receiver, receiving, wait_until
from tests.servers import process_environment
from tests.service import Service

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def here(context: Context, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A footing whose receivers may be on this machine."""
    monkeypatch.setattr(sending, "LOOK_EVERY_S", 0.02)
    allowed = {"webhook_private_addresses": True, "webhook_timeout_s": 2.0, "webhook_attempts": 4}
    context.settings = context.settings.model_copy(update=allowed)
    return context


@contextmanager
def delivering(here: Context, gaps_s: tuple[float, ...] = (0.02,)) -> Iterator[None]:
    over = threading.Event()
    deliverer = Deliverer(here, gaps_s=gaps_s)
    thread = threading.Thread(target=lambda: asyncio.run(deliverer.run(over.is_set)))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
        assert not thread.is_alive()


def put(here: Context, url: str, owner: str = "") -> str:
    with here.db.write() as session:
        return deliveries.put(session, owner=owner, url=url, event="ping", payload='{"type":"ping"}').id


def look(here: Context, delivery_id: str) -> Delivery:
    with here.db.read() as session:
        return deliveries.get(session, delivery_id, None)


def ended(here: Context, delivery_id: str, seconds: float = 15) -> Delivery:
    wait_until(lambda: look(here, delivery_id).status != DeliveryStatus.PENDING, seconds)
    return look(here, delivery_id)


def failed_once(here: Context, delivery_id: str) -> Delivery:
    wait_until(lambda: look(here, delivery_id).error is not None)
    return look(here, delivery_id)


def secret(here: Context, owner: str = "") -> str:
    with here.db.write() as session:
        return webhooks.of_owner(session, owner).secret


def test_the_end_of_a_job_arrives_signed(here: Context, receiver: Receiver) -> None:
    job_id = make_job(here, 2)
    with delivering(here):
        with here.db.write() as session:
            job = session.get_one(Job, job_id)
            job.callback_url, job.owner = f"{receiver.url}/done?x=1", "anna"
            jobs.end(session, job, JobStatus.CANCELLED)
        (came,) = receiver.wait(1)
        with here.db.read() as session:
            (told,) = deliveries.newest(session, deliveries.Filter(job_id=job_id), limit=2)
        delivery = ended(here, told.id)
    assert Webhook(secret(here, "anna")).verify(came.body, came.headers)["data"]["id"] == job_id
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(here, "bert")).verify(came.body, came.headers)
    assert (came.path, came.headers["webhook-id"]) == ("/done?x=1", delivery.id)
    assert came.headers["content-type"] == "application/json"
    assert came.headers["user-agent"] == f"copyist/{__version__}"
    assert json.loads(came.body)["type"] == "job.cancelled"
    assert (delivery.status, delivery.attempts, delivery.response_status) == ("delivered", 1, 204)


@on_one_database
def test_what_does_not_arrive_is_tried_again_with_the_same_id_and_body(here: Context, receiver: Receiver) -> None:
    receiver.answers = [(500, {}), (404, {})]
    delivery_id = put(here, receiver.url)
    with delivering(here, (1.1, 0.02)):
        assert ended(here, delivery_id).attempts == 3
    first, second, third = receiver.received
    assert {one.headers["webhook-id"] for one in (first, second, third)} == {delivery_id}
    assert first.body == second.body == third.body
    assert second.at - first.at >= 1.1
    times = [int(one.headers["webhook-timestamp"]) for one in (first, second)]
    assert times[1] > times[0]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    Webhook(secret(here)).verify(second.body, second.headers)


def test_after_the_last_attempt_it_is_given_up_and_a_redelivery_begins_anew(here: Context, receiver: Receiver) -> None:
    receiver.answers = [(500, {})] * 4
    delivery_id = put(here, receiver.url)
    with delivering(here):
        delivery = ended(here, delivery_id)
        assert (delivery.status, delivery.attempts, delivery.error) == ("failed", 4, "It answered 500.")
        assert len(receiver.received) == 4
        with here.db.write() as session:
            deliveries.again(session, delivery_id, None)
        delivery = ended(here, delivery_id)
    assert (delivery.status, delivery.attempts, delivery.error) == ("delivered", 1, None)
    assert {one.headers["webhook-id"] for one in receiver.received} == {delivery_id}


@on_one_database
def test_a_changed_secret_signs_what_waits_already(here: Context, receiver: Receiver) -> None:
    before = secret(here)
    put(here, receiver.url)
    with here.db.write() as session:
        webhooks.change_secret(session, "")
    with delivering(here):
        (came,) = receiver.wait(1)
    Webhook(secret(here)).verify(came.body, came.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(before).verify(came.body, came.headers)


@on_one_database
def test_a_redirect_is_a_failure_and_not_followed(here: Context, receiver: Receiver) -> None:
    receiver.answers = [(status, {"Location": f"{receiver.url}/elsewhere"}) for status in (301, 302, 307, 308)]
    delivery_id = put(here, f"{receiver.url}/moved")
    with delivering(here):
        delivery = ended(here, delivery_id)
    assert [one.path for one in receiver.received] == ["/moved"] * 4
    assert (delivery.status, delivery.error) == ("failed", "It answered 308, and redirects are not followed.")


def test_who_is_gone_is_asked_once(here: Context, receiver: Receiver) -> None:
    receiver.answers = [(410, {})]
    with here.db.write() as session:
        webhooks.set_url(session, "", receiver.url)
    delivery_id = put(here, receiver.url)
    with delivering(here):
        delivery = ended(here, delivery_id)
    assert (delivery.status, delivery.response_status, delivery.error) == ("failed", 410, deliveries.GONE)
    with here.db.write() as session:
        assert webhooks.of_owner(session, "").url is None


@on_one_database
def test_an_answer_that_does_not_end_is_not_read(here: Context, receiver: Receiver) -> None:
    delivery_id = put(here, f"{receiver.url}/endless")
    with delivering(here):
        assert ended(here, delivery_id).status == "delivered"


@on_one_database
@pytest.mark.parametrize("as_date", [False, True])
def test_a_receiver_that_asks_for_time_gets_it(here: Context, receiver: Receiver, as_date: bool) -> None:
    asked = format_datetime(datetime.now(UTC) + timedelta(seconds=75), usegmt=True) if as_date else "60"
    receiver.answers = [(503, {"Retry-After": asked})]
    delivery_id = put(here, receiver.url)
    with delivering(here):
        delivery = failed_once(here, delivery_id)
    assert delivery.next_at is not None
    assert timedelta(seconds=40) < delivery.next_at - now() < timedelta(seconds=80)


def test_the_pauses_grow_and_ten_attempts_take_over_27_hours() -> None:
    assert sum(GAPS_S[:9]) > 27 * 3600
    for number in range(1, 30):
        gap = GAPS_S[min(number, 9) - 1]
        assert gap <= pause_s(number, 0) <= 1.2 * gap
    assert len({pause_s(5, 0) for _ in range(20)}) > 1
    assert pause_s(1, 100) == 100
    assert pause_s(1, 1e9) == 43_200
    assert pause_s(9, 1) >= 43_200
    assert pause_s(1, -5) >= 5


@pytest.mark.parametrize("value", ["", "soon", "-1", "1, 2", "1e9", "Mon, 99 Jan 2025 00:00:00 GMT", "٣"])
def test_a_retry_after_that_is_none_asks_for_nothing(value: str) -> None:
    assert sending._retry_after_s(value) == 0


@on_one_database
def test_a_receiver_that_is_slow_is_given_up_and_holds_nobody_up(here: Context, receiver: Receiver) -> None:
    with receiving() as quick:
        slow = [put(here, f"{receiver.url}/hold") for _ in range(20)]
        rest = [put(here, quick.url) for _ in range(8)]
        began = time.monotonic()
        with delivering(here, (60,)):
            assert {ended(here, one).status for one in rest} == {"delivered"}
            assert time.monotonic() - began < 2, "the quick receiver waited for the slow one"
            assert failed_once(here, slow[0]).error == "There was no answer within 2 s."
            receiver.hold.set()
    assert receiver.most_at_once == sending.AT_ONCE_PER_HOST


@on_one_database
def test_an_owner_whose_receivers_are_all_silent_holds_up_no_other(
    here: Context, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "AT_ONCE", 4)
    monkeypatch.setattr(sending, "AT_ONCE_PER_OWNER", 3)
    monkeypatch.setattr(sending, "LOOK_AT", 4)
    with receiving() as quick:
        for _ in range(9):
            put(here, f"{receiver.url}/hold", "slow")
        other = put(here, quick.url, "other")
        began = time.monotonic()
        with delivering(here, (60,)):
            assert ended(here, other).status == "delivered"
            assert time.monotonic() - began < 2, "it waited for the silent ones"
            receiver.hold.set()


@on_one_database
def test_only_so_many_are_sent_at_once(here: Context, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "AT_ONCE", 3)
    sent = [put(here, f"{receiver.url}/hold") for _ in range(5)]
    with delivering(here):
        receiver.wait(3)
        assert len([one for one in sent if look(here, one).attempts]) == 3
        receiver.hold.set()
        assert {ended(here, one).status for one in sent} == {"delivered"}
    assert receiver.most_at_once == 3


def test_two_senders_send_nothing_twice(here: Context, receiver: Receiver) -> None:
    sent = [put(here, f"{receiver.url}/{number}") for number in range(40)]
    with delivering(here), delivering(here):
        for one in sent:
            ended(here, one)
    assert sorted(one.headers["webhook-id"] for one in receiver.received) == sorted(sent)


# --- addresses ----------------------------------------------------------------------------------------------------


def closed(here: Context) -> Context:
    here.settings = here.settings.model_copy(update={"webhook_private_addresses": False})
    return here


@on_one_database
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_reached_however_it_is_written(here: Context, receiver: Receiver, host: str) -> None:
    delivery_id = put(here, receiver.url.replace("127.0.0.1", host))
    with delivering(closed(here), (60,)):
        assert "private network" in str(failed_once(here, delivery_id).error)
    assert receiver.received == []


@on_one_database
def test_where_private_addresses_are_open_those_of_clouds_keys_are_not(here: Context) -> None:
    delivery_id = put(here, "http://169.254.169.254/latest")
    with delivering(here, (60,)):
        assert "private network" in str(failed_once(here, delivery_id).error)


def resolver(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """A name server that gives each of these addresses once; gives those that are left."""
    left, resolving = list(answers), socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host == "rebinding.test":
            if not left:
                raise socket.gaierror(socket.EAI_NONAME, "not known")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (left.pop(0), port))]
        return resolving(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return left


@on_one_database
def test_a_name_that_leads_here_at_the_second_look_does_not_arrive(
    here: Context, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = resolver(monkeypatch, "93.184.216.34", "127.0.0.1")
    connected: list[str] = []

    async def unreachable(_self: Any, host: str, *_: Any, **__: Any) -> Any:
        connected.append(host)
        raise httpcore.ConnectError("Network is unreachable")

    monkeypatch.setattr("httpcore._backends.auto.AutoBackend.connect_tcp", unreachable)
    delivery_id = put(here, receiver.url.replace("127.0.0.1", "rebinding.test"))
    with delivering(closed(here), (0.02, 60)):
        wait_until(lambda: "private network" in str(look(here, delivery_id).error))
    assert (look(here, delivery_id).attempts, connected, left) == (2, ["93.184.216.34"], [])
    assert receiver.received == []


@on_one_database
def test_a_name_is_asked_for_once_for_each_attempt(
    here: Context, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = resolver(monkeypatch, "127.0.0.1", "127.0.0.1")
    receiver.answers = [(500, {})]
    delivery_id = put(here, receiver.url.replace("127.0.0.1", "rebinding.test"))
    with delivering(here):
        assert ended(here, delivery_id).attempts == 2
    assert left == []
    assert receiver.received[0].headers["host"].startswith("rebinding.test:")


@on_one_database
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://no-such.invalid/", "There is no host of that name."),
        ("http://127.0.0.1:1/", "nothing answers there"),
        ("http://user:password@127.0.0.1/", "none that can be sent to"),
        ("ftp://127.0.0.1/", "none that can be sent to"),
        ("http://a\x01b/", "none that can be sent to"),
    ],
)
def test_an_address_without_a_receiver_is_told_of(here: Context, url: str, error: str) -> None:
    delivery_id = put(here, url)
    with delivering(here, (60,)):
        assert error in str(failed_once(here, delivery_id).error)


# --- whoever sends ------------------------------------------------------------------------------------------------

SENDER = """
import asyncio
from copyist.queue import webhooks
from copyist.queue.footing import footing

webhooks.SPARE_LEASE_S, webhooks.LOOK_EVERY_S = -9, 0.05
asyncio.run(webhooks.Deliverer(footing()).run())
"""


def test_a_sender_that_is_killed_loses_nothing(here: Context, receiver: Receiver) -> None:
    delivery_id = put(here, f"{receiver.url}/hold")
    environment = process_environment(
        DATABASE_URL=here.settings.database_url,
        REDIS_URL=here.settings.redis_url,
        DATA_DIR=str(here.settings.data_dir),
        WEBHOOK_PRIVATE_ADDRESSES="true",
        WEBHOOK_TIMEOUT_S="10",
    )
    process = subprocess.Popen([sys.executable, "-c", SENDER], env=environment)
    try:
        receiver.wait(1, 30)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    receiver.hold.set()
    with delivering(here):
        delivery = ended(here, delivery_id)
    assert (delivery.status, delivery.attempts) == ("delivered", 2)
    assert [one.headers["webhook-id"] for one in receiver.received] == [delivery_id] * 2


@on_one_database
def test_beat_has_one_thread_that_delivers(here: Context, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    over, started = threading.Event(), []
    run = Deliverer.run

    async def until_over(self: Deliverer, is_over: Callable[[], bool] = over.is_set) -> None:
        started.append(self)
        await run(self, is_over)

    monkeypatch.setattr(Deliverer, "run", until_over)
    off = here.settings.model_copy(update={"webhooks": False})
    on, here.settings = here.settings, off
    keep_delivering(here)
    here.settings = on
    for _ in range(3):
        keep_delivering(here)
    delivery_id = put(here, receiver.url)
    try:
        assert ended(here, delivery_id).status == "delivered"
        assert len(started) == 1
    finally:
        over.set()
        for thread in threading.enumerate():
            if thread.name == sending.THREAD:
                thread.join(30)


@on_one_database
def test_the_beat_process_delivers_and_stops_at_once(here: Context, receiver: Receiver, tmp_path: Path) -> None:
    urls = {"redis_url": here.settings.redis_url, "database_url": here.settings.database_url}
    with Service(tmp_path, **urls, WEBHOOK_PRIVATE_ADDRESSES="true") as service:
        service.start("beat")
        delivery_id = put(here, receiver.url)
        assert ended(here, delivery_id, 30).status == "delivered"
        held = put(here, f"{receiver.url}/hold")
        receiver.wait(2)
        began = time.monotonic()
        assert service.stop("beat") == 0
        assert time.monotonic() - began < 5
    assert look(here, held).attempts == 1


def test_a_database_that_is_away_for_a_while_is_waited_for(
    here: Context, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    delivery_id = put(here, receiver.url)
    with here.db.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE deliveries RENAME TO away")
    with delivering(here):
        wait_until(lambda: "does not answer" in caplog.text)
        with here.db.write() as session:
            session.connection().exec_driver_sql("ALTER TABLE away RENAME TO deliveries")
        assert ended(here, delivery_id).status == "delivered"


def test_old_deliveries_are_forgotten_once_in_a_while(here: Context) -> None:
    (work,) = [work for work in works(here.settings) if work.name == "deliveries"]
    delivery_id = put(here, "https://example.org/")
    assert work.do(here) is False
    assert look(here, delivery_id).status == "pending"
    with here.db.write() as session:
        session.execute(update(Delivery).values(status="failed", next_at=now() - timedelta(days=1)))
    assert work.do(here) is False
    with here.db.read() as session:
        assert deliveries.newest(session, deliveries.Filter(), limit=1) == []
