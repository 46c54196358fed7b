"""Where an owner is told of jobs: what is taken for an address, the secret, test calls and the list of deliveries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import select

from copyist.api import webhooks
from copyist.api.app import create_app
from copyist.api.callers import Asks, Caller, Scope, Tier
from copyist.api.schemas import Problem
from copyist.db import deliveries
from copyist.db import webhooks as told
from copyist.db.session import Database
from copyist.db.tables import Delivery, Job
from copyist.errors import WebhookRefused, WebhooksOff
from copyist.settings import Settings
from tests.api.conftest import Ask

HOOK = "https://example.org/hook"


@pytest.fixture
def as_owner(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let whoever asks have this owner and these scopes."""

    def become(owner: str, *scopes: Scope) -> None:
        caller = Caller(owner, frozenset(scopes or {Scope.READ, Scope.WRITE}), Tier.STANDARD, owner)
        for app in apps:
            app.dependency_overrides[get_args(Asks)[1].dependency] = lambda: caller

    apps: list[Any] = []
    make = create_app

    def remember(settings: Settings) -> Any:
        apps.append(make(settings))
        return apps[-1]

    monkeypatch.setattr("tests.api.conftest.create_app", remember)
    return become


def problem(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert Problem.model_validate(answer.json()).code == code


def set_url(ask: Ask, url: str | None) -> Any:
    return ask("PUT", "/api/webhooks", json={"url": url})


def ping(ask: Ask, **body: str) -> str:
    answer = ask("POST", "/api/webhooks/test", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/api/webhooks/deliveries/{answer.json()['id']}"
    return str(answer.json()["id"])


def test_the_webhook_is_set_shown_and_unset(ask: Ask) -> None:
    first = ask("GET", "/api/webhooks").json()
    assert first["url"] is None and first["secret"].startswith("whsec_")
    assert set_url(ask, HOOK).json() == {"url": HOOK, "secret": first["secret"]}
    assert ask("GET", "/api/webhooks").json()["url"] == HOOK
    for empty in (None, ""):
        assert set_url(ask, empty).json()["url"] is None
    rotated = ask("POST", "/api/webhooks/secret").json()
    assert rotated["secret"] != first["secret"] == first["secret"]
    assert ask("GET", "/api/webhooks").json() == rotated


def test_addresses_are_kept_in_one_spelling(ask: Ask) -> None:
    for url, kept in [
        ("HTTPS://Example.ORG", "https://example.org/"),
        ("https://example.org:8443?a=b#part", "https://example.org:8443/?a=b"),
        (" http://bücher.example/ä ", "http://xn--bcher-kva.example/%C3%A4"),
        ("http://93.184.216.34/x", "http://93.184.216.34/x"),
        ("http://[2606:4700::1111]/x", "http://[2606:4700::1111]/x"),
    ]:
        assert set_url(ask, url).json().get("url") == kept


BAD = [
    *("example.org", "/hook", "//example.org/", "ftp://example.org/", "file:///etc/passwd", "http://", "http:///a"),
    *("http://user@example.org/", "http://user:pass@example.org/", "http://0177.0.0.1/", "http://a b/"),
    *("http://example.org:0/", "http://example.org:99999/", "http://example.org:x/", "http://a..b/", "http://a\0b/"),
    *("http://[::1%25eth0]/", "http://[1]/", f"http://example.org/{'a' * 2000}", "http://xn--a/", "javascript:1"),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_no_address_is_refused(ask: Ask) -> None:
    for url in BAD:
        answer = set_url(ask, url)
        assert (url[:40], answer.status_code) == (url[:40], 422)
    assert ask("PUT", "/api/webhooks", content=b'{"url": "http://x/\\ud800"}').status_code == 422
    assert ask("PUT", "/api/webhooks", json={}).status_code == 422
    problem(set_url(ask, "ftp://example.org"), 422, "invalid_webhook")
    assert ask("GET", "/api/webhooks").json()["url"] is None


PRIVATE = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"),
    *("10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fc00::1]"),
    *("localhost", "LOCALHOST.", "api.localhost", "224.0.0.1", "[64:ff9b::7f00:1]", "127。0。0。1"),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_addresses_of_private_networks_are_refused_at_once(ask: Ask) -> None:
    for host in PRIVATE:
        problem(set_url(ask, f"https://{host}:8443/hook"), 403, "webhook_refused")
    problem(ask("POST", "/api/webhooks/test", json={"url": "http://10.0.0.1/"}), 403, "webhook_refused")


class OnlySettings:
    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(_env_file=None, **settings)


def test_private_addresses_can_be_opened_but_not_those_of_clouds_keys() -> None:
    here: Any = OnlySettings(webhook_private_addresses=True)
    for host in ("127.0.0.1", "localhost", "10.1.2.3", "100.64.0.1", "[::1]", "[fc00::1]"):
        assert webhooks.checked_url(here, f"http://{host}:8080/") == f"http://{host}:8080/"
    for host in ("169.254.169.254", "[fe80::1]", "0.0.0.0", "224.0.0.1", "[::]"):
        with pytest.raises(WebhookRefused):
            webhooks.checked_url(here, f"http://{host}/")


def test_no_name_is_resolved_when_an_address_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise AssertionError("it was resolved")

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    here: Any = OnlySettings()
    assert webhooks.checked_url(here, "http://no-such.invalid/") == "http://no-such.invalid/"


def test_a_server_without_webhooks_says_so() -> None:
    here: Any = OnlySettings(webhooks=False)
    with pytest.raises(WebhooksOff):
        webhooks.checked_url(here, HOOK)
    assert webhooks.checked_url(here, None) is None and webhooks.checked_url(here, "") is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_job_keeps_the_address_that_it_was_sent_with(ask: Ask, db: Database, own_samples: Path) -> None:
    page = {"file": (own_samples / "note.png").read_bytes()[:90_000]}
    problem(ask("POST", "/api/jobs", files=page, data={"callback_url": "http://127.1/"}), 403, "webhook_refused")
    problem(ask("POST", "/api/jobs", files=page, data={"callback_url": "hook"}), 422, "invalid_webhook")
    answer = ask("POST", "/api/jobs", files=page, data={"callback_url": "HTTPS://example.org"})
    assert answer.status_code == 202, answer.text
    with db.read() as session:
        assert session.scalars(select(Job.callback_url)).all() == ["https://example.org/"]


def test_a_test_call_is_put_into_the_queue(ask: Ask) -> None:
    problem(ask("POST", "/api/webhooks/test"), 409, "no_webhook")
    set_url(ask, HOOK)
    first, second = ask("POST", "/api/webhooks/test").json()["id"], ping(ask, url="https://example.org/other")
    one = ask("GET", f"/api/webhooks/deliveries/{first}").json()
    assert (one["event"], one["url"], one["status"], one["attempts"], one["job_id"]) == (
        "ping",
        HOOK,
        "pending",
        0,
        None,
    )
    assert one["next_at"] is not None and one["payload"]["type"] == "ping"
    assert ask("GET", f"/api/webhooks/deliveries/{second}").json()["url"] == "https://example.org/other"


def test_deliveries_are_listed_and_sent_again(ask: Ask, db: Database) -> None:
    sent = [ping(ask, url=f"https://example.org/{number}") for number in range(5)]
    job_id = "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11"
    with db.write() as session:
        (attempt,) = deliveries.take(session, sent[:1], token="t", lease_s=9, max_attempts=9)
        deliveries.failed(session, attempt, response_status=500, error="It answered 500.")
        session.get_one(Delivery, sent[1]).job_id = job_id
    first = ask("GET", "/api/webhooks/deliveries", params={"limit": 3})
    assert [one["id"] for one in first.json()["deliveries"]] == sent[:1:-1]
    assert first.json()["next_cursor"] in first.headers["Link"]
    rest = ask("GET", "/api/webhooks/deliveries", params={"cursor": first.json()["next_cursor"]}).json()
    assert ([one["id"] for one in rest["deliveries"]], rest["next_cursor"]) == (sent[1::-1], None)
    failed = rest["deliveries"][1]
    assert (failed["status"], failed["attempts"], failed["response_status"]) == ("failed", 1, 500)
    assert (failed["error"], failed["next_at"]) == ("It answered 500.", None)
    for query, expected in [({"status": "failed"}, sent[:1]), ({"job": job_id}, sent[1:2]), ({"job": sent[0]}, [])]:
        found = ask("GET", "/api/webhooks/deliveries", params=query).json()["deliveries"]
        assert [one["id"] for one in found] == expected
    again = ask("POST", f"/api/webhooks/deliveries/{sent[0]}/redeliver")
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (202, sent[0], "pending")
    assert (again.json()["attempts"], again.json()["error"]) == (0, None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_list_refuses_what_it_does_not_know(ask: Ask) -> None:
    for query in ({"cursor": "x"}, {"status": "lost"}, {"job": "a\0b"}, {"limit": "0"}):
        assert ask("GET", "/api/webhooks/deliveries", params=query).status_code == 422
    for path in ("x", "5f0c7b1e-93d4-4a55-8a0e-6a1d2c3b4e5f", "a%00b"):
        problem(ask("GET", f"/api/webhooks/deliveries/{path}"), 404, "not_found")
        problem(ask("POST", f"/api/webhooks/deliveries/{path}/redeliver"), 404, "not_found")


def test_what_is_somebody_elses_is_not_there(as_owner: Callable[..., None], ask: Ask, db: Database) -> None:
    as_owner("anna")
    mine = set_url(ask, HOOK).json()
    delivery_id = ping(ask)
    as_owner("bert")
    theirs = ask("GET", "/api/webhooks").json()
    assert theirs["url"] is None and theirs["secret"] != mine["secret"]
    assert ask("GET", "/api/webhooks/deliveries").json()["deliveries"] == []
    problem(ask("GET", f"/api/webhooks/deliveries/{delivery_id}"), 404, "not_found")
    problem(ask("POST", f"/api/webhooks/deliveries/{delivery_id}/redeliver"), 404, "not_found")
    as_owner("keeper", Scope.ADMIN)
    assert ask("GET", f"/api/webhooks/deliveries/{delivery_id}").status_code == 200
    with db.write() as session:
        assert told.of_owner(session, "anna").secret == mine["secret"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_key_that_only_reads_does_not_see_the_secret(as_owner: Callable[..., None], ask: Ask) -> None:
    as_owner("anna", Scope.READ)
    for method, path in [("GET", ""), ("PUT", ""), ("POST", "/secret"), ("POST", "/test"), ("GET", "/deliveries")]:
        problem(ask(method, f"/api/webhooks{path}", json={"url": HOOK}), 403, "forbidden")


def test_examples_are_what_the_models_take() -> None:
    webhooks.WebhookBody.model_validate(webhooks.WEBHOOK)
    for example in (webhooks.DELIVERY, webhooks.AGAIN, webhooks.PING):
        webhooks.DeliveryBody.model_validate(example)
