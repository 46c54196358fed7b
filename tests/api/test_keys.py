"""Who is let in: a good key in a header, or anybody where none is needed; and the routes that make and revoke keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import update

from copyist.api.keyring import Keyring
from copyist.db.keys import Scope
from copyist.db.session import Database
from copyist.db.tables import ApiKey, now
from copyist.errors import Unavailable
from copyist.settings import Settings
from tests.api.conftest import Ask, MakeKey, with_settings
from tests.api.test_jobs import png
from tests.servers import free_port

OPEN = {"/livez", "/readyz", "/health", "/version"} | {"/status", "/model/info"}  # The last two as their seed has them.
with_keys = with_settings(api_keys="required")


@pytest.fixture
def database_url(fresh_database: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """SQLite, but where a test asks for both."""
    return fresh_database(getattr(request, "param", "sqlite"))


both_databases = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


def sent(key: str) -> dict[str, dict[str, str]]:
    return {"headers": {"X-API-Key": key}}


def refused(response: httpx.Response, why: str = "") -> bool:
    told = response.headers.get("WWW-Authenticate"), response.json()["code"], why in response.json()["detail"]
    return response.status_code == 401 and told == ("Bearer", "unauthorized", True)


def expire(settings: Settings, **values: object) -> None:
    """Change all keys behind the API's back."""
    database = Database(settings.database)
    with database.write() as session:
        session.execute(update(ApiKey).values(**values))
    database.close()


@both_databases
@with_keys
def test_a_good_key_opens_in_either_header_and_nothing_else_does(ask: Ask, make_key: MakeKey) -> None:
    key = make_key(Scope.READ)
    assert refused(ask("GET", "/api/jobs"), "None was sent")
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}, {"authorization": f"bearer  {key} "}):
        assert ask("GET", "/api/jobs", headers=headers).status_code == 200
    for wrong in (key[:-1], key + "x", key.lower(), "ck_", "\u00fc" * 50, "x" * 5000):
        assert refused(ask("GET", "/api/jobs", headers={"X-API-Key": wrong.encode("latin-1")}), "not known")
    assert refused(ask("GET", "/api/jobs", headers={"Authorization": f"Basic {key}"}), "None was sent")


def test_without_keys_nobody_needs_one_but_a_wrong_one_is_refused(ask: Ask) -> None:
    assert ask("GET", "/api/jobs").status_code == 200
    assert ask("GET", "/api/keys/me").json()["scopes"] == ["admin"]
    assert refused(ask("GET", "/api/jobs", **sent("ck_wrong")), "not known")


@with_keys
def test_what_is_open_needs_no_key(ask: Ask) -> None:
    for path in ("/livez", "/health", "/docs", "/openapi.json", "/"):
        assert ask("GET", path).status_code == 200
    assert ask("GET", "/readyz").status_code == 503


@with_keys
def test_every_other_route_asks_who_it_is(ask: Ask) -> None:
    """A handler that takes no ``Asks`` is open to everybody."""
    paths = ask("GET", "/openapi.json").json()["paths"]
    open_to_all = {path for path, routes in paths.items() if not all("security" in route for route in routes.values())}
    assert open_to_all - OPEN == set()


@with_keys
def test_a_key_is_good_for_its_scopes_and_no_more(ask: Ask, make_key: MakeKey) -> None:
    reader, admin = make_key(Scope.READ), make_key(Scope.ADMIN)
    for method, path in (("POST", "/api/jobs"), ("DELETE", "/api/jobs/x"), ("GET", "/api/keys"), ("POST", "/api/keys")):
        response = ask(method, path, json={"name": "x"}, **sent(reader))
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert ask("GET", "/api/keys", **sent(admin)).status_code == 200


@pytest.mark.parametrize("name", ["api_key", "KEY", "Access_Token", "x-api-key", "%61pikey", "tok%65n"])
def test_a_key_in_an_address_is_refused_on_every_route(ask: Ask, name: str) -> None:
    for path in ("/livez", "/api/jobs", "/", "/no-such-route", "/docs"):
        response = ask("GET", f"{path}?limit=1&{name}=ck_secret")
        assert (response.status_code, response.json()["code"]) == (400, "key_in_query")
        assert "ck_secret" not in response.text
    assert ask("GET", "/api/jobs?status=failed&limit=1").status_code == 200


@with_keys
def test_a_key_that_is_revoked_elsewhere_stops_within_five_seconds(
    ask: Ask, make_key: MakeKey, settings: Settings
) -> None:
    key = make_key(Scope.READ)
    assert ask("GET", "/api/jobs", **sent(key)).status_code == 200
    expire(settings, revoked_at=now())
    since = time.monotonic()
    while (answer := ask("GET", "/api/jobs", **sent(key))).status_code == 200:
        assert time.monotonic() - since < 5, answer.text
        time.sleep(0.05)
    assert refused(answer, "revoked")


@with_keys
def test_a_key_that_expires_stops_at_that_moment(ask: Ask, make_key: MakeKey) -> None:
    key = make_key(Scope.READ, expires_at=now() + timedelta(seconds=0.7))
    assert ask("GET", "/api/jobs", **sent(key)).status_code == 200
    time.sleep(0.8)
    assert refused(ask("GET", "/api/jobs", **sent(key)), "expired")


@with_keys
def test_its_use_is_noted(ask: Ask, make_key: MakeKey) -> None:
    key = make_key(Scope.ADMIN)
    assert ask("GET", "/api/keys", **sent(key)).status_code == 200
    (listed,) = ask("GET", "/api/keys", **sent(key)).json()["keys"]
    assert listed["last_used_at"] is not None


def away() -> str:
    return f"postgresql+psycopg2://x@127.0.0.1:{free_port()}/x"


@with_settings(api_keys="required", database_url=away())
def test_while_the_database_is_away_nobody_is_called_a_stranger(ask: Ask) -> None:
    response = ask("GET", "/api/jobs", **sent("ck_good"))
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert refused(ask("GET", "/api/jobs"), "None was sent")


def test_a_database_that_goes_away_is_no_wrong_key() -> None:
    database = Database(away())
    with pytest.raises(Unavailable):
        asyncio.run(Keyring(database).key("ck_good"))
    database.close()


@both_databases
@with_keys
def test_a_key_is_made_shown_once_listed_and_revoked(ask: Ask, make_key: MakeKey) -> None:
    admin = sent(make_key(Scope.ADMIN))
    wish = {"name": "a scanner", "owner": "archive", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"}
    made = ask("POST", "/api/keys", json=wish, **admin)
    assert made.status_code == 201
    body, where = made.json(), made.headers["Location"]
    secret = body.pop("key")
    assert (body["owner"], body["scopes"], body["tier"], body["hint"]) == ("archive", ["read"], "standard", secret[:8])
    shown = ask("GET", where, **admin)
    assert (shown.status_code, shown.json()) == (200, body)
    mine = ask("GET", "/api/keys/me", **sent(secret)).json()
    assert (mine["owner"], mine["scopes"], mine["tier"]) == ("archive", ["read"], "standard")

    for _ in range(2):
        assert ask("DELETE", where, **admin).status_code == 204
    assert refused(ask("GET", "/api/jobs", **sent(secret)), "revoked")
    listed = ask("GET", "/api/keys?limit=1", **admin).json()
    assert listed["keys"][0]["revoked_at"] is not None and secret[9:] not in str(listed)
    rest = ask("GET", f"/api/keys?cursor={listed['next_cursor']}", **admin).json()
    assert (len(rest["keys"]), rest["next_cursor"]) == (1, None)
    assert ask("GET", "/api/keys/no-such-key", **admin).status_code == 404
    assert ask("DELETE", "/api/keys/a%00b", **admin).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"scopes": []}, {"scopes": ["all"]}, {"tier": "anonymous"}, {"owner": ""}, {"name": "a\0b"}]
    + [{"expires_at": moment} for moment in ("2001-01-01T00:00:00Z", "2099-01-01T00:00:00", "soon")],
)
def test_a_key_that_cannot_be_is_not_made(ask: Ask, wrong: dict[str, object]) -> None:
    assert ask("POST", "/api/keys", json={"name": "x"} | wrong).status_code == 422
    assert ask("GET", "/api/keys").json()["keys"] == []


@with_keys
def test_the_docs_know_where_a_key_goes(ask: Ask) -> None:
    document = ask("GET", "/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert {(one["type"], one.get("name"), one.get("scheme")) for one in schemes.values()} == {
        ("apiKey", "X-API-Key", None),
        ("http", None, "bearer"),
    }
    assert {} not in document["paths"]["/api/keys"]["get"]["security"]


def test_the_docs_of_an_open_service_say_that_no_key_is_needed(ask: Ask) -> None:
    for _ in range(2):
        document = ask("GET", "/openapi.json").json()
        assert document["paths"]["/api/keys"]["get"]["security"].count({}) == 1


@with_keys
def test_a_stream_ends_when_its_key_is_revoked(
    ask: Ask, make_key: MakeKey, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keyring, "FRESH_S", 0.1)
    key = make_key()
    job = ask("POST", "/api/jobs", files={"file": ("a.png", png())}, **sent(key)).json()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(ask, "GET", job["links"]["events"], **sent(key))
        with pytest.raises(TimeoutError):
            stream.result(1.5)
        expire(settings, revoked_at=now())
        assert stream.result(10).status_code == 200


def test_a_key_cannot_expire_when_no_calendar_has_it(ask: Ask) -> None:
    response = ask("POST", "/api/keys", json={"name": "late", "expires_at": "9999-12-31T23:59:59-12:00"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
