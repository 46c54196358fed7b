"""pix2tex: the published layout loads whole or not at all, computes what its makers' code does, and writes LaTeX."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from copyist.engines.base import NotReady, Stop, TimedOut
from copyist.engines.formula import pix2tex_picture
from copyist.engines.formula.decoding import ReadFormula
from copyist.engines.formula.picture import Picture, PictureUnusable
from copyist.engines.formula.pix2tex import Pix2TexReader
from copyist.engines.formula.pix2tex_network import Pix2Tex, resizer, with_weights
from copyist.engines.generation import Finish
from tests.engines.drawing import blank, drawn
from tests.engines.formula.tiny_pix2tex import (
    LATEX,
    PUBLISHED_OPTIONS,
    config_of,
    random_tensors,
    shapes_of,
    write_pix2tex,
    write_rote_pix2tex,
)

PUBLISHED = {
    "max_width": 672,
    "max_height": 192,
    "dim": 256,
    "heads": 8,
    "encoder_depth": 4,
    "num_layers": 4,
    "num_tokens": 8000,
    "max_seq_len": 512,
    "backbone_layers": [2, 3, 7],
}

# What pix2tex 0.1.4 with x-transformers 0.15.0 and timm 0.5.4 computes with ``random_tensors``: the first five logits
# after the last of six tokens, for each of two pictures. Made once, by hand: these versions cannot be installed here.
THEIRS: dict[str, tuple[dict[str, Any], list[list[float]]]] = {
    "published": (
        {},
        [[-0.0726, -0.1542, -0.2782, 0.9578, 0.4183], [0.9195, -0.6186, -0.1541, 0.6539, -0.0501]],
    ),
    "other decoder": (
        {"decoder_args": {"cross_attend": True, "use_scalenorm": True}},
        [[1.0501, -0.1899, 0.1884, 1.0778, 0.8683], [0.3231, 0.3964, 0.1664, 0.7861, 1.3468]],
    ),
    "plain ViT": (
        {"encoder_structure": "vit"},
        [[-0.0694, -0.3838, -0.1561, 0.0810, 1.2559], [0.4057, -0.8065, -0.0832, 0.3024, 0.3809]],
    ),
}
THEIR_WIDTHS = [0.5187, -1.1368, 1.0173, -0.9153, -0.2572]


def network(make: Any, **changes: Any) -> Any:
    config = config_of(**changes)
    with torch.device("meta"):
        empty = make(config)
    return with_weights(empty, random_tensors(shapes_of(make, config)), "weights.pth")


def some_input() -> tuple[Any, Any]:
    chance = np.random.default_rng(1)
    pictures = chance.standard_normal((2, 1, 32, 96), dtype=np.float32)
    return torch.from_numpy(pictures), torch.from_numpy(chance.integers(3, 64, (2, 6)))


def test_tensors_have_the_names_and_shapes_of_the_published_file() -> None:
    names = shapes_of(Pix2Tex, config_of(**PUBLISHED))
    assert len(names) == 260
    listed = json.dumps({name: list(shape) for name, shape in names.items()}, sort_keys=True)
    digest = hashlib.sha256(listed.encode()).hexdigest()
    assert digest == "5566b13c82b9f27ee4eefe23282ce4d1045dfc4738bf12bb4993cde87a316279"


@pytest.mark.parametrize("shape", THEIRS)
def test_token_by_token_it_computes_what_its_makers_code_does(shape: str) -> None:
    changes, theirs = THEIRS[shape]
    made = network(Pix2Tex, **changes)
    pictures, tokens = some_input()
    with torch.inference_mode():
        written = made.look(pictures)
        for position in range(tokens.shape[1]):
            logits = made.step(tokens[:, position], position, written)
    np.testing.assert_allclose(logits[:, :5].numpy(), theirs, atol=2e-4)


def test_the_resizer_computes_what_its_makers_code_does() -> None:
    with torch.inference_mode():
        found = network(resizer)(some_input()[0])[0]
    np.testing.assert_allclose(found.numpy(), THEIR_WIDTHS, atol=2e-4)


def test_rows_that_are_taken_out_go_on_as_if_alone() -> None:
    made = network(Pix2Tex)
    pictures, tokens = some_input()
    with torch.inference_mode():
        both, alone = made.look(pictures), made.look(pictures[1:])
        made.step(tokens[:, 0], 0, both)
        made.step(tokens[1:, 0], 0, alone)
        found = made.step(tokens[1:, 1], 1, both.of(torch.tensor([1])))
        torch.testing.assert_close(found, made.step(tokens[1:, 1], 1, alone))


def shown(picture: Picture, width: int | None = None) -> Picture:
    preferred = None if width is None else lambda _: width
    return pix2tex_picture.shown(picture, config_of(max_width=672, max_height=192), preferred)


@pytest.mark.parametrize("size", [18, 40, 90])
def test_pictures_are_cut_to_the_ink_on_white_in_steps_of_32(size: int) -> None:
    seen = shown(drawn("x + y = 1", width=8 * size, size=size))
    assert seen.shape[0] % 32 == seen.shape[1] % 32 == 0
    assert seen.shape[0] <= 192 and seen.shape[1] <= 672
    assert (seen[:, 0].min() < 128, seen[0].min() < 128) == (True, True), "the ink begins in the corner"
    assert (seen.min(), seen.max(), seen[-1, -1]) == (0, 255, 255)


def test_chalk_on_a_blackboard_is_shown_as_ink_on_paper() -> None:
    picture = drawn("x + y = 1", width=400, size=40)
    np.testing.assert_array_equal(shown(255 - picture), shown(picture))


def test_a_picture_is_scaled_to_the_width_that_the_resizer_wants() -> None:
    picture = drawn("x + y = 1", width=400, size=60)
    widths = 96, 416
    assert shown(picture).shape[1] not in widths
    assert tuple(shown(picture, width).shape[1] for width in widths) == widths


def read_one(reader: Pix2TexReader, picture: Picture) -> ReadFormula:
    (read,) = reader.read([picture], Stop())
    assert isinstance(read, ReadFormula)
    return read


def test_reads_the_formula_and_refuses_the_empty_picture_beside_it(tmp_path: Path) -> None:
    reader = Pix2TexReader(write_rote_pix2tex(tmp_path / "pix2tex"), use_gpu=False)
    wide, narrow = drawn("x + y", width=400, size=30), drawn("x", width=100, size=30)
    first, empty, second = reader.read([wide, blank(), narrow], Stop())
    assert isinstance(empty, PictureUnusable) and empty.code == "no_ink"
    for read in (first, second):
        assert isinstance(read, ReadFormula)
        assert (read.latex, read.finish) == (LATEX, Finish.STOP)
        assert 0 < read.least <= read.confidence < 1
        assert read.tokens[:2] == (r"\frac", "{")


def test_a_batch_says_the_same_as_single_pictures_with_a_resizer(tmp_path: Path) -> None:
    reader = Pix2TexReader(write_pix2tex(tmp_path / "pix2tex", with_resizer=True), use_gpu=False)
    pictures = [drawn(text, width=300, size=30) for text in ("x + y", "a = 2", "7 - b")]
    together = reader.read(pictures, Stop())
    for picture, read in zip(pictures, together, strict=True):
        alone = read_one(reader, picture)
        assert isinstance(read, ReadFormula)
        assert (alone.latex, alone.finish) == (read.latex, read.finish)
        assert alone.confidence == pytest.approx(read.confidence, rel=1e-3)


@pytest.mark.parametrize("text", [r"x ^ { 2", r"{ \frac { 1 } } = 2 a"])
def test_what_is_no_latex_stays_as_it_was_written(tmp_path: Path, text: str) -> None:
    read = read_one(Pix2TexReader(write_rote_pix2tex(tmp_path / "pix2tex", text), use_gpu=False), drawn("x"))
    assert read.latex == text


def test_a_loop_ends_there_and_is_not_believed(tmp_path: Path) -> None:
    reader = Pix2TexReader(write_rote_pix2tex(tmp_path / "pix2tex", "x 1", ends=False), use_gpu=False)
    read = read_one(reader, drawn("x"))
    assert (read.finish, read.latex) == (Finish.REPETITION, "x1")
    assert read.confidence <= 0.2


def test_whoever_asks_for_it_stops_the_reading(tmp_path: Path) -> None:
    reader = Pix2TexReader(write_rote_pix2tex(tmp_path / "pix2tex"), use_gpu=False)
    stop = Stop()
    stop.ask(TimedOut("too slow"))
    with pytest.raises(TimedOut):
        reader.read([drawn("x")], stop)


class Code:
    """What a pickle may hold beside tensors."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("this must never run",)


def with_tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = torch.load(folder / "weights.pth", weights_only=True)
        changed = change(tensors)
        torch.save(tensors if changed is None else changed, folder / "weights.pth")

    return spoil


def with_config(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = yaml.safe_load((folder / "config.yaml").read_text()) | changes
        (folder / "config.yaml").write_text(yaml.safe_dump(content))

    return spoil


def cut(folder: Path) -> None:
    whole = (folder / "weights.pth").read_bytes()
    (folder / "weights.pth").write_bytes(whole[: len(whole) // 2])


HEAD = "decoder.net.to_logits.bias"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (with_tensors(lambda tensors: {k: v for k, v in tensors.items() if k != HEAD}), f"weights.pth has no {HEAD}"),
        (with_tensors(lambda tensors: tensors | {"zzz": torch.ones(1)}), "weights.pth has no fitting zzz"),
        (with_tensors(lambda tensors: tensors | {HEAD: torch.ones(3)}), f"no fitting {HEAD}"),
        (with_tensors(lambda tensors: {"model": tensors}), "holds no tensors by name"),
        (with_tensors(lambda tensors: tensors | {HEAD: torch.ones(1).expand(64)}), "holds no tensors by name"),
        (with_tensors(lambda _: Code()), "cannot be loaded"),
        (cut, "weights.pth is cut"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "is no tokenizer"),
        (lambda folder: (folder / "config.yaml").write_text("- a: [b"), "is not YAML"),
        (lambda folder: (folder / "config.yaml").write_text("!!python/object/apply:print [1]"), "is not YAML"),
        (with_config(decoder_args=PUBLISHED_OPTIONS | {"rel_pos_bias": True}), "option rel_pos_bias is not known"),
        (with_config(encoder_structure="swin"), "encoder_structure is not hybrid or vit"),
        (with_config(num_layers=99_999), "more layers than there are weights"),
        (with_config(dim="wide"), "dim is no number"),
        (with_config(patch_size=7), "patch_size is 7"),
        (with_config(max_width=None), "max_width is no number"),
        (with_config(num_tokens=10), "another model's"),
        (with_config(decoder_args="none"), "describes no model of pix2tex"),
        (lambda folder: (folder / "config.yaml").write_text("max_width: 32"), "max_height is missing"),
    ],
)
def test_what_is_not_whole_is_not_ready_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], reason: str
) -> None:
    folder = write_pix2tex(tmp_path / "pix2tex")
    spoil(folder)
    with pytest.raises(NotReady) as refusal:
        Pix2TexReader(folder, use_gpu=False)
    assert reason in str(refusal.value)
    assert "never" not in capsys.readouterr().out
