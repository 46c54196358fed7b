"""The second process of a run: reads with the new model and with the champion, as they serve, and writes down how well.

It starts afresh, without peft, from what lies in the folder. First the saved model must read the golden lines as the
trained one did; then its confidence is calibrated on the dev lines; then both models read the lines of the pages held
out, and of the general set (``compare``).
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from copyist.engines import calibration as calibrations
from copyist.engines.base import Stop
from copyist.engines.calibration import Calibration
from copyist.engines.trocr import read_lines
from copyist.training import general, scoring
from copyist.training.calibration import fit
from copyist.training.compare import AT_ONCE, Line, compare, model
from copyist.training.events import Failed, reported, tell
from copyist.training.examples import Example, Split, read_manifest
from copyist.training.order import (
    EVALUATION,
    EXAMPLES,
    MERGED,
    ORDER,
    TRAINED,
    Evaluation,
    Event,
    Order,
    Phase,
    Trained,
)

log = logging.getLogger(__name__)

_MOST_DEV_LINES = 500
"""More lines make the calibration no better."""
_OTHERWISE = 0.25
"""This share of the golden lines may be read otherwise: beside other lines, in merged weights and on a GPU sums are
rounded otherwise, and of two letters that are nearly as likely the other one is read. A lost adapter changes most."""


def main(folder: Path) -> int:
    """Evaluate what was trained in ``folder``; the exit code of the process."""
    return reported(lambda: evaluate(folder))


def evaluate(folder: Path) -> None:
    """Write ``evaluation.json``, and the calibration of the new model beside it; raises ``Failed``."""
    order = Order.model_validate_json((folder / ORDER).read_text(encoding="utf-8"))
    trained = Trained.model_validate_json((folder / TRAINED).read_text(encoding="utf-8"))
    examples = _examples(folder / EXAMPLES)
    _refuse_another(folder, trained, order)
    calibration = _calibrate(folder, examples[Split.DEV][:_MOST_DEV_LINES], order)
    champion, challenger = _champion(order), folder / MERGED
    held_out = _lines(folder, examples[Split.HOLDOUT])
    holdout = compare(held_out, champion, challenger, order, partial(_tell, Phase.HOLDOUT))
    others = compare(_general_lines(order), champion, challenger, order, partial(_tell, Phase.GENERAL))
    if others is None:
        raise Failed("broken", "The general set has no lines. Check GENERAL_SET and GENERAL_LINES.")
    found = Evaluation(
        golden=True,
        unchanged=not trained.best_epoch and champion == order.base,
        holdout=holdout,
        general=others,
        general_name=general.name(order),
        calibration=calibration.as_dict() if calibration else None,
        risk_coverage=scoring.risk_coverage(holdout.challenger_lines) if holdout else (),
    )
    _write(folder / EVALUATION, found.model_dump_json())
    tell(Event(event="done"))


def _refuse_another(folder: Path, trained: Trained, order: Order) -> None:
    """Raise ``Failed`` unless the saved model reads the golden lines as the trained one did."""
    with model(folder / MERGED, order, use_gpu=False) as reader:
        read = read_lines(reader, [general.picture(folder, golden.sha256) for golden in trained.golden], Stop())
    if "peft" in sys.modules:
        raise Failed("broken", "peft was loaded along with the saved model, so that it proves nothing.")
    _tell(Phase.GOLDEN, len(read), len(read))
    before, after = [golden.text for golden in trained.golden], [line.text for line in read]
    differing = [(text, other) for text, other in zip(before, after, strict=True) if text != other]
    if differing:
        log.warning("golden lines read otherwise, before and after: %s", differing)
    if len(differing) > _OTHERWISE * len(before):
        raise Failed(
            "not_the_same",
            "The saved model does not read as the trained one did, so it is not used. Start the run again; if it "
            "happens again, the installed versions of torch, transformers and peft do not fit together.",
        )


def _calibrate(folder: Path, examples: Sequence[Example], order: Order) -> Calibration | None:
    """Fit the calibration on the dev lines and save it beside the model; ``None`` where there are too few words."""
    merged, lines = folder / MERGED, _lines(folder, examples)
    (merged / calibrations.FILE).unlink(missing_ok=True)
    sure: list[float] = []
    right: list[bool] = []
    with model(merged, order) as reader:
        for start in range(0, len(lines), AT_ONCE):
            turn = lines[start : start + AT_ONCE]
            for line, read in zip(turn, read_lines(reader, [one.picture for one in turn], Stop()), strict=True):
                # In a line that was cut short, confidence is not the model's.
                words = () if read.reasons else read.words
                sure += [probability for _, probability in words]
                right += scoring.right_words(line.text, [word for word, _ in words])
            _tell(Phase.GOLDEN, start + len(turn), len(lines))
    found = fit(sure, right)
    if found is not None:
        _write(merged / calibrations.FILE, found.as_json())
    return found


def _champion(order: Order) -> Path:
    """What serves now. Where the champion is damaged workers read with the base, and so it is compared here."""
    if order.champion is None:
        return order.base
    try:
        with model(order.champion, order):
            return order.champion
    except Failed as error:
        if error.code != "base_unusable":
            raise
        log.warning("the champion cannot be used, the base takes its place: %s", error)
        return order.base


def _examples(path: Path) -> defaultdict[Split, list[Example]]:
    found: defaultdict[Split, list[Example]] = defaultdict(list)
    for example in read_manifest(path):
        found[example.split].append(example)
    return found


def _lines(folder: Path, examples: Sequence[Example]) -> list[Line]:
    """The lines of ``examples`` whose pictures are whole; raises ``Failed`` where most are not."""
    found = []
    for example in examples:
        try:
            found.append(Line(general.picture(folder, example.sha256), example.text, example.page, example.sha256))
        except Failed as error:
            log.warning("line %s is left out: %s", example.line, error)
    if len(found) < len(examples) / 2:
        raise Failed(
            "damaged_picture",
            f"{len(examples) - len(found)} of {len(examples)} line pictures that are to be read are damaged or "
            "missing; check the storage.",
        )
    return found


def _general_lines(order: Order) -> list[Line]:
    return [
        Line(shown, text, page, hashlib.sha256(shown.tobytes()).hexdigest())
        for shown, text, page in general.general_set(order)
    ]


def _tell(phase: Phase, done: int, total: int) -> None:
    tell(Event(event="phase", phase=phase, done=done, total=total))


def _write(path: Path, content: str) -> None:
    """Write a file, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
