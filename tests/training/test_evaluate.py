"""The second process of a run: in a process of its own it proves the saved model, calibrates it and reads with both."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from copyist.engines import calibration
from copyist.engines.base import Stop
from copyist.engines.generation import Finish
from copyist.engines.trocr_reader import TrOcrReader
from copyist.training import compare as comparing
from copyist.training import evaluate, gate, general
from copyist.training.compare import Line, compare
from copyist.training.events import Failed, as_failure
from copyist.training.examples import Example, Split
from copyist.training.order import (
    EVALUATION,
    EXAMPLES,
    LINES,
    MERGED,
    ORDER,
    TRAINED,
    Evaluation,
    Golden,
    Order,
    Trained,
)
from copyist.training.reading import LearningReader
from tests.engines.tiny_trocr import WORDS, write_base
from tests.training.conftest import add_example, line

SIZES = range(30, 54, 2)
"""Enough words in these sizes to calibrate by."""
shown = cache(line)


@pytest.fixture(scope="module")
def untaught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("untaught") / "trocr-untaught")


@pytest.fixture
def trained_run(tmp_path: Path, tiny_base: Path, untaught: Path) -> Path:
    """A run that began with a model that reads nothing and came to one that reads the words."""
    folder = tmp_path / "run"
    for split, sizes in ((Split.DEV, SIZES), (Split.HOLDOUT, SIZES[2:5])):
        (folder / LINES).mkdir(parents=True, exist_ok=True)
        for text in WORDS:
            for size in sizes:
                add_example(folder, shown(text, size), text, split)
    others = tmp_path / "others"
    (others / LINES).mkdir(parents=True)
    for text in WORDS[:2]:
        add_example(others, shown(text, 41), text)
    (others / EXAMPLES).rename(others / general.MANIFEST)
    shutil.copytree(tiny_base, folder / MERGED)
    order = Order(run_id="r", base=untaught, general_set=others, general_lines=10, use_gpu=False)
    (folder / ORDER).write_text(order.model_dump_json())
    write_trained(folder)
    return folder


def examples(folder: Path) -> list[Example]:
    return [Example.model_validate_json(row) for row in (folder / EXAMPLES).read_text().splitlines()]


def golden_lines(folder: Path) -> list[Example]:
    return examples(folder)[::7][:8]


def write_trained(folder: Path, **texts: str) -> None:
    """Note what the merged model reads on eight lines, or that it read ``texts``, by their hashes."""
    reader = TrOcrReader(folder / MERGED, use_gpu=False)
    found = [example.sha256 for example in golden_lines(folder)]
    golden = [
        Golden(sha256=sha256, text=reader.read([general.picture(folder, sha256)], Stop())[0].text) for sha256 in found
    ]
    golden = [one.model_copy(update={"text": texts.get(one.sha256, one.text)}) for one in golden]
    about: dict[str, Any] = {
        **dict.fromkeys(("steps", "epochs", "best_epoch", "encoder_parameters", "decoder_parameters"), 1),
        **dict.fromkeys(("train_loss", "seconds", "resumed", "peak_memory_bytes"), 0),
        **dict.fromkeys(("dev_cer", "dev_cer_before")),
        "device": "cpu",
        "base_sha256": "0",
        "libraries": {},
    }
    (folder / TRAINED).write_text(Trained(golden=tuple(golden), **about).model_dump_json())


def evaluated(folder: Path) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of the process, and its events."""
    done = subprocess.run(
        [sys.executable, "-m", "copyist.training", "evaluate", folder], capture_output=True, text=True, check=False
    )
    return done.returncode, [json.loads(row) for row in done.stdout.splitlines()]


def test_a_fresh_process_reads_with_both_models_and_the_gate_can_decide(trained_run: Path) -> None:
    code, events = evaluated(trained_run)
    assert (code, events[-1]["event"]) == (0, "done")
    assert list(dict.fromkeys(event.get("phase") for event in events[:-1])) == ["golden", "holdout", "general"]
    assert [(event["done"], event["total"]) for event in events if event.get("phase") == "general"][-1] == (4, 4)
    found = Evaluation.model_validate_json((trained_run / EVALUATION).read_text())
    assert (found.golden, found.unchanged) == (True, False)
    assert found.holdout is not None
    assert (found.holdout.challenger.lines, found.holdout.challenger.pages) == (12, 4)
    assert found.holdout.challenger.cer.value < 0.1 < 0.5 < found.holdout.champion.cer.value
    assert (found.general.challenger.lines, found.general_name) == (2, "others")
    assert found.calibration == json.loads((trained_run / MERGED / calibration.FILE).read_text())
    assert not list(trained_run.rglob("*.part"))
    verdict = gate.decide(found, gate.Rules(min_pages=2))
    assert verdict.outcome == "promoted", verdict.reason


def test_a_saved_model_that_reads_other_than_the_trained_one_is_not_used(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "peft", raising=False)
    write_trained(trained_run, **{example.sha256: "0123 456" for example in golden_lines(trained_run)[:3]})
    with pytest.raises(Failed, match="does not read as the trained one did") as failed:
        evaluate.evaluate(trained_run)
    assert failed.value.code == "not_the_same"
    assert not (trained_run / EVALUATION).exists()
    monkeypatch.setitem(sys.modules, "peft", sys)
    with pytest.raises(Failed, match="peft was loaded"):
        evaluate.evaluate(trained_run)


def test_two_golden_lines_of_eight_may_be_read_otherwise_by_rounding(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "peft", raising=False)
    write_trained(trained_run, **{example.sha256: "0123 456" for example in golden_lines(trained_run)[:2]})
    trained = Trained.model_validate_json((trained_run / TRAINED).read_text())
    evaluate._refuse_another(trained_run, trained, Order.model_validate_json((trained_run / ORDER).read_text()))


def some_lines() -> list[Line]:
    texts = [text for text in WORDS for _ in range(5)]
    pictures = [shown(text, 34 + 2 * (at % 5)) for at, text in enumerate(texts)]
    hashes = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]
    return [Line(*about) for about in zip(pictures, texts, texts, hashes, strict=True)]


def test_where_both_models_do_not_fit_one_reads_after_the_other_and_finds_the_same(
    tiny_base: Path, untaught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(run_id="r", base=untaught, use_gpu=False)
    told: list[tuple[int, int]] = []
    together = compare(some_lines(), untaught, tiny_base, order, lambda *count: told.append(count))
    assert told == [(0, 40), (16, 40), (32, 40), (36, 40), (40, 40)]
    monkeypatch.setattr(comparing, "free_here", lambda: 1)
    apart = compare(some_lines(), untaught, tiny_base, order, lambda *count: told.append(count))
    assert together is not None
    assert apart is not None
    assert [one.read for one in together.champion_lines] == [one.read for one in apart.champion_lines]
    assert [one.read for one in together.challenger_lines] == [one.read for one in apart.challenger_lines]
    assert together.challenger.exact.value > 0.9


def test_a_pause_cuts_no_line_short(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = count(step=3600.0)
    monkeypatch.setattr("copyist.engines.generation.time", SimpleNamespace(monotonic=lambda: next(hours)))
    pictures = [shown(WORDS[0], 34)]
    with comparing.model(tiny_base, Order(run_id="r", base=tiny_base, use_gpu=False)) as examined:
        learning = LearningReader(tiny_base, use_gpu=False, threads=1)
        serving = TrOcrReader(tiny_base, use_gpu=False)
        found = [reader.read(pictures, Stop())[0].finish for reader in (examined, learning, serving)]
    assert found == [Finish.STOP, Finish.STOP, Finish.TIME]


def test_a_damaged_champion_is_compared_as_it_serves_by_the_base(untaught: Path, tmp_path: Path) -> None:
    shutil.copytree(untaught, tmp_path / "champion")
    (tmp_path / "champion" / "vocab.json").write_text("{")
    order = Order(run_id="r", base=untaught, champion=tmp_path / "champion", use_gpu=False)
    assert evaluate._champion(order) == untaught
    with pytest.raises(Failed, match="tokenizer") as failed, comparing.model(tmp_path / "champion", order):
        pass
    assert failed.value.code == "base_unusable"


def test_a_few_damaged_pictures_are_left_out_and_many_end_it(trained_run: Path) -> None:
    held_out = [example for example in examples(trained_run) if example.split is Split.HOLDOUT]
    (trained_run / LINES / f"{held_out[0].sha256}.png").write_bytes(b"no picture")
    assert len(evaluate._lines(trained_run, held_out)) == len(held_out) - 1
    for example in held_out[1:9]:
        (trained_run / LINES / f"{example.sha256}.png").unlink()
    with pytest.raises(Failed, match="9 of 12 line pictures"):
        evaluate._lines(trained_run, held_out)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        evaluate._write(tmp_path / EVALUATION, "{}")
    assert as_failure(error.value).code == "disk_full"
    assert list(tmp_path.iterdir()) == []
