"""Lines are cut out as the engine shows them to its model, and what cannot be cut out is no picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from copyist.document import Box, Mode
from copyist.engines import trocr
from copyist.engines.base import EngineSettings, ReadOptions, Stop
from copyist.engines.lines import find_lines
from copyist.engines.trocr import TrOcr
from copyist.engines.trocr_reader import ReadLine
from copyist.media import MediaKind
from copyist.pipeline.flow import read_with
from copyist.pipeline.render import PageSource
from copyist.training.crops import HIGHEST, RECIPE, WIDEST, cut
from tests.engines.drawing import blank, drawn, in_colour
from tests.engines.handwritten_pages import sheet
from tests.engines.tiny_trocr import write_base

Picture = npt.NDArray[np.uint8]
KINDS = {".png": MediaKind.PNG, ".jpg": MediaKind.JPEG, ".pdf": MediaKind.PDF, ".tif": MediaKind.TIFF}


def opened(path: Path) -> PageSource:
    return PageSource(path, KINDS[path.suffix], max_pixels=100_000_000)


def saved(path: Path, pixels: Picture, dpi: int = 200) -> Path:
    Image.fromarray(pixels).save(path, resolution=dpi, **({} if path.suffix == ".pdf" else {"dpi": (dpi, dpi)}))
    return path


def picture(content: bytes | None) -> Picture:
    """A PNG as grey or RGB pixels."""
    assert content is not None
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(found if found.ndim == 2 else cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def as_rgb(pixels: Picture) -> Picture:
    return pixels if pixels.ndim == 3 else in_colour(pixels)


class Spy:
    """Stands in for the model: it keeps what it is shown, and reads the same word everywhere."""

    shown: list[Picture]

    def __init__(self, folder: Path, *, use_gpu: bool) -> None:
        del folder, use_gpu
        Spy.shown = []

    def read(self, pictures: Sequence[Picture], stop: Stop) -> list[ReadLine]:
        del stop
        Spy.shown += pictures
        return [ReadLine("word", (("word", 0.9),)) for _ in pictures]

    def close(self) -> None:
        """There is nothing to give back."""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrOcr:
    write_base(tmp_path / "weights" / "trocr-base-handwritten")
    monkeypatch.setattr(trocr, "TrOcrReader", Spy)
    return TrOcr(EngineSettings(weights=tmp_path / "weights", use_gpu=False))


def coloured(grey: Picture) -> Picture:
    """The page as RGB, with a red margin."""
    page = in_colour(grey)
    page[:, 40:60] = (200, 20, 20)
    return page


@pytest.mark.parametrize("name", ["page.png", "coloured.png", "page.jpg", "scan.pdf"])
def test_pictures_are_pixel_for_pixel_what_the_engine_shows_its_model(name: str, engine: TrOcr, tmp_path: Path) -> None:
    grey = sheet(6, skew=1.2, wave=5, size=(900, 800)).pixels
    # A scan of 150 dpi is rendered at that, and its boxes are told at 200.
    path = saved(tmp_path / name, coloured(grey) if name == "coloured.png" else grey, 150)
    with opened(path) as source:
        page = read_with(engine, source, 1, ReadOptions(mode=Mode.HANDWRITING))
        boxes = [line.box for line in page.lines()]
        done = cut(source, 1, boxes)
    assert len(boxes) == len(Spy.shown) == 6
    for content, shown in zip(done.pictures, Spy.shown, strict=True):
        # The model is shown RGB; a line without any colour is kept grey.
        assert np.array_equal(as_rgb(picture(content)), as_rgb(shown))
    assert done.recipe == RECIPE and "strips" in RECIPE


def test_the_lines_of_another_engine_are_those_that_are_found_where_they_show_the_same_words(tmp_path: Path) -> None:
    pixels = drawn("by the harbour", "lantern on the wall", "9 March 1894")
    first, second, _ = [line.box for line in find_lines(pixels)]
    with opened(saved(tmp_path / "page.png", pixels)) as source:
        loose = Box(second.left - 6, second.top - 9, second.right + 8, second.bottom + 4)
        half = Box(first.left, first.top, (first.left + first.right) // 2, first.bottom)
        done = cut(source, 1, [loose, half, second, first])
    of_loose, of_half, of_second, of_first = map(picture, done.pictures)
    # A line is given to the likest box; what else was drawn around it, and a part of a line, is cut out as it is.
    assert of_second.shape[1] == second.width and of_loose.shape[1] > loose.width
    assert of_first.shape[1] == first.width and of_half.shape[1] == half.width + 2 * round(0.1 * half.height)


@pytest.mark.parametrize(
    "box", [Box(20, 600, 400, 640), Box(860, 40, 1400, 80), Box(5, 5, 5, 40), Box(-90, -50, -10, -5), Box(9, 9, 11, 40)]
)
def test_what_is_blank_off_the_page_or_no_area_has_no_picture(box: Box, tmp_path: Path) -> None:
    pixels = drawn("by the harbour", height=700)
    with opened(saved(tmp_path / "page.png", pixels)) as source:
        there = Box(30, 30, 400, 85)
        assert [one is None for one in cut(source, 1, [box, there]).pictures] == [True, False]


def test_a_blank_page_has_no_pictures_and_still_a_hash(tmp_path: Path) -> None:
    with opened(saved(tmp_path / "page.png", blank())) as source:
        done = cut(source, 1, [Box(10, 10, 90, 40)])
    assert done.pictures == (None,) and len(done.page_sha256) == 64


def test_a_page_is_the_same_in_another_container_and_another_page_is_not(tmp_path: Path) -> None:
    pixels = drawn("lantern")
    changed = pixels.copy()
    changed[0, 0] -= 1
    paths = [
        saved(tmp_path / "page.png", pixels),
        saved(tmp_path / "page.tif", pixels, 300),
        saved(tmp_path / "colourless.png", in_colour(pixels)),
        saved(tmp_path / "changed.png", changed),
    ]
    hashes = []
    for path in paths:
        with opened(path) as source:
            hashes.append(cut(source, 1, []).page_sha256)
    assert len(set(hashes[:3])) == 1 and hashes[3] != hashes[0]


def test_a_huge_line_is_shrunk_and_a_line_without_colour_is_kept_grey(tmp_path: Path) -> None:
    small = drawn("lantern by the harbour", width=1000, size=60)
    page = coloured(cv2.resize(small, None, fx=3, fy=8, interpolation=cv2.INTER_NEAREST).astype(np.uint8))
    height, width = page.shape[:2]
    with opened(saved(tmp_path / "page.png", page)) as source:
        whole, part = map(picture, cut(source, 1, [Box(0, 0, width, height), Box(800, 0, 2000, height)]).pictures)
    assert whole.shape[0] == HIGHEST and whole.shape[1] <= WIDEST
    assert whole.shape[1] / whole.shape[0] == pytest.approx(width / height, rel=0.02)
    assert (whole.ndim, part.ndim) == (3, 2)


def test_the_same_page_gives_the_same_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path / "page.png", sheet(3, size=(700, 500)).pixels)
    results = []
    for _ in range(2):
        with opened(path) as source:
            boxes = [line.box for line in find_lines(source.image(1, 200).pixels)]
            results.append(cut(source, 1, boxes))
    assert results[0] == results[1] != replace(results[0], pictures=())
