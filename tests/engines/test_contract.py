"""The contract of ``copyist.engines.base``: one test per rule, and every engine passes all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from copyist.document import Box, Page
from copyist.engines.base import DotsSettings, Engine, EngineSettings, PageImage, ReadOptions
from copyist.engines.registry import BUILT_IN, Registry
from tests.engines.drawing import blank, drawn, in_colour
from tests.fake_vllm import FakeVllm

TEXT = "0123 4567"


@pytest.fixture(scope="module", params=[*sorted(BUILT_IN), "dots on a server"])
def registry(request: pytest.FixtureRequest, engine_settings: EngineSettings) -> Iterator[tuple[Registry, str]]:
    name, *on_server = request.param.split(" on ")
    with FakeVllm() if on_server else nullcontext() as server:
        dots = DotsSettings(servers=(server.url,)) if server else engine_settings.dots
        found = Registry(replace(engine_settings, dots=dots))
        yield found, name
        found.close()


@pytest.fixture
def engine(registry: tuple[Registry, str]) -> Engine:
    return registry[0].load(registry[1])


@pytest.fixture
def settings(registry: tuple[Registry, str]) -> EngineSettings:
    return registry[0].settings


def read(engine: Engine, *images: np.ndarray) -> list[Page]:
    options = ReadOptions(mode=min(engine.modes), languages=("eng",))
    return engine.read([PageImage(pixels, dpi=200) for pixels in images], options)


def test_is_ready_with_a_version_that_its_pages_carry(engine: Engine, settings: EngineSettings) -> None:
    found = type(engine).check(settings)
    page = read(engine, drawn(TEXT))[0]
    assert (found.ready, found.reason) == (True, "")
    assert (page.engine, page.engine_version) == (engine.name, found.version)
    assert engine.version == found.version != ""


def test_gives_one_page_per_image_in_the_same_order(engine: Engine) -> None:
    pages = read(engine, drawn(TEXT, width=700), blank(), drawn(TEXT, width=500))
    assert [page.width for page in pages] == [700, 200, 500]
    assert [bool(page.text) for page in pages] == [True, False, True]


def test_gives_no_page_for_no_image(engine: Engine) -> None:
    assert read(engine) == []


@pytest.mark.parametrize("pixels", [drawn(TEXT, TEXT), in_colour(drawn(TEXT, TEXT))], ids=["grey", "colour"])
def test_boxes_lie_within_the_image_and_inside_each_other(engine: Engine, pixels: np.ndarray) -> None:
    page = read(engine, pixels)[0]
    assert (page.width, page.height, page.dpi) == (pixels.shape[1], pixels.shape[0], 200)
    assert len(list(page.lines())) >= 2
    for block in page.blocks:
        assert lies_in(block.box, Box(0, 0, page.width, page.height))
        for line in block.lines:
            assert lies_in(line.box, block.box)
            assert all(lies_in(word.box, Box(0, 0, page.width, page.height)) for word in line.words)


def test_confidence_is_a_share_or_nothing_and_words_spell_their_line(engine: Engine) -> None:
    for line in read(engine, drawn(TEXT))[0].lines():
        for confidence in (line.confidence, *(word.confidence for word in line.words)):
            assert confidence is None or 0 <= confidence <= 1
        assert [word.text for word in line.words] == line.text.split()


def test_reads_the_same_twice_whatever_stood_between(engine: Engine) -> None:
    first, _, again = read(engine, drawn(TEXT), drawn("9999 8888 7777", size=60), drawn(TEXT))
    assert first == again


@pytest.mark.parametrize("shape", [(120, 200), (120, 200, 3), (3, 3), (1, 1), (3, 400), (400, 3, 3)])
def test_finds_no_text_on_blank_images_however_small(engine: Engine, shape: tuple[int, ...]) -> None:
    page = read(engine, np.full(shape, 255, dtype=np.uint8))[0]
    assert page.blocks == ()
    assert page.confidence is None


def test_accepts_a_speck(engine: Engine) -> None:
    speck = np.full((3, 3), 255, dtype=np.uint8)
    speck[1, 1] = 0
    assert read(engine, speck)[0].width == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 1000, 3), (5, 2001), (900, 3, 3)])
def test_reads_strips_and_single_pixels_and_stays_within_them(engine: Engine, shape: tuple[int, ...]) -> None:
    noise = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    page = read(engine, noise)[0]
    assert all(lies_in(word.box, Box(0, 0, page.width, page.height)) for line in page.lines() for word in line.words)


def test_finds_no_text_in_the_dark(engine: Engine) -> None:
    assert read(engine, np.zeros((300, 200, 3), np.uint8))[0].blocks == ()


def test_accepts_pixels_that_are_read_only_or_a_view_of_others(engine: Engine) -> None:
    whole = in_colour(drawn(TEXT))
    view = whole[:, ::-1][:, ::-1]
    view.flags.writeable = False
    before = whole.copy()
    assert read(engine, view)[0].text == read(engine, whole)[0].text
    assert (whole == before).all()


def test_closes_twice_and_a_new_one_reads(engine: Engine, settings: EngineSettings) -> None:
    for _ in range(2):
        fresh = type(engine)(settings)
        assert read(fresh, drawn(TEXT))[0].text
        fresh.close()
        fresh.close()


def lies_in(inner: Box, outer: Box) -> bool:
    return (
        outer.left <= inner.left < inner.right <= outer.right and outer.top <= inner.top < inner.bottom <= outer.bottom
    )
