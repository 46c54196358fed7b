"""Formulas that a page's engine found and wrote no LaTeX for: cut out, read by another, put back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from copyist.document import Block, BlockKind, Box, Line, Page
from copyist.engines.base import Decoding, EngineSettings, Mode, Outcome, PageImage, ReadOptions
from copyist.engines.chain import Chain
from copyist.engines.registry import Registry
from copyist.errors import PageDamaged
from copyist.media import MediaKind
from copyist.pipeline.flow import PageReading, read_page
from copyist.pipeline.formulas import BareFormulas
from copyist.pipeline.render import PageSource
from tests.faulty_engines import Faulty
from tests.pipeline.drawn import PLENTY, save

WIDTH, HEIGHT = 400, 300
PLACES = (Box(40, 60, 240, 100), Box(40, 200, 140, 240))
"""Where formulas stand; each is drawn as a black bar that is wider than high."""


class Layout(Faulty):
    """Reads a line of text, and finds two formulas: of the second it says something, but no LaTeX."""

    name = "layout"
    modes = frozenset({Mode.DOCUMENT})

    def page(self, image: PageImage) -> Page:
        read = super().page(image)
        text = Line(text="x squared", box=PLACES[1], confidence=0.9)
        first, second = (Block(kind=BlockKind.FORMULA, box=box) for box in PLACES)
        blocks = (*read.blocks, first, second.model_copy(update={"lines": (text,)}))
        return read.model_copy(update={"blocks": blocks, "complete": False})


class Latex(Faulty):
    """Writes down how large what it is shown is; how sure it is, the test says."""

    name = "latex"
    modes = frozenset({Mode.FORMULA})
    shown: list[PageImage] = []  # noqa: RUF012 - each test begins with none
    sure = 0.8

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        assert (options.mode, options.decoding.model) == (Mode.FORMULA, None)
        self.shown += images
        return super().read(images, options)

    def page(self, image: PageImage) -> Page:
        ink = np.argwhere(image.pixels < 128)
        (top, left), (bottom, right) = ink.min(0).tolist(), (ink.max(0) + 1).tolist()
        latex, box = f"{right - left} \\times {bottom - top}", Box(left, top, right, bottom)
        line = Line(text=latex, box=box, confidence=self.sure)
        block = Block(kind=BlockKind.FORMULA, box=box, lines=(line,), markup=latex)
        return super().page(image).model_copy(update={"blocks": (block,)})


class Rows(Latex):
    """Finds everything twice."""

    name = "rows"

    def page(self, image: PageImage) -> Page:
        read = super().page(image)
        return read.model_copy(update={"blocks": read.blocks * 2})


class Broken(Latex):
    name = "broken-latex"

    def page(self, image: PageImage) -> Page:
        raise PageDamaged(number=1)


class Cancelled(Exception):
    """The job is ours no more."""


class Stopped(Latex):
    name = "stopped"

    def page(self, image: PageImage) -> Page:
        raise Cancelled


ENGINES = tuple(f"{__name__}:{one.__name__}" for one in (Layout, Latex, Rows, Broken, Stopped))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Latex.shown = []
    Latex.sure = 0.8
    pixels = np.full((HEIGHT, WIDTH), 255, np.uint8)
    for box in PLACES:
        pixels[box.top + 10 : box.bottom - 10, box.left + 10 : box.right - 10] = 0
    save(Image.fromarray(pixels), tmp_path / "page")
    return tmp_path / "page"


def read(path: Path, *formulas: str) -> PageReading:
    registry = Registry(EngineSettings(), ENGINES)
    with PageSource(path, MediaKind.PNG, max_pixels=PLENTY) as source:
        return read_page(
            source,
            1,
            chain=Chain(registry, ("layout",)),
            options=ReadOptions(decoding=Decoding(model="layout-large")),
            formulas=lambda: Chain(registry, formulas) if formulas else None,
            let_through=(Cancelled,),
        )


def formulas(reading: PageReading) -> list[tuple[str, str | None]]:
    assert reading.page is not None
    return [(block.text, block.markup) for block in reading.page.blocks if block.kind is BlockKind.FORMULA]


def test_both_get_latex_and_the_trail_says_from_whom(path: Path) -> None:
    found = read(path, "latex")
    assert formulas(found) == [("180 \\times 20", "180 \\times 20"), ("80 \\times 20", "80 \\times 20")]
    assert found.page is not None
    assert (found.page.engine, found.page.complete, found.page.blocks[0].text) == ("layout", False, Layout.text)
    assert [block.lines[0].box for block in found.page.blocks[1:]] == [Box(50, 70, 230, 90), Box(50, 210, 130, 230)]
    assert [(step.engine, step.outcome) for step in found.trail] == [("layout", "read"), ("latex", "read")]
    assert found.trail[1].reason == "It was shown 2 formulas that layout left without LaTeX, and wrote LaTeX for 2."


def test_who_fails_takes_nothing_away_and_another_try_may_do(path: Path) -> None:
    found = read(path, "broken-latex")
    assert formulas(found) == [("x squared", None)], "the other says nothing, and is left out as ever"
    assert not found.may_be_cached
    assert found.trail[1].outcome is Outcome.FAILED
    assert (
        found.trail[1].notes[-1]
        == "It was asked for 2 formulas that layout left without LaTeX: they stay as they were."
    )


def test_text_gives_way_to_latex_only_where_that_is_sure(path: Path) -> None:
    Latex.sure = 0.2
    found = read(path, "latex")
    assert formulas(found) == [("180 \\times 20", "180 \\times 20"), ("x squared", None)]
    assert found.trail[1].reason.endswith("wrote LaTeX for 1.")


def test_formulas_below_each_other_are_one_block(path: Path) -> None:
    latex = "180 \\times 20"
    text, markup = formulas(read(path, "rows"))[0]
    assert (text, markup) == (f"{latex}\n{latex}", f"\\begin{{gathered}} {latex} \\\\ {latex} \\end{{gathered}}")


def test_without_an_engine_for_formulas_the_page_is_as_it_was(path: Path) -> None:
    found = read(path)
    assert formulas(found) == [("x squared", None)]
    assert len(found.trail) == 1


def test_a_cancel_ends_the_page_and_not_only_the_formula(path: Path) -> None:
    with pytest.raises(Cancelled):
        read(path, "stopped")


@pytest.mark.parametrize(("turned", "ink"), [(0, (180, 20)), (90, (20, 180)), (180, (180, 20)), (270, (20, 180))])
def test_what_is_cut_out_stands_upright(path: Path, turned: int, ink: tuple[int, int]) -> None:
    block = Block(kind=BlockKind.FORMULA, box=PLACES[0])
    page = Page(width=WIDTH, height=HEIGHT, turned=turned, engine="e", engine_version="1", blocks=(block,))
    with PageSource(path, MediaKind.PNG, max_pixels=PLENTY) as source:
        found = BareFormulas(source, 1, page).read(Latex(EngineSettings()), ReadOptions())
    assert found.blocks[0].markup == "{} \\times {}".format(*ink)
    assert found.blocks[0].lines[0].box == Box(50, 70, 230, 90), "on the page as it was uploaded"


def test_a_box_without_room_is_shown_to_nobody(path: Path) -> None:
    block = Block(kind=BlockKind.FORMULA, box=Box(10, 10, 10, 200))
    page = Page(width=WIDTH, height=HEIGHT, engine="e", engine_version="1", blocks=(block,))
    with PageSource(path, MediaKind.PNG, max_pixels=PLENTY) as source:
        found = BareFormulas(source, 1, page).read(Latex(EngineSettings()), ReadOptions())
    assert (found.blocks, Latex.shown) == ((block,), [])
