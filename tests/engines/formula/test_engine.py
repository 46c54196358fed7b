"""The engine for formulas: which blocks it makes, what it notes, which model it holds, and who waits for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from copyist.document import BlockKind, Decoding, Page
from copyist.engines.base import EngineSettings, Mode, NotReady, PageImage, ReadOptions, Stop
from copyist.engines.formula import engine as room
from copyist.engines.formula import models
from copyist.engines.formula.decoding import ReadFormula
from copyist.engines.formula.engine import Formula
from copyist.engines.formula.models import FormulaModel, Place, Runtime
from copyist.engines.formula.picture import Picture, PictureUnusable
from copyist.engines.generation import Finish
from copyist.engines.notes import noting
from tests.engines.formula.scenes import cat, drawn, under_each_other
from tests.engines.formula.test_models import written


@dataclass
class Reader:
    """A model of no size; ``said`` is what it says of every picture."""

    model: FormulaModel
    said: ReadFormula | PictureUnusable
    version: str = "1"
    at_once: int = 1
    batches: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    closed: bool = False

    def read(self, pictures: Sequence[Picture], stop: Stop) -> list[ReadFormula | PictureUnusable]:
        assert not self.closed
        while not self.gate.wait(0.01):
            stop.check()
        self.batches.append(len(pictures))
        return [self.said for _ in pictures]

    def close(self) -> None:
        self.closed = True


@dataclass
class Readers:
    """Those that the engine has made, the last one last, and what they say."""

    said: ReadFormula | PictureUnusable = field(default_factory=lambda: says("x^{2}"))
    made: list[Reader] = field(default_factory=list)
    held: bool = False

    def make(self, model: FormulaModel, _place: Place, _settings: EngineSettings) -> Reader:
        self.made.append(Reader(model, self.said))
        if not self.held:
            self.made[-1].gate.set()
        return self.made[-1]


def says(latex: str, *, sure: float = 0.9, finish: Finish = Finish.STOP) -> ReadFormula:
    return ReadFormula(latex, sure, sure, tuple(latex), finish)


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Readers:
    found = Readers()
    monkeypatch.setattr(room, "open_reader", found.make)
    monkeypatch.setattr(models, "PACKAGED", tmp_path / "none")
    return found


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    written(tmp_path / "formula-a")
    return EngineSettings(weights=tmp_path, use_gpu=False)


@pytest.fixture
def engine(readers: Readers, settings: EngineSettings) -> Iterator[Formula]:
    found = Formula(settings)
    yield found
    found.close()


def read(engine: Formula, pixels: Picture, **options: object) -> tuple[Page, list[str]]:
    with noting() as notes:
        page = engine.read([PageImage(pixels)], ReadOptions(mode=Mode.FORMULA, **options))[0]  # type: ignore[arg-type]
    return page, notes


def test_a_formula_is_a_block_with_latex(engine: Formula) -> None:
    page, notes = read(engine, drawn())
    (block,) = page.blocks
    assert (block.kind, block.markup, block.text) == (BlockKind.FORMULA, "x^{2}", "x^{2}")
    assert block.box == block.lines[0].box
    assert page.confidence == 0.9
    assert notes == []


def test_lines_of_working_are_blocks_read_together(engine: Formula, readers: Readers) -> None:
    page, _ = read(engine, under_each_other(drawn(size=40), drawn(size=40), drawn(size=40)))
    assert len(page.blocks) == 3
    assert readers.made[-1].batches == [3]


def test_what_is_no_formula_is_told_and_nobody_is_sure_of_it(engine: Formula) -> None:
    page, notes = read(engine, cat())
    assert page.confidence is not None
    assert page.confidence <= 0.3
    assert "does not look like a formula" in notes[0]


def test_what_holds_for_several_formulas_is_told_once(readers: Readers, settings: EngineSettings) -> None:
    readers.said = says("x", sure=0.1, finish=Finish.LENGTH)
    page, notes = read(Formula(settings), under_each_other(drawn(size=40), drawn(size=40), drawn(size=40)))
    assert (len(page.blocks), len(notes)) == (3, 1)


def test_a_model_whose_files_are_being_replaced_is_not_ready(
    engine: Formula, settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(models, "version", gone)
    found = Formula.check(settings)
    assert (found.ready, "formula-a are being changed" in found.reason) == (False, True)
    with pytest.raises(NotReady, match="formula-a are being changed"):
        read(engine, drawn())


def test_an_empty_picture_has_no_block_and_a_note_why(engine: Formula, readers: Readers) -> None:
    page, notes = read(engine, np.full((1, 5000), 255, np.uint8))
    assert (page.blocks, page.width) == ((), 5000)
    assert notes == ["The picture is a strip of 5000 x 1 pixels, too thin to read."]
    assert readers.made[-1].batches == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (says(" "), "wrote nothing"),
        (PictureUnusable("no_ink", "The picture holds no writing."), "holds no writing"),
    ],
)
def test_where_the_model_says_nothing_there_is_no_block(
    readers: Readers, settings: EngineSettings, said: ReadFormula | PictureUnusable, told: str
) -> None:
    readers.said = said
    page, notes = read(Formula(settings), drawn())
    assert page.blocks == ()
    assert told in notes[0]


def test_a_formula_that_was_cut_is_told(readers: Readers, settings: EngineSettings) -> None:
    readers.said = says("x", sure=0.1, finish=Finish.LENGTH)
    _, notes = read(Formula(settings), drawn())
    assert "its end is missing" in notes[0]


def test_another_model_takes_the_place_of_the_first(
    engine: Formula, readers: Readers, settings: EngineSettings
) -> None:
    written(settings.weights / "formula-b")
    page, _ = read(engine, drawn(), decoding=Decoding(model="formula-b"))
    assert "formula-b" in page.engine_version
    assert [(one.model.folder.name, one.closed) for one in readers.made] == [("formula-a", True), ("formula-b", False)]
    with pytest.raises(NotReady, match="formula-c"):
        read(engine, drawn(), decoding=Decoding(model="formula-c"))


def test_a_model_that_was_replaced_is_loaded_anew(engine: Formula, readers: Readers, settings: EngineSettings) -> None:
    (settings.weights / "formula-a" / "decoder.onnx").write_bytes(b"a longer one")
    page, _ = read(engine, drawn())
    assert len(readers.made) == 2
    assert page.engine_version == Formula.check(settings).version != engine.version


def test_without_a_model_it_is_not_ready_and_says_how_to_get_one(readers: Readers, tmp_path: Path) -> None:
    nothing = EngineSettings(weights=tmp_path)
    found = Formula.check(nothing)
    assert (found.ready, "FORMULA_MODEL" in found.reason) == (False, True)
    with pytest.raises(NotReady, match="FORMULA_MODEL"):
        Formula(nothing)
    assert readers.made == []


def test_a_stop_ends_the_reading(readers: Readers, settings: EngineSettings) -> None:
    readers.held = True
    engine, stop = Formula(settings), Stop()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read, engine, drawn(), stop=stop)
        stop.ask(TimeoutError("enough"))
        with pytest.raises(TimeoutError, match="enough"):
            reading.result(5)


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "place_of", lambda _model, _settings: Place(Runtime.TORCH, "cuda"))


@pytest.mark.usefixtures("on_gpu")
def test_on_a_gpu_pages_of_several_threads_are_read_together(readers: Readers, settings: EngineSettings) -> None:
    readers.held = True
    engine = Formula(settings)
    at_once = Formula.check(settings).at_once
    with ThreadPoolExecutor(at_once) as pool:
        pages = [pool.submit(read, engine, drawn()) for _ in range(2 * at_once)]
        readers.made[0].gate.set()
        assert all(len(page.result(10)[0].blocks) == 1 for page in pages)
    assert sum(readers.made[0].batches) == 2 * at_once
    assert max(readers.made[0].batches) > 1
    engine.close()
    assert readers.made[0].closed


@pytest.mark.usefixtures("on_gpu")
def test_a_model_is_not_taken_away_from_those_who_read_with_it(readers: Readers, settings: EngineSettings) -> None:
    written(settings.weights / "formula-b")
    readers.held = True
    engine = Formula(settings)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(read, engine, drawn())
        _until(lambda: engine._readers == 1)
        second = pool.submit(read, engine, drawn(), decoding=Decoding(model="formula-b"))
        assert not readers.made[0].closed
        readers.held = False
        readers.made[0].gate.set()
        assert first.result(10)[0].blocks
        assert second.result(10)[0].blocks
    assert [one.closed for one in readers.made] == [True, False]
    engine.close()


def _until(true: object) -> None:
    assert callable(true)
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
