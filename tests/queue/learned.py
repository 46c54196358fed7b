"""What learning starts from, made small: verified lines, a base that looks whole, a trainer that is none."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from safetensors.numpy import save_file

from copyist import storage
from copyist.db import models, runs
from copyist.db.learning_tables import Correction, LinePicture, ModelVersion
from copyist.queue.context import Context
from copyist.training.order import Compared, Evaluation, Interval, LineScore, Score, Trained
from tests.servers import ROOT

FAKE = (sys.executable, str(ROOT / "tests" / "fake_trainer.py"))
FILES = {"config.json": "{}", "model.safetensors": "weights"}


def write_base(folder: Path, seed: int = 0) -> Path:
    """A checkpoint of TrOCR as far as one can tell without loading it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"weight": np.full((2, 2), seed, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(
        json.dumps({"model_type": "vision-encoder-decoder", "decoder": {"model_type": "trocr"}})
    )
    for name in ("preprocessor_config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    return folder


def learning(context: Context, **settings: Any) -> Context:
    """The same context with a base to learn from, and settings under which little is enough."""
    base = write_base(context.settings.data_dir / "trocr-base")
    changed = {"ocr_model": base, "train_min_lines": 4, "retrain_after": 4, **settings}
    return replace(context, settings=context.settings.model_copy(update=changed))


def add_lines(context: Context, count: int, *, split: str = "train") -> None:
    """Write down lines that somebody corrected, with their pictures."""
    job = str(uuid4())
    with context.db.write() as session:
        for number in range(count):
            picture = f"{job}.{number}".encode()
            sha256 = hashlib.sha256(picture).hexdigest()
            context.storage.put(storage.line_key(sha256), picture)
            of_line = {"job_id": job, "page": 1, "line": number}
            session.add(
                Correction(
                    **of_line,
                    owner="",
                    file_sha256="f" * 64,
                    box=[0, 0, 9, 9],
                    before="a",
                    after=f"text {number} of {job}",
                    source="api",
                    engine="trocr",
                    engine_version="1",
                )
            )
            session.add(
                LinePicture(
                    **of_line,
                    lines_on_page=count,
                    sha256=sha256,
                    page_sha256=hashlib.sha256(job.encode()).hexdigest(),
                    split=split,
                    recipe="1",
                )
            )


def _score(cer: float, lines: int, pages: int) -> Score:
    rate = Interval(value=cer, low=cer, high=cer)
    return Score(
        lines=lines,
        pages=pages,
        cer=rate,
        wer=rate,
        exact=rate,
        empty=0,
        cut_short=0,
        length_ratio=1,
        calibration_error=None,
        seconds_per_line=0.1,
    )


def _compared(before: int, after: int, *, pages: int) -> Compared:
    """Lines of 20 letters with so many errors, ten on each page."""

    def lines(errors: int) -> tuple[LineScore, ...]:
        return tuple(
            LineScore(
                sha256=f"{page}.{line}",
                page=str(page),
                errors=errors,
                length=20,
                word_errors=0,
                words=4,
                exact=not errors,
                read="",
                confidence=None,
            )
            for page in range(pages)
            for line in range(10)
        )

    return Compared(
        champion=_score(before / 20, pages * 10, pages),
        challenger=_score(after / 20, pages * 10, pages),
        champion_lines=lines(before),
        challenger_lines=lines(after),
    )


def evaluation(*, before: int = 4, after: int = 1, pages: int = 12) -> Evaluation:
    """An evaluation in which the errors per held-out line of 20 letters went from ``before`` to ``after``."""
    return Evaluation(
        golden=True,
        holdout=_compared(before, after, pages=pages),
        general=_compared(1, 1, pages=20),
        general_name="drawn",
        calibration=None,
    )


def tell_trainer(context: Context, *, train: str = "fine", evaluate: str = "fine", **found: Any) -> None:
    """Say how the fake trainer is to behave, and what it finds."""
    trained = Trained(
        device="cpu",
        base_sha256="b" * 64,
        steps=2,
        epochs=1,
        best_epoch=1,
        dev_cer=0.25,
        dev_cer_before=0.5,
        train_loss=0.5,
        encoder_parameters=1,
        decoder_parameters=1,
        seconds=1,
        resumed=0,
        peak_memory_bytes=1,
        golden=(),
        libraries={"torch": "1"},
    )
    place = context.settings.data_dir / "training"
    place.mkdir(exist_ok=True)
    control = {"train": train, "evaluate": evaluate, "files": FILES, "trained": trained.model_dump(mode="json")}
    control["evaluation"] = evaluation(**found).model_dump(mode="json")
    (place / "fake.json").write_text(json.dumps(control))


def make_version(
    context: Context, *, base_sha256: str = "b" * 64, files: dict[str, str] | None = None, promote: bool = True
) -> ModelVersion:
    """A version that some run has made, with its files in the storage."""
    contents = {name: text.encode() for name, text in (files or FILES).items()}
    facts = {name: {"sha256": hashlib.sha256(one).hexdigest(), "size": len(one)} for name, one in contents.items()}
    with context.db.write() as session:
        run = runs.create(session, trigger="manual")
        assert runs.claim(session, run.id, "t", 30)
        version = models.add(
            session,
            run,
            base="trocr-base",
            base_sha256=base_sha256,
            dataset_sha256="d" * 64,
            parameters={},
            code_version="1",
            figures={},
            files=facts,
        )
        runs.complete(session, run.id, "t", outcome="needs_review", reason="", figures={}, version_id=version.id)
    for name, one in contents.items():
        context.storage.put(storage.model_key(version.id, name), one)
    if promote:
        with context.db.write() as session:
            models.promote(session, version.id, actor="a person", reason="")
    return version
