"""The page at ``/`` for somebody with a formula: it is offered where it can be read, and shown as LaTeX."""

from __future__ import annotations

from pathlib import Path

import pytest

from copyist.document import Page
from copyist.engines.base import PageImage
from tests.api import formula_engines
from tests.api.formula_engines import LATEX, NO_INK, picture
from tests.api.one_process import on_a_socket, serving, until
from tests.browser import CHROMIUM, Browser

CHOICE = "document.querySelector('#mode option[value=formula]')"
SHOWN = "[...document.querySelectorAll('.page-text')].map((text) => text.textContent)"


class Formulas(formula_engines.Formulas):
    """Says the LaTeX in the text, too, as engines for formulas do."""

    def page(self, image: PageImage) -> Page:
        read = super().page(image)
        lines = [block.lines[0].model_copy(update={"text": block.markup}) for block in read.blocks]
        blocks = [block.model_copy(update={"lines": (line,)}) for block, line in zip(read.blocks, lines, strict=True)]
        return read.model_copy(update={"blocks": tuple(blocks)})


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_formula_is_offered_shown_and_copied(tmp_path: Path, redis_url: str, sqlite_url: str) -> None:
    plugins, order = (f"{__name__}:Formulas",), ("formulas", "mock")
    with serving(tmp_path, redis_url, database_url=sqlite_url) as start, Browser(tmp_path) as browser:
        service = start(ocr_plugins=plugins, ocr_fallback=order)
        for name, content in (("formula.png", picture()), ("empty.png", picture(50, 200))):
            job = service("POST", "/api/jobs", files={"file": (name, content)}, data={"mode": "formula"}).json()
            until(lambda job=job: service("GET", f"/api/jobs/{job['id']}").json()["status"] == "completed")
        with on_a_socket(service) as port:
            browser.open(f"http://127.0.0.1:{port}/")
            browser.until("document.querySelectorAll('.toggle').length === 2")
            browser.look("document.querySelectorAll('.toggle').forEach((toggle) => toggle.click())")
            browser.until(f"{SHOWN}.length === 2")
            assert browser.look(SHOWN) == [f"No formula was found here. {NO_INK}", LATEX]
            assert browser.look("document.querySelector('.copy').textContent") == "Copy LaTeX"
            browser.until("document.querySelector('#engine').options.length > 1")
            assert browser.look(f"{CHOICE}.disabled") is False
        idle = start(works=False, database_url=f"sqlite:///{tmp_path / 'idle.db'}")
        with on_a_socket(idle) as port:
            browser.open(f"http://127.0.0.1:{port}/")
            browser.until(f"{CHOICE}.disabled")
