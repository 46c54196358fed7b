"""TrOCR: both published layouts load, lines are read in batches, and what cannot be read with is not ready."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from copyist.engines import encoder_decoder
from copyist.engines.base import Decoding, EngineSettings, NotReady, PageImage, ReadOptions, Stop, TimedOut
from copyist.engines.calibration import Calibration
from copyist.engines.checkpoints import CheckpointUnusable
from copyist.engines.generation import Finish
from copyist.engines.notes import noting
from copyist.engines.trocr import TrOcr
from copyist.engines.trocr_models import named_checkpoint
from copyist.engines.trocr_reader import TrOcrReader
from tests.engines.drawing import blank, drawn
from tests.engines.tiny_nougat import write_reading_nougat
from tests.engines.tiny_trocr import WORDS, write_base, write_reading_trocr, write_rote_trocr, write_small


def settings(weights: Path, trocr: Path | None = None) -> EngineSettings:
    return EngineSettings(weights=weights, use_gpu=False, trocr=trocr)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_reading_trocr(folder / "trocr-base-handwritten")
    write_small(folder / "trocr-small-handwritten")
    return folder


@pytest.fixture(scope="module")
def engine(weights: Path) -> TrOcr:
    return TrOcr(settings(weights))


def page(*lines: str) -> PageImage:
    return PageImage(drawn(*lines), dpi=200)


def test_reads_a_page_line_by_line_in_order(engine: TrOcr) -> None:
    (read,) = engine.read([page(*WORDS)], ReadOptions())
    assert [line.text for line in read.lines()] == list(WORDS)
    for line in read.lines():
        assert [word.text for word in line.words] == line.text.split()
        assert 0.4 < (line.confidence or 0) < 1


def test_is_ready_with_the_base_model_before_the_small_one(weights: Path) -> None:
    found = TrOcr.check(settings(weights))
    assert (found.ready, found.model, found.device, found.at_once) == (True, "trocr-base-handwritten", "cpu", 1)
    assert 500_000 < (found.memory_bytes or 0) < 1_000_000


def test_the_check_loads_no_heavy_library(weights: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from copyist.engines.base import EngineSettings\n"
        "from copyist.engines.trocr import TrOcr\n"
        f"assert TrOcr.check(EngineSettings(weights=Path({str(weights)!r}))).ready\n"
        "assert not {'torch', 'transformers', 'torchvision'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("layout", ["small", "base", "sine-positions"])
def test_every_published_layout_loads_and_gives_the_same_twice(layout: str, tmp_path: Path) -> None:
    folder = tmp_path / "trocr-any"
    if layout == "small":
        write_small(folder)
    elif layout == "base":
        write_base(folder)
    else:
        # As trocr-large-printed: positions that no checkpoint holds, and one matrix for both ends of the decoder.
        write_base(folder, use_learned_position_embeddings=False, layernorm_embedding=False, tie_word_embeddings=True)
    reader = TrOcrReader(folder, use_gpu=False)
    pictures = [drawn("0123 4567", width=300, height=60), drawn("lantern", width=200, height=60)]
    first = reader.read(pictures, Stop())
    assert first == reader.read(pictures, Stop())
    assert all(line.text for line in first)


def test_a_batch_says_the_same_as_single_lines(tmp_path: Path) -> None:
    reader = TrOcrReader(write_base(tmp_path / "trocr"), use_gpu=False)
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 256, (40, 60 * width), dtype=np.uint8) for width in range(1, 11)]
    together = reader.read(pictures, Stop())
    for picture, line in zip(pictures, together, strict=True):
        (alone,) = reader.read([picture], Stop())
        assert (alone.text, alone.finish) == (line.text, line.finish)
        assert [sure for _, sure in alone.words] == pytest.approx([sure for _, sure in line.words], rel=1e-4)
    assert len({line.text for line in together}) > 1


def test_a_words_confidence_is_that_of_its_own_tokens(weights: Path) -> None:
    reader = TrOcrReader(weights / "trocr-base-handwritten", use_gpu=False)
    tokens = reader._processor.tokenizer.encode("by the harbour", add_special_tokens=False)
    pieces = [reader._decoded([token]) for token in tokens]
    sure = [0.5 if "t" in piece else 0.9 for piece in pieces]
    line = reader._line(tokens, torch.tensor(sure).log().tolist(), Finish.STOP)
    assert [word for word, _ in line.words] == ["by", "the", "harbour"]
    assert [confidence for _, confidence in line.words] == pytest.approx([0.9, 0.5, 0.9], abs=1e-5)


def test_a_character_of_several_tokens_is_one_word(weights: Path) -> None:
    reader = TrOcrReader(weights / "trocr-base-handwritten", use_gpu=False)
    tokens = reader._processor.tokenizer.encode("où €5", add_special_tokens=False)
    line = reader._line(tokens, [-0.1] * len(tokens), Finish.STOP)
    assert [word for word, _ in line.words] == ["où", "€5"]
    assert all(0.89 < confidence < 0.92 for _, confidence in line.words)


def test_a_long_line_is_read_in_pieces_and_joined(tmp_path: Path) -> None:
    write_rote_trocr(tmp_path / "trocr-rote", "by the harbour")
    long = drawn(" ".join(["carried three empty bottles"] * 3), width=1900, size=40)
    (read,) = TrOcr(settings(tmp_path)).read([PageImage(long)], ReadOptions())
    (line,) = read.lines()
    assert line.text == "by the harbour by the harbour"
    assert [word.text for word in line.words] == line.text.split()
    assert line.words[-1].box.right == line.box.right


def test_a_line_that_loops_ends_there_and_says_so(tmp_path: Path) -> None:
    write_rote_trocr(tmp_path / "trocr-loop", "by the ", ends=False)
    with noting() as notes:
        (read,) = TrOcr(settings(tmp_path)).read([page("0123 4567")], ReadOptions())
    assert read.text == "by the"
    assert read.confidence == pytest.approx(0.2)
    assert notes == ["Line 1 fell into a loop; its text ends there."]


def test_a_blank_page_has_no_blocks(engine: TrOcr) -> None:
    (read,) = engine.read([PageImage(blank())], ReadOptions())
    assert read.blocks == ()


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((300, 200), np.uint8), np.full((1, 1, 3), 0, np.uint8), np.full((3, 900), 255, np.uint8)],
    ids=["black", "one-pixel", "flat"],
)
def test_a_page_that_holds_no_writing_has_no_blocks(engine: TrOcr, pixels: npt.NDArray[np.uint8]) -> None:
    assert engine.read([PageImage(pixels)], ReadOptions())[0].blocks == ()


def test_stops_between_lines_with_the_reason_that_was_given(engine: TrOcr) -> None:
    stop = Stop()
    stop.ask(TimedOut("It took too long."))
    with pytest.raises(TimedOut):
        engine.read([page(*WORDS)], ReadOptions(stop=stop))


def test_stops_in_the_middle_of_a_line(tmp_path: Path) -> None:
    reader = TrOcrReader(write_base(tmp_path / "trocr"), use_gpu=False)
    stop, forward = Stop(), reader._model.decoder.forward

    def asked_at_the_third_token(*args: object, **named: object) -> object:
        calls.append(time.monotonic())
        if len(calls) == 3:
            stop.ask(TimedOut("It took too long."))
        return forward(*args, **named)

    calls: list[float] = []
    reader._model.decoder.forward = asked_at_the_third_token
    with pytest.raises(TimedOut):
        reader.read([drawn("0123", width=400, height=60)], stop)
    assert len(calls) == 3


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path) -> None:
    reader = TrOcrReader(write_base(tmp_path / "trocr"), use_gpu=False)
    pictures = [drawn(str(number), width=200, height=60) for number in range(6)]
    expected = reader.read(pictures, Stop())
    generate, sizes = reader._model.generate, []

    def with_room_for_two(*, encoder_outputs: object, **named: object) -> object:
        sizes.append(len(encoder_outputs.last_hidden_state))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(encoder_outputs=encoder_outputs, **named)

    reader._model.generate = with_room_for_two
    assert [line.text for line in reader.read(pictures, Stop())] == [line.text for line in expected]
    assert sizes == [6, 4, 2, 2, 2]


def test_another_model_is_read_with_by_its_name_or_its_published_name(engine: TrOcr) -> None:
    for name in ("trocr-small-handwritten", "microsoft/trocr-small-handwritten"):
        (read,) = engine.read([page("0123 4567")], ReadOptions(decoding=Decoding(model=name)))
        assert "trocr-small-handwritten" in read.engine_version
    (read,) = engine.read([page("0123 4567")], ReadOptions())
    assert read.engine_version == engine.version


@pytest.mark.parametrize("name", ["trocr-large", "..", "../weights", "/etc", "trocr-small-handwritten/.."])
def test_a_model_that_is_not_in_the_weights_folder_is_not_ready(engine: TrOcr, name: str) -> None:
    with pytest.raises(NotReady, match="weights"):
        engine.read([page("0123 4567")], ReadOptions(decoding=Decoding(model=name)))


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    def halve(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return halve


def without_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["decoder.model.decoder.embed_tokens.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def with_another_decoder(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["model_type"] = "roberta"
    (folder / "config.json").write_text(json.dumps(config))


def changed(name: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        before = json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
        (folder / name).write_text(json.dumps({**before, **values}))

    return change


def with_layers(count: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        decoder = json.loads((folder / "config.json").read_text())["decoder"]
        changed("config.json", decoder={**decoder, "decoder_layers": count})(folder)

    return change


def with_code(folder: Path) -> None:
    """A class of its own beside the weights, which would end the test if it were imported."""
    (folder / "own.py").write_text("raise SystemExit('code of a checkpoint was run')")
    changed("preprocessor_config.json", image_processor_type="Own", auto_map={"AutoImageProcessor": "own.Own"})(folder)


def with_a_larger_vocabulary(folder: Path) -> None:
    vocabulary = json.loads((folder / "vocab.json").read_text())
    vocabulary.update({f"more{number}": len(vocabulary) + number for number in range(200)})
    (folder / "vocab.json").write_text(json.dumps(vocabulary))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without("config.json"), "config.json is missing"),
        (without("model.safetensors"), "model.safetensors is missing"),
        (without("preprocessor_config.json"), "preprocessor_config.json is missing"),
        (without("merges.txt"), "has no tokenizer"),
        (cut("config.json"), "is not JSON"),
        (cut("model.safetensors"), "is cut or no safetensors file"),
        (with_layers(10**8), "more layers than there are weights"),
        (with_another_decoder, "another model (roberta)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_or_foreign_checkpoint_is_not_ready_and_says_why(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(write_base(tmp_path / "trocr-base"))
    found = TrOcr.check(settings(tmp_path))
    assert not found.ready
    assert reason in found.reason
    with pytest.raises(NotReady, match=re.escape(reason)):
        TrOcr(settings(tmp_path))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without_a_tensor, "has no fitting decoder.model.decoder.embed_tokens.weight"),
        (cut("vocab.json"), "tokenizer or the image settings"),
        (cut("preprocessor_config.json"), "tokenizer or the image settings"),
        (with_a_larger_vocabulary, "tokenizer in trocr-base is another model's"),
        (with_code, "tokenizer or the image settings"),
        (changed("preprocessor_config.json", size=10**6), "ask for 1,000,000,000,000 pixels"),
        (changed("generation_config.json", eos_token_id=10**6), "names a token 1000000"),
    ],
)
def test_what_only_loading_shows_is_not_ready_either(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(write_base(tmp_path / "trocr-base"))
    with pytest.raises(NotReady, match=reason):
        TrOcr(settings(tmp_path))


def test_without_weights_the_reason_names_the_way_out(tmp_path: Path) -> None:
    found = TrOcr.check(settings(tmp_path))
    assert not found.ready
    assert "trocr-*" in found.reason
    assert "OCR_MODEL" in found.reason


def test_a_nougat_in_the_place_of_the_model_is_another_models(tmp_path: Path) -> None:
    write_reading_nougat(tmp_path / "nougat-small")
    found = TrOcr.check(settings(tmp_path, tmp_path / "nougat-small"))
    assert not found.ready
    assert "another model (mbart)" in found.reason


def test_a_damaged_model_is_passed_over_for_a_whole_one(tmp_path: Path) -> None:
    without("vocab.json")(write_base(tmp_path / "trocr-base-handwritten"))
    write_base(tmp_path / "trocr-small-handwritten")
    assert TrOcr.check(settings(tmp_path)).model == "trocr-small-handwritten"


def test_a_model_saved_anew_by_transformers_loads(tmp_path: Path) -> None:
    reader = TrOcrReader(write_base(tmp_path / "first"), use_gpu=False)
    reader._model.save_pretrained(tmp_path / "trocr-own")
    reader._processor.save_pretrained(tmp_path / "trocr-own")
    picture = [drawn("0123", width=200, height=60)]
    assert TrOcr.check(settings(tmp_path)).ready
    assert TrOcrReader(tmp_path / "trocr-own", use_gpu=False).read(picture, Stop()) == reader.read(picture, Stop())


def test_code_of_a_checkpoint_is_not_even_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_code(write_base(tmp_path / "trocr-base"))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(NotReady, match="image settings"):
        TrOcr(settings(tmp_path))


def test_too_little_memory_is_seen_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_base(tmp_path / "trocr-base")
    monkeypatch.setattr(encoder_decoder, "free_here", lambda: 1000)
    with pytest.raises(NotReady, match=r"too little memory for trocr-base: 0\.0 GB are free"):
        TrOcr(settings(tmp_path))


def test_a_model_of_an_endless_name_is_not_there(tmp_path: Path) -> None:
    write_base(tmp_path / "trocr-base")
    with pytest.raises(CheckpointUnusable, match="no TrOCR model"):
        named_checkpoint(settings(tmp_path), "a" * 5000)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[EngineSettings, Path]:
    """A published model that says "harbour" of every line, two trained ones, and the link to the champion, not set."""
    write_rote_trocr(tmp_path / "weights" / "trocr-base", "harbour")
    for version in ("v1", "v2"):
        write_rote_trocr(tmp_path / "models" / version, f"lantern {version[1]}")
    champion = tmp_path / "models" / "handwriting"
    return EngineSettings(weights=tmp_path / "weights", use_gpu=False, champion=champion), champion


def serve(champion: Path, version: str) -> None:
    """Move the link to ``version``, as a worker does."""
    part = champion.with_name("link")
    part.symlink_to(version)
    part.replace(champion)


def test_a_new_champion_reads_the_next_page_and_goes_as_it_came(trained: tuple[EngineSettings, Path]) -> None:
    settings, champion = trained
    engine = TrOcr(settings)
    read = [engine.read([page("0123")], ReadOptions())[0]]
    for version in ("v1", "v2"):
        serve(champion, version)
        read += engine.read([page("0123")], ReadOptions())
        assert read[-1].engine_version == TrOcr.check(settings).version
        assert TrOcr.check(settings).model == version
    champion.unlink()
    read += engine.read([page("0123")], ReadOptions())
    assert [found.text for found in read] == ["harbour", "lantern 1", "lantern 2", "harbour"]
    assert len({found.engine_version for found in read}) == 3
    assert read[0].engine_version == read[-1].engine_version


def test_a_champion_goes_before_the_model_that_is_set_but_not_before_one_that_is_asked_for(
    trained: tuple[EngineSettings, Path],
) -> None:
    settings, champion = trained
    serve(champion, "v1")
    engine = TrOcr(replace(settings, trocr=settings.weights / "trocr-base"))
    assert engine.read([page("0123")], ReadOptions())[0].text == "lantern 1"
    asked = ReadOptions(decoding=Decoding(model="trocr-base"))
    assert engine.read([page("0123")], asked)[0].text == "harbour"


def test_a_champion_that_only_loading_shows_to_be_damaged_is_tried_once(
    trained: tuple[EngineSettings, Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, champion = trained
    engine = TrOcr(settings)
    without_a_tensor(champion.with_name("v1"))
    serve(champion, "v1")
    assert TrOcr.check(settings).model == "v1", "what nobody has tried yet is not known to be damaged"
    loaded: list[str] = []

    def load(folder: Path, *, use_gpu: bool) -> TrOcrReader:
        loaded.append(folder.name)
        return TrOcrReader(folder, use_gpu=use_gpu)

    monkeypatch.setattr("copyist.engines.trocr.TrOcrReader", load)
    for _ in range(2):
        with noting() as notes:
            (read,) = engine.read([page("0123")], ReadOptions())
        assert read.text == "harbour"
        assert read.engine_version == TrOcr.check(settings).version
        assert [note for note in notes if "no fitting decoder" in note and "the published one read" in note] == notes
        assert notes
    assert loaded == ["v1", "trocr-base"]
    assert caplog.text.count("cannot be used, the published model reads") == 1
    serve(champion, "v2")
    assert engine.read([page("0123")], ReadOptions())[0].text == "lantern 2"


@pytest.mark.parametrize("damage", [without("config.json"), cut("model.safetensors"), shutil.rmtree])
def test_a_champion_of_which_files_are_missing_leaves_its_place_to_the_published_model(
    trained: tuple[EngineSettings, Path], damage: Callable[[Path], None]
) -> None:
    settings, champion = trained
    serve(champion, "v1")
    damage(champion.resolve())
    assert TrOcr.check(settings).model == "trocr-base"
    with noting() as notes:
        assert TrOcr(settings).read([page("0123")], ReadOptions())[0].text == "harbour"
    assert any("cannot be used" in note for note in notes)


def test_too_little_memory_for_any_model_is_no_fault_of_the_champion(
    trained: tuple[EngineSettings, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, champion = trained
    serve(champion, "v1")
    with monkeypatch.context() as scarce:
        scarce.setattr(encoder_decoder, "free_here", lambda: 1000)
        with pytest.raises(NotReady, match="too little memory"):
            TrOcr(settings)
    assert TrOcr(settings).read([page("0123")], ReadOptions())[0].text == "lantern 1"


def test_a_trained_models_confidence_is_calibrated_before_it_is_shown(tmp_path: Path) -> None:
    write_rote_trocr(tmp_path / "trocr-rote", "by the harbour")
    (plain,) = TrOcr(settings(tmp_path)).read([page("0123")], ReadOptions())
    before = [word.confidence or 0 for line in plain.lines() for word in line.words]
    calibration = Calibration(0.5, -0.5)
    (tmp_path / "trocr-rote" / "calibration.json").write_text(calibration.as_json())
    (read,) = TrOcr(settings(tmp_path)).read([page("0123")], ReadOptions())
    assert read.engine_version != plain.engine_version
    after = [word.confidence for line in read.lines() for word in line.words]
    assert after == pytest.approx([calibration.apply(sure) for sure in before])
    assert after != pytest.approx(before)
    assert read.confidence == pytest.approx(sum(map(calibration.apply, before)) / 3, abs=0.05)
