"""Reading turned, tilted and tiny pages with a real engine; boxes come back on the page as uploaded."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from jiwer import cer
from PIL import Image

from copyist.document import Block, Box, Line, Page, Word
from copyist.engines.base import Engine, EngineSettings, PageImage, ReadOptions
from copyist.engines.tesseract import Tesseract
from copyist.pipeline.assemble import assemble
from copyist.pipeline.placement import Affine, turning
from copyist.pipeline.prepare import place
from copyist.pipeline.upright import read_upright
from tests.pipeline.drawn import Drawn, FakeEngine, box_quality, moved, page


@pytest.fixture(scope="module")
def tesseract() -> Iterator[Tesseract]:
    found = Tesseract.check(EngineSettings())
    if not found.ready:
        pytest.skip(found.reason)
    engine = Tesseract(EngineSettings())
    yield engine
    engine.close()


def read(engine: Engine, picture: Image.Image, size: tuple[int, int] | None = None) -> Page:
    whole = place(PageImage(np.asarray(picture)), size or picture.size)
    prepared, reading = read_upright(engine, whole, ReadOptions())
    return assemble(reading, prepared.placement, number=1, dpi=None)


def clean(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_a_turned_page_is_read_and_its_boxes_are_where_the_words_are(tesseract: Tesseract, clockwise: int) -> None:
    drawn = page()
    found = read(tesseract, drawn.image.rotate(-clockwise, expand=True))
    assert found.turned == (360 - clockwise) % 360
    assert cer(clean(drawn.text), clean(found.text)) < 0.01
    there = turning(clockwise, drawn.image.width, drawn.image.height)
    assert box_quality(found, [(word, moved(box, there)) for word, box in drawn.words]) > 0.8


@pytest.mark.parametrize("skew", [-8, -3, 2, 5])
@pytest.mark.parametrize("clockwise", [0, 90])
def test_a_tilted_page_is_read_and_its_boxes_are_where_the_words_are(
    tesseract: Tesseract, skew: int, clockwise: int
) -> None:
    drawn = page()
    picture = drawn.image.rotate(-skew, Image.Resampling.BICUBIC, fillcolor=255, expand=True)
    found = read(tesseract, picture.rotate(-clockwise, expand=True))
    assert found.skew == pytest.approx(skew, abs=0.4)
    assert cer(clean(drawn.text), clean(found.text)) < 0.01
    tilted = [(word, moved(box, _tilt(drawn, picture, skew))) for word, box in drawn.words]
    there = turning(clockwise, picture.width, picture.height)
    assert box_quality(found, [(word, moved(box, there)) for word, box in tilted]) > 0.6


def _tilt(drawn: Drawn, picture: Image.Image, skew: float) -> Affine:
    """Pillow turns about the middle and then makes room on all sides."""
    sine, cosine = math.sin(math.radians(skew)), math.cos(math.radians(skew))
    x, y = drawn.image.width / 2, drawn.image.height / 2
    across, down = picture.width / 2, picture.height / 2
    return Affine(cosine, -sine, across - cosine * x + sine * y, sine, cosine, down - sine * x - cosine * y)


def test_tiny_letters_are_read(tesseract: Tesseract) -> None:
    drawn = page(size=12, width=500, height=300)
    found = read(tesseract, drawn.image)
    assert cer(clean(drawn.text), clean(found.text)) < 0.02
    assert box_quality(found, list(drawn.words)) > 0.6


def test_boxes_are_on_the_reference_frame_whatever_the_engine_saw(tesseract: Tesseract) -> None:
    drawn = page()
    found = read(tesseract, drawn.image, size=(2000, 1400))
    double = [(word, Box(*(2 * side for side in box))) for word, box in drawn.words]
    assert (found.width, found.height) == (2000, 1400)
    assert box_quality(found, double) > 0.8


class Standing(FakeEngine):
    """Reads well only what stands as it did when it was drawn: its left upper corner is marked black."""

    dpi = 150

    def answer(self, image: PageImage) -> Page:
        corner = image.pixels[: image.height // 8, : image.width // 8]
        sure = 0.9 if corner.mean() < 128 else 0.2
        box = Box(0, 0, image.width, image.height)
        line = Line(text="so and so", box=box, confidence=sure, words=(Word(text="so", box=box, confidence=sure),))
        blocks = (Block(box=box, lines=(line,)),)
        return Page(width=image.width, height=image.height, engine="fake", engine_version="1", blocks=blocks)


def corner_marked() -> Image.Image:
    picture = Image.new("L", (640, 480), 255)
    picture.paste(0, (0, 0, 200, 140))
    return picture


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_a_page_that_shows_no_lines_is_turned_by_trial(clockwise: int) -> None:
    found = read(Standing(), corner_marked().rotate(-clockwise, expand=True))
    assert found.turned == (360 - clockwise) % 360
    assert found.confidence == pytest.approx(0.9)


def test_a_good_upright_page_is_read_once() -> None:
    engine = Standing()
    picture = page().image
    picture.paste(0, (0, 0, 150, 100))
    read(engine, picture)
    assert len(engine.shown) == 1


def test_an_engine_that_gives_no_confidence_is_asked_once() -> None:
    engine = FakeEngine()
    text = Page(width=5, height=5, engine="fake", engine_version="1")
    line = Line(text="words", box=Box(0, 0, 5, 5))
    engine.answer = lambda image: text.model_copy(  # type: ignore[method-assign]
        update={"blocks": (Block(box=Box(0, 0, 5, 5), lines=(line,)),)}
    )
    read(engine, Image.new("L", (300, 300), 255))
    assert len(engine.shown) == 1
