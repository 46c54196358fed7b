"""EasyOCR: its published models in their real shape with random numbers, cut and wrong files, a GPU that is full."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copyist.document import Line
from copyist.engines import easyocr_files
from copyist.engines.base import EngineSettings, NotReady, PageImage, ReadOptions
from copyist.engines.easyocr import EasyOcr
from copyist.engines.easyocr_files import look_into
from copyist.engines.easyocr_models import DETECTOR, ENGLISH, ENTRIES, MODELS
from copyist.engines.notes import noting
from copyist.engines.torchvision_shim import import_torchvision
from copyist.engines.weights.manifest import read_manifest
from tests.engines.digits_network import DIGITS, write_network
from tests.engines.drawing import blank, drawn, in_colour
from tests.servers import ROOT, free_port

ENGLISH_ONLY = ReadOptions(languages=("eng",))


def write_archive(path: Path) -> None:
    """Write a file of tensors as far as a glance at its edges can tell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")


def settings(weights: Path, **changes: Any) -> EngineSettings:
    return EngineSettings(weights=weights, use_gpu=False, **changes)


@pytest.fixture(scope="module")
def config() -> Any:
    """EasyOCR's own list of its files."""
    import_torchvision()
    import easyocr

    return easyocr.config


@pytest.fixture(scope="module")
def random_models(tmp_path_factory: pytest.TempPathFactory, config: Any) -> Path:
    """A weights folder with the published finder of text and English in their shapes, filled with random numbers."""
    import torch
    from easyocr.craft import CRAFT
    from easyocr.model.vgg_model import Model

    folder: Path = tmp_path_factory.mktemp("weights") / "easyocr"
    folder.mkdir()
    classes = len(config.recognition_models["gen2"]["english_g2"]["characters"]) + 1
    with torch.device("meta"):
        english = Model(input_channel=1, output_channel=256, hidden_size=256, num_class=classes)
        shapes = {DETECTOR: CRAFT().state_dict(), ENGLISH: english.state_dict()}
    random = torch.Generator().manual_seed(1)
    for name, tensors in shapes.items():
        made = {f"module.{key}": _random(value, random) for key, value in tensors.items()}
        torch.save(made, folder / name)
    return folder.parent


def _random(shape: Any, random: Any) -> Any:
    import torch

    if not shape.is_floating_point():
        return torch.zeros(shape.shape, dtype=shape.dtype)
    return torch.rand(shape.shape, generator=random) * 0.02


@pytest.fixture
def published(random_models: Path, config: Any, monkeypatch: pytest.MonkeyPatch) -> EngineSettings:
    """Settings with the random models, which the library takes for the published ones."""
    digests = {name: md5(random_models / "easyocr" / name) for name in (DETECTOR, ENGLISH)}
    monkeypatch.setitem(config.detection_models["craft"], "md5sum", digests[DETECTOR])
    monkeypatch.setitem(config.recognition_models["gen2"]["english_g2"], "md5sum", digests[ENGLISH])
    return settings(random_models)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def digits(tmp_path: Path) -> EngineSettings:
    write_network(tmp_path / "easyocr" / "custom")
    return settings(tmp_path)


class TestWhatACheckSees:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b"<html>Rate limit</html>", "is no file of PyTorch"),
            (b"PK\x03\x04 and then nothing", "is cut after"),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02", "is cut after"),
        ],
        ids=["empty", "html", "zip", "pickle"],
    )
    def test_a_cut_file_is_named_with_the_way_out(self, tmp_path: Path, content: bytes, said: str) -> None:
        write_archive(tmp_path / "easyocr" / DETECTOR)
        (tmp_path / "easyocr" / ENGLISH).write_bytes(content)
        found = EasyOcr.check(settings(tmp_path))
        assert not found.ready
        assert f"easyocr/{ENGLISH} {said}" in found.reason
        assert "copyist weights pull easyocr" in found.reason

    def test_a_cut_file_takes_only_its_own_languages_away(self, tmp_path: Path) -> None:
        for name in (DETECTOR, "cyrillic_g2.pth"):
            write_archive(tmp_path / "easyocr" / name)
        (tmp_path / "easyocr" / "japanese_g2.pth").write_bytes(b"")
        found = EasyOcr.check(settings(tmp_path))
        assert (found.ready, found.reason) == (True, "")
        assert "rus" in found.languages
        assert "jpn" not in found.languages

    def test_both_formats_of_pytorch_are_whole(self, tmp_path: Path) -> None:
        import torch

        (tmp_path / "easyocr").mkdir()
        tensors = {"module.a": torch.zeros(300_000)}
        torch.save(tensors, tmp_path / "easyocr" / DETECTOR)
        torch.save(tensors, tmp_path / "easyocr" / ENGLISH, _use_new_zipfile_serialization=False)
        found = look_into(tmp_path / "easyocr", download=False)
        assert found.faults == {}
        assert found.languages == ("eng",)

    def test_a_cut_network_of_ones_own_is_named(self, digits: EngineSettings) -> None:
        pth = digits.weights / "easyocr" / "custom" / "digits.pth"
        pth.write_bytes(pth.read_bytes()[:-200])
        assert "easyocr/custom/digits.pth is cut" in EasyOcr.check(digits).reason

    def test_it_tells_device_models_and_memory(self, published: EngineSettings) -> None:
        found = EasyOcr.check(published)
        files = [published.weights / "easyocr" / name for name in (DETECTOR, ENGLISH)]
        assert (found.device, found.model) == ("cpu", "craft_mlt_25k, english_g2")
        assert found.memory_bytes == sum(path.stat().st_size for path in files)

    def test_it_tells_the_name_of_ones_own_network(self, digits: EngineSettings) -> None:
        found = EasyOcr.check(digits)
        assert found.model == "digits"
        assert found.memory_bytes == (digits.weights / "easyocr" / "custom" / "digits.pth").stat().st_size

    def test_it_takes_no_heavy_library_and_no_time(self, random_models: Path) -> None:
        code = (
            "import sys, time; from pathlib import Path; from copyist.engines.base import EngineSettings;"
            "from copyist.engines.easyocr import EasyOcr; EasyOcr.check(EngineSettings(weights=Path(sys.argv[1])));"
            "begun = time.process_time(); EasyOcr.check(EngineSettings(weights=Path(sys.argv[1])));"
            "took = time.process_time() - begun; heavy = {'torch', 'torchvision', 'easyocr', 'cv2'} & set(sys.modules);"
            "sys.exit(f'{heavy} {took}' if heavy or took > 0.5 else 0)"
        )
        subprocess.run([sys.executable, "-c", code, str(random_models)], check=True)

    def test_every_file_has_its_entry_in_the_manifest(self, config: Any) -> None:
        """The hashes of the manifest are those of the library, file by file."""
        recognisers = [one for models in config.recognition_models.values() for one in models.values()]
        own = {one["filename"]: one for one in (*config.detection_models.values(), *recognisers)}
        entries = read_manifest(ROOT / "weights" / "manifest.toml")
        ours = [entry for entry in entries.values() if entry.folder == "easyocr"]
        brought = {file.name: (entry.name, file) for entry in ours for file in entry.releases}
        assert brought.keys() == {DETECTOR, *MODELS}
        for name, (entry, file) in brought.items():
            assert (file.md5, file.url) == (own[name]["md5sum"], own[name]["url"])
            assert entry == ENTRIES[name]


class TestPublishedModels:
    def test_load_and_read(self, published: EngineSettings) -> None:
        pages = reader(published).read([PageImage(drawn("Hello", width=200)), PageImage(blank())], ENGLISH_ONLY)
        assert [page.width for page in pages] == [200, 200]

    @pytest.mark.parametrize("shape", [(1, 1), (2, 3, 3), (1, 600), (600, 2), (2, 500, 3)])
    def test_take_any_shape(self, published: EngineSettings, shape: tuple[int, ...]) -> None:
        """Random models find nothing, so what is proved is that nothing on the way falls over."""
        (page,) = reader(published).read([PageImage(np.zeros(shape, dtype=np.uint8))], ENGLISH_ONLY)
        assert (page.height, page.width) == shape[:2]

    def test_a_file_that_is_another_one_is_refused_before_it_is_unpickled(
        self, published: EngineSettings, config: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(config.recognition_models["gen2"]["english_g2"], "md5sum", "0" * 32)
        with pytest.raises(NotReady, match=r"english_g2\.pth is not the published file.*copyist weights pull easyocr"):
            EasyOcr(published).read([PageImage(blank())], ENGLISH_ONLY)
        monkeypatch.setitem(config.detection_models["craft"], "md5sum", "0" * 32)
        with pytest.raises(NotReady, match=r"craft_mlt_25k\.pth is not the published file"):
            EasyOcr(published)

    def test_the_right_name_with_tensors_of_another_model_is_no_crash(
        self, tmp_path: Path, published: EngineSettings, config: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "easyocr"
        folder.mkdir()
        (folder / DETECTOR).symlink_to(published.weights / "easyocr" / DETECTOR)
        (folder / ENGLISH).symlink_to(published.weights / "easyocr" / DETECTOR)
        monkeypatch.setitem(config.recognition_models["gen2"]["english_g2"], "md5sum", md5(folder / DETECTOR))
        with pytest.raises(NotReady, match=r"cannot be loaded.*copyist weights pull easyocr"):
            EasyOcr(settings(tmp_path)).read([PageImage(blank())], ENGLISH_ONLY)

    def test_their_hashes_are_taken_once(self, published: EngineSettings) -> None:
        easyocr_files._md5.cache_clear()
        for _ in range(2):
            EasyOcr(published)
        assert easyocr_files._md5.cache_info()[:2] == (1, 1)


_engines: dict[EngineSettings, EasyOcr] = {}


def reader(chosen: EngineSettings) -> EasyOcr:
    """One engine for many tests: loading it is most of the work."""
    if chosen not in _engines:
        _engines[chosen] = EasyOcr(chosen)
    return _engines[chosen]


def test_a_folder_without_weights_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="copyist weights pull easyocr"):
        EasyOcr(settings(tmp_path))


def test_what_cannot_be_fetched_is_said(
    tmp_path: Path, config: Any, digits: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setitem(config.detection_models["craft"], "url", f"http://127.0.0.1:{free_port()}/craft.zip")
    engine = EasyOcr(settings(tmp_path / "none", download=True))
    with pytest.raises(NotReady, match=r"cannot be loaded or fetched \(URLError\).*copyist weights pull easyocr"):
        engine.read([PageImage(blank())], ENGLISH_ONLY)


@pytest.mark.parametrize("described", ["lang_list: en", "[", "imgH: 32", "\tnot: yaml"])
def test_a_network_that_names_no_languages_is_named(digits: EngineSettings, described: str) -> None:
    (digits.weights / "easyocr" / "custom" / "digits.yaml").write_text(described)
    assert "easyocr/custom/digits.yaml has no list of languages" in EasyOcr.check(digits).reason


def test_code_of_a_network_that_was_replaced_is_read_anew(digits: EngineSettings) -> None:
    page = PageImage(drawn("123"))
    assert EasyOcr(digits).read([page], ENGLISH_ONLY)[0].text == "123"
    code = digits.weights / "easyocr" / "custom" / "digits.py"
    code.write_text(code.read_text() + "\n\ndef find_text(grey):\n    return []\n")
    assert EasyOcr(digits).read([page], ENGLISH_ONLY)[0].text == ""


def test_a_network_with_the_name_of_a_module_is_refused(digits: EngineSettings) -> None:
    custom = digits.weights / "easyocr" / "custom"
    for path in custom.glob("digits.*"):
        path.rename(custom / f"json{path.suffix}")
    with pytest.raises(NotReady, match="rename it"):
        EasyOcr(digits).read([PageImage(drawn("1"))], ENGLISH_ONLY)


def test_a_network_whose_files_do_not_fit_is_refused(digits: EngineSettings) -> None:
    described = digits.weights / "easyocr" / "custom" / "digits.yaml"
    described.write_text(described.read_text().replace("count: 10", "count: 11"))
    with pytest.raises(NotReady, match=r"easyocr/custom/digits cannot be loaded.*weights/README.md"):
        EasyOcr(digits).read([PageImage(drawn("1"))], ENGLISH_ONLY)


class FullGpu:
    """Stands where the finder of text stands, and has room for images of ``most`` pixels; it finds rows of ink."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.tried: list[int] = []

    def __call__(self, _detector: Any, image: Any, *, canvas_size: int, **_: Any) -> list[list[Any]]:
        import torch
        from digits import find_text

        self.tried.append(canvas_size)
        if canvas_size > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [[self._corners(*box) for box in find_text(image[:, :, 0])]]

    def _corners(self, left: int, right: int, top: int, bottom: int) -> Any:
        """Corners of a box to which the library adds its margin of two pixels."""
        left, right, top, bottom = left + 2, right - 2, top + 2, bottom - 2
        return np.array([left, top, right, top, right, bottom, left, bottom])


def on_gpu(engine: EasyOcr, finder: FullGpu) -> None:
    """Let ``engine`` work as on a GPU, with ``finder`` for text."""
    engine._loaded = replace(engine._load(("eng",)), find_text=None)
    engine._loaded.reader.get_textbox, engine._loaded.reader.detector = finder, None
    engine._on_gpu = True


def test_a_page_too_large_for_the_gpu_is_read_on_a_smaller_image(digits: EngineSettings) -> None:
    on_gpu(engine := EasyOcr(digits), finder := FullGpu(1280))
    with noting() as notes:
        (page,) = engine.read([PageImage(drawn("8902331", "4567"))], ENGLISH_ONLY)
    assert finder.tried == [2560, 1280]
    assert [line.text for line in page.lines()] == ["8902331", "4567"]
    assert notes == ["The memory of the GPU ran out when text was looked for in an image of 2560 pixels."]


def test_a_page_too_large_for_any_image_fails_alone(digits: EngineSettings) -> None:
    on_gpu(engine := EasyOcr(digits), finder := FullGpu(0))
    with pytest.raises(MemoryError, match="too little memory for this page"):
        engine.read([PageImage(drawn("8902331"))], ENGLISH_ONLY)
    assert finder.tried == [2560, 1280, 640]
    finder.most = 2560
    assert engine.read([PageImage(drawn("4567"))], ENGLISH_ONLY)[0].text == "4567"


class TestWhatItReads:
    """Rendered pages, read by the digits' network."""

    @pytest.fixture
    def engine(self, digits: EngineSettings) -> EasyOcr:
        return EasyOcr(digits)

    def lines(self, engine: EasyOcr, pixels: Any) -> list[Line]:
        return list(engine.read([PageImage(pixels, dpi=200)], ENGLISH_ONLY)[0].lines())

    def test_rows_from_top_to_bottom_with_the_gaps_of_paragraphs(self, engine: EasyOcr) -> None:
        page = engine.read([PageImage(drawn("1234", "5678", "", "9012"))], ENGLISH_ONLY)[0]
        assert [line.text for line in page.lines()] == ["1234", "5678", "9012"]
        assert page.text.endswith("\n\n9012")

    def test_grey_and_colour_are_read_alike(self, engine: EasyOcr) -> None:
        grey = drawn("90125", "3344")
        assert self.lines(engine, grey) == self.lines(engine, in_colour(grey))

    def test_long_lines_are_as_sure_as_short_ones(self, engine: EasyOcr) -> None:
        """The library's own score of a line falls with its length."""
        (long,) = self.lines(engine, drawn(DIGITS * 4, width=1400))
        (short,) = self.lines(engine, drawn("56"))
        assert long.text == DIGITS * 4
        assert long.confidence == pytest.approx(short.confidence, abs=0.05)
        assert long.confidence > 0.9

    def test_a_smudge_makes_a_line_less_sure(self, engine: EasyOcr) -> None:
        clean = drawn("123456")
        smudged = clean.copy()
        smudged[54:57, 60:200] = 0
        (sure,), (unsure,) = self.lines(engine, clean), self.lines(engine, smudged)
        assert unsure.confidence < sure.confidence
