"""The searchable PDF, as poppler reads it: the words of the text export, in its order, where they stand on the page."""

from __future__ import annotations

import errno
import io
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from xml.etree import ElementTree

import pikepdf
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from copyist.document import Block, BlockKind, Box, Document, Line, Source, Word
from copyist.engines.base import EngineSettings, ReadOptions
from copyist.engines.tesseract import Tesseract
from copyist.errors import CopyistError, DamagedFile, Encrypted, NoPages
from copyist.exports import pdf, text
from copyist.exports.pdf_file import PdfWriter
from copyist.exports.pdf_underlay import without_invisible_text
from copyist.media import MediaKind, sniff_file
from copyist.pipeline.flow import read_with
from copyist.pipeline.render import PageSource
from tests.exports.conftest import block, material, page
from tests.exports.reading import documents
from tests.servers import ROOT

PLENTY = 100_000_000
DIRECTIONS = re.compile("[\u202a-\u202e]")
POINTS = 72 / 200
HELVETICA = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)


@pytest.fixture(autouse=True)
def _poppler() -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed (Debian: poppler-utils)")


def searchable(path: Path, document: Document, numbers: Iterable[int] | None = None) -> bytes:
    into = io.BytesIO()
    numbers = list(numbers or [found.number for found in document.pages])
    facts = {"kind": sniff_file(path), "original": lambda: nullcontext(path), "numbers": numbers}
    pdf.write(material(document, **facts), into)
    return into.getvalue()


def txt(document: Document) -> str:
    into = io.BytesIO()
    text.write(material(document), into)
    return into.getvalue().decode()


def extracted(data: bytes, *options: str) -> str:
    """What pdftotext finds.

    With ``-raw``, text in the order of the file: that is the reading order, and what copying gives. Without it poppler
    guesses columns by itself and takes hyphens at the ends of lines away.
    """
    found = subprocess.run(["pdftotext", *(options or ("-raw",)), "-", "-"], input=data, capture_output=True)
    assert found.stderr == b""
    return DIRECTIONS.sub("", found.stdout.decode())


def word_boxes(data: bytes) -> list[tuple[str, tuple[float, ...]]]:
    """Words with left, top, right and bottom in points of the page as it is seen."""
    root = ElementTree.fromstring(extracted(data, "-bbox", "-cropbox"))
    sides = ("xMin", "yMin", "xMax", "yMax")
    return [
        (word.text or "", tuple(float(word.attrib[side]) for side in sides)) for word in root.iterfind(".//{*}word")
    ]


def blank_pdf(path: Path, *, pages: int = 1, **entries: object) -> Path:
    made = pikepdf.new()
    for _ in range(pages):
        made.add_blank_page(page_size=(400, 600))
    for key, value in entries.items():
        made.pages[0].obj[f"/{key}"] = value
    made.save(path)
    return path


def blank_image(path: Path, size: tuple[int, int] = (1000, 2000)) -> Path:
    Image.new("L", size, 255).save(path)
    return path


def word(said: str, left: int, top: int, right: int, bottom: int) -> Word:
    return Word(text=said, box=Box(left, top, right, bottom))


def line(*words: Word) -> Line:
    return Line(text=" ".join(word.text for word in words), box=Box.around([word.box for word in words]), words=words)


def one_block(*lines: Line) -> Block:
    return Block(box=Box.around([line.box for line in lines]), lines=lines)


def with_word(path: Path, kind: MediaKind, said: str = "word", **fields: object) -> Document:
    """A reading of all pages of a file: one word on each."""
    with PageSource(path, kind, max_pixels=PLENTY) as source:
        pages = []
        for number in range(1, source.pages(99) + 1):
            width, height = source.size(number)
            words = word(f"{said}{number}", width // 4, height // 4, width // 2, height // 3)
            shape = {"width": width, "height": height, "dpi": source.dpi(number)} | fields
            pages.append(page(one_block(line(words)), number=number, **shape))
    return Document(pages=tuple(pages))


# --- the same words in the same order ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["letter.png", "skewed.png", "upside.png", "turned.jpg", "scan.pdf"])
def test_text_of_a_real_reading_comes_out_as_in_the_text_export(own_samples: Path, name: str) -> None:
    path = own_samples / name
    engine = Tesseract(EngineSettings())
    with PageSource(path, sniff_file(path), max_pixels=PLENTY) as source:
        reading = read_with(engine, source, 1, ReadOptions())
        numbers = [1] if source.kind is not MediaKind.PDF else [1, 2, 3]
    engine.close()
    document = Document(pages=(reading,))
    assert len(reading.text) > 100
    assert extracted(searchable(path, document, numbers)).split() == txt(document).split()


def test_two_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    columns = [
        one_block(*(line(word(f"{name}{row}", x, 100 + 40 * row, x + 200, 130 + 40 * row)) for row in range(20)))
        for name, x in (("left", 100), ("right", 500))
    ]
    document = Document(pages=(page(*columns),))
    found = searchable(blank_image(tmp_path / "a.png"), document)
    assert extracted(found).split() == txt(document).split()


def test_every_script_can_be_copied(tmp_path: Path) -> None:
    said = "naïve cafe\u0301 ½ ﬁ soft\u00adhyphen end- 𝒳𝓎 😀 👩\u200d👩 नमस्ते दुनिया 日本語のテキスト שלום العربية 123"
    document = Document(pages=(page(block(said)),))
    assert extracted(searchable(blank_image(tmp_path / "a.png"), document)).split() == said.split()


def test_words_from_the_right_lie_from_the_right_with_their_signs_and_numbers(tmp_path: Path) -> None:
    document = Document(pages=(page(block("שלום עולם (טוב) שלום12 מחיר: 12,50")),))
    found = word_boxes(searchable(blank_image(tmp_path / "a.png"), document))
    seen = [said for said, _ in sorted(found, key=lambda word: -word[1][0])]
    # Poppler's boxes come with characters from left to right, as they are seen.
    assert seen == ["שלום"[::-1], "עולם"[::-1], "(טוב)"[::-1], "12" + "שלום"[::-1], "מחיר:"[::-1], "12,50"]


def test_words_without_spaces_between_them_stay_one(tmp_path: Path) -> None:
    words = (word("日本", 100, 100, 180, 140), word("語", 185, 100, 225, 140), word("x", 300, 100, 320, 140))
    document = Document(pages=(page(one_block(Line(text="日本語 x", box=Box(100, 100, 320, 140), words=words))),))
    assert extracted(searchable(blank_image(tmp_path / "a.png"), document)).split() == ["日本語", "x"]


def test_a_line_whose_words_say_otherwise_is_believed(tmp_path: Path) -> None:
    words = (word("helo", 100, 100, 180, 140),)
    document = Document(pages=(page(one_block(Line(text="Hello you", box=Box(100, 100, 320, 140), words=words))),))
    assert extracted(searchable(blank_image(tmp_path / "a.png"), document)).split() == ["Hello", "you"]


def test_blocks_that_have_markup_only_say_what_the_text_export_says(tmp_path: Path) -> None:
    table = block("", BlockKind.TABLE, "<table><tr><td>a b</td><td>c</td></tr><tr><td>d</td></tr></table>")
    document = Document(pages=(page(table, block("", BlockKind.FORMULA, "\\frac{a}{b}", top=1000)),))
    found = searchable(blank_image(tmp_path / "a.png"), document)
    assert extracted(found).split() == txt(document).split() == ["a", "b", "c", "d", "\\frac{a}{b}"]
    assert word_boxes(found)[-1][1][1] > 400


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents(max_pages=2))
def test_any_reading_makes_a_pdf_that_opens(tmp_path: Path, document: Document) -> None:
    found = searchable(blank_pdf(tmp_path / "a.pdf", pages=6), document, range(1, 7))
    with pikepdf.open(io.BytesIO(found)) as opened:
        assert len(opened.pages) == 6
        assert not opened.check_pdf_syntax()
    extracted(found)


# --- where they stand -------------------------------------------------------------------------------------------

CROP = pikepdf.Array([50, 80, 350, 560])


@pytest.mark.parametrize("rotate", [0, 90, 180, 270, -90])
@pytest.mark.parametrize("crop", [None, CROP])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_words_lie_in_their_boxes(tmp_path: Path, rotate: int, crop: pikepdf.Array | None, turned: int) -> None:
    path = blank_pdf(tmp_path / "a.pdf", Rotate=rotate, **({"CropBox": crop} if crop else {}))
    with PageSource(path, MediaKind.PDF, max_pixels=PLENTY) as source:
        width, height = source.size(1)
    upright = turned in (0, 180)
    sides = (150, 40) if upright else (40, 150)
    boxes = {
        f"word{number}": Box(x, y, x + sides[0], y + sides[1])
        for number, (x, y) in enumerate([(100, 120), (400, 300), (width - 200, height - 200)])
    }
    lines = [line(word(said, *box)) for said, box in boxes.items()]
    reading = page(one_block(*lines), width=width, height=height, dpi=200, turned=turned)
    found = dict(word_boxes(searchable(path, Document(pages=(reading,)))))
    for said, box in boxes.items():
        assert found[said] == pytest.approx([side * POINTS for side in box], abs=1)


def test_words_of_a_tilted_line_follow_the_tilt(tmp_path: Path) -> None:
    # Three degrees: 52 pixels lower after 1,000.
    words = [word(f"word{at}", 100 + 200 * at, 100 + 10 * at, 250 + 200 * at, 138 + 10 * at) for at in range(4)]
    document = Document(pages=(page(one_block(line(*words)), skew=3, dpi=200),))
    found = word_boxes(searchable(blank_image(tmp_path / "a.png"), document))
    for written, (said, box) in zip(words, found, strict=True):
        assert said == written.text
        assert box == pytest.approx([side * POINTS for side in written.box], abs=4)


def test_text_cannot_be_seen(tmp_path: Path) -> None:
    path = blank_pdf(tmp_path / "a.pdf")
    found = tmp_path / "b.pdf"
    found.write_bytes(searchable(path, with_word(path, MediaKind.PDF)))
    with PageSource(found, MediaKind.PDF, max_pixels=PLENTY) as source:
        assert source.image(1, 100).pixels.min() == 255


# --- what was uploaded stays ------------------------------------------------------------------------------------


def test_a_pdf_stays_to_the_last_byte_and_text_follows(own_samples: Path) -> None:
    path = own_samples / "scan.pdf"
    document = with_word(path, MediaKind.PDF)
    found = searchable(path, document)
    assert found.startswith(path.read_bytes())
    assert extracted(found).split() == ["word1", "word2", "word3"]
    with pikepdf.open(io.BytesIO(found)) as opened:
        assert not opened.check_pdf_syntax()
        assert opened.docinfo["/Producer"] == "Copyist"
    assert found == searchable(path, document)


def test_pages_with_text_of_their_own_get_none(own_samples: Path) -> None:
    path = own_samples / "scan.pdf"
    document = with_word(path, MediaKind.PDF, source=Source.TEXT_LAYER)
    assert searchable(path, document) == path.read_bytes()


def test_pages_that_could_not_be_read_are_there_without_text(own_samples: Path) -> None:
    path = own_samples / "scan.pdf"
    pages = with_word(path, MediaKind.PDF).pages
    found = searchable(path, Document(pages=(pages[0], pages[2])), [1, 2, 3])
    assert [part.strip() for part in extracted(found).split("\f")] == ["word1", "", "word3", ""]


def test_only_the_pages_asked_for_are_in_it(tmp_path: Path) -> None:
    path = blank_pdf(tmp_path / "a.pdf", pages=3)
    with pikepdf.open(path, allow_overwriting_input=True) as made:
        made.pages[0].Contents = made.make_stream(b"% secret")
        made.docinfo["/Title"] = "Whole"
        with made.open_outline() as outline:
            outline.root.append(pikepdf.OutlineItem("first", 0))
        made.save(path)
    pages = with_word(path, MediaKind.PDF).pages
    found = searchable(path, Document(pages=pages[1:]))
    assert b"secret" not in found
    assert extracted(found).split() == ["word2", "word3"]
    with pikepdf.open(io.BytesIO(found)) as opened:
        assert (len(opened.pages), str(opened.docinfo["/Title"])) == (2, "Whole")


@pytest.mark.parametrize("numbers", [[1, 2], [2]])
def test_what_pages_inherit_stays(tmp_path: Path, numbers: list[int]) -> None:
    path = blank_pdf(tmp_path / "a.pdf", pages=2)
    with pikepdf.open(path, allow_overwriting_input=True) as made:
        tree = made.Root.Pages
        tree.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F=HELVETICA))
        tree.MediaBox, tree.Rotate = [0, 0, 400, 600], 90
        for each in made.pages:
            del each.obj["/Resources"], each.obj["/MediaBox"]
            each.Contents = made.make_stream(b"BT /F 20 Tf 50 300 Td (seen) Tj ET")
        made.save(path)
    pages = [one for one in with_word(path, MediaKind.PDF).pages if one.number in numbers]
    found = searchable(path, Document(pages=tuple(pages)), numbers)
    assert extracted(found).split() == [said for number in numbers for said in (f"word{number}", "seen")]
    with pikepdf.open(io.BytesIO(found)) as opened:
        for one in opened.pages:
            assert (list(map(int, one.mediabox)), int(one.obj.Rotate)) == ([0, 0, 400, 600], 90)


def test_pages_may_share_their_resources(tmp_path: Path) -> None:
    path = blank_pdf(tmp_path / "a.pdf", pages=2)
    with pikepdf.open(path, allow_overwriting_input=True) as made:
        shared = made.make_indirect(pikepdf.Dictionary(Font=pikepdf.Dictionary(CopyistText0=HELVETICA)))
        made.Root.Pages.Resources = shared
        for each in made.pages:
            del each.obj["/Resources"]
        made.save(path, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    assert extracted(searchable(path, with_word(path, MediaKind.PDF))).split() == ["word1", "word2"]


@pytest.mark.parametrize("inherited", [False, True])
def test_a_second_reading_takes_the_place_of_the_first(tmp_path: Path, inherited: bool) -> None:
    path = blank_pdf(tmp_path / "a.pdf")
    with pikepdf.open(path, allow_overwriting_input=True) as made:
        form = made.make_stream(
            b"BT 3 Tr /F 20 Tf 50 300 Td (form) Tj ET",
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Form,
            BBox=[0, 0, 400, 600],
            Resources=pikepdf.Dictionary(Font=pikepdf.Dictionary(F=HELVETICA)),
        )
        del made.pages[0].obj["/Resources"]
        (made.Root.Pages if inherited else made.pages[0].obj).Resources = pikepdf.Dictionary(
            Font=pikepdf.Dictionary(F=HELVETICA), XObject=pikepdf.Dictionary(Old=form)
        )
        made.pages[0].Contents = made.make_stream(
            b"/Old Do q BT 3 Tr /F 20 Tf 50 500 Td (hidden) Tj ET Q BT /F 20 Tf 50 400 Td (seen) Tj ET "
            b"BT /F 20 Tf 50 200 Td (both) Tj 3 Tr (sides) Tj ET"
        )
        made.save(path)
    once = searchable(path, with_word(path, MediaKind.PDF, "first"))
    again = tmp_path / "again.pdf"
    again.write_bytes(once)
    twice = searchable(again, with_word(again, MediaKind.PDF, "second"))
    assert extracted(once).split() == ["first1", "seen", "bothsides"]
    assert extracted(twice).split() == ["second1", "seen", "bothsides"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"BT 3 Tr [(a(b)\\))-20<41>]TJ ET", b"BT 3 Tr  ET"),
        (b"BT % (no) Tj\n3 Tr(x)' ET", b"BT % (no) Tj\n3 Tr ET"),
        (b"BI /W 1 ID 3 Tr (x) Tj\x00( EI BT 3 Tr /A<</B[true]>>BDC(x)Tj ET", None),
        (b"BT 3 Tr (x) Tj ET )", b""),
        (b"BT 3 Tr (x Tj ET", b""),
    ],
)
def test_content_but_for_invisible_text_stays_to_the_byte(before: bytes, after: bytes | None) -> None:
    after = before.replace(b"(x)Tj ET", b" ET") if after is None else after
    with pikepdf.new() as made:
        shown = pikepdf.Dictionary(Contents=made.make_stream(before))
        assert (without_invisible_text(shown, pikepdf.Dictionary()) or b"").strip() == after


def test_a_small_file_that_unpacks_to_much_costs_no_memory(tmp_path: Path) -> None:
    path = blank_pdf(tmp_path / "a.pdf")
    with pikepdf.open(path, allow_overwriting_input=True) as made:
        much = zlib.compress(b"BT 3 Tr ET" + b"q Q\n" * 100_000_000)
        made.pages[0].Contents = made.make_stream(b"")
        made.pages[0].Contents.write(much, filter=pikepdf.Name.FlateDecode)
        made.save(path, stream_decode_level=pikepdf.StreamDecodeLevel.none)
    with pikepdf.open(path) as made:
        shown, before = made.pages[0].obj, getrusage(RUSAGE_SELF).ru_maxrss
        assert without_invisible_text(shown, pikepdf.Dictionary()) is None
        with pytest.raises(pikepdf.PdfError):
            shown.Contents.read_bytes()
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize(
    ("name", "error"), [("locked.pdf", Encrypted), ("zero_pages.pdf", NoPages), ("truncated.png", DamagedFile)]
)
def test_a_file_that_cannot_be_used_leaves_nothing_half(
    own_samples: Path, name: str, error: type[CopyistError]
) -> None:
    into = io.BytesIO()
    path = own_samples / name
    facts = {"kind": sniff_file(path), "original": lambda: nullcontext(path), "numbers": [1]}
    with pytest.raises(error):
        pdf.write(material(Document(pages=(page(block("text")),)), **facts), into)
    assert into.getvalue() == b""


def test_every_hostile_sample_gives_a_sound_pdf_or_a_clear_error(samples_dir: Path) -> None:
    for path in sorted((samples_dir / "hostile").iterdir()):
        try:
            document = with_word(path, sniff_file(path))
            found = searchable(path, document)
        except CopyistError:
            continue
        with pikepdf.open(io.BytesIO(found)) as opened:
            assert len(opened.pages) == len(document.pages), path.name
        # A page of a few pixels is smaller than poppler's smallest text.
        if document.pages[0].width > 20:
            words = [said for said in extracted(found).split() if said.startswith("word")]
            assert words == txt(document).split(), path.name


# --- pictures ---------------------------------------------------------------------------------------------------


@contextmanager
def picture(data: bytes, number: int = 1) -> Iterator[tuple[pikepdf.Object, list[float]]]:
    """The picture of a page, and the page's width and height in points."""
    with pikepdf.open(io.BytesIO(data)) as opened:
        found = opened.pages[number - 1]
        yield found.obj.Resources.XObject.Im, [float(side) for side in found.mediabox[2:]]


@pytest.mark.parametrize("name", ["exif.jpg", "cmyk.jpg"])
def test_a_jpeg_is_passed_on_as_it_is(own_samples: Path, name: str) -> None:
    path = own_samples / name
    with picture(searchable(path, with_word(path, MediaKind.JPEG))) as (found, _):
        assert found.read_raw_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "name", ["exif.jpg", "cmyk.jpg", "letter.png", "transparent.png", "sixteen_bit.png", "multipage.tif", "note.png"]
)
def test_a_page_looks_like_its_picture(own_samples: Path, tmp_path: Path, name: str) -> None:
    path, made = own_samples / name, tmp_path / "made.pdf"
    document = with_word(path, sniff_file(path))
    made.write_bytes(searchable(path, document))
    with (
        PageSource(path, sniff_file(path), max_pixels=PLENTY) as before,
        PageSource(made, MediaKind.PDF, max_pixels=PLENTY) as after,
    ):
        assert after.pages(9) == before.pages(9) == len(document.pages)
        for number in range(1, before.pages(9) + 1):
            size = (60, 60)
            images = [Image.fromarray(source.image(number, 100).pixels).convert("L") for source in (before, after)]
            ours, theirs = (image.resize(size, Image.Resampling.BOX).tobytes() for image in images)
            off = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
            if name != "sixteen_bit.png":  # which viewers show darker than engines see it
                assert sum(off) / len(off) < 8


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".bmp", ".avif", ".jp2", ".tif"])
def test_every_kind_of_picture_becomes_a_page(own_samples: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with Image.open(own_samples / "letter.png") as letter:
        letter.resize((300, 400)).convert("RGB").save(path)
    document = with_word(path, sniff_file(path))
    found = searchable(path, document)
    assert extracted(found).split() == ["word1"]
    with picture(found) as (_, size):
        assert size == pytest.approx([300, 400], abs=350)


def test_fax_pages_stay_black_and_white(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    frames = [Image.new("1", (1728, 2200), 1) for _ in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], compression="group4", dpi=(204, 98))
    with picture(searchable(path, with_word(path, MediaKind.TIFF)), 3) as (found, size):
        assert found.BitsPerComponent == 1
        assert size == pytest.approx([1728 / 204 * 72, 2200 / 98 * 72], abs=1)


def test_a_full_disk_is_no_fault_of_the_picture(own_samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = own_samples / "exif.jpg"
    document = with_word(path, MediaKind.JPEG)
    monkeypatch.setattr(PdfWriter, "put_stream", full)
    with pytest.raises(OSError, match="No space"):
        searchable(path, document)


# --- how much it costs ------------------------------------------------------------------------------------------

COST = """
import resource, sys, time
from contextlib import nullcontext
from datetime import date
from pathlib import Path
import copyist.api.app
from copyist.document import Block, Box, Line, Page, Word
from copyist.exports import pdf
from copyist.exports.material import Material
from copyist.media import MediaKind

path, count = Path(sys.argv[1]), int(sys.argv[2])
def line(y):
    words = tuple(Word(text=f"w{y}x{x}", box=Box(x, y, x + 80, y + 24)) for x in range(60, 960, 90))
    return Line(text=" ".join(word.text for word in words), box=Box(60, y, 960, y + 24), words=words)
blocks = (Block(box=Box(0, 0, 1111, 1667), lines=tuple(map(line, range(60, 1500, 36)))),)
shape = {"width": 1111, "height": 1667, "dpi": 200, "engine": "e", "engine_version": "1", "blocks": blocks}
pages = lambda: (Page(number=number, **shape) for number in range(1, count + 1))
original = lambda: nullcontext(path)
started = time.process_time()
with open(sys.argv[1] + ".out", "wb") as into:
    pdf.write(Material(pages, range(1, count + 1), "a.pdf", date(2025, 1, 1), MediaKind.PDF, original), into)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time() - started)
"""


@pytest.mark.slow
def test_a_thousand_pages_cost_an_api_process_no_more_memory_than_ten(tmp_path: Path) -> None:
    costs = []
    for pages in (10, 1000):
        path = blank_pdf(tmp_path / f"{pages}.pdf", pages=pages)
        command = [sys.executable, "-c", COST, str(path), str(pages)]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        costs.append((int(said[0]), float(said[1])))
    (little, _), (much, seconds) = costs
    assert much / little < 1.10, costs
    assert seconds < 30, costs
