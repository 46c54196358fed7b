"""``copyist read`` with Nougat: the old command's parameters, in the old spelling, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from copyist.cli import app, read
from copyist.cli.reader import Setup
from copyist.cli.reader_process import Desk
from copyist.document import Decoding, Mode
from copyist.settings import Settings
from tests.cli.conftest import Run
from tests.engines.drawing import drawn
from tests.engines.tiny_nougat import PAPER, write_reading_nougat

NOUGAT = "copyist.engines.nougat:Nougat"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "a paper.png"
    Image.fromarray(drawn("A page of a paper")).save(path)
    return path


def test_a_paper_named_by_its_uri_is_read_as_markdown(copyist: Run, page: Path, tmp_path: Path) -> None:
    write_reading_nougat(tmp_path / "weights" / "nougat-small")
    done = copyist(
        *("read", page.as_uri(), "--engine", "nougat", "--model", "facebook/nougat-small", "--temperature", "0.0"),
        *("--top_p", "0", "--repetition_penalty", "1.0", "-f", "md"),
        OCR_PLUGINS=NOUGAT,
        OCR_BACKEND="auto",
        OCR_FALLBACK="nougat",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(PAPER[:40])
    assert "\n$$\n\\sum" in done.stdout


class Asked:
    """Stands where the reading begins, and keeps what it was to read and how."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.setup: Setup | None = None
        self.failed = False

    def __call__(self, files: list[Path], setup: Setup, *_: object) -> Asked:
        self.files, self.setup = files, setup
        return self

    def go(self, _processes: int) -> None: ...


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    stand_in = Asked()
    monkeypatch.setattr(read, "_Run", stand_in)
    return stand_in


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["read", *arguments])


def test_the_parameters_reach_the_reader(asked: Asked) -> None:
    done = call("a.png", "--model", "m", "--temperature", "0.5", "--top-p", "0.9", "--repetition-penalty", "1.2")
    assert done.exit_code == 0, done.output
    assert asked.setup is not None
    assert asked.setup.decoding == Decoding(model="m", temperature=0.5, top_p=0.9, repetition_penalty=1.2)
    assert call("a.png").exit_code == 0
    assert asked.setup.decoding == Decoding()


@pytest.mark.parametrize(
    ("wish", "value"),
    [("--temperature", "-1"), ("--temperature", "2.5"), ("--top-p", "1.1"), ("--repetition-penalty", "0")],
)
def test_parameters_out_of_range_are_refused(asked: Asked, wish: str, value: str) -> None:
    assert call("a.png", wish, value).exit_code == 2
    assert asked.setup is None


def test_a_model_name_without_end_is_refused(asked: Asked) -> None:
    done = call("a.png", "--model", "x" * 300)
    assert done.exit_code == 2
    assert asked.setup is None


def test_a_file_uri_is_a_path(asked: Asked) -> None:
    assert call("file:///a/b%20c.png", "FILE://localhost/d.png", "e.png").exit_code == 0
    assert asked.files == [Path("/a/b c.png"), Path("/d.png"), Path("e.png")]
    for uri in ("file:a.png", "file://host/a.png", "file:///a%00.png"):
        assert call(uri).exit_code == 2


@pytest.mark.parametrize(
    ("engine", "mode", "expected"),
    [
        ("nougat", None, Mode.PAPER),
        ("nougat", Mode.DOCUMENT, Mode.DOCUMENT),
        ("tesseract", None, Mode.DOCUMENT),
        (None, None, Mode.DOCUMENT),
        ("tesseract", Mode.HANDWRITING, Mode.HANDWRITING),
    ],
)
def test_the_only_mode_of_an_engine_is_meant_with_it(engine: str | None, mode: Mode | None, expected: Mode) -> None:
    settings = Settings(ocr_plugins=(NOUGAT,), ocr_backend="tesseract", ocr_fallback=("mock",))
    desk = Desk(Setup(settings=settings, engine=engine, mode=mode), None)  # type: ignore[arg-type]
    assert desk.options.mode is expected
