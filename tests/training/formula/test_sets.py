"""Sets on disk: which kind, which split, which label; what cannot be used says why and stops nothing."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from copyist.errors import FormulaDataMissing
from copyist.training.formula import inkml, sets
from copyist.training.formula.examples import ExampleUnusable
from copyist.training.formula.ink import Ink, Written
from copyist.training.formula.sets import FormulaSet, open_set
from copyist.training.formula.sources import SPLITS

INK = Ink((np.array([[0.0, 0.0], [5.0, 9.0]]),))

UNUSABLE = [
    *(
        ("broken.png", "x"),
        ("missing.png", "x"),
        ("../outside.png", "x"),
        ("no.inkml", "x"),
        ("a.png", "{x"),
        ("\0.inkml", "x"),
    ),
    *(("b.png", r"\begin{picture}x\end{picture}"), ("c.png", ""), ("d.png", r"\quad")),
]


def write(path: Path, latex: str, *, writer: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    inkml.write(Written(INK, latex, path.stem, writer), path)


def table(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    return folder


def splits(found: FormulaSet) -> dict[str, list[str]]:
    return {split: list(found.names(split)) for split in SPLITS}


def test_mathwriting_trains_on_its_synthetic_and_symbols_too(tmp_path: Path) -> None:
    for name in ("train/b", "train/a", "valid/c", "test/d", "synthetic/e", "symbols/f"):
        write(tmp_path / f"{name}.inkml", r"\frac12", writer="w1")
    (tmp_path / "train" / "notes.txt").write_text("no ink")
    found = open_set(tmp_path)
    assert found.kind == "mathwriting"
    train = ["symbols/f.inkml", "synthetic/e.inkml", "train/a.inkml", "train/b.inkml"]
    assert splits(found) == {"train": train, "valid": ["valid/c.inkml"], "test": ["test/d.inkml"]}
    example = found.load("train", "train/a.inkml")
    assert "".join(example.label) == r"\frac{1}{2}"
    assert (example.ink is not None, example.picture, example.writer) == (True, None, "w1")


def test_the_folders_of_crohme_say_the_split(tmp_path: Path) -> None:
    names = {
        "CROHME2014_TrainINKML/expressmatch/a": "train",
        "INKML/train/CROHME2019/contest/b": "train",
        "TestINKML_2013/c": "test",
        "CROHME2016/Test2016_INKML_GT/d": "test",
        "INKML/val/CROHME2023/e": "valid",
        "values/f": "train",
    }
    for name in names:
        write(tmp_path / f"{name}.inkml", "x")
    found = open_set(tmp_path)
    assert found.kind == "crohme"
    assert {name: split for split in SPLITS for name in found.names(split)} == {
        f"{name}.inkml": split for name, split in names.items()
    }


def test_where_nobody_says_the_split_a_hash_of_the_label_does(tmp_path: Path) -> None:
    for number in range(120):
        write(tmp_path / f"once/{number}.inkml", f"x^{{{number}}}")
        write(tmp_path / f"again/{number}.inkml", f"x ^ {{ {number} }}")
    found = splits(open_set(tmp_path))
    assert found == splits(open_set(tmp_path))
    assert {split: len(names) for split, names in found.items()}["train"] > 200
    assert 4 <= len(found["valid"]) <= 24
    assert 4 <= len(found["test"]) <= 24
    # A formula is on one side only, however it is written.
    places = {name: split for split, names in found.items() for name in names}
    assert all(places[f"once/{number}.inkml"] == places[f"again/{number}.inkml"] for number in range(120))


def test_hidden_files_are_no_formulas_and_names_may_be_of_any_bytes(tmp_path: Path) -> None:
    write(tmp_path / "ink/._1.inkml", "x")
    (tmp_path / os.fsdecode(b"ink/\xff.inkml")).write_text("no ink")
    found = splits(open_set(tmp_path))
    assert [name for names in found.values() for name in names] == [os.fsdecode(b"ink/\xff.inkml")]


def test_a_folder_that_nobody_may_look_into_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FormulaDataMissing, match="cannot be looked into: Permission denied"):
        open_set(tmp_path)


def test_without_formulas_for_validation_a_part_of_those_for_training_is_taken(tmp_path: Path) -> None:
    for number in range(200):
        write(tmp_path / f"train/{number}.inkml", f"x+{number}")
    write(tmp_path / "test/1.inkml", "y")
    found = splits(open_set(tmp_path))
    assert found["test"] == ["test/1.inkml"]
    assert 2 <= len(found["valid"]) <= 25
    assert len(found["train"]) + len(found["valid"]) == 200


def test_a_table_names_pictures_and_ink_beside_it(tmp_path: Path) -> None:
    Image.new("L", (30, 20), 255).save(tmp_path / "grey.png")
    Image.new("RGB", (30, 20), "red").save(tmp_path / "colour.jpg")
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    write(tmp_path / "ink.inkml", "not this")
    rows = [
        "image,latex,split",
        "grey.png,x^2,train",
        'colour.jpg, "\\text{a, b}",val',
        "clear.png,1,test,,",
        "ink.inkml,y,",
    ]
    found = open_set(table(tmp_path, "\r\n".join(rows), encoding="utf-8-sig"))
    assert found.kind == "csv"
    assert splits(found) == {"train": ["grey.png", "ink.inkml"], "valid": ["colour.jpg"], "test": ["clear.png"]}
    grey, colour, clear = (found.load("train", name).picture for name in ("grey.png", "colour.jpg", "clear.png"))
    assert grey is not None and grey.shape == (20, 30)
    assert colour is not None and colour.shape == (20, 30, 3)
    assert clear is not None and clear.min() == 255
    ink = found.load("train", "ink.inkml")
    assert (ink.label, ink.picture) == (("y",), None)
    assert ink.ink is not None


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    lying = Image.new("L", (30, 20), 255)
    exif = lying.getexif()
    exif[0x0112] = 6
    lying.save(tmp_path / "lying.jpg", exif=exif)
    picture = open_set(table(tmp_path, "image,latex\nlying.jpg,x\n")).load("train", "lying.jpg").picture
    assert picture is not None and picture.shape == (30, 20)


def test_each_unusable_example_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    (tmp_path / "no.inkml").write_text("<ink/>")
    rows = ["image,latex,split", "good.png,x,valid", *(f"{name},{latex},train" for name, latex in UNUSABLE)]
    found = open_set(table(tmp_path, "\n".join(rows)))
    codes = {}
    for name in found.names("train"):
        with pytest.raises(ExampleUnusable, match=r"\.$") as caught:
            found.load("train", name)
        codes[name] = caught.value.code
    assert codes == {
        "broken.png": "broken_image",
        "missing.png": "broken_image",
        "../outside.png": "broken_image",
        "no.inkml": "no_strokes",
        "\0.inkml": "broken_inkml",
        "a.png": "unbalanced_braces",
        "b.png": "bad_latex",
        "c.png": "no_label",
        "d.png": "no_label",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,truth\na.png,x\n", "columns image and latex.*file, truth"),
        ("", "columns image and latex.*none"),
        ("image,latex\n", "names no images"),
        ("image,latex,split\na.png,x,practice\n", "practice in line 2"),
        ('image,latex\n"a.png,x\n', "cannot be read"),
        ("image,latex\na.png,f(x,y)\n", "more fields in line 2 .* quotes"),
        ("image,latex\nä.png,x\n", "save it as UTF-8"),
    ],
)
def test_a_table_that_is_none_is_refused_with_the_reason(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(FormulaDataMissing, match=expected):
        open_set(table(tmp_path, text, encoding="latin-1"))


def test_a_folder_without_formulas_is_refused_with_the_way_out(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FormulaDataMissing, match="copyist formula generate"):
            open_set(folder)


def test_labels_are_the_same_from_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "_ALONE", 10)
    monkeypatch.setattr(sets, "_CHUNK", 8)
    latex = ["x", r"\frac12", "{", r"\begin{picture}"]
    (tmp_path / "train").mkdir()
    for number in range(40):
        text = f'<ink><annotation type="label">{latex[number % 4]}</annotation><trace>1 2</trace></ink>'
        (tmp_path / "train" / f"{number:03}.inkml").write_text(text)
    os.link(tmp_path / "train" / "000.inkml", tmp_path / "train" / "last.inkml")
    (tmp_path / "train" / "broken.inkml").write_text("<ink>")
    write(tmp_path / "valid" / "0.inkml", "x")
    found = pickle.loads(pickle.dumps(open_set(tmp_path)))
    alone, together = list(found.labels("train", 1)), list(found.labels("train", 2))
    assert [name for name, _ in together] == list(found.names("train"))
    assert Counter(_said(label) for _, label in together) == {
        "x": 11,
        r"\frac { 1 } { 2 }": 10,
        "unbalanced_braces": 10,
        "bad_latex": 10,
        "broken_inkml": 1,
    }
    assert [_said(label) for _, label in alone] == [_said(label) for _, label in together]


def _said(label: tuple[str, ...] | ExampleUnusable) -> str:
    return label.code if isinstance(label, ExampleUnusable) else " ".join(label)
