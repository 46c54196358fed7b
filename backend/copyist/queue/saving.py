"""The end of a run: the gate's decision, the model into the storage, old ones out of it, MLflow told.

A version's row comes before its files, since they are kept under its number; until they are all there it cannot be
promoted. One transaction then decides, promotes, and ends the run.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from copyist import __version__, storage
from copyist.db import models, runs
from copyist.db.learning_tables import ModelVersion, TrainingRun
from copyist.queue.footing import Footing
from copyist.queue.lease import Lease, Lost
from copyist.queue.run_folder import Plan
from copyist.training import gate, tracking
from copyist.training.order import MERGED, Compared, Evaluation, Order, Trained

log = logging.getLogger(__name__)

_OVERTAKEN = "Another model was put to serve while this one was examined. A person has to decide. What was found:"


@dataclass(frozen=True)
class Made:
    """What a run has made, in its folder."""

    folder: Path
    plan: Plan
    order: Order
    trained: Trained
    evaluation: Evaluation


def save(here: Footing, run: TrainingRun, lease: Lease, made: Made) -> None:
    """Decide, store the model, and complete the run. Whatever goes wrong, nothing of it stays half done."""
    settings = here.settings
    rules = gate.Rules(margin_points=settings.gate_margin, min_pages=settings.gate_min_pages)
    verdict = gate.decide(made.evaluation, rules)
    log.info("the gate says %s: %s", verdict.outcome, verdict.reason)
    figures, files = _figures(made, verdict), _files(made.folder / MERGED)
    number = _begin(here, run, lease, made, figures, files)
    try:
        for name in files:
            lease.check()
            with (made.folder / MERGED / name).open("rb") as content:
                here.storage.put(storage.model_key(number, name), content)
        _decide(here, lease, made, number, verdict, figures)
    except BaseException:
        _take_back(here, number, files)
        raise


def _begin(
    here: Footing, run: TrainingRun, lease: Lease, made: Made, figures: dict[str, Any], files: dict[str, Any]
) -> int:
    """Write the version down, out of reach; what an attempt that was killed here left behind is deleted."""
    with here.db.write() as session:
        if not runs.holds(session, run.id, lease.token):
            raise Lost
        left = runs.unsaved(session, run.id)
    _forget(here, left)
    with here.db.write() as session:
        if not runs.holds(session, run.id, lease.token):
            raise Lost
        version = models.add(
            session,
            run,
            base=made.order.base.name,
            base_sha256=made.plan.base_sha256,
            dataset_sha256=made.plan.dataset_sha256,
            parameters=made.order.parameters.model_dump(),
            code_version=__version__,
            figures=figures,
            files=files,
        )
        runs.hide_version(version, until_saved=True)
        return version.id


def _decide(
    here: Footing, lease: Lease, made: Made, number: int, verdict: gate.Verdict, figures: dict[str, Any]
) -> None:
    with here.db.write() as session:
        if not runs.holds(session, lease.run_id, lease.token):
            raise Lost
        models.lock(session)
        serves, version = models.champion(session), models.get(session, number)
        if verdict.outcome == models.PROMOTED and (serves.id if serves else None) != made.plan.champion:
            verdict = replace(verdict, outcome="needs_review", reason=f"{_OVERTAKEN} {verdict.reason}")
        runs.hide_version(version, until_saved=False)
        session.flush()
        reason, found = verdict.reason, verdict.figures
        if verdict.outcome == models.PROMOTED:
            models.promote(session, number, actor=models.GATE, reason=reason, figures=found)
        else:
            models.decide(session, version, action=verdict.outcome, actor=models.GATE, reason=reason, figures=found)
        runs.note(session, lease.run_id, lease.token, libraries=made.trained.libraries, device=made.trained.device)
        runs.complete(
            session,
            lease.run_id,
            lease.token,
            outcome=verdict.outcome,
            reason=verdict.reason,
            figures=figures,
            version_id=number,
        )


def _take_back(here: Footing, number: int, names: Iterable[str]) -> None:
    """Leave nothing behind of a version that could not be saved."""
    try:
        with here.db.read() as session:
            if runs.is_decided(session, number):
                return
        # Whoever took the run over may have deleted the row meanwhile, before the last of these files was there.
        _delete_files(here, number, names)
        with here.db.write() as session:
            runs.forget_unsaved(session, number)
    except Exception:
        log.exception("version %d could not be taken back; a later run deletes what is left of it", number)


def _forget(here: Footing, left: Iterable[ModelVersion]) -> None:
    """Delete versions that were not saved to the end: the files first, which only the row can name."""
    for version in left:
        _delete_files(here, version.id, version.files)
        with here.db.write() as session:
            runs.forget_unsaved(session, version.id)


def _delete_files(here: Footing, number: int, names: Iterable[str]) -> None:
    here.storage.delete(*(storage.model_key(number, name) for name in sorted(names)))


def _files(folder: Path) -> dict[str, Any]:
    """Each file of the model by name, with its hash and size."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.name] = {"sha256": digest, "size": path.stat().st_size}
    return found


def _figures(made: Made, verdict: gate.Verdict) -> dict[str, Any]:
    """The gate's figures, and beside them all that was measured, line by line left out."""
    evaluation = made.evaluation
    training = made.trained.model_dump(mode="json", exclude={"golden", "libraries"})
    scores = {"holdout": _scores(evaluation.holdout), "general": _scores(evaluation.general)}
    return {
        **verdict.figures,
        "scores": scores,
        "training": training,
        "calibration": evaluation.calibration,
        "risk_coverage": [list(point) for point in evaluation.risk_coverage],
    }


def _scores(compared: Compared | None) -> dict[str, Any] | None:
    if compared is None:
        return None
    return {"champion": compared.champion.model_dump(), "challenger": compared.challenger.model_dump()}


def prune(here: Footing) -> None:
    """Delete the files of old versions; never those of the champion, nor of the one that it replaced.

    What an earlier attempt at that left behind goes, too, and what runs that are over never saved to the end.
    """
    try:
        with here.db.read() as session:
            left, old = runs.unsaved(session), models.to_prune(session, here.settings.keep_models)
        _forget(here, left)
        for version in old:
            with here.db.write() as session:
                if models.pruned(session, version):
                    log.info("the files of version %d are deleted; its figures are kept", version.id)
        with here.db.read() as session:
            gone = [version for version in models.newest(session) if version.pruned_at is not None]
        for version in gone:
            last = max(version.files, default=None)  # They are deleted in this order.
            if last is not None and here.storage.exists(storage.model_key(version.id, last)):
                _delete_files(here, version.id, version.files)
    except Exception:
        log.exception("old versions could not be deleted; the next run tries again")


def tell_mlflow(here: Footing, run_id: str) -> None:
    """Show the run in MLflow, where one is named. The run is over, and what goes wrong here does it no harm."""
    uri = here.settings.mlflow_tracking_uri
    if not uri:
        return
    try:
        problem = tracking.report(_facts(here, run_id), uri)
    except Exception:
        log.exception("MLflow was not told")
    else:
        if problem:
            log.warning("%s", problem)


def _facts(here: Footing, run_id: str) -> tracking.Facts:
    with here.db.read() as session:
        run, serves = runs.get(session, run_id), models.champion(session)
        steps, last = [], 0
        while more := runs.steps(session, run_id, after=last):
            steps += more
            last = more[-1].step
    row = {name: getattr(run, name) for name in tracking.Facts.model_fields if hasattr(run, name)}
    told = tuple(tracking.Step(**{name: getattr(step, name) for name in tracking.Step.model_fields}) for step in steps)
    return tracking.Facts.model_validate(
        {
            **row,
            "figures": run.figures or {},
            "version": run.version_id,
            "champion": serves.id if serves else None,
            "steps": told,
        }
    )
