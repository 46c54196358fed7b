"""dots.ocr as an engine, on a server: from pixels to a page, through everything but the real model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from copyist.document import Page
from copyist.engines.base import DotsSettings, EngineSettings, GarbageError, NotReady, PageImage, ReadOptions, Stop
from copyist.engines.base import TimedOut as Late
from copyist.engines.dots.engine import Dots
from copyist.engines.notes import noting
from tests.engines.drawing import blank, drawn, in_colour
from tests.fake_replies import lines_of_ink
from tests.fake_vllm import FakeVllm


@pytest.fixture
def dots(fake: FakeVllm) -> Iterator[Dots]:
    engine = Dots(settings(fake))
    yield engine
    engine.close()


def settings(fake: FakeVllm, **more: object) -> EngineSettings:
    return EngineSettings(dots=replace(DotsSettings(servers=(fake.url,)), **more))  # type: ignore[arg-type]


def read(engine: Dots, *images: np.ndarray, stop: Stop | None = None) -> list[Page]:
    return engine.read([PageImage(pixels, dpi=200) for pixels in images], ReadOptions(stop=stop or Stop()))


@pytest.mark.parametrize("size", [(700, 400), (1654, 1000), (333, 777)])
def test_boxes_land_on_the_ink_whatever_the_size(dots: Dots, size: tuple[int, int]) -> None:
    pixels = drawn("One line", "and another", width=size[0], height=size[1], size=30)
    (page,) = read(dots, in_colour(pixels))
    expected = lines_of_ink(pixels)
    assert len(page.blocks) == len(expected) == 2
    for block, box in zip(page.blocks, expected, strict=True):
        assert np.abs(np.subtract(block.box, box)).max() <= 3
    assert (page.width, page.height, page.dpi) == (*size, 200)


def test_its_pages_carry_what_decides_how_they_come_out(dots: Dots, fake: FakeVllm) -> None:
    (page,) = read(dots, drawn("Text"))
    assert (page.engine, page.engine_version) == ("dots", dots.version)
    assert Dots.check(settings(fake)).version == dots.version
    others = [Dots.check(settings(fake, **more)).version for more in ({"prompt": "text"}, {"max_pixels": 1_000_000})]
    assert len({dots.version, *others}) == 3


def test_several_images_are_read_together_in_order_with_the_notes_of_their_page(fake: FakeVllm) -> None:
    fake.default = "slow"
    engine = Dots(settings(fake))
    pages = [drawn(*["Line"] * count, width=400) for count in (1, 2, 3, 4)]
    started = time.monotonic()
    with noting() as notes:
        found = read(engine, *pages, blank())
    assert time.monotonic() - started < 1.5
    engine.close()
    assert [len(page.blocks) for page in found] == [1, 2, 3, 4, 0]
    assert len(notes) == 4


def test_of_several_images_one_may_be_unreadable_but_not_all(dots: Dots, fake: FakeVllm) -> None:
    fake.default = "garbage"
    fake.script("good")
    found = read(dots, drawn("Line"), drawn("Other"))
    assert sorted(len(page.blocks) for page in found) == [0, 1]
    with pytest.raises(GarbageError):
        read(dots, drawn("Line"), drawn("Other"))


def test_nothing_is_read_for_no_image(dots: Dots, fake: FakeVllm) -> None:
    assert read(dots) == []
    assert fake.asked == []


def test_without_a_server_the_model_is_looked_for_here() -> None:
    found = Dots.check(EngineSettings())
    assert not found.ready
    assert found.reason


def test_a_server_that_is_gone_is_not_ready_when_it_is_loaded(fake: FakeVllm) -> None:
    fake.models_behaviour = "html"
    with pytest.raises(NotReady, match="OpenAI-compatible"):
        Dots(settings(fake))


@pytest.mark.parametrize(
    ("script", "prompts", "last"),
    [
        (["length"], ["layout"] * 2, "layout: 55 tokens, finished by stop."),
        (["length", "repetition"], ["layout"] * 3, "finished by stop."),
        (["loop"] * 3, ["layout"] * 3 + ["layout_only"] + ["region"] * 3, "layout_only and 3 blocks"),
        (["garbage"] * 4, ["layout"] * 3 + ["layout_only", "text"], "text: "),
        (["length"] * 5, ["layout"] * 3 + ["layout_only", "text"], "2 blocks of it were kept"),
        (["nothing"], ["layout"] * 2, "finished by stop."),
        (["400"], ["layout"] * 2, "finished by stop."),
        (["429", "500"], ["layout"] * 3, "finished by stop."),
        (["picture"], ["layout", "text"], "finished by stop."),
    ],
)
def test_each_way_to_fail_ends_in_its_rung(
    dots: Dots, fake: FakeVllm, script: list[str], prompts: list[str], last: str
) -> None:
    fake.script(*script)
    with noting() as notes:
        (page,) = read(dots, drawn("One line", "and another", "and a third", width=1200, height=1000))
    assert fake.prompts == prompts
    assert last in notes[-1]
    assert page.blocks[0].text.startswith("Line 1 of 3")


@pytest.mark.parametrize(
    ("behaviour", "error", "words"),
    [
        ("length_early", GarbageError, "cut"),
        ("garbage", GarbageError, "repeats"),
        ("500", NotReady, "error"),
        ("drop", NotReady, "dropped"),
        ("html", NotReady, "OpenAI"),
        ("401", NotReady, "key"),
        ("hang", Late, "did not answer within 0.5 s"),
    ],
)
def test_a_model_that_never_answers_leaves_the_page_to_the_next_engine(
    fake: FakeVllm, behaviour: str, error: type[Exception], words: str
) -> None:
    engine = Dots(settings(fake, timeout_s=0.5))
    fake.default = behaviour
    with pytest.raises(error, match=words):
        read(engine, drawn("Text"))
    engine.close()


def test_a_stop_ends_the_reading_within_a_second(dots: Dots, fake: FakeVllm) -> None:
    fake.default = "hang"
    stop = Stop()
    threading.Timer(0.2, stop.ask, [Late("It did not finish within 2 s.")]).start()
    started = time.monotonic()
    with pytest.raises(Late, match="2 s"):
        read(dots, drawn("Text"), stop=stop)
    assert time.monotonic() - started < 1.2


def test_it_closes_twice_and_a_new_one_reads(fake: FakeVllm) -> None:
    for _ in range(2):
        engine = Dots(settings(fake))
        assert read(engine, drawn("Text"))[0].text == "Line 1 of 1"
        engine.close()
        engine.close()
