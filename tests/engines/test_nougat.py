"""Nougat: whole pages as Markdown from checkpoints in the published layout, and what keeps bad pages out."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from copyist.document import BlockKind, Box, Decoding, Page
from copyist.engines.base import EngineSettings, GarbageError, Mode, NotReady, PageImage, ReadOptions, Stop
from copyist.engines.notes import noting
from copyist.engines.nougat import Nougat, ink_box
from copyist.engines.nougat_model import loop_at_end
from copyist.exports.markdown import markdown
from tests.engines.drawing import blank, drawn, in_colour
from tests.engines.tiny_nougat import PAPER, write_nougat

SHORT = "The river is wide, and the other river is wide, too."
INTRODUCTION = "We measured many rivers for a long time, and found that most of them are wider than they are deep. "


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    write_nougat(folder / "nougat-base", PAPER)
    write_nougat(folder / "nougat-unsure", SHORT, sure=6.0, rival=0.5)
    write_nougat(folder / "nougat-loop", INTRODUCTION, loop="of the river ")
    write_nougat(folder / "nougat-stuck", "", loop="so ")
    return folder


@pytest.fixture(scope="module")
def settings(weights: Path) -> EngineSettings:
    return EngineSettings(weights=weights, use_gpu=False)


@pytest.fixture(scope="module")
def engine(settings: EngineSettings) -> Iterator[Nougat]:
    loaded = Nougat(settings)
    yield loaded
    loaded.close()


def read(engine: Nougat, pixels: np.ndarray | None = None, stop: Stop | None = None, **decoding: object) -> Page:
    wish = Decoding.model_validate(decoding)
    options = ReadOptions(mode=Mode.PAPER, decoding=wish, stop=stop or Stop())
    return engine.read([PageImage(drawn("0123 4567", "89") if pixels is None else pixels, dpi=150)], options)[0]


def test_a_page_becomes_blocks_of_every_kind(engine: Nougat) -> None:
    page = read(engine)
    kinds = [block.kind.value for block in page.blocks]
    assert kinds == ["title", "text", "title", "text", "title", "formula", "list", "table", "caption", "text"]
    assert page.blocks[0].text == "On the width of rivers"
    assert page.blocks[5].markup == r"\sum_{i=1}^{n}w_{i}=\frac{W}{2} \tag{1}"
    assert page.blocks[7].text == "River\tWidth\nElbe\t0.5"
    assert (page.engine, page.engine_version) == ("nougat", engine.version)
    assert "nougat-base@" in engine.version


def test_boxes_are_bands_of_the_inked_part_in_order(engine: Nougat) -> None:
    pixels = in_colour(drawn("0123 4567", "89"))
    page, ink = read(engine, pixels), ink_box(pixels)
    assert ink is not None
    assert Box.around(block.box for block in page.blocks) == ink
    lines = [line.box for line in page.lines()]
    assert all(above.bottom <= below.top for above, below in pairwise(lines))


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (120, 200, 3)])
@pytest.mark.parametrize("shade", [0, 255])
def test_a_page_of_one_shade_is_blank(engine: Nougat, shape: tuple[int, ...], shade: int) -> None:
    assert read(engine, np.full(shape, shade, dtype=np.uint8)).blocks == ()


def test_paper_with_noise_is_blank() -> None:
    noise = np.random.default_rng(7).integers(215, 245, (300, 200, 3), dtype=np.uint8)
    assert ink_box(noise) is None


@pytest.mark.parametrize("shape", [(4, 4000), (4000, 4), (1, 900), (2, 2)])
def test_strips_and_specks_are_read_within_their_bounds(engine: Nougat, shape: tuple[int, int]) -> None:
    pixels = np.full(shape, 255, dtype=np.uint8)
    pixels[0, 0] = pixels[-1, -1] = 0
    began = time.perf_counter()
    page = read(engine, pixels)
    assert time.perf_counter() - began < 5
    assert all(Box(*line.box).within(shape[1], shape[0]) == line.box for line in page.lines())


def test_the_pixels_reach_the_model(engine: Nougat) -> None:
    one, other = read(engine), read(engine, blank(400, 400) - (np.eye(400, dtype=np.uint8) * 200))
    assert one.text == other.text
    assert one.confidence != other.confidence


def test_unsure_tokens_are_unsure_words(engine: Nougat) -> None:
    sure, unsure = (read(engine, model=name) for name in ("nougat-base", "nougat-unsure"))
    assert unsure.text == SHORT
    assert sure.confidence and unsure.confidence
    assert 0.98 < sure.confidence <= 1 and 0.2 < unsure.confidence < 0.7


def test_a_temperature_of_zero_is_greedy_and_others_are_drawn(engine: Nougat) -> None:
    def text(seed: int, temperature: float, top_p: float = 0.0) -> str:
        torch.manual_seed(seed)
        return read(engine, model="nougat-unsure", temperature=temperature, top_p=top_p).text

    assert text(1, 0.0) == text(2, 0.0)
    assert text(1, 1.5) == text(1, 1.5) != text(2, 1.5)
    # Of so few tokens only the likeliest is left.
    assert text(1, 1.0, top_p=0.01) == text(2, 1.0, top_p=0.01) == text(3, 0.0)


def test_a_repetition_penalty_changes_what_is_said(engine: Nougat) -> None:
    plain, punished = (read(engine, model="nougat-unsure", repetition_penalty=one) for one in (None, 5.0))
    assert plain.text != punished.text


def test_a_loop_is_cut_and_the_trail_says_so(engine: Nougat) -> None:
    began = time.perf_counter()
    with noting() as notes:
        page = read(engine, model="facebook/nougat-loop")
    assert page.text.startswith(INTRODUCTION.strip())
    assert page.text.count("of the river") <= 2
    assert "repeat" in notes[0]
    assert time.perf_counter() - began < 5


def test_a_page_that_is_nothing_but_a_loop_is_garbage(engine: Nougat) -> None:
    with pytest.raises(GarbageError):
        read(engine, model="nougat-stuck")


def tokens(text: str) -> list[int]:
    return [ord(sign) for sign in text]


@pytest.mark.parametrize(
    "text",
    [
        r"\begin{tabular}{" + "l" + " c" * 24 + "}",
        "River & 0 & 0 & 0 & 0 & 0 & 0 & 0 & 0" + r" \\ ",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "Contents" + "." * 20,
        "1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
    ],
)
def test_tables_are_no_loops(text: str) -> None:
    assert not any(loop_at_end(tokens(text[:end])) for end in range(1, len(text) + 1))


@pytest.mark.parametrize("pattern", ["a", "& 0 ", "the river ", "Thus the width of any river is given by its banks. "])
def test_what_is_said_over_and_over_is_a_loop(pattern: str) -> None:
    assert loop_at_end(tokens("It began well. " + pattern * 40)) == len(pattern)


def test_it_stops_within_a_second_when_asked(engine: Nougat) -> None:
    stop = Stop()
    stop.ask(TimeoutError("asked"))
    with pytest.raises(TimeoutError, match="asked"):
        read(engine, stop=stop)
    later = Stop()
    timer = threading.Timer(0.05, later.ask, [TimeoutError("later")])
    timer.start()
    began = time.perf_counter()
    with pytest.raises(TimeoutError, match="later"):
        for _ in range(100):
            read(engine, stop=later)
    timer.join()
    assert time.perf_counter() - began < 1.5


def test_the_encoder_can_be_stopped_between_its_layers(engine: Nougat) -> None:
    model = engine._use(None)
    stop, seen = Stop(), []
    first, second = (stage.blocks[0] for stage in model.model.encoder.encoder.layers)
    hooks = [
        first.register_forward_hook(lambda *_: stop.ask(TimeoutError("now"))),
        second.register_forward_hook(lambda *_: seen.append("second")),
    ]
    with pytest.raises(TimeoutError, match="now"):
        read(engine, stop=stop)
    for hook in hooks:
        hook.remove()
    assert seen == []
    assert read(engine).text


def test_another_model_is_loaded_when_it_is_asked_for(engine: Nougat, settings: EngineSettings) -> None:
    assert "nougat-base@" in read(engine).engine_version
    assert "nougat-unsure@" in read(engine, model="facebook/nougat-unsure").engine_version
    assert "nougat-base@" in read(engine).engine_version
    own = replace(settings, nougat=settings.weights / "nougat-unsure")
    assert Nougat.check(own).model == "nougat-unsure"


@pytest.mark.parametrize(
    "name", ["facebook/nougat-large", "..", "../weights/nougat-base/..", "a/..", ".", "/etc", "a\0b"]
)
def test_a_model_that_is_not_there_is_not_ready(engine: Nougat, name: str) -> None:
    with pytest.raises(NotReady, match="There is no model"):
        read(engine, model=name)
    assert read(engine).text


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("config.json", "config.json is missing"),
        ("tokenizer.json", "tokenizer.json is missing"),
        ("preprocessor_config.json", "preprocessor_config.json is missing"),
        ("model.safetensors", "model.safetensors is missing"),
    ],
)
def test_a_missing_file_is_named(weights: Path, tmp_path: Path, damage: str, reason: str) -> None:
    broken = shutil.copytree(weights / "nougat-base", tmp_path / "nougat-small")
    (broken / damage).unlink()
    found = Nougat.check(EngineSettings(weights=tmp_path, use_gpu=False))
    assert not found.ready
    assert reason in found.reason
    with pytest.raises(NotReady, match="is missing"):
        Nougat(EngineSettings(weights=tmp_path, use_gpu=False))


def test_a_cut_or_partial_or_foreign_checkpoint_is_refused(weights: Path, tmp_path: Path) -> None:
    settings = EngineSettings(weights=tmp_path, use_gpu=False)
    assert "pull the weights" in Nougat.check(settings).reason
    broken = shutil.copytree(weights / "nougat-base", tmp_path / "nougat-small")
    whole = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "cut" in Nougat.check(settings).reason
    (broken / "model.safetensors").write_bytes(whole)
    config = json.loads((broken / "config.json").read_text())
    for part, kind in (("encoder", "vit"), ("decoder", "trocr")):
        other = config | {part: config[part] | {"model_type": kind}}
        (broken / "config.json").write_text(json.dumps(other))
        found = Nougat.check(settings)
        assert (found.ready, "another model" in found.reason) == (False, True)
    deeper = config | {"decoder": config["decoder"] | {"decoder_layers": 2}}
    (broken / "config.json").write_text(json.dumps(deeper))
    with pytest.raises(NotReady, match="no fitting"):
        Nougat(settings)


def test_a_broken_folder_does_not_stand_before_a_whole_one(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "nougat-base").mkdir()
    assert "config.json is missing" in Nougat.check(EngineSettings(weights=tmp_path, use_gpu=False)).reason
    (tmp_path / "nougat-small").symlink_to(weights / "nougat-base")
    assert Nougat.check(EngineSettings(weights=tmp_path, use_gpu=False)).model == "nougat-small"


def test_a_tokenizer_that_cannot_be_loaded_is_not_ready(weights: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(weights / "nougat-base", tmp_path / "nougat-small")
    (broken / "tokenizer.json").write_text("{")
    with pytest.raises(NotReady, match="tokenizer"):
        Nougat(EngineSettings(weights=tmp_path, use_gpu=False))


def test_a_tokenizer_of_another_model_is_not_ready(weights: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(weights / "nougat-base", tmp_path / "nougat-small")
    tokenizer = json.loads((broken / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {f"word{number}": 400 + number for number in range(99)}
    (broken / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(NotReady, match="another model's"):
        Nougat(EngineSettings(weights=tmp_path, use_gpu=False))


def test_pages_that_the_model_gave_up_are_garbage(tmp_path: Path) -> None:
    write_nougat(tmp_path / "nougat-small", INTRODUCTION + "\n\n[MISSING_PAGE_FAIL:1]")
    engine = Nougat(EngineSettings(weights=tmp_path, use_gpu=False))
    with pytest.raises(GarbageError):
        read(engine)


def test_a_page_longer_than_the_model_can_write_says_so(tmp_path: Path) -> None:
    letters = "".join(np.random.default_rng(7).choice(list("abcdefghijklmnopqrstuvwxyz "), 900))
    write_nougat(tmp_path / "nougat-small", letters)
    with noting() as notes:
        page = read(Nougat(EngineSettings(weights=tmp_path, use_gpu=False)))
    assert len(page.text) > 100
    assert "longer" in notes[0]


def test_the_kinds_are_those_of_the_page_tree(engine: Nougat) -> None:
    assert {block.kind for block in read(engine).blocks} <= set(BlockKind)
    assert markdown_of(read(engine)).startswith("# On the width of rivers\n\n**A. Author**\n\n###### Abstract\n")


def markdown_of(page: Page) -> str:
    return markdown((page,))
