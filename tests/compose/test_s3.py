"""The profile ``s3``: files in a store that several hosts reach. A stand-in for the gateway speaks S3 here."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.compose.conftest import CPU
from tests.compose.stack import Stack
from tests.servers import ROOT

SAMPLES = ROOT / "tests" / "samples"
STAND_IN = "localhost/copyist-test-s3:latest"
DOCKERFILE = """
FROM python:3.11-slim-bookworm
RUN apt-get update -qq && apt-get install --yes -qq --no-install-recommends wget >/dev/null
RUN pip install --quiet --root-user-action=ignore 'moto[s3,server]>=5,<6'
COPY <<'SCRIPT' /app/versitygw
#!/bin/sh
mkdir -p /tmp/moto
(until wget -q -O /dev/null --method=PUT http://127.0.0.1:7070/copyist; do sleep 0.2; done; touch /tmp/moto/ready) &
exec moto_server --host 0.0.0.0 --port 7070
SCRIPT
RUN chmod 755 /app/versitygw
"""
HEALTH = """
services:
  s3: {healthcheck: {test: [CMD, test, -e, /tmp/moto/ready]}}
"""


@pytest.fixture(scope="module")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run the stack with its files in a store."""
    command = ["docker", "build", "--quiet", "--tag", STAND_IN, "-"]
    subprocess.run(command, input=DOCKERFILE, text=True, capture_output=True, check=True)
    override = tmp_path_factory.mktemp("s3") / "override.yml"
    override.write_text(HEALTH)
    told = {
        "STORAGE_URL": "s3://copyist",
        "AWS_ENDPOINT_URL": "http://s3:7070",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "copyist",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    local = ROOT / "local.env"
    if local.exists():
        pytest.skip("there is a local.env, which this test would have to write")
    local.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    try:
        with Stack("s3", CPU, override, profiles="s3", S3_IMAGE=STAND_IN, S3_LISTEN="127.0.0.1:0", **told) as running:
            running.compose("up", "--detach")
            running.await_ready()
            yield running
    finally:
        local.unlink()


def test_files_are_in_the_store_and_are_read_from_it(stack: Stack) -> None:
    job = stack.read(SAMPLES / "scan.pdf", text="force")
    assert job["status"] == "completed"
    assert stack.client.get(f"/api/jobs/{job['id']}/pages/1/image").status_code == 200
    assert stack.inside("api", "sh", "-c", "find /data -type f | wc -l") == "0"


def test_a_store_that_is_away_is_named_and_waited_for(stack: Stack) -> None:
    job_id = stack.upload(SAMPLES / "letter.png", text="force")
    stack.compose("stop", "s3")
    body = stack.readiness()
    assert body["storage"] != "ok" and "storage" in " ".join(body["problems"]).lower()
    assert stack.job(job_id)["status"] in ("pending", "processing", "completed")
