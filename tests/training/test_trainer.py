"""The process that trains: it learns, it goes on after a kill as if nothing was, and says in words why it cannot."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from copyist.engines.base import Stop
from copyist.engines.trocr_models import trocr_checkpoint
from copyist.engines.trocr_reader import TrOcrReader
from copyist.training.augment import Picture
from copyist.training.events import Failed, Stopped, as_failure, reported
from copyist.training.examples import Split
from copyist.training.frozen import FILE
from copyist.training.lessons import load_picture
from copyist.training.loop import Loop
from copyist.training.order import CHECKPOINT, EXAMPLES, LINES, MERGED, TRAINED, Event, Order, Trained
from copyist.training.reading import LearningReader
from copyist.training.trainer import train
from copyist.training.vocabulary import Unlearnable
from tests.engines.tiny_trocr import WORDS, write_small
from tests.servers import process_environment
from tests.training.conftest import RunWriter, add_example, line, mirrored

TEACHING = {"epochs": 8, "learning_rate": 1e-2, "dropout": 0.05}


def no_general_lines(_: Order, count: int) -> list[tuple[Picture, str]]:
    raise AssertionError(f"{count} general lines are asked for")


def run(folder: Path, stop: Stop | None = None) -> Trained:
    train(folder, stop=stop or Stop(), replay=no_general_lines)
    return Trained.model_validate_json((folder / TRAINED).read_text())


def process(folder: Path) -> tuple[int, list[Event]]:
    done = subprocess.run(
        [sys.executable, "-m", "copyist.training", "train", folder],
        env=process_environment() | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [Event.model_validate_json(row) for row in done.stdout.splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / MERGED / "model.safetensors"))


def told(output: str) -> list[Event]:
    return [Event.model_validate_json(row) for row in output.splitlines()]


def test_it_learns_and_the_merged_model_reads_without_peft_what_the_trained_one_read(
    run_folder: RunWriter, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(**TEACHING)
    trained = run(folder)
    merged = folder / MERGED
    assert trocr_checkpoint(merged).folder == merged
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "preprocessor_config.json"):
        assert (merged / name).read_bytes() == (tiny_base / name).read_bytes()
    served, base = (TrOcrReader(each, use_gpu=False) for each in (merged, tiny_base))
    assert len(trained.golden) == 8
    pictures = [load_picture(folder / LINES / f"{golden.sha256}.png", golden.sha256) for golden in trained.golden]
    texts = [golden.text for golden in trained.golden]
    assert [read.text for read in served.read(pictures, Stop())] == texts
    assert [read.text for read in base.read(pictures, Stop())] != texts
    unseen = [mirrored(text, 36) for text in WORDS]
    after, before = (jiwer.cer(list(WORDS), [r.text for r in reader.read(unseen, Stop())]) for reader in (served, base))
    assert after < before / 2

    events = told(capsys.readouterr().out)
    steps = [event for event in events if event.event == "step"]
    assert [step.step for step in steps] == list(range(1, trained.steps + 1))
    assert [event.phase for event in events if event.phase] == ["loading", "training", "merging"]
    assert (events[-1].event, trained.device, trained.dev_cer) == ("done", "cpu", None)
    assert min(trained.encoder_parameters, trained.decoder_parameters) > 1000
    assert not (folder / FILE).exists()


def test_a_run_that_is_done_is_not_done_again(run_folder: RunWriter, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(epochs=1)
    run(folder)
    written = (folder / MERGED / "model.safetensors").stat()
    capsys.readouterr()
    run(folder)
    assert [event.event for event in told(capsys.readouterr().out)] == ["done"]
    assert (folder / MERGED / "model.safetensors").stat() == written


def test_the_same_order_gives_the_same_losses_and_the_same_model(
    run_folder: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    traces, models = [], []
    for name, order in (("one", {}), ("two", {}), ("anew", {"cache_bytes": 0})):
        folder = run_folder(name, order=order, epochs=1)
        run(folder)
        traces.append([event.loss for event in told(capsys.readouterr().out) if event.event == "step"])
        models.append(weights(folder))
    assert traces[0] == traces[1] == traces[2]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


DIES = """
import os, sys
from pathlib import Path
from copyist.training import loop, trainer
def tell(event):
    if event.step == {step} and event.event == "step":
        os._exit(9)
loop.tell = tell
trainer.main(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_after_a_kill_it_goes_on_and_ends_with_the_same_weights(run_folder: RunWriter) -> None:
    whole, killed = run_folder("whole", epochs=3), run_folder("killed", epochs=3)
    run(whole)
    script = DIES.format(step=5)  # In the middle of the second epoch of three steps.
    died = subprocess.run([sys.executable, "-c", script, killed], env=process_environment(), check=False)
    assert (died.returncode, (killed / MERGED).exists()) == (9, False)
    code, events = process(killed)
    assert (code, events[-1].event) == (0, "done")
    assert [event.step for event in events if event.event == "step"] == [4, 5, 6, 7, 8, 9]
    assert Trained.model_validate_json((killed / TRAINED).read_text()).resumed == 1
    ours, theirs = weights(killed), weights(whole)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=0)


def test_when_asked_to_stop_it_saves_the_step_it_is_at(
    run_folder: RunWriter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, stopped = run_folder("whole"), run_folder("stopped")
    run(whole)
    stop = Stop()

    def listening(event: Event) -> None:
        if event.step == 5:
            stop.ask(Stopped())

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr("copyist.training.loop.tell", listening)
        run(stopped, stop)
    capsys.readouterr()
    assert run(stopped).resumed == 1
    assert [event.step for event in told(capsys.readouterr().out) if event.event == "step"] == [6]
    assert all(torch.equal(weights(stopped)[name], tensor) for name, tensor in weights(whole).items())


def test_a_checkpoint_of_another_order_or_a_damaged_one_is_not_gone_on_from(run_folder: RunWriter) -> None:
    one, other = run_folder("one", epochs=1), run_folder("other", epochs=1, learning_rate=1e-3)
    run(one)
    shutil.copytree(one / CHECKPOINT, other / CHECKPOINT)
    assert run(other).resumed == 0
    damaged = run_folder("damaged", epochs=1)
    (damaged / CHECKPOINT).mkdir()
    (damaged / CHECKPOINT / "state.pt").write_bytes((one / CHECKPOINT / "state.pt").read_bytes()[:5000])
    assert run(damaged).resumed == 0


def test_lines_that_cannot_be_learned_are_left_out_and_counted(run_folder: RunWriter) -> None:
    folder = run_folder(epochs=1)
    add_example(folder, line("lantern", 30), "lan</s>tern")
    add_example(folder, line("lantern", 31), "lantern " * 20)
    add_example(folder, line("lantern", 32), " ")
    add_example(folder, np.full((20, 900), 255, np.uint8), "wide")
    add_example(folder, line("lantern", 35), "lantern").write_bytes(b"no picture")
    add_example(folder, line("lantern", 36), "lantern").unlink()
    # Nothing that is held out is looked at.
    add_example(folder, line("lantern", 37), "lantern", Split.HOLDOUT).unlink()
    assert run(folder).left_out == {
        "unknown_characters": 1,
        "too_long": 1,
        "empty": 1,
        "too_wide": 1,
        "damaged_picture": 2,
    }


def test_a_text_is_learned_only_if_its_tokens_say_the_same_again(tmp_path: Path) -> None:
    vocabulary = LearningReader(write_small(tmp_path / "small"), use_gpu=False, threads=1).vocabulary()
    assert vocabulary.text(vocabulary.tokens(" by  the harbour")) == "by the harbour"
    for text in ("日本", "a\u0301", "<unk>"):
        with pytest.raises(Unlearnable, match="unknown_characters"):
            vocabulary.tokens(text)


@pytest.mark.parametrize(
    ("harm", "code", "words"),
    [
        ("most pictures", "damaged_picture", "9 of 16 line pictures"),
        ("most lines", "too_few_lines", "Only 7 lines"),
        ("base", "base_unusable", "model.safetensors"),
        ("no base", "base_unusable", "no folder gone"),
        ("general set", "broken", "manifest.jsonl is missing"),
    ],
)
def test_what_makes_training_impossible_is_said(
    harm: str, code: str, words: str, run_folder: RunWriter, tiny_base: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "trocr-copy") if harm == "base" else tiny_base
    general = {"general_set": tmp_path} if harm == "general set" else {}
    folder = run_folder(base=tmp_path / "gone" if harm == "no base" else base, order=general)
    if harm == "most pictures":
        for path in sorted((folder / LINES).iterdir())[:9]:
            path.write_bytes(path.read_bytes()[:200])
    elif harm == "most lines":
        rows = [json.loads(row) for row in (folder / EXAMPLES).read_text().splitlines()]
        train_rows = [row for row in rows if row["split"] == "train"]
        (folder / EXAMPLES).write_text("".join(json.dumps(row) + "\n" for row in train_rows[:7]))
    elif harm == "base":
        (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:3000])
    with pytest.raises(Failed, match=words) as failed:
        run(folder)
    assert failed.value.code == code


@pytest.mark.parametrize(("kilobytes", "what"), [(250, "checkpoint"), (560, "model")])
def test_a_full_disk_is_an_event_and_leaves_nothing_half_written(
    kilobytes: int, what: str, run_folder: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(epochs=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1000, hard))
    try:
        code = reported(lambda: train(folder, stop=Stop(), replay=no_general_lines))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    last = told(capsys.readouterr().out)[-1]
    assert (code, last.event, last.code) == (1, "failed", "disk_full")
    assert (folder / CHECKPOINT / "state.pt").exists() == (what == "model")
    left = {path.name for path in folder.rglob("*") if path.parent.name != LINES}
    assert left - {"order.json", EXAMPLES, LINES, CHECKPOINT, "state.pt"} == set()


def test_where_the_gpu_is_too_small_for_a_batch_it_goes_on_in_halves(
    run_folder: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Loop._loss

    def on_a_small_gpu(loop: Loop, batch: Any) -> Any:
        if len(batch) > most:
            raise torch.OutOfMemoryError
        return whole(loop, batch)

    monkeypatch.setattr(Loop, "_loss", on_a_small_gpu)
    most = 2
    assert run(run_folder("halves", epochs=1)).steps == 3
    most = 1
    with pytest.raises(torch.OutOfMemoryError) as failed:
        run(run_folder("nothing", epochs=1))
    assert as_failure(failed.value).code == "out_of_memory"


def test_a_step_that_would_spoil_the_weights_ends_the_run(
    run_folder: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Loop._loss

    def with_endless_slope(loop: Loop, batch: Any) -> Any:
        loss = whole(loop, batch)
        return loss + (loss - loss.detach()).sqrt()

    monkeypatch.setattr(Loop, "_loss", with_endless_slope)
    with pytest.raises(Failed, match="lower learning rate"):
        run(run_folder(epochs=1, batch=16))  # One step: no loss after it tells.


def test_general_lines_are_mixed_in_and_shown_anew_in_each_epoch(
    run_folder: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def general(_: Order, count: int) -> list[tuple[Picture, str]]:
        asked.append(count)
        return [(line("lantern", 30 + number), "lantern") for number in range(count)]

    train(run_folder(replay=0.25), stop=Stop(), replay=general)
    assert asked == [2 * 4]
    steps = [event for event in told(capsys.readouterr().out) if event.event == "step"]
    assert len(steps) == 2 * (12 + 4) / 4
