"""What goes wrong on a host: a clear line, the reason in ``/readyz``, recovery by itself, and nothing lost."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from tests.compose.conftest import CPU
from tests.compose.stack import PASSWORD, Stack, until
from tests.servers import ROOT

LETTER = ROOT / "tests" / "samples" / "letter.png"
SMALL_DISKS = """
volumes:
  files: {driver_opts: {type: tmpfs, device: tmpfs, o: "size=8m,uid=10001,mode=0755"}}
  postgres: {driver_opts: {type: tmpfs, device: tmpfs, o: "size=160m"}}
  redis: {driver_opts: {type: tmpfs, device: tmpfs, o: "size=2m"}}
services:
  worker: {volumes: ["%(weights)s:/app/weights:ro"]}
"""


@pytest.fixture(scope="module")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a stack whose disks are small and whose weights are an empty folder that may not be written."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "weights").mkdir()
    override = folder / "override.yml"
    override.write_text(SMALL_DISKS % {"weights": folder / "weights"})
    with Stack("bad", CPU, override) as running:
        running.compose("up", "--detach")
        running.await_ready()
        yield running


def problems(stack: Stack) -> str:
    """What ``/readyz`` complains of."""
    return " ".join(stack.readiness().get("problems", []))


def await_problem(stack: Stack, words: str, seconds: float = 60) -> None:
    """Wait until ``/readyz`` says so, and the engine finds the API unhealthy for that reason."""
    until(lambda: words in problems(stack), seconds, lambda: str(stack.readiness()))
    until(lambda: is_unhealthy(stack, "api", words), 90, lambda: str(stack.health("api")))


def is_unhealthy(stack: Stack, part: str, words: str) -> bool:
    """Whether the engine finds a part unhealthy, and for this reason."""
    state, said = stack.health(part)
    return state == "unhealthy" and words in said


def set_password(stack: Stack, password: str) -> None:
    """Tell the database another password for the service."""
    sql(stack, f"ALTER ROLE copyist PASSWORD '{password}'")


def sql(stack: Stack, statement: str) -> str:
    """What PostgreSQL answers."""
    return stack.inside("postgres", "psql", "-U", "copyist", "-d", "copyist", "-Atc", statement)


@contextmanager
def no_room(stack: Stack, service: str, folder: str) -> Iterator[None]:
    """Leave no room on the disk of a service, and make some in the end."""
    stack.compose("exec", "-T", service, "dd", "if=/dev/zero", f"of={folder}/filler", "bs=4k", check=False)
    yield
    stack.inside(service, "rm", f"{folder}/filler")
    stack.await_ready()


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "FLOWER_PASSWORD"])
def test_a_value_that_is_missing_in_env_is_named(engine: None, name: str) -> None:
    with Stack("missing", CPU) as stack:
        done = stack.compose("config", "--quiet", check=False, variables={name: ""})
        stack.environment[name] = "anything, so that it can be taken down"
    assert done.returncode != 0
    assert name in done.stderr and ".env" in done.stderr


def test_a_port_in_use_is_named_and_can_be_used_once_it_is_free(stack: Stack) -> None:
    stack.compose("rm", "--stop", "--force", "api")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", stack.port))
        taken.listen()
        done = stack.compose("up", "--detach", "api", check=False)
        assert done.returncode != 0
        assert str(stack.port) in done.stderr and "in use" in done.stderr
    stack.compose("up", "--detach", "api")
    stack.await_ready()


def test_a_wrong_password_for_postgres(stack: Stack) -> None:
    job_id = stack.upload(LETTER)
    set_password(stack, "another")
    for part in ("api", "worker", "beat"):  # Not all at once: this disk forgets what it holds when nobody uses it.
        stack.compose("restart", "--timeout", "1", part)
    await_problem(stack, "refuses the password")
    assert stack.client.get("/livez").status_code == 200
    refused = stack.client.get(f"/api/jobs/{job_id}")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    for part in ("worker", "beat"):
        until(partial(is_unhealthy, stack, part, "refuses the password"), 120, lambda: stack.logs("worker", "beat"))
        assert stack.logs(part).count("refuses the password") < 10
    set_password(stack, PASSWORD)
    stack.await_ready()
    job = stack.wait(job_id)
    assert job["status"] == "completed", (job, stack.client.get(f"/api/jobs/{job_id}/pages/1").json())


def test_a_wrong_password_from_the_first_start(images: None) -> None:
    """Somebody changed it in ``.env`` after the database had been made: ``up`` waits, says why, and goes on."""
    with Stack("first", CPU) as stack, ThreadPoolExecutor(1) as aside:
        stack.compose("up", "--detach", "--wait", "postgres")
        starting = aside.submit(stack.compose, "up", "--detach", variables={"POSTGRES_PASSWORD": "changed"})
        await_problem(stack, "refuses the password", 90)
        assert "refuses the password" in stack.logs("migrate")
        set_password(stack, "changed")
        starting.result(120)
        stack.await_ready()


def test_redis_cannot_be_reached(stack: Stack) -> None:
    stack.compose("stop", "redis")
    await_problem(stack, "broker")
    job_id = stack.upload(LETTER, text="force")
    assert stack.job(job_id)["status"] == "pending"
    stack.compose("start", "redis")
    stack.await_ready()
    assert stack.wait(job_id)["status"] == "completed"


def test_the_disk_of_the_files_is_full(stack: Stack) -> None:
    known = sql(stack, "SELECT count(*) FROM jobs")
    with no_room(stack, "api", "/data"):
        refused = stack.client.post("/api/jobs", files={"file": LETTER.read_bytes() + b" made new"})
        assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
        await_problem(stack, "disk is full")
        assert sql(stack, "SELECT count(*) FROM jobs") == known
    assert stack.read(LETTER, text="force")["status"] == "completed"


def test_the_disk_of_postgres_is_full(stack: Stack) -> None:
    with no_room(stack, "postgres", "/var/lib/postgresql/data"):
        sent = [stack.client.post("/api/jobs", files={"file": LETTER.read_bytes()}) for _ in range(3)]
    assert {answer.status_code for answer in sent} <= {202, 503, 507}
    for answer in sent:
        if answer.status_code == 202:
            assert stack.wait(answer.json()["id"])["status"] == "completed"
    assert stack.read(LETTER, text="force")["status"] == "completed"


def test_the_disk_of_redis_is_full(stack: Stack) -> None:
    with no_room(stack, "redis", "/data"):
        job_ids = [stack.upload(LETTER) for _ in range(3)]
    assert [stack.wait(job_id)["status"] for job_id in job_ids] == ["completed"] * 3


def test_weights_that_are_missing_or_may_not_be_written(stack: Stack) -> None:
    assert "OCR engine dots is not ready" in stack.logs("worker")
    done = stack.run("worker", "weights", "pull", "easyocr", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr and "/app/weights" in done.stderr + done.stdout
    assert stack.read(LETTER, text="force")["status"] == "completed"
