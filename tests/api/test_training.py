"""``/api/training``: how it stands, runs that are asked for, and who decides which version serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from copyist.api import training_schemas
from copyist.client import Client, CopyistClientError
from copyist.db import models, presence, runs
from copyist.db.keys import Scope
from copyist.db.learning_tables import Correction, LinePicture, TrainingRun
from copyist.db.session import Database
from copyist.db.states import RunStatus
from copyist.db.tables import now
from copyist.queue.routing import Sender, celery_app
from copyist.settings import Settings
from copyist.training.order import Parameters
from tests.api.conftest import Ask, MakeKey, with_settings

FIGURES = {
    "holdout": {"champion": 0.084, "challenger": 0.031, "pages": 14},
    "general": {"champion": 0.041, "challenger": 0.042, "pages": 24},
}


@pytest.fixture
def database_url(fresh_database: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """SQLite, but where a test asks for both."""
    return fresh_database(getattr(request, "param", "sqlite"))


@pytest.fixture
def db(settings: Settings, ask: Ask) -> Iterator[Database]:
    """The database of the API that ``ask`` asks."""
    database = Database(settings.database)
    yield database
    database.close()


both_databases = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


def sent(key: str) -> dict[str, Any]:
    return {"headers": {"X-API-Key": key}}


def of(response: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    return body


def problem(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def correct(db: Database, lines: int, *, changed: bool = True) -> None:
    """Lines for training that somebody corrected, or found right, with their pictures."""
    job_id = str(uuid4())
    common: dict[str, Any] = {"file_sha256": "a" * 64, "page": 1, "box": [0, 0, 9, 9], "owner": "", "source": "api"}
    with db.write() as session:
        for line in range(lines):
            before = f"{job_id} {line}"
            after = f"{before}!" if changed else before
            session.add(
                Correction(
                    job_id=job_id,
                    line=line,
                    before=before,
                    after=after,
                    engine="trocr",
                    engine_version="1",
                    **common,
                )
            )
            picture = {"sha256": uuid4().hex, "page_sha256": job_id, "split": "train"}
            session.add(LinePicture(job_id=job_id, page=1, line=line, lines_on_page=lines, **picture))


def make_version(db: Database) -> int:
    with db.write() as session:
        run = TrainingRun(id=str(uuid4()), kind=runs.KIND, status=RunStatus.COMPLETED, trigger="manual")
        session.add(run)
        facts = {"base_sha256": "b" * 64, "dataset_sha256": "d" * 64, "code_version": "0.1.0"}
        files = {"model.safetensors": {"sha256": "f" * 64, "size": 3}}
        return models.add(session, run, base="small", parameters={"rank": 16}, figures=FIGURES, files=files, **facts).id


def messages(settings: Settings) -> int:
    return Sender(celery_app(settings.redis_url), settings.redis_url).waiting("training")


def test_where_nothing_was_corrected_it_says_what_is_missing(ask: Ask, db: Database) -> None:
    told = of(ask("GET", "/api/training"))
    assert (told["enabled"], told["champion"], told["active_run"], told["may_start"]) == (True, None, None, False)
    assert (told["counts"]["lines"], told["needed"], told["missing"], told["nightly_at"]) == (0, 50, 50, "02:00")
    assert "32 are missing" in told["next"] and "copyist trainer" in told["trainer"]["problem"]
    with db.write() as session:
        presence.show(session, "trainer", queues=["training"], concurrency=0, engines={})
    assert of(ask("GET", "/api/training"))["trainer"] == {"alive": True, "problem": None}


@both_databases
def test_a_run_is_asked_for_looked_at_and_cancelled(ask: Ask, db: Database, settings: Settings) -> None:
    correct(db, 32)
    correct(db, 5, changed=False)
    told = of(ask("GET", "/api/training"))
    assert [told["counts"][name] for name in ("lines", "corrected", "confirmed", "train", "new")] == [37, 32, 5, 37, 37]
    assert (told["missing"], told["may_start"]) == (13, True)

    made = ask("POST", "/api/training/runs", json={"parameters": {"epochs": 3, "seed": 7}})
    run = of(made, 202)
    assert made.headers["Location"] == f"/api/training/runs/{run['id']}"
    assert (run["status"], run["trigger"], run["requested_by"]) == ("queued", "manual", "somebody")
    assert run["parameters"] == {"epochs": 3, "seed": 7}
    assert messages(settings) == 1
    again = ask("POST", "/api/training/runs")
    assert problem(again) == (409, "run_active") and run["id"] in again.json()["detail"]
    told = of(ask("GET", "/api/training"))
    assert (told["active_run"]["id"], told["may_start"]) == (run["id"], False) and run["id"] in told["next"]

    assert of(ask("GET", made.headers["Location"]))["id"] == run["id"]
    cancelled = of(ask("DELETE", made.headers["Location"]), 202)
    assert (cancelled["status"], cancelled["cancel_asked"]) == ("cancelled", True)
    assert problem(ask("DELETE", made.headers["Location"])) == (409, "run_ended")
    second = of(ask("POST", "/api/training/runs", json={}), 202)
    first_page = of(ask("GET", "/api/training/runs?limit=1"))
    assert [one["id"] for one in first_page["runs"]] == [second["id"]]
    rest = of(ask("GET", "/api/training/runs", params={"cursor": first_page["next_cursor"]}))
    assert ([one["id"] for one in rest["runs"]], rest["next_cursor"]) == ([run["id"]], None)


@both_databases
def test_a_run_that_goes_on_tells_its_steps_and_when_they_will_be_done(ask: Ask, db: Database) -> None:
    with db.write() as session:
        run_id = runs.create(session, trigger="nightly").id
        assert runs.claim(session, run_id, "t", 30)
        steps = [{"step": n, "epoch": 1, "loss": 1 / n, "learning_rate": 1e-4, "seconds": 2.0} for n in range(1, 41)]
        runs.add_steps(session, run_id, "t", [*steps[:-1], steps[-1] | {"dev_cer": 0.1}])
        runs.note(session, run_id, "t", progress={"phase": "training", "step": 40, "steps": 340, "loss": 0.025})
    run = of(ask("GET", f"/api/training/runs/{run_id}"))
    assert (run["status"], run["progress"]["step"], run["attempts"]) == ("running", 40, 1)
    assert 590 < (datetime.fromisoformat(run["eta"]) - now()).total_seconds() < 610
    told = of(ask("GET", f"/api/training/runs/{run_id}/steps?after=20&limit=15"))
    assert ([one["step"] for one in told["steps"]], told["next_after"]) == (list(range(21, 36)), 35)
    last = of(ask("GET", f"/api/training/runs/{run_id}/steps?after=35"))
    assert (last["steps"][-1]["dev_cer"], last["next_after"]) == (0.1, None)
    with db.write() as session:
        runs.fail(session, run_id, "t", code="disk_full", detail="There is no room.")
    failed = of(ask("GET", f"/api/training/runs/{run_id}"))
    assert (failed["status"], failed["eta"]) == ("failed", None)
    assert failed["error"] == {"code": "disk_full", "detail": "There is no room."}


def test_too_few_lines_say_how_many_are_missing(ask: Ask, db: Database, settings: Settings) -> None:
    correct(db, 20)
    refused = ask("POST", "/api/training/runs")
    assert problem(refused) == (409, "too_few_lines")
    assert "20 " in refused.json()["detail"] and "12 are missing" in refused.json()["detail"]
    assert messages(settings) == 0 and of(ask("GET", "/api/training/runs"))["runs"] == []


@with_settings(training="off")
def test_where_training_is_off_none_is_started(ask: Ask, db: Database) -> None:
    correct(db, 40)
    assert problem(ask("POST", "/api/training/runs")) == (403, "training_off")
    told = of(ask("GET", "/api/training"))
    assert (told["enabled"], told["may_start"]) == (False, False) and "switched off" in told["next"]


def test_what_cannot_be_asked_for_is_refused(ask: Ask, db: Database) -> None:
    wrong = [{"epochs": 0}, {"epochs": 1001}, {"learning_rate": 0}, {"rank": "many"}, {"base": "/etc"}, {"seed": 2**31}]
    for parameters in (*wrong, 3):
        refused = ask("POST", "/api/training/runs", json={"parameters": parameters})
        assert problem(refused) == (422, "invalid_request"), parameters
    for reason in (b'"\\u0000"', b'"\\ud800"', b"7", b'"' + 2001 * b"x" + b'"'):
        headers = {"Content-Type": "application/json"}
        refused = ask("POST", "/api/training/rollback", content=b'{"reason": ' + reason + b"}", headers=headers)
        assert problem(refused) == (422, "invalid_request"), reason
    for path in ("models?before=0", "decisions?before=2147483648", "models?limit=201", "runs?cursor=x"):
        assert ask("GET", f"/api/training/{path}").status_code == 422, path


def test_every_parameter_is_one_that_the_trainer_knows() -> None:
    assert training_schemas.Wish.model_fields.keys() <= Parameters.model_fields.keys()
    assert Parameters(**training_schemas.Wish(epochs=1, replay=0.9).model_dump(exclude_none=True)).epochs == 1


@with_settings(api_keys="required")
def test_while_paused_a_run_waits(ask: Ask, db: Database, settings: Settings, make_key: MakeKey) -> None:
    correct(db, 32)
    trainer = make_key(Scope.TRAIN)
    paused = of(ask("POST", "/api/training/pause", **sent(trainer)))
    assert paused["paused"]["by"] == "a test" and "paused by a test" in paused["next"]
    run = of(ask("POST", "/api/training/runs", **sent(trainer)), 202)
    assert (run["status"], run["requested_by"], messages(settings)) == ("queued", "a test", 0)
    assert of(ask("POST", "/api/training/resume", **sent(trainer)))["paused"] is None
    assert messages(settings) == 1
    assert of(ask("POST", "/api/training/resume", **sent(trainer)))["paused"] is None


@with_settings(api_keys="required")
def test_reading_the_state_needs_less_than_changing_it(ask: Ask, db: Database, make_key: MakeKey) -> None:
    reader, writer, trainer = make_key(Scope.READ), make_key(Scope.WRITE), make_key(Scope.TRAIN)
    assert ask("GET", "/api/training", **sent(reader)).status_code == 200
    assert ask("GET", "/api/training", **sent(trainer)).status_code == 200
    assert problem(ask("GET", "/api/training", **sent(writer))) == (403, "forbidden")
    for method, path in (
        ("GET", "runs"),
        ("POST", "runs"),
        ("GET", "models"),
        ("POST", "models/1/promote"),
        ("POST", "rollback"),
        ("POST", "pause"),
        ("POST", "resume"),
        ("GET", "decisions"),
    ):
        assert problem(ask(method, f"/api/training/{path}", **sent(reader))) == (403, "forbidden"), path


@both_databases
@with_settings(api_keys="required")
def test_a_person_promotes_and_rolls_back(ask: Ask, db: Database, make_key: MakeKey) -> None:
    first, second = make_version(db), make_version(db)
    key = sent(make_key(Scope.TRAIN, owner="archive"))
    assert [one["version"] for one in of(ask("GET", "/api/training", **key))["challengers"]] == [second, first]
    because = {"json": {"reason": "  It knows the new forms.  "}}
    promoted = of(ask("POST", f"/api/training/models/v{first}/promote", **because, **key))
    assert (promoted["version"], promoted["status"], promoted["holdout_cer"]) == (first, "champion", 0.031)
    assert of(ask("POST", f"/api/training/models/{second}/promote", **key))["replaced"] == first
    assert problem(ask("POST", f"/api/training/models/{second}/promote", **key)) == (409, "cannot_promote")
    told = of(ask("GET", "/api/training", **key))
    assert (told["champion"]["version"], told["champion"]["general_cer"], told["challengers"]) == (second, 0.042, [])

    assert of(ask("POST", "/api/training/rollback", **key))["champion"]["version"] == first
    assert of(ask("POST", "/api/training/rollback", **key)) == {"champion": None}
    assert problem(ask("POST", "/api/training/rollback", **key)) == (409, "nothing_to_roll_back")

    decided = of(ask("GET", "/api/training/decisions?limit=3", **key))
    assert [(one["action"], one["version"], one["from_version"]) for one in decided["decisions"]] == [
        ("rolled_back", None, first),
        ("rolled_back", first, second),
        ("promoted", second, first),
    ]
    oldest = of(ask("GET", "/api/training/decisions", params={"before": decided["next_before"]}, **key))["decisions"]
    assert [(one["actor"], one["reason"], one["figures"]) for one in oldest] == [
        ("archive", "It knows the new forms.", FIGURES)
    ]
    whole = of(ask("GET", f"/api/training/models/{second}", **key))
    assert (whole["status"], whole["base"], whole["dataset_sha256"]) == ("retired", "small", "d" * 64)
    assert [one["action"] for one in whole["decisions"]] == ["rolled_back", "promoted"]
    listed = of(ask("GET", "/api/training/models?limit=1", **key))
    assert ([one["version"] for one in listed["models"]], listed["next_before"]) == ([second], second)
    assert [one["version"] for one in of(ask("GET", f"/api/training/models?before={second}", **key))["models"]] == [
        first
    ]


@both_databases
def test_what_is_no_version_and_no_run_is_not_found(ask: Ask, db: Database) -> None:
    make_version(db)
    for name in ("0", "9", "v", "-1", "9999999999", "99999999999999", "3.0", "%00", "\u0663", "v1v"):
        for method, path in (("GET", name), ("POST", f"{name}/promote")):
            assert problem(ask(method, f"/api/training/models/{path}")) == (404, "not_found"), name
    for name in ("x", "%00", str(uuid4())):
        for method, path in (("GET", name), ("GET", f"{name}/steps"), ("DELETE", name)):
            assert problem(ask(method, f"/api/training/runs/{path}")) == (404, "not_found"), name


@both_databases
def test_prometheus_is_told_what_serves_and_how_much_was_corrected(ask: Ask, db: Database) -> None:
    def scraped() -> list[str]:
        return [line for line in ask("GET", "/metrics").text.splitlines() if line.startswith("copyist_")]

    assert "copyist_model_version 0.0" in scraped() and not any("copyist_model_cer" in line for line in scraped())
    correct(db, 3)
    correct(db, 2, changed=False)
    version = make_version(db)
    of(ask("POST", f"/api/training/models/{version}/promote"))
    told = scraped()
    assert {f"copyist_model_version {version}.0", "copyist_model_cer 0.031"} <= set(told)
    assert {'copyist_corrections{kind="corrected"} 3.0', 'copyist_corrections{kind="confirmed"} 2.0'} <= set(told)
    assert {'copyist_training_runs{status="completed"} 1.0', 'copyist_training_runs{status="failed"} 0.0'} <= set(told)


def test_the_client_asks_how_it_stands_and_starts_a_run(serving: int) -> None:
    with Client(f"http://127.0.0.1:{serving}") as client:
        assert client.training()["may_start"] is False
        with pytest.raises(CopyistClientError) as refused:
            client.train(epochs=3)
    assert refused.value.code == "too_few_lines" and "32 are missing" in refused.value.detail
