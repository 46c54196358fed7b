"""Whatever fits the description of the API, and much that does not, is answered as it says; never by 500."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi import checks

from copyist.api.app import create_app
from copyist.db import models, runs
from copyist.db.session import Database
from copyist.settings import Settings
from tests.servers import PostgresServer, ValkeyServer
from tests.service import Service

EXAMPLES = 6
"""For each route: the run is bounded, so that it can be part of every build."""
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# Nobody has to be there for the description to be made.
schema = schemathesis.openapi.from_dict(create_app(Settings(redis_url="redis://127.0.0.1:1")).openapi())
turn = itertools.count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Service]:
    """Return a service whose only engine is the mock, which waits briefly."""
    folder, url = tmp_path_factory.mktemp("schema"), postgres.create_database()
    with ValkeyServer() as valkey, Service(folder, redis_url=valkey.url, database_url=url, WAIT_MAX_S="1") as running:
        yield running.start("api", "worker").await_ready()
    postgres.drop_database(url)


@pytest.fixture(scope="module")
def ids(service: Service, own_samples: Path) -> dict[str, str]:
    """Return path parameters that name something that there is."""
    job_id = service.upload(own_samples / "note.png")
    service.wait(job_id)
    batch = service.client.post("/api/batches", files=[("files", ("a.png", (own_samples / "note.png").read_bytes()))])
    key = service.client.post("/api/keys", json={"name": "one"})
    return {
        "job_id": job_id,
        "transaction_id": job_id,
        "task_id": job_id,
        "number": "1",
        "batch_id": str(batch.json()["id"]),
        "key_id": str(key.json()["id"]),
        "line_id": f"{job_id}.1.0",
        **learned(service.environment["DATABASE_URL"]),
    }


def learned(database_url: str) -> dict[str, str]:
    """Write down a run that waits, and a version that it made, as nobody trains here."""
    db = Database(database_url)
    with db.write() as session:
        run = runs.create(session, trigger="manual", requested_by="somebody")
        facts = {"base": "base", "base_sha256": "b" * 64, "dataset_sha256": "d" * 64, "code_version": "1"}
        version = models.add(session, run, **facts, parameters={"epochs": 5}, figures={}, files={})
        made = {"run_id": run.id, "version": f"v{version.id}"}
    db.close()
    return made


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_is_described(case: schemathesis.Case, service: Service, ids: dict[str, str]) -> None:
    # Made-up ids are in nobody's database: three times of four the path names something, so that there is an answer.
    if case.method == "GET" and next(turn) % 4:
        case.path_parameters.update({name: ids[name] for name in case.path_parameters if name in ids})
    response = case.call(base_url=str(service.client.base_url).rstrip("/"))
    assert response.status_code != httpx.codes.INTERNAL_SERVER_ERROR, f"{response.text}\n{service.log('api')[-2000:]}"
    case.validate_response(response, checks=CHECKS)
