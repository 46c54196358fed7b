"""Shows a run that is over in MLflow, a tool people know. The tables of the database are the truth; this is a copy.

A run becomes a run of the experiment ``copyist-handwriting``; a version that came of it, one of the registered model
of that name, with the aliases ``champion`` and ``challenger`` as they stood then. No file is uploaded: the version's
source ``copyist://models/3`` only names it, which the SQL stores and the server of MLflow 3 take. A training of
formulas becomes a run of the experiment ``copyist-formula``; it has no versions.

MLflow works in a process of its own, ``python -m copyist.training.tracking``, with the facts on its standard input: so
it can hang, or take memory, and be ended.
"""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from copyist.document import Record

log = logging.getLogger(__name__)

NAME, FORMULA = "copyist-handwriting", "copyist-formula"
LONGEST_S = 60.0
RUN_TAG, VERSION_TAG = "copyist.run", "copyist.version"
MAX_METRICS, MAX_TEXT = 1000, 5000
"""What MLflow takes in one request, and as the value of a tag or parameter (a little less)."""
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""MLflow's own are two minutes and seven times; whoever sets them in the environment has them."""
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class Step(Record):
    """One step of a run, as it went."""

    step: int
    epoch: int
    loss: float
    learning_rate: float
    dev_cer: float | None = None
    at: datetime


class Facts(Record):
    """All that is told of a run."""

    run_id: str
    status: str
    """``completed``, ``failed`` or ``cancelled``."""
    trigger: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    base: str | None = None
    base_sha256: str | None = None
    dataset_sha256: str | None = None
    code_version: str = ""
    libraries: dict[str, Any] = Field(default_factory=dict)
    device: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    figures: dict[str, Any] = Field(default_factory=dict)
    """Numbers in objects in objects: ``{"holdout": {"cer": 0.03}}`` is the metric ``holdout.cer``."""
    outcome: str | None = None
    reason: str | None = None
    error_code: str | None = None
    error_detail: str | None = None
    version: int | None = None
    champion: int | None = None
    """The version that serves now; ``None``: the base."""
    steps: tuple[Step, ...] = ()
    experiment: str = NAME


def report(facts: Facts, uri: str, *, longest_s: float = LONGEST_S) -> str | None:
    """Tell MLflow at ``uri``; gives why that went wrong as a sentence, or ``None``. It raises nothing.

    Nothing is done without a ``uri``, or for a run that MLflow knows already.
    """
    if not uri:
        return None
    environment = PATIENCE | dict(os.environ) | SILENT
    command = [sys.executable, "-m", __name__, uri]
    try:
        done = subprocess.run(
            command,
            input=facts.model_dump_json().encode(),
            capture_output=True,
            env=environment,
            timeout=longest_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _sentence(uri, f"it took longer than {longest_s:g} s")
    except OSError as error:
        return _sentence(uri, f"it could not be started ({error.strerror})")
    if done.returncode == 0:
        return None
    log.info("MLflow: %s", done.stderr.decode(errors="replace")[-4000:].strip())
    why = done.stdout.decode(errors="replace").strip()
    return _sentence(uri, why or f"its process ended with {done.returncode}")


def _sentence(uri: str, why: str) -> str:
    """What went wrong, without the password that may stand in the address."""
    try:
        parts = urlsplit(uri)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    except ValueError:
        shown = "MLFLOW_TRACKING_URI"
    return f"MLflow ({shown}) was not told of the run: {why}."


def metrics_of(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in nested objects by their names with points between; what is no number is left out."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from metrics_of(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{prefix}{name}", float(value)


def tags_of(facts: Facts) -> dict[str, str]:
    """What a run is found by, and where it comes from; what is not known is left out."""
    found = {
        RUN_TAG: facts.run_id,
        VERSION_TAG: facts.version,
        "copyist.status": facts.status,
        "copyist.trigger": facts.trigger,
        "copyist.outcome": facts.outcome,
        "copyist.reason": facts.reason,
        "copyist.error": facts.error_code,
        "copyist.error_detail": facts.error_detail,
        "copyist.dataset_sha256": facts.dataset_sha256,
        "copyist.base": facts.base,
        "copyist.base_sha256": facts.base_sha256,
        "copyist.code_version": facts.code_version or None,
        "copyist.device": facts.device,
        **{f"copyist.library.{name}": version for name, version in facts.libraries.items()},
    }
    return {name: str(value)[:MAX_TEXT] for name, value in found.items() if value is not None}


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _told(facts: Facts, uri: str) -> None:
    """Tell it with MLflow's client; raises whatever that does."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri, registry_uri=uri)
    experiment = client.get_experiment_by_name(facts.experiment)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(facts.experiment)
    known = client.search_runs([experiment_id], f"tags.`{RUN_TAG}` = '{facts.run_id}'", max_results=1)
    if known and known[0].info.status != "RUNNING":
        return
    ended = facts.finished_at or facts.created_at
    run = (
        known[0]
        if known
        else client.create_run(
            experiment_id,
            start_time=_ms(facts.started_at or facts.created_at),
            run_name=f"v{facts.version}" if facts.version else facts.run_id[:8],
            tags=tags_of(facts),
        )
    )
    parameters = [Param(name, str(value)[:MAX_TEXT]) for name, value in facts.parameters.items()]
    client.log_batch(run.info.run_id, params=parameters[:100])
    metrics = [Metric(name, value, _ms(ended), 0) for name, value in metrics_of(facts.figures)]
    for step in facts.steps:
        values = {"loss": step.loss, "learning_rate": step.learning_rate, "epoch": step.epoch, "dev_cer": step.dev_cer}
        metrics += [Metric(name, value, _ms(step.at), step.step) for name, value in metrics_of(values)]
    for begin in range(0, len(metrics), MAX_METRICS):
        client.log_batch(run.info.run_id, metrics=metrics[begin : begin + MAX_METRICS])
    try:
        _register(client, facts, run.info.run_id)
    except MlflowException as error:
        # A store without a registry: the run's tags name the version all the same.
        log.warning("MLflow took the run and not the version: %s", error)
    # Last: a run that is still open is one that was told of half.
    client.set_terminated(run.info.run_id, "FINISHED" if facts.status == "completed" else "FAILED", _ms(ended))


def _register(client: Any, facts: Facts, run_id: str) -> None:
    """The version as one of the registered model, and the aliases as they stand."""
    from mlflow.exceptions import MlflowException

    if facts.version is None:
        return
    try:
        client.create_registered_model(NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    numbers = {found.tags.get(VERSION_TAG): found.version for found in client.search_model_versions(f"name='{NAME}'")}
    ours = str(facts.version)
    if ours not in numbers:
        made = client.create_model_version(
            NAME, source=f"copyist://models/{ours}", run_id=run_id, tags={VERSION_TAG: ours}
        )
        numbers[ours] = made.version
    aliases = {"champion": facts.champion, "challenger": None if facts.champion == facts.version else facts.version}
    held = client.get_registered_model(NAME).aliases
    for alias, version in aliases.items():
        if str(version) in numbers:
            client.set_registered_model_alias(NAME, alias, numbers[str(version)])
        elif alias in held:
            client.delete_registered_model_alias(NAME, alias)


def _why(error: Exception) -> str:
    """What kept MLflow from being told, in few words: its own are long, and may hold an address with a password."""
    if isinstance(error, ImportError):
        return "its client is not installed here; pip install 'copyist[mlflow]' brings it"
    text = str(error)
    if "failed with exception" in text or "Max retries exceeded" in text:
        return "it does not answer"
    code = getattr(error, "error_code", None)
    return f"it refused ({code or type(error).__name__})"


def main() -> int:
    """The process: the address is the argument, the facts come in; what went wrong goes out in a few words."""
    facts = Facts.model_validate(json.load(sys.stdin))
    try:
        _told(facts, sys.argv[1])
    except Exception as error:
        logging.basicConfig(level=logging.INFO)
        log.exception("MLflow was not told")
        sys.stdout.write(_why(error))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
