"""The page at ``/``: complete in itself, nothing from elsewhere, nothing inline."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw

from copyist.api.app import create_app
from copyist.document import Block, Box, Line, Page
from copyist.engines.base import PageImage
from copyist.exports import EXPORTS
from copyist.settings import Settings
from copyist.storage import Storage, picture_key
from tests.api.one_process import OneProcess, on_a_socket, serving, until
from tests.browser import CHROMIUM, Browser
from tests.faulty_engines import Faulty
from tests.servers import ROOT

WEB = ROOT / "backend" / "copyist" / "web"
FILES = sorted(WEB.iterdir())
ROUTES = {"docs"}


class _Tags(HTMLParser):
    """Collect tags with their attributes, and the text inside of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.inline += data.strip()


@pytest.fixture
def page() -> _Tags:
    tags = _Tags()
    tags.feed((WEB / "index.html").read_text(encoding="utf-8"))
    return tags


def _local(references: set[str]) -> set[str]:
    return {name.removeprefix("./") for name in references if not name.startswith("#")} - ROUTES


def test_the_page_and_all_its_files_are_served(tmp_path: Path) -> None:
    paths = ["/", "/nothing.js", *(f"/{file.name}" for file in FILES)]
    app = create_app(Settings(_env_file=None, data_dir=tmp_path))

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return [await client.get(path) for path in paths]

    page, nothing, *served = asyncio.run(ask())
    assert "<title>Copyist</title>" in page.text
    assert nothing.status_code == 404
    assert [answer.content for answer in served] == [file.read_bytes() for file in FILES]
    kinds = {file.suffix: answer.headers["content-type"] for file, answer in zip(FILES, served, strict=True)}
    assert kinds[".js"].startswith("text/javascript")
    assert kinds[".css"].startswith("text/css")


def test_the_page_refers_to_its_own_files_only(page: _Tags) -> None:
    named = {value for _, found in page.tags for name, value in found.items() if name in ("href", "src") and value}
    assert {"style.css", "app.js"} <= _local(named)
    assert [name for name in _local(named) if not (WEB / name).is_file()] == []


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix == ".js"], ids=lambda file: file.name)
def test_modules_import_files_that_are_there(file: Path) -> None:
    imported = set(re.findall(r'from "([^"]+)"', file.read_text(encoding="utf-8")))
    assert all(name.startswith("./") for name in imported)
    assert [name for name in _local(imported) if not (WEB / name).is_file()] == []


def test_nothing_is_left_over() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in FILES)
    assert [file.name for file in FILES if file.name != "index.html" and file.name not in text] == []


def test_nothing_is_inline(page: _Tags) -> None:
    assert page.inline == ""
    assert [name for _, found in page.tags for name in found if name.startswith("on") or name == "style"] == []


def test_nothing_comes_from_elsewhere() -> None:
    addresses = {url for file in FILES for url in re.findall(r"https?://[^\s\"')]+", file.read_text(encoding="utf-8"))}
    assert addresses <= {"http://www.w3.org/2000/svg"}, "a namespace is the one address that is never asked for"


def test_text_never_becomes_markup() -> None:
    risky = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")
    assert [file.name for file in FILES if risky.search(file.read_text(encoding="utf-8"))] == []


def test_every_control_has_a_name(page: _Tags) -> None:
    ids = {found["id"] for _, found in page.tags if "id" in found}
    labelled = {found["for"] for tag, found in page.tags if tag == "label" and "for" in found}
    inputs = {found["id"] for tag, found in page.tags if tag in ("input", "select")}
    assert labelled <= ids
    # The others stand inside of their labels.
    text = re.sub(r"\s+", " ", (WEB / "index.html").read_text(encoding="utf-8"))
    inside = {name for name in inputs if re.search(rf'<label>[^<]+<(input|select) id="{name}"', text)}
    assert inputs - labelled - inside == set()


def test_the_page_offers_every_format(page: _Tags) -> None:
    offered = [found["data-format"] for tag, found in page.tags if tag == "a" and "data-format" in found]
    assert sorted(map(str, offered)) == sorted(EXPORTS)


def words(call: str) -> str:
    """What a call of ``words.js`` gives."""
    module = base64.b64encode((WEB / "words.js").read_bytes()).decode()
    script = f'import * as words from "data:text/javascript;base64,{module}"; console.log(words.{call});'
    done = subprocess.run(
        [str(shutil.which("node")), "--input-type=module", "-e", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node here")


def learning(**other: Any) -> str:
    """The call that says how it stands with learning, where 37 lines were corrected."""
    nothing: dict[str, Any] = {"champion": None, "challengers": [], "active_run": None, "paused": None}
    counts = {"enabled": True, "counts": {"lines": 37, "new": 9}, "missing": 13, "trainer": {"alive": True}}
    return f"learningWords({json.dumps(nothing | counts | other)})"


RUNNING = {"status": "running", "progress": {"phase": "training", "step": 40, "steps": 300}}
SERVING = {"version": 3, "since": "2026-03-01T12:00:00Z"}


@needs_node
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (learning(), "37 checked lines, 13 more until it learns"),
        (learning(enabled=False), ""),
        (learning(missing=0, trainer={"alive": False}), "37 checked lines, no trainer is running"),
        (learning(missing=0), "37 checked lines, it is about to learn"),
        (learning(missing=0, next="The last run failed; wait."), "37 checked lines, the last run failed; wait"),
        (learning(active_run=RUNNING), "Learning: step 40 of 300"),
        (
            learning(challengers=[SERVING]),
            "Version 3 waits for somebody to decide · 37 checked lines, 13 more until it learns",
        ),
        (
            learning(champion=SERVING),
            "Reads handwriting with version 3 since March 1, 2026 · 9 new lines, 13 more until it learns",
        ),
        ("timeLeft(-30)", "a few seconds left"),
        ("timeLeft(34)", "about 30 seconds left"),
        ("timeLeft(58)", "about 1 minute left"),
        ("timeLeft(60 * 59.6)", "about 1 hour left"),
        ("timeLeft(3600 * 24 * 3)", "about 3 days left"),
        ("retryWords({progress: {pages_done: 3, pages_failed: 1}})", "Retry 1 failed page"),
        ("retryWords({progress: {pages_done: 3, pages_failed: 0}})", "Read the rest"),
        ("retryWords({progress: {pages_done: 0, pages_failed: 2}})", "Try again"),
    ],
)
def test_figures_are_told_in_words(call: str, said: str) -> None:
    assert words(call) == said


def run(folder: Path, script: str) -> list[str]:
    """The lines that a script prints which imports modules of the page."""
    shutil.copytree(WEB, folder, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "script.js").write_text(script)
    done = subprocess.run(
        [str(shutil.which("node")), "script.js"], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@needs_node
@pytest.mark.parametrize(("status", "said"), [(204, "removed"), (404, "removed"), (410, "removed"), (503, "kept")])
def test_a_job_that_is_gone_can_be_removed_from_the_page(tmp_path: Path, status: int, said: str) -> None:
    script = f"""
        import * as api from "./api.js";
        globalThis.fetch = async () => new Response(null, {{ status: {status} }});
        console.log(await api.forget("id").then(() => "removed", () => "kept"));
    """
    assert run(tmp_path, script) == [said]


@needs_node
def test_a_key_that_no_header_can_hold_is_asked_for_again(tmp_path: Path) -> None:
    """A browser throws at such a header, which looks like a server that is away, and the key was kept."""
    script = """
        import { anotherKey, theKey } from "./key.js";
        const parts = {};
        globalThis.document = { getElementById: (id) => (parts[id] ??= { focus() {} }) };
        const asked = anotherKey("");
        for (const given of ["ck_\u2026", "ck_good"]) {
          parts.key.value = given;
          parts["key-form"].onsubmit({ preventDefault() {} });
          await new Promise((resolve) => { setTimeout(resolve); });
          console.log(theKey() || parts["key-reason"].textContent);
        }
        await asked;
    """
    refused, taken = run(tmp_path, script)
    assert "does not take this key" in refused
    assert taken == "ck_good"


class Unsure(Faulty):
    """Reads three lines on every page, and is not sure of the second."""

    name = "unsure"

    def page(self, image: PageImage) -> Page:
        step = image.height // 7
        boxes = [Box(0, step * top, image.width, step * (top + 1)) for top in (1, 3, 5)]
        said = zip(("Dear Anna", "the sbip is lafe", "Yours, Karl"), boxes, (0.9, 0.3, 0.9), strict=True)
        lines = tuple(Line(text=text, box=box, confidence=sure) for text, box, sure in said)
        block = Block(box=Box.around(boxes), lines=lines)
        return Page(width=image.width, height=image.height, engine=self.name, engine_version="1", blocks=(block,))


def letter(service: OneProcess) -> str:
    """Send a page with ink where its second line is, and have it read; gives the job's id."""
    picture = Image.new("RGB", (350, 420), "white")
    ImageDraw.Draw(picture).rectangle((0, 190, 350, 230), fill="black")
    png, jpeg = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG")
    picture.save(jpeg, "JPEG")
    # No worker is here that draws pictures of pages.
    key = picture_key(hashlib.sha256(png.getvalue()).hexdigest(), 1)
    Storage(service.settings.storage).put(key, jpeg.getvalue())
    job: str = service("POST", "/api/jobs", files={"file": ("letter.png", png.getvalue())}).json()["id"]
    until(lambda: service("GET", f"/api/jobs/{job}").json()["status"] == "completed")
    return job


INK_OF_THE_CUT = "document.querySelector('.cut canvas').getContext('2d').getImageData(9, 30, 1, 1).data[0]"


HELD_BACK = """(() => {
  const really = window.fetch;
  window.fetch = async (path, options) => {
    if (!path.startsWith("api/lines/") || options.method) return really(path, options);
    const answer = await really(path, options);
    await new Promise((goOn) => { window.held = goOn; });
    setTimeout(() => { window.came = true; }, 200);
    return answer;
  };
})()"""
"""A line that is asked for comes when ``held`` is called."""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_lines_are_corrected_and_confirmed_at_the_desk(tmp_path: Path, redis_url: str, sqlite_url: str) -> None:
    settings = {"ocr_fallback": ("unsure",), "ocr_plugins": ("tests.test_web:Unsure",), "database_url": sqlite_url}
    with serving(tmp_path, redis_url, **settings) as start, Browser(tmp_path) as browser:
        service = start()
        job = letter(service)

        def lines() -> list[Any]:
            return list(service("GET", f"/api/jobs/{job}/pages/1").json()["lines"])

        with on_a_socket(service) as port:
            browser.open(f"http://127.0.0.1:{port}/")
            browser.click(".toggle")
            browser.click(".to-desk")
            browser.until("document.querySelector('#desk-body').checkVisibility()")
            browser.until("document.querySelector('.sheet-note').hidden")
            browser.click("#desk-unsure")
            assert browser.look("document.activeElement.value") == "the sbip is lafe"
            assert browser.look(f"{INK_OF_THE_CUT} < 60")

            replace(browser, "the ship is safe")
            browser.press("Enter")
            browser.until("document.querySelector('.editor label').textContent.startsWith('Line 3')")
            assert [(line["text"], line["verified"]) for line in lines()][1:] == [
                ("the ship is safe", True),
                ("Yours, Karl", False),
            ]

            browser.press("Enter", shift=True)
            browser.press("ArrowUp")
            first = lines()[0]["id"]
            service("PUT", f"/api/lines/{first}", json={"text": "Dear Hanna"})
            replace(browser, "Dear Anne")
            browser.press("Enter")
            browser.until("document.querySelector('.theirs').textContent === 'Dear Hanna'")
            assert lines()[0]["text"] == "Dear Hanna"
            browser.click(".keep-mine")
            browser.until("document.querySelector('.editor label').textContent.startsWith('Line 2')")
            assert lines()[0]["text"] == "Dear Anne"

            browser.click("#desk-confirm")
            browser.until("document.querySelector('#desk-facts').textContent === 'all 3 lines checked'")
            assert [(line["text"], line["verified"]) for line in lines()] == [
                ("Dear Anne", True),
                ("the ship is safe", True),
                ("Yours, Karl", True),
            ]

            browser.click(".line:nth-child(3) .line-open")
            replace(browser, " ")
            browser.press("Enter")
            browser.until("document.querySelector('#line-error').textContent.startsWith('No text is left.')")
            browser.click(".editor .nothing")
            browser.until("document.querySelectorAll('.line-text')[2].textContent === '(nothing)'")
            assert (lines()[2]["text"], lines()[2]["verified"]) == ("", True)
            browser.click(".line:nth-child(3) .line-open")
            assert not browser.look("document.querySelector('.editor .nothing').checkVisibility()")
            replace(browser, "Yours, Carl")
            browser.press("Enter")
            browser.until("document.querySelectorAll('.line-text')[2].textContent === 'Yours, Carl'")
            assert lines()[2]["text"] == "Yours, Carl"

            # Who has gone on is not asked about a line that is not there any more.
            browser.look(HELD_BACK)
            browser.click(".line:nth-child(1) .line-open")
            service("PUT", f"/api/lines/{first}", json={"nothing": True})
            replace(browser, "Dear Anton")
            browser.press("Enter")
            browser.until("window.held")
            browser.look(f"location.hash = '#desk/{job}/1?'; location.hash = '#desk/{job}/1'")
            browser.click(".line:nth-child(3) .line-open")
            browser.look("window.held()")
            browser.until("window.came")
            assert browser.look("document.querySelector('.conflict').hidden")
            browser.click(".desk-ways a")
            browser.until("document.querySelector('.page-text')?.textContent.includes('the ship is safe')")


def replace(browser: Browser, text: str) -> None:
    """Write ``text`` in the place of what is in the field with the cursor."""
    browser.look("document.activeElement.select()")
    browser.type(text)
