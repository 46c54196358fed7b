"""The stack of ``docker compose up`` starts, reads, is watched, shares the work, and loses nothing."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import jiwer
import pikepdf
import pytest

from tests.compose.stack import Stack, megabytes, note, timed, until
from tests.servers import ROOT

SAMPLES = ROOT / "tests" / "samples"
BASE = "python:3.11-slim-bookworm"
API, WORKER = "localhost/copyist-api:latest", "localhost/copyist-worker:latest"
HEAVY = ("torch", "numpy", "cv2", "pytesseract", "tesserocr", "easyocr", "rapidocr", "onnxruntime", "transformers")
PARTS = ("api", "worker", "trainer", "beat", "flower", "postgres", "redis")
PAGES = 24


@pytest.fixture
def long_scan(tmp_path: Path) -> Path:
    """Return a scan of many pages, which keeps workers busy for a while, and of which no page was read before."""
    path = tmp_path / "long.pdf"
    with pikepdf.open(SAMPLES / "scan.pdf") as scan, pikepdf.new() as long:
        for number in range(PAGES):
            long.pages.append(scan.pages[number % len(scan.pages)])
        long.docinfo["/Title"] = uuid4().hex
        long.save(path)
    return path


def read_long(stack: Stack, path: Path) -> str:
    """Send the long scan to be read anew, page by page, and wait until it is on its way; gives the job's id."""
    job_id = stack.upload(path, engine="tesseract", text="force")
    until(lambda: stack.job(job_id)["progress"]["pages_done"] > 0, 120)
    return job_id


def finished(stack: Stack, job_id: str) -> dict[str, Any]:
    """The long scan once it was read, whole and each page once."""
    job = stack.wait(job_id, 300)
    progress = job["progress"]
    assert (job["status"], progress["pages_done"], progress["pages_failed"]) == ("completed", PAGES, 0), job
    return job


def attempts(stack: Stack, job_ids: Sequence[str]) -> int:
    """How often pages of the jobs were begun."""
    listed = ", ".join(f"'{job_id}'" for job_id in job_ids)
    return int(sql(stack, f"SELECT sum(attempts) FROM pages WHERE job_id IN ({listed})"))


def sql(stack: Stack, statement: str) -> str:
    """What PostgreSQL answers, its columns and rows without ornament."""
    return stack.inside("postgres", "psql", "-U", "copyist", "-d", "copyist", "-Atc", statement)


def test_the_images_are_small_and_the_one_of_the_api_has_no_engine(images: None) -> None:
    for name, image in (("API, beat, Flower", API), ("CPU worker", WORKER)):
        note(f"image: {name}, without its base", f"{megabytes(image) - megabytes(BASE):.0f} MB")
    assert megabytes(API) - megabytes(BASE) < 250
    script = f"import importlib.util as u; print([n for n in {HEAVY!r} if u.find_spec(n)])"
    done = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "python", API, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_every_part_is_healthy_and_confined(stack: Stack) -> None:
    until(
        lambda: all(stack.health(part)[0] == "healthy" for part in PARTS),
        90,
        lambda: str({p: stack.health(p) for p in PARTS}),
    )
    assert stack.inspect("migrate")["State"]["ExitCode"] == 0
    assert "from nothing" in stack.logs("migrate")
    for part in ("api", "worker", "trainer", "beat", "flower"):
        assert stack.inside(part, "id", "-u") == "10001"
        assert "Read-only" in stack.compose("exec", "-T", part, "touch", "/opt/copyist/x", check=False).stderr
        assert stack.inspect(part)["HostConfig"]["CapDrop"] == ["ALL"]
    assert stack.client.get("/readyz").json()["problems"] == []
    for part in PARTS:
        config = stack.inspect(part)["HostConfig"]
        assert config["Memory"] > 0 and config["NanoCpus"] > 0, f"{part} has no limit"


def test_a_cpu_worker_starts_within_20_seconds(stack: Stack) -> None:
    stack.compose("restart", "worker")
    started = datetime.fromisoformat(stack.inspect("worker")["State"]["StartedAt"])

    def lines() -> list[str]:
        logs = stack.compose("logs", "--no-color", "--no-log-prefix", "--timestamps", "worker").stdout
        told = [line for line in logs.splitlines() if "Initialized OCR service with backend:" in line]
        return [line for line in told if datetime.fromisoformat(line.split()[0]) > started]

    until(lambda: bool(lines()), 60)
    seconds = (datetime.fromisoformat(lines()[0].split()[0]) - started).total_seconds()
    note("CPU worker, from its start until it reads", f"{seconds:.1f} s")
    assert seconds < 20
    stack.await_ready()


def test_it_reads_the_projects_samples(stack: Stack) -> None:
    manifest = json.loads((SAMPLES / "manifest.json").read_text())
    good = [
        entry for entry in manifest if entry["expect"] == "completed" and entry["kind"] in ("clean", "note", "turned")
    ]
    with timed(f"read {len(good)} samples of the project"):
        jobs = {entry["file"]: stack.upload(SAMPLES / entry["file"]) for entry in good}
        ended = {name: stack.wait(job_id) for name, job_id in jobs.items()}
    assert {name: job["status"] for name, job in ended.items()} == dict.fromkeys(ended, "completed")
    for entry in good:
        truth = "\n".join(entry["truth"])
        assert jiwer.cer(truth, stack.text(jobs[entry["file"]])) < 0.1, entry["file"]


def test_it_reads_a_long_scan(stack: Stack, long_scan: Path) -> None:
    began = time.monotonic()
    job = finished(stack, stack.upload(long_scan, engine="tesseract", text="force"))
    note(
        "one worker of two processes, scans with Tesseract", f"{60 * PAGES / (time.monotonic() - began):.0f} pages/min"
    )
    assert not job["degraded"]


def test_it_takes_in_the_collected_samples(stack: Stack, samples_dir: Path) -> None:
    manifest = json.loads((samples_dir / "printed" / "manifest.json").read_text())
    files = [samples_dir / "printed" / entry["file"] for entry in manifest]
    with timed(f"read {len(files)} collected prints"):
        jobs = {path.name: stack.upload(path, text="force") for path in files}
        ended = {name: stack.wait(job_id, 600) for name, job_id in jobs.items()}
    assert {name: job["status"] for name, job in ended.items()} == dict.fromkeys(ended, "completed")


def test_a_wrong_file_is_refused_with_a_reason(stack: Stack) -> None:
    with (SAMPLES / "not_an_image.jpg").open("rb") as content:
        answer = stack.client.post("/api/jobs", files={"file": content})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media")


def test_the_seeds_commands_work(stack: Stack) -> None:
    assert re.search(r"Initialized OCR service with backend: \w+", stack.logs("worker"))
    with (SAMPLES / "note.png").open("rb") as content:
        sent = stack.client.post("/api/upload/", files={"image": content})
    assert sent.status_code == 201
    found = stack.wait(sent.json()["transaction_id"])
    assert found["status"] == "completed"
    tasks = stack.client.get(f"/api/status/{sent.json()['transaction_id']}/").json()["extracted_tasks"]
    assert len(tasks) >= 8


def test_flower_asks_for_a_password_and_tells_of_tasks_queues_and_workers(stack: Stack) -> None:
    job_id = stack.read(SAMPLES / "letter.png", metadata='{"for": "flower"}', text="force")["id"]
    assert stack.flower.get("/", auth=("nobody", "wrong")).status_code == 401

    def tasks() -> list[dict[str, Any]]:
        return list(stack.flower.get("/api/tasks").json().values())

    until(lambda: any(job_id in str(task["kwargs"]) for task in tasks()), 30, lambda: str(tasks())[:2000])
    assert {task["name"] for task in tasks()} <= {"copyist.intake", "copyist.read_page", "copyist.draw_page"}
    assert len(stack.flower.get("/api/workers", params={"refresh": "1"}).json()) == 1
    queues = {queue["name"] for queue in stack.flower.get("/api/queues/length").json()["active_queues"]}
    assert queues == {"cpu", "pictures"}
    stack.compose("restart", "flower")
    until(lambda: stack.health("flower")[0] == "healthy", 60)
    until(lambda: any(job_id in str(task["kwargs"]) for task in tasks()), 30)


def test_the_metrics_page_counts_what_was_read(stack: Stack) -> None:
    stack.read(SAMPLES / "letter.png")
    answer = stack.client.get("/metrics")
    assert answer.status_code == 200
    jobs = {
        name: float(value)
        for name, value in re.findall(r'^ocr_jobs\{status="(\w+)"\} (\S+)', answer.text, re.MULTILINE)
    }
    held = dict(
        line.split("|") for line in sql(stack, "SELECT status, count(*) FROM jobs GROUP BY status").splitlines()
    )
    assert {name: count for name, count in jobs.items() if count} == {
        name: float(count) for name, count in held.items()
    }


def test_three_workers_share_the_work_and_one_may_die(stack: Stack, long_scan: Path) -> None:
    with timed("docker compose up --scale worker=3"):
        stack.compose("up", "--detach", "--no-recreate", "--scale", "worker=3")
        until(lambda: len(capacity(stack)) == 3, 90)
    job_id = read_long(stack, long_scan)
    until(lambda: len(readers(stack, job_id)) == 3, 60, lambda: str(readers(stack, job_id)))
    victim = next(one for one in stack.containers("worker") if one[:12] in readers(stack, job_id, "STARTED"))
    with timed(f"a scan of {PAGES} pages with three workers, one of them killed"):
        subprocess.run(["docker", "kill", victim], capture_output=True, check=True)
        finished(stack, job_id)
    # What the dead one had in hand was begun twice, and nothing else.
    assert PAGES < attempts(stack, [job_id]) <= PAGES + 2
    stack.compose("up", "--detach", "--scale", "worker=1")
    until(lambda: len(capacity(stack)) == 1, 60)


def test_a_worker_that_is_stopped_finishes_or_gives_back(stack: Stack, long_scan: Path) -> None:
    job_id = read_long(stack, long_scan)
    with timed("docker compose stop worker, while it reads"):
        stack.compose("stop", "worker")
    assert stack.inspect("worker")["State"]["ExitCode"] in (0, 143)
    assert sql(stack, f"SELECT count(*) FROM pages WHERE job_id = '{job_id}' AND status = 'processing'") == "0"
    stack.compose("start", "worker")
    finished(stack, job_id)
    assert attempts(stack, [job_id]) == PAGES


@pytest.mark.parametrize("service", ["redis", "postgres", "beat", "api"])
def test_nothing_is_lost_when_a_service_restarts(stack: Stack, long_scan: Path, service: str) -> None:
    job_id = read_long(stack, long_scan)
    with timed(f"restart of {service}, until it is healthy"):
        stack.compose("restart", service)
        until(lambda: stack.health(service)[0] == "healthy", 90)
    finished(stack, job_id)
    stack.await_ready()


def test_nothing_is_lost_when_redis_and_postgres_die(stack: Stack, long_scan: Path) -> None:
    job_id = read_long(stack, long_scan)
    stack.compose("kill", "redis", "postgres")
    stack.compose("start", "redis", "postgres")
    finished(stack, job_id)
    stack.await_ready()


def test_nothing_is_lost_when_the_stack_stops_and_starts(stack: Stack, long_scan: Path) -> None:
    job_id, waiting = read_long(stack, long_scan), stack.upload(SAMPLES / "letter.png", text="force", priority="batch")
    known = int(sql(stack, "SELECT count(*) FROM jobs"))
    with timed("docker compose stop, while it reads"):
        stack.compose("stop")
    with timed("docker compose start, until ready"):
        stack.compose("start")
        stack.await_ready()
    finished(stack, job_id)
    assert stack.wait(waiting)["status"] == "completed"
    assert int(sql(stack, "SELECT count(*) FROM jobs")) == known


def test_an_upgrade_migrates_once(stack: Stack) -> None:
    sql(stack, "CREATE DATABASE old")
    old = {"DATABASE_URL": "postgresql://copyist@postgres/old"}
    with ThreadPoolExecutor(3) as together:
        told = [
            done.stderr + done.stdout for done in together.map(lambda _: stack.run("migrate", variables=old), range(3))
        ]
    assert sum("from nothing" in one for one in told) == 1, told
    assert sum("already" in one for one in told) == 2, told
    stack.compose("up", "--detach")
    stack.await_ready()


def test_a_backup_brings_everything_back(stack: Stack, tmp_path: Path) -> None:
    """The commands of docs/deploy.md, into a stack that has lost its volumes."""
    job_id = stack.read(SAMPLES / "letter.png")["id"]
    text = stack.text(job_id)
    environment = {"COMPOSE_PROJECT_NAME": stack.name, "BACKUP": str(tmp_path)}
    with timed("back up"):
        stack.shell(documented("Backup"), **environment)
    stack.compose("down", "--volumes")
    with timed("restore, and start until ready"):
        stack.shell(documented("Restore"), **environment)
        stack.await_ready()
    assert stack.text(job_id) == text
    assert stack.client.get(f"/api/jobs/{job_id}/pages/1/image").status_code == 200


def documented(heading: str) -> str:
    """The first block of commands below a heading of docs/deploy.md."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    return page.split(f"# {heading}\n", 1)[1].split("```sh\n", 1)[1].split("```", 1)[0]


def capacity(stack: Stack) -> list[str]:
    """The workers that are alive, as Flower sees them."""
    found = stack.flower.get("/api/workers", params={"status": "true"}).json()
    return [name for name, alive in found.items() if alive]


def readers(stack: Stack, job_id: str, *states: str) -> set[str]:
    """The hosts of the workers that have taken pages of a job."""
    tasks = stack.flower.get("/api/tasks", params={"taskname": "copyist.read_page"}).json().values()
    mine = [task for task in tasks if job_id in str(task["kwargs"]) and (not states or task["state"] in states)]
    return {task["worker"].partition("@")[2] for task in mine if task["worker"]}
