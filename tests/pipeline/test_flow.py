"""The whole way of a page."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from copyist.document import Block, Box, Line, Mode, Page, Source, TextPolicy
from copyist.engines.base import Outcome, PageImage, ReadOptions, Try
from copyist.errors import DamagedFile, PageDamaged
from copyist.media import MediaKind
from copyist.pipeline.assemble import assemble, is_blank
from copyist.pipeline.flow import PageReading, read_page, render_settings
from copyist.pipeline.placement import Affine, Placement
from copyist.pipeline.render import PageSource
from tests.pipeline.drawn import PLENTY, FakeEngine, image_pdf, page, pixels, save, text_pdf

HELLO = "BT /F1 24 Tf 50 200 Td (Hello) Tj ET"


class OneEngine:
    """A chain of one engine that lets through what it is told to, and nothing else."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.asked: dict[str, Any] = {}

    def read(
        self, read_with: Callable[[Any], Page], *, let_through: tuple[type[BaseException], ...], **asked: Any
    ) -> Any:
        self.asked = asked
        try:
            found: Page | None = read_with(self.engine)
        except let_through:
            raise
        except Exception:
            found = None
        return PageReading(found, (Try("fake", Outcome.READ),), degraded=False, may_be_cached=True)


def read(path: Path, kind: MediaKind = MediaKind.PDF, engine: FakeEngine | None = None, **options: Any) -> PageReading:
    with PageSource(path, kind, max_pixels=PLENTY) as source:
        mode = options.pop("mode", Mode.DOCUMENT)
        return read_page(source, 1, chain=OneEngine(engine or FakeEngine()), options=ReadOptions(mode), **options)


def test_a_real_text_layer_is_read_and_no_engine_is_asked(tmp_path: Path) -> None:
    engine = FakeEngine()
    found = read(text_pdf(tmp_path / "a.pdf", [HELLO]), engine=engine)
    assert found.page is not None
    assert (found.page.text, found.page.source) == ("Hello", Source.TEXT_LAYER)
    assert found.trail == ()
    assert not engine.shown


def test_force_reads_the_picture_all_the_same(tmp_path: Path) -> None:
    found = read(text_pdf(tmp_path / "a.pdf", [HELLO]), text=TextPolicy.FORCE)
    assert found.page is not None
    assert (found.page.engine, found.page.source) == ("fake", Source.OCR)


def test_only_never_asks_an_engine(tmp_path: Path) -> None:
    engine = FakeEngine()
    found = read(image_pdf(tmp_path / "a.pdf", page().image), engine=engine, text=TextPolicy.ONLY)
    assert found.page is not None
    assert found.page.text == ""
    assert not engine.shown


def test_a_formula_is_read_from_its_picture_as_it_is(tmp_path: Path) -> None:
    engine = FakeEngine()
    turned = page().image.rotate(90, expand=True)
    read(*save(turned, tmp_path / "a"), engine=engine, mode=Mode.FORMULA)
    assert [image.pixels.shape for image in engine.shown] == [(1000, 700)]


def test_the_page_is_numbered_and_measured_as_uploaded(tmp_path: Path) -> None:
    found = read(image_pdf(tmp_path / "a.pdf", page().image, dpi=150)).page
    assert found is not None
    assert (found.number, found.width, found.height, found.dpi) == (1, 1333, 933, 200)


def test_damage_is_no_fault_of_the_engine(tmp_path: Path) -> None:
    path, kind = save(page().image, tmp_path / "a", "JPEG")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DamagedFile):
        read(path, kind)
    with (
        PageSource(text_pdf(tmp_path / "a.pdf", [HELLO]), MediaKind.PDF, max_pixels=PLENTY) as source,
        pytest.raises(PageDamaged),
    ):
        read_page(source, 2, chain=OneEngine(FakeEngine()), options=ReadOptions())


def test_a_fault_of_the_engine_is_left_to_the_chain(tmp_path: Path) -> None:
    class Broken(FakeEngine):
        def answer(self, image: PageImage) -> Page:
            raise RuntimeError

    found = read(image_pdf(tmp_path / "a.pdf", page().image), engine=Broken())
    assert found.page is None
    assert len(found.trail) == 1


def test_a_cancel_leaves_the_chain(tmp_path: Path) -> None:
    class Cancelled(Exception):
        pass

    class Stopped(FakeEngine):
        def answer(self, image: PageImage) -> Page:
            raise Cancelled

    with pytest.raises(Cancelled):
        read(image_pdf(tmp_path / "a.pdf", page().image), engine=Stopped(), let_through=(Cancelled,))


def test_the_chain_may_ask_whether_there_is_ink(tmp_path: Path) -> None:
    for image, ink in ((page().image, True), (Image.new("L", (800, 600), 240), False)):
        path, kind = save(image, tmp_path / "a")
        with PageSource(path, kind, max_pixels=PLENTY) as source:
            chain = OneEngine(FakeEngine())
            read_page(source, 1, chain=chain, options=ReadOptions())
            assert chain.asked["has_ink"]() is ink


def test_paper_shadows_and_dust_are_blank_and_a_word_is_not() -> None:
    random = np.random.default_rng(2)
    shade = np.linspace(150, 250, 1200)[None, :].repeat(1600, axis=0) + random.normal(0, 4, (1600, 1200))
    paper = np.clip(shade, 0, 255).astype(np.uint8)
    assert is_blank(PageImage(paper))
    assert is_blank(PageImage(np.dstack([paper] * 3)))
    word = pixels(page(("Received",), width=1200, height=1600).image)
    assert not is_blank(PageImage(np.minimum(paper, word)))
    assert is_blank(PageImage(np.zeros((0, 5), np.uint8)))


def test_lines_that_say_nothing_are_left_out() -> None:
    box = Box(0, 0, 10, 10)
    said, unsaid = (Line(text=text, box=box) for text in (" said ", " \n"))
    blocks = (
        Block(box=box, lines=(said, unsaid)),
        Block(box=box, lines=(unsaid,)),
        Block(box=box, markup="x^2"),
    )
    reading = Page(width=10, height=10, engine="fake", engine_version="1", blocks=blocks)
    found = assemble(reading, Placement(Affine(), 10, 10, turned=90, skew=1.234), number=3, dpi=200)
    assert [block.text or block.markup for block in found.blocks] == ["said", "x^2"]
    assert (found.number, found.dpi, found.turned, found.skew) == (3, 200, 90, 1.23)


def test_render_settings_are_one_word() -> None:
    assert render_settings() == render_settings()
    assert not any(itertools.chain(character.isspace() for character in render_settings()))


def test_a_strip_of_a_single_row_is_blank() -> None:
    assert is_blank(PageImage(np.full((1, 5000), 255, np.uint8)))
    assert is_blank(PageImage(np.full((5000, 1), 255, np.uint8)))
