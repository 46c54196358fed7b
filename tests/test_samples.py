"""The project's own samples are what their manifest says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from PIL import Image, ImageSequence

from copyist import errors

FOLDER = Path(__file__).parent / "samples"
SAMPLES: list[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
CODES = {one.code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.CopyistError)}
READABLE = [sample for sample in SAMPLES if sample["truth"]]


def _name(sample: dict[str, Any]) -> str:
    return str(sample["file"])


def _pages(path: Path, password: str | None = None) -> int:
    """How many pages the file has, each of them decoded."""
    if path.suffix != ".pdf":
        with Image.open(path) as image:
            return sum(frame.convert("L").width > 0 for frame in ImageSequence.Iterator(image))
    with pypdfium2.PdfDocument(path, password=password) as pdf:
        return sum(page.render(scale=0.2).to_pil().width > 0 for page in pdf)


def test_the_manifest_lists_each_file_and_no_other() -> None:
    files = {path.name for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".py"}
    assert {_name(sample) for sample in SAMPLES} == files - {"manifest.json"}


def test_the_samples_are_small() -> None:
    assert sum((FOLDER / _name(sample)).stat().st_size for sample in SAMPLES) < 1_500_000


@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_each_entry_is_complete(sample: dict[str, Any]) -> None:
    assert set(sample) == {"file", "kind", "pages", "truth", "expect", "note"}
    assert sample["expect"] in CODES | {"completed"}
    assert (sample["expect"] in ("completed", "encrypted")) == bool(sample["truth"])
    assert sample["note"].endswith(".")


@pytest.mark.parametrize("sample", READABLE, ids=_name)
def test_each_readable_file_has_its_pages_and_their_text(sample: dict[str, Any]) -> None:
    password = "copyist" if sample["expect"] == "encrypted" else None
    assert _pages(FOLDER / sample["file"], password) == sample["pages"] == len(sample["truth"])
    assert all(len(text.split()) > 5 for text in sample["truth"])


def test_no_two_pages_say_the_same() -> None:
    texts = [text for sample in READABLE for text in sample["truth"]]
    assert len(set(texts)) == len(texts)


def test_the_locked_file_does_not_open_without_its_password() -> None:
    with pytest.raises(pypdfium2.PdfiumError):
        _pages(FOLDER / "locked.pdf")


@pytest.mark.parametrize("file", ["truncated.png", "truncated.pdf", "not_an_image.jpg", "empty.bin", "zero_pages.pdf"])
def test_broken_files_are_broken(file: str) -> None:
    with pytest.raises((OSError, pypdfium2.PdfiumError)):
        _pages(FOLDER / file)


def test_the_bomb_is_small_and_huge() -> None:
    path = FOLDER / "bomb.png"
    header = path.read_bytes()[16:24]
    assert (int.from_bytes(header[:4]), int.from_bytes(header[4:])) == (30_000, 30_000)
    assert path.stat().st_size < 200_000


def test_the_text_layer_is_where_the_manifest_says() -> None:
    (mixed,) = (sample for sample in SAMPLES if sample["file"] == "mixed.pdf")
    with pypdfium2.PdfDocument(FOLDER / "mixed.pdf") as pdf:
        texts = [page.get_textpage().get_text_bounded().replace("\r\n", "\n") for page in pdf]
    assert texts == [mixed["truth"][0], ""]


def test_the_see_through_sample_is_black_without_its_alpha() -> None:
    with Image.open(FOLDER / "transparent.png") as image:
        assert image.convert("RGB").getextrema() == ((0, 0), (0, 0), (0, 0))


def test_the_deep_sample_has_sixteen_bits_and_the_printers_four_colours() -> None:
    with Image.open(FOLDER / "sixteen_bit.png") as deep, Image.open(FOLDER / "cmyk.jpg") as inks:
        assert (deep.mode, inks.mode) == ("I;16", "CMYK")
