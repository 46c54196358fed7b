"""A folder of formulas: MathWriting's layout, the same for the same seed, nothing shared by its splits."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from copyist.engines.formula import latex
from copyist.errors import FormulaDataMissing
from copyist.training.formula import generate as module
from copyist.training.formula import inkml
from copyist.training.formula.generate import SPLITS, examples, generate, home


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 4)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.inkml")}


def test_a_folder_is_the_same_for_the_same_seed_and_readable(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        generate(tmp_path / name, count=9, seed=seed, valid=2, test=1, processes=1)
    one = contents(tmp_path / "one")
    assert len(one) == 12
    assert contents(tmp_path / "again") == one != contents(tmp_path / "other")
    for path in (tmp_path / "one").rglob("*.inkml"):
        written = inkml.read(path)
        assert latex.joined(latex.normalize(written.latex)) == written.latex
        assert written.writer
        assert written.ink.strokes


def test_splits_share_neither_writers_nor_formulas() -> None:
    found = {split: list(islice(examples(split, seed=1), 11)) for split in SPLITS}
    for split in SPLITS:
        others = [written for other in SPLITS if other != split for written in found[other]]
        assert not {written.writer for written in found[split]} & {written.writer for written in others}
        assert not {written.latex for written in found[split]} & {written.latex for written in others}
        assert all(home(latex.normalize(written.latex)) == split for written in found[split])
    assert len({written.writer for written in found["train"]}) == 3


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name, processes in (("one", 1), ("two", 2)):
        generate(tmp_path / name, count=5, seed=1, valid=1, test=1, processes=processes)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_interrupted_folder_is_completed_and_another_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    generate(folder, count=9, seed=1, valid=1, test=1, processes=1)
    whole = contents(folder)
    facts = folder / module.FILE
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"complete": False}))
    for name in ("train-0000005", "train-0000007"):
        (folder / "train" / f"{name}.inkml").unlink()
    told: list[tuple[int, int]] = []
    generate(folder, count=9, seed=1, valid=1, test=1, processes=1, told=lambda *done: told.append(done))
    assert contents(folder) == whole
    assert json.loads(facts.read_text())["complete"]
    assert told[-1] == (11, 11)
    for other in (folder, facts):
        with pytest.raises(FormulaDataMissing, match="name a new folder"):
            generate(other, count=10, seed=1, valid=1, test=1, processes=1)
