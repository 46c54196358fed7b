"""What a caller may send: counted for all processes in Redis, never half, and never in the way when Redis is away."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute, RateLimitItemPerSecond

from copyist.api.callers import _network
from copyist.api.quotas import Full, Quotas
from copyist.cli.broker import Broker
from copyist.db.keys import Scope, Tier
from tests.api.conftest import Ask, MakeKey, with_settings
from tests.servers import ValkeyServer

Counters = Callable[[str], Quotas]
ITEMS: list[RateLimitItem] = [RateLimitItemPerMinute(10), RateLimitItemPerHour(100)]


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def counters() -> Iterator[Counters]:
    """Make counters as one API process has them."""
    made: list[Quotas] = []

    def make(redis_url: str) -> Quotas:
        made.append(Quotas(redis_url))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def note(own_samples: Path) -> bytes:
    return (own_samples / "note.png").read_bytes()[:90_000]


def upload(ask: Ask, note: bytes, key: str = "", **content: Any) -> httpx.Response:
    return ask("POST", "/api/jobs", files={"file": note}, headers={"X-API-Key": key} if key else {}, **content)


def left(response: httpx.Response) -> dict[str, tuple[int, int]]:
    """Window to what remains and in how many seconds it is free."""
    found = re.findall(r'"(\w+)";r=(\d+);t=(\d+)', response.headers["RateLimit"])
    return {name: (int(remaining), int(seconds)) for name, remaining, seconds in found}


@with_settings(rate_limits="on", rate_limit_per_minute=2)
def test_files_are_counted_and_one_too_many_is_not(ask: Ask, note: bytes) -> None:
    first, second, third = (upload(ask, note) for _ in range(3))
    assert first.status_code == 202
    assert first.headers["RateLimit-Policy"] == '"minute";q=2;w=60, "hour";q=100;w=3600, "day";q=500;w=86400'
    assert left(first) == {"minute": (1, 60), "hour": (99, 3600), "day": (499, 86400)}
    assert (second.headers["X-RateLimit-Limit"], second.headers["X-RateLimit-Remaining"]) == ("2", "0")
    assert 0 <= int(second.headers["X-RateLimit-Reset"]) - time.time() <= 61

    assert (third.status_code, third.json()["code"]) == (429, "too_many_requests")
    seconds = int(third.headers["Retry-After"])
    assert 50 < seconds <= 60 and f"2 files in a minute. Try again in {seconds} s" in third.json()["detail"]
    assert left(third)["minute"] == (0, seconds) and left(third)["hour"][0] == 98
    # Looking is free, and what was refused has cost nothing of the longer windows.
    for _ in range(3):
        mine = ask("GET", "/api/keys/me")
    assert [one["remaining"] for one in mine.json()["limits"]] == [0, 98, 498]
    assert "RateLimit" not in mine.headers


@with_settings(api_keys="required", rate_limits="on", rate_limit_per_minute=1, rate_limit_key_factor=2)
def test_a_key_has_more_and_shares_it_with_the_others_of_its_owner(ask: Ask, note: bytes, make_key: MakeKey) -> None:
    one, other, stranger = (make_key(owner=owner) for owner in ("a", "a", "b"))
    assert [upload(ask, note, key).status_code for key in (one, other, one, stranger)] == [202, 202, 429, 202]
    unlimited = make_key(Scope.WRITE, Scope.READ, tier=Tier.UNLIMITED, owner="a")
    free = [upload(ask, note, unlimited) for _ in range(3)]
    assert [answer.status_code for answer in free] == [202] * 3 and "RateLimit" not in free[0].headers


@with_settings(rate_limits="off", rate_limit_per_minute=1, rate_limit_concurrent=1)
def test_without_limits_nothing_is_counted(ask: Ask, note: bytes) -> None:
    assert [upload(ask, note).status_code for _ in range(3)] == [202] * 3
    assert ask("GET", "/api/keys/me").json()["limits"] == []


def test_what_does_not_fit_as_a_whole_is_not_counted_at_all(counters: Counters, redis_url: str) -> None:
    quotas = counters(redis_url)
    assert [one.remaining for one in quotas.count(ITEMS, "x", 7) or []] == [3, 93]
    with pytest.raises(Full) as refusal:
        quotas.count(ITEMS, "x", 4)
    assert (refusal.value.full.name, refusal.value.full.remaining) == ("minute", 3)
    assert [one.remaining for one in quotas.count(ITEMS, "x", 3) or []] == [0, 90]


def test_many_at_once_get_exactly_what_there_is(counters: Counters, redis_url: str) -> None:
    processes = [counters(redis_url) for _ in range(4)]

    def one(number: int) -> bool:
        with suppress(Full):
            return processes[number % 4].count(ITEMS, "x", 1) is not None
        return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(one, range(60))) <= 10
    while one(0):
        pass
    assert [window.remaining for window in processes[0].windows(ITEMS, "x") or []] == [0, 90]


def test_who_comes_second_between_a_look_and_a_count_gives_back_what_was_counted(
    counters: Counters, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas, items = counters(redis_url), [RateLimitItemPerMinute(100), RateLimitItemPerHour(10)]
    before = quotas.windows(items, "x") or []
    quotas.count(items, "x", 8)
    look = quotas._windows
    looks = iter([lambda: before])
    monkeypatch.setattr(quotas, "_windows", lambda *asked: next(looks, lambda: look(*asked))())
    with pytest.raises(Full) as refusal:
        quotas.count(items, "x", 5)
    assert (refusal.value.full.name, refusal.value.full.remaining) == ("hour", 2)
    assert [one.remaining for one in quotas.windows(items, "x") or []] == [92, 2]


def test_a_window_is_free_again_when_it_said_so(counters: Counters, redis_url: str) -> None:
    quotas, item = counters(redis_url), RateLimitItemPerSecond(1, 2)
    quotas.count([item], "x", 1)
    with pytest.raises(Full) as refusal:
        quotas.count([item], "x", 1)
    assert 1 <= refusal.value.full.reset_s <= 2
    time.sleep(refusal.value.full.reset_s)
    assert quotas.count([item], "x", 1)


def test_nobody_is_refused_while_redis_is_away(counters: Counters) -> None:
    with ValkeyServer() as server:
        quotas = counters(server.url)
        assert quotas.count(ITEMS, "x", 10) and quotas.take("x", "a", 1)
        server.kill()
        since = time.monotonic()
        for _ in range(50):
            assert quotas.count(ITEMS, "x", 10) is None
            assert quotas.take("x", "b", 1) is None
        quotas.give_back("x", "a")
        assert time.monotonic() - since < 3
        server.restart(empty=True)
        until = time.monotonic() + 10
        while quotas.count(ITEMS, "x", 1) is None:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_unix_socket_will_do(counters: Counters, tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    process = subprocess.Popen(broker.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while not broker.socket.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        quotas = counters(broker.url)
        assert quotas.count(ITEMS, "x", 1) and quotas.take("x", "a", 1) and quotas.take("x", "b", 1) is False
    finally:
        process.terminate()
        process.wait()
        broker.forget()


def test_a_killed_process_gives_its_places_back(
    counters: Counters, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quotas, "LAPSE_S", 2)
    killed, alive = counters(redis_url), counters(redis_url)
    assert killed.take("x", "gone", 2) and alive.take("x", "kept", 2)
    assert alive.take("x", "more", 2) is False and alive.taken("x") == 2
    until = time.monotonic() + 10
    while not alive.take("x", "more", 2):
        alive.renew("x", "kept")
        assert time.monotonic() < until
        time.sleep(0.1)
    with redis.Redis.from_url(redis_url) as client:
        assert set(client.zrange("copyist.limits:places:x", 0, -1)) == {b"kept", b"more"}
        alive.renew("x", "gone")
        assert client.zcard("copyist.limits:places:x") == 2


@with_settings(rate_limits="on", rate_limit_concurrent=1, rate_limit_per_minute=100)
def test_places_are_freed_whatever_becomes_of_the_request(ask: Ask, note: bytes) -> None:
    answers = [upload(ask, content).status_code for content in (note, b"text", b"", note[:100], note)]
    assert answers[0] == answers[-1] == 202 and 429 not in answers
    assert ask("GET", "/api/keys/me").json()["concurrent"] == {"limit": 1, "taken": 0}


@with_settings(rate_limits="on", rate_limit_concurrent=1, rate_limit_per_minute=100)
def test_a_client_that_hangs_up_frees_its_place_at_once(serving: int, note: bytes) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{serving}", trust_env=False, timeout=20) as client:

        def post(seconds: int = 0) -> httpx.Response:
            return client.post("/api/jobs", files={"file": note}, headers={"Prefer": f"wait={seconds}"})

        def wait_and_hang_up() -> None:
            with suppress(httpx.TransportError), httpx.Client(trust_env=False, timeout=2) as other:
                other.post(f"{client.base_url}/api/jobs", files={"file": note}, headers={"Prefer": "wait=30"})

        waiting = threading.Thread(target=wait_and_hang_up)
        waiting.start()
        until = time.monotonic() + 20
        while client.get("/api/keys/me").json()["concurrent"]["taken"] == 0:
            assert time.monotonic() < until
            time.sleep(0.01)
        refused = post()
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_at_once")
        assert int(refused.headers["Retry-After"]) > 0
        waiting.join()
        hung_up = time.monotonic()
        while post().status_code == 429:
            assert time.monotonic() - hung_up < 3
            time.sleep(0.05)


@with_settings(max_open_jobs=2)
def test_a_full_queue_takes_no_more_until_there_is_room(ask: Ask, note: bytes) -> None:
    jobs = []
    until = time.monotonic() + 20
    while (answer := upload(ask, note)).status_code == 202:
        jobs.append(answer.json()["id"])
        assert time.monotonic() < until
        time.sleep(0.2)
    assert 2 <= len(jobs) < 10
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
    assert answer.headers["Retry-After"]
    for job in jobs:
        ask("DELETE", f"/api/jobs/{job}")
    while upload(ask, note).status_code != 202:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_addresses_of_one_household_count_as_one() -> None:
    assert _network("2001:db8:1:2::1") == _network("2001:db8:1:2:ffff::9") != _network("2001:db8:1:3::1")
    assert _network("::ffff:192.0.2.7") == _network("192.0.2.7") == "192.0.2.7"
    assert _network("testclient") == "testclient"
