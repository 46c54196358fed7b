"""What the engines read: the words themselves, on images drawn here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from copyist.document import Page
from copyist.engines import tesseract
from copyist.engines.base import EngineSettings, PageImage, ReadOptions
from copyist.engines.easyocr import EasyOcr
from copyist.engines.mock import Mock
from copyist.engines.rapidocr import RapidOcr
from copyist.engines.registry import Registry
from copyist.engines.tesseract import Tesseract
from copyist.errors import InvalidOption
from tests.engines.drawing import drawn
from tests.engines.test_easyocr import write_archive

SENTENCE = "The quiet harbour opened twice"
ENGLISH = ReadOptions(languages=("eng",))


def read(registry: Registry, name: str, *lines: str, **options: int) -> Page:
    return registry.load(name).read([PageImage(drawn(*lines, **options), dpi=200)], ENGLISH)[0]


@pytest.fixture(scope="module")
def registry(engine_settings: EngineSettings) -> Registry:
    return Registry(engine_settings)


@pytest.mark.parametrize("name", ["tesseract", "rapidocr"])
def test_reads_a_line_with_its_words_where_they_stand(registry: Registry, name: str) -> None:
    page = read(registry, name, SENTENCE)
    (line,) = page.lines()
    assert line.text == SENTENCE
    assert line.confidence is not None
    assert line.confidence > 0.9
    assert [word.text for word in line.words] == SENTENCE.split()
    lefts = [word.box.left for word in line.words]
    assert lefts == sorted(lefts)
    assert abs(line.words[0].box.left - 40) < 15
    assert line.words[-1].box.right <= line.box.right + 5


@pytest.mark.parametrize("name", ["tesseract", "rapidocr"])
def test_parts_paragraphs(registry: Registry, name: str) -> None:
    page = read(registry, name, "The quiet harbour opened", "twice in the winter.", "", "", "A letter came.")
    assert len(page.blocks) >= 2
    assert page.text.split("\n\n")[-1] == "A letter came."


def test_mock_says_that_nothing_was_read(registry: Registry) -> None:
    page = read(registry, "mock", SENTENCE)
    assert "No OCR engine was used" in page.text
    assert page.confidence is None


def test_easyocr_reads_with_a_network_of_ones_own(registry: Registry) -> None:
    page = read(registry, "easyocr", "8902 331", "4567")
    assert [line.text for line in page.lines()] == ["8902331", "4567"]
    assert page.confidence is not None


def test_easyocr_names_the_missing_weights_and_the_way_out(tmp_path: Path) -> None:
    found = EasyOcr.check(EngineSettings(weights=tmp_path))
    assert not found.ready
    assert "craft_mlt_25k.pth" in found.reason
    assert "english_g2.pth" in found.reason
    assert str(tmp_path) not in found.reason


def test_easyocr_reads_the_languages_whose_weights_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "easyocr"
    folder.mkdir()
    for name in ("craft_mlt_25k.pth", "cyrillic_g2.pth"):
        write_archive(folder / name)
    found = EasyOcr.check(EngineSettings(weights=tmp_path))
    assert found.ready
    assert {"rus", "ukr"} <= set(found.languages)
    assert "eng" not in found.languages
    assert "deu" in EasyOcr.check(EngineSettings(weights=tmp_path / "none", download=True)).languages


def test_easyocr_refuses_languages_that_no_one_model_reads(registry: Registry) -> None:
    with pytest.raises(InvalidOption, match="that one model reads together"):
        registry.load("easyocr").read([PageImage(drawn("1"))], ReadOptions(languages=("rus", "jpn")))


def test_tesseract_refuses_a_language_that_is_not_installed(registry: Registry) -> None:
    with pytest.raises(InvalidOption, match='"tlh" is not a value for languages'):
        registry.load("tesseract").read([PageImage(drawn("a"))], ReadOptions(languages=("tlh",)))


def test_tesseract_counts_languages_and_not_its_other_models(tmp_path: Path) -> None:
    for name in ("deu", "chi_sim", "osd", "snum"):
        (tmp_path / f"{name}.traineddata").touch()
    found = Tesseract.check(EngineSettings(tessdata=tmp_path))
    assert found.languages == ("chi_sim", "deu")
    (tmp_path / "deu.traineddata").write_bytes(b"another model")
    assert Tesseract.check(EngineSettings(tessdata=tmp_path)).version != found.version


def test_tesseract_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tesseract, "_FOLDERS", ())
    monkeypatch.delenv("TESSDATA_PREFIX", raising=False)
    assert "TESSDATA_PREFIX" in Tesseract.check(EngineSettings()).reason
    monkeypatch.setattr(tesseract, "_program", lambda: None)
    assert "tesserocr" in Tesseract.check(EngineSettings()).reason


def test_tesseract_reads_by_its_command_where_the_library_cannot_load(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Tesseract(EngineSettings())
    monkeypatch.setattr(tesseract, "_library_version", lambda: None)
    command = Tesseract(EngineSettings())
    image = PageImage(drawn(SENTENCE, "A letter came."), dpi=200)
    by_library, by_command = (engine.read([image], ENGLISH)[0] for engine in (library, command))
    assert by_command.text == by_library.text
    assert [line.box for line in by_command.lines()] == [line.box for line in by_library.lines()]
    assert command.version != library.version


@pytest.mark.parametrize("dpi", [None, 0, 1, 69, 100_000])
def test_tesseract_reads_on_when_the_resolution_is_absurd(registry: Registry, dpi: int | None) -> None:
    (page,) = registry.load("tesseract").read([PageImage(drawn(SENTENCE), dpi=dpi)], ENGLISH)
    assert page.text == SENTENCE


def test_checks_import_no_heavy_library() -> None:
    code = (
        "import sys; from copyist.engines.base import EngineSettings; from copyist.engines.registry import Registry;"
        "found = Registry(EngineSettings()).survey();"
        "heavy = {'torch', 'torchvision', 'transformers', 'easyocr', 'rapidocr', 'onnxruntime'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy or not found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_engines_say_what_they_are_good_for() -> None:
    assert Mock.cost < Tesseract.cost < RapidOcr.cost < EasyOcr.cost
