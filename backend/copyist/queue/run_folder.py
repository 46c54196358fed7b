"""The folder of a run: dataset, order, and what the programs leave; made fresh, or gone on with after a kill."""

from __future__ import annotations

import hashlib
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from copyist import __version__
from copyist.db import models, runs
from copyist.db.learning_tables import TrainingRun
from copyist.document import Record
from copyist.engines.checkpoints import CheckpointUnusable
from copyist.errors import BaseModelMissing, TrainingFailed
from copyist.queue import champion, dataset, published
from copyist.queue.footing import Footing
from copyist.queue.lease import Lease
from copyist.queue.supervising import cores
from copyist.settings import Settings
from copyist.training.examples import Example
from copyist.training.order import EVALUATION, EXAMPLES, LINES, ORDER, Order, Parameters

log = logging.getLogger(__name__)

PLAN, LOCK = "plan.json", ".lock"
CACHE_BYTES = 8_000_000_000
_R = TypeVar("_R", bound=Record)


class Plan(Record):
    """What a trainer notes in a run's folder beside the order, to know it again."""

    dataset_sha256: str
    base_sha256: str
    champion: int | None
    """The version that is to be beaten, as the database names it; ``None``: the base."""


def place(here: Footing) -> Path:
    """Where this machine has the folders of runs, each under the id of its run."""
    return here.settings.data_dir.absolute() / "training"


def lock(folder: Path) -> Path:
    """The file that is locked by whoever works in ``folder``."""
    return folder.with_suffix(LOCK)


def prepared(here: Footing, run: TrainingRun, folder: Path, lease: Lease) -> tuple[Plan, Order]:
    """Write a fresh folder: the dataset of this moment, and the order."""
    settings = here.settings
    try:
        base = published.find(here)
    except CheckpointUnusable as error:
        raise BaseModelMissing(reason=str(error)) from error
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = dataset.write(here, folder, share=settings.train_corrected_share, stop=lease.stop)
    lease.check()
    base_sha256 = published.sha256(here, base)
    beat, beaten = _to_beat(here, lease)
    order = Order(
        run_id=run.id,
        base=base.folder.absolute(),
        champion=beaten,
        general_set=settings.general_set and settings.general_set.absolute(),
        general_lines=settings.general_lines,
        parameters=_parameters(settings, run),
        threads=cores(),
        cache_bytes=min(CACHE_BYTES, shutil.disk_usage(folder).free // 2),
    )
    plan = Plan(dataset_sha256=made.sha256, base_sha256=base_sha256, champion=beat)
    _write(folder / ORDER, order)
    with here.db.write() as session:
        runs.note(
            session,
            run.id,
            lease.token,
            last_correction_id=made.last_correction_id,
            dataset_sha256=made.sha256,
            base=base.folder.name,
            base_sha256=base_sha256,
            parameters=order.parameters.model_dump(),
            code_version=__version__,
        )
    # Written last: where it is, the folder is whole.
    _write(folder / PLAN, plan)
    return plan, order


def resumed(here: Footing, run: TrainingRun, folder: Path, lease: Lease) -> tuple[Plan, Order] | None:
    """The folder as an earlier attempt left it, if that is whole and still what is wanted."""
    plan, order = left(folder / PLAN, Plan), left(folder / ORDER, Order)
    if plan is None or order is None or not _is_whole(folder, plan.dataset_sha256):
        return None
    with suppress(CheckpointUnusable):
        base = published.find(here)
        if base.folder.absolute() != order.base or published.sha256(here, base) != plan.base_sha256:
            return None
    log.info("goes on in the folder of attempt %d", run.attempts - 1)
    return up_to_date(here, folder, plan, order, lease)


def up_to_date(here: Footing, folder: Path, plan: Plan, order: Order, lease: Lease) -> tuple[Plan, Order]:
    """Plan and order with the champion of this moment: another may serve by now, hours after the run began.

    What is trained stays; an evaluation against the one before is deleted.
    """
    beat, beaten = _to_beat(here, lease)
    if (beat, beaten) != (plan.champion, order.champion):
        (folder / EVALUATION).unlink(missing_ok=True)
        plan, order = plan.model_copy(update={"champion": beat}), order.model_copy(update={"champion": beaten})
        _write(folder / ORDER, order)
        _write(folder / PLAN, plan)
    return plan, order


def _is_whole(folder: Path, dataset_sha256: str) -> bool:
    try:
        manifest = (folder / EXAMPLES).read_bytes()
    except OSError:
        return False
    pictures = {path.stem for path in (folder / LINES).glob("*.png")}
    return hashlib.sha256(manifest).hexdigest() == dataset_sha256 and all(
        Example.model_validate_json(line).sha256 in pictures for line in manifest.splitlines()
    )


def _to_beat(here: Footing, lease: Lease) -> tuple[int | None, Path | None]:
    """The champion that the database names, and its folder; without one that can serve here, the base is to be beaten.

    Raises ``Unavailable`` where it cannot be fetched just now.
    """
    try:
        serves = champion.fetched(here, lease.stop)
    except champion.Damaged as error:
        log.warning("the champion is damaged, the base is to be beaten: %s", error)
        serves = None
    with here.db.read() as session:
        named = models.champion(session)
    return (named.id if named else None), (serves[1] if serves else None)


def _parameters(settings: Settings, run: TrainingRun) -> Parameters:
    """How to train: the settings, and before them what was asked for with the run."""
    asked = {
        "rank": settings.train_lora_rank,
        "encoder_layers": settings.train_encoder_layers,
        "learning_rate": settings.train_learning_rate,
        "batch": settings.train_batch,
        "epochs": settings.train_epochs,
        "blend": settings.train_blend,
        **run.parameters,
    }
    try:
        return Parameters.model_validate({"alpha": 2 * int(asked["rank"]), **asked})
    except ValueError as error:
        raise TrainingFailed(reason="It was asked for with parameters that cannot work.") from error


def forget_others(here: Footing) -> None:
    """Delete the folders of runs that are over, which may have ended while no trainer had them: each has gigabytes."""
    home = place(here)
    # Before it is asked which are open: the folder of a run that begins just now is not among them.
    there = [path for path in home.iterdir() if path.is_dir() or path.suffix == LOCK] if home.is_dir() else []
    with here.db.read() as session:
        wanted = runs.open_ids(session)
    for path in there:
        if path.stem not in wanted:
            forget(path.with_suffix(""))


def forget(folder: Path) -> None:
    """Delete the folder of a run, and its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    lock(folder).unlink(missing_ok=True)


def _write(path: Path, what: Record) -> None:
    part = path.with_suffix(".part")
    part.write_text(what.model_dump_json(indent=1), encoding="utf-8")
    part.replace(path)


def left(path: Path, kind: type[_R]) -> _R | None:
    """What lies in a file of the run's folder, if it is whole."""
    with suppress(OSError, ValueError):
        return kind.model_validate_json(path.read_bytes())
    return None
