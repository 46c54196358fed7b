"""Flower: who may look, what it shows, and that it remembers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from copyist.queue.routing import PRIORITY_STEPS, celery_app
from tests.acceptance.conftest import Start
from tests.servers import ValkeyServer, free_port, process_environment
from tests.service import Service

USER, PASSWORD = "operator", "a: secret"


@pytest.fixture
def flower() -> Iterator[httpx.Client]:
    """Return a client of a Flower that a test starts on ``flower.base_url.port``; it is used without the password."""
    with httpx.Client(base_url=f"http://127.0.0.1:{free_port()}", trust_env=False, timeout=30) as client:
        yield client


def settings(flower: httpx.Client, **more: str) -> dict[str, str]:
    return {"FLOWER_USER": USER, "FLOWER_PASSWORD": PASSWORD, "FLOWER_PORT": str(flower.base_url.port), **more}


def await_answer(service: Service, flower: httpx.Client) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            assert flower.get("/healthcheck").text == "OK"
            return
        except httpx.TransportError:
            assert time.monotonic() < until, service.log("flower")
            time.sleep(0.1)


def ask(flower: httpx.Client, path: str) -> httpx.Response:
    return flower.get(path, auth=(USER, PASSWORD))


def names(flower: httpx.Client) -> set[str]:
    return {task["name"] for task in ask(flower, "/api/tasks").json().values()}


def await_names(flower: httpx.Client, expected: set[str], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not expected <= names(flower):
        assert time.monotonic() < until, names(flower)
        time.sleep(0.2)


def test_it_shows_the_tasks_to_who_knows_the_password_and_remembers_them(
    start: Start, flower: httpx.Client, own_samples: Path
) -> None:
    service = start("api", "beat", "worker", "flower", **settings(flower))
    await_answer(service, flower)
    assert [flower.get(path).status_code for path in ("/", "/tasks", "/api/tasks")] == [401] * 3
    assert flower.get("/tasks", auth=(USER, "guess")).status_code == 401
    assert ask(flower, "/tasks").status_code == 200
    # These two are open to whoever reaches the port.
    assert [flower.get(path).status_code for path in ("/metrics", "/healthcheck")] == [200] * 2
    assert PASSWORD not in Path(f"/proc/{service.processes['flower'].pid}/cmdline").read_text()

    job = service.read(own_samples / "scan.pdf")
    assert job["status"] == "completed"
    await_names(flower, {"copyist.intake", "copyist.read_page"})
    seen = ask(flower, "/api/tasks").json()
    pages = [task["kwargs"] for task in seen.values() if task["name"] == "copyist.read_page"]
    assert pages and all(f"'job_id': '{job['id']}', 'number': " in page for page in pages)

    assert service.stop("flower") == 0
    service.start("flower")
    await_answer(service, flower)
    assert ask(flower, "/api/tasks").json().keys() >= seen.keys()


def test_it_counts_what_waits_in_every_queue_at_every_priority(
    start: Start, flower: httpx.Client, redis_url: str
) -> None:
    service = start("flower", **settings(flower))
    app = celery_app(redis_url)
    for queue, count in {"cpu": 1, "gpu": 2, "pictures": 3}.items():
        for priority in PRIORITY_STEPS:
            for _ in range(count):
                app.send_task("copyist.nothing", queue=queue, priority=priority)
    app.close()
    await_answer(service, flower)
    lengths = {queue["name"]: queue["messages"] for queue in ask(flower, "/api/queues/length").json()["active_queues"]}
    assert lengths == {"cpu": 3, "gpu": 6, "pictures": 9, "training": 0}
    assert ask(flower, "/broker").status_code == 200


def test_it_stops_and_remembers_while_the_broker_is_away(start: Start, flower: httpx.Client) -> None:
    with ValkeyServer() as valkey:
        service = start("flower", **settings(flower, REDIS_URL=valkey.url))
        await_answer(service, flower)
        # A command leaves a connection behind, which is found to be broken when the next is sent.
        revoke = partial(flower.post, "/api/task/revoke/none", auth=(USER, PASSWORD))
        assert revoke().status_code == 200
        valkey.kill()
        assert revoke().status_code >= 500
        assert flower.get("/healthcheck").status_code == 200
        assert service.stop("flower", seconds=9) == 0
        assert list((service.folder / "data").glob("flower.db*"))


@pytest.mark.parametrize(
    ("user", "password", "sentence"),
    [
        ("", "", "Set FLOWER_USER and FLOWER_PASSWORD"),
        ("operator", "", "Set FLOWER_USER and FLOWER_PASSWORD"),
        ("operator", "a,b", "without a comma"),
        ("operator", "schlüssel", "ASCII"),
        ("a:b", "c", "no colon"),
    ],
)
def test_it_does_not_start_without_a_password_that_it_can_ask_for(
    tmp_path: Path, user: str, password: str, sentence: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "copyist", "flower"],
        env=process_environment(FLOWER_USER=user, FLOWER_PASSWORD=password, REDIS_URL="redis://127.0.0.1:1/0"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == os.EX_CONFIG
    assert sentence in done.stderr
