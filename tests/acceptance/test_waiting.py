"""Parts that are started before what they stand on wait for it, tell for what, and are well once it is there."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import PostgresServer, ValkeyServer
from tests.service import Service


def ailment(service: Service, part: str) -> str:
    """What a health check of the part says; nothing when it is well."""
    check = [sys.executable, "-m", "copyist.pulse", part, "--older-than", "10"]
    return subprocess.run(check, env=service.environment, capture_output=True, text=True, check=False).stderr


def await_ailment(service: Service, part: str, said: str, seconds: float = 40) -> None:
    until = time.monotonic() + seconds
    while (found := ailment(service, part)) != said and not (said and said in found):
        assert time.monotonic() < until, f"{part}: {found}\n{service.log(part)[-3000:]}"
        time.sleep(0.3)


@pytest.mark.slow
def test_parts_wait_for_the_database_and_the_broker(tmp_path: Path) -> None:
    with PostgresServer() as postgres, ValkeyServer() as valkey:
        url = postgres.create_database()
        postgres.stop()
        valkey.kill()
        with Service(tmp_path, redis_url=valkey.url, database_url=url) as service:
            service.environment["TMPDIR"] = str(tmp_path)
            service.start("worker", "beat", "worker-2")
            for part in ("worker", "beat"):
                await_ailment(service, part, "The database does not answer: nothing answers there")
            assert service.log("worker").count("\n") == 1
            assert service.stop("worker-2", seconds=3) == 143
            postgres.start()
            # The sweep goes on without a broker; the worker is busy with finding it.
            await_ailment(service, "beat", "The broker does not answer: nothing answers there")
            await_ailment(service, "worker", "s: the broker does not answer.")
            assert "Traceback" not in service.log("worker") + service.log("beat")
            valkey.start()
            for part in ("worker", "beat"):
                await_ailment(service, part, "")
            postgres.stop()
            for part in ("worker", "beat"):
                await_ailment(service, part, "The database does not answer: nothing answers there")
            postgres.start()
            for part in ("worker", "beat"):
                await_ailment(service, part, "")
            assert service.log("worker").count("the database does not answer") == 2
