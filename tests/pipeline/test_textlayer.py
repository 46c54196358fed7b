"""Reading the text that a PDF page carries."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from PIL import Image

from copyist.document import Page, Source
from copyist.errors import PageDamaged
from copyist.media import MediaKind
from copyist.pipeline.render import PageSource
from copyist.pipeline.textlayer import ENGINE, read_text_layer
from tests.pipeline.drawn import PLENTY, image_pdf, mapped_pdf, page, save, text_pdf


def read(path: Path, number: int = 1, *, always: bool = False) -> Page | None:
    with PageSource(path, MediaKind.PDF, max_pixels=PLENTY) as source:
        return read_text_layer(source, number, always=always)


def some(path: Path) -> Page:
    found = read(path)
    assert found is not None
    return found


def show(*lines: str, x: int = 40, y: int = 250, turned: float = 0) -> str:
    """Lines of 14 pt, the first at (x, y) points, running ``turned`` degrees counter-clockwise."""
    cosine, sine = math.cos(math.radians(turned)), math.sin(math.radians(turned))
    return " ".join(
        f"BT /F1 14 Tf {cosine:.4f} {sine:.4f} {-sine:.4f} {cosine:.4f} "
        f"{x + 18 * number * sine:.2f} {y - 18 * number * cosine:.2f} Tm ({line}) Tj ET"
        for number, line in enumerate(lines)
    )


def test_text_is_read_exactly_with_lines_and_words(tmp_path: Path) -> None:
    found = some(text_pdf(tmp_path / "a.pdf", [show("Hello there, world", "second line")]))
    assert found.text == "Hello there, world\nsecond line"
    assert [word.text for line in found.lines() for word in line.words] == [
        "Hello",
        "there,",
        "world",
        "second",
        "line",
    ]
    assert (found.source, found.engine, found.confidence) == (Source.TEXT_LAYER, ENGINE, None)
    assert (found.width, found.height, found.dpi) == (1111, 833, 200)


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_boxes_lie_on_the_ink_however_page_and_text_are_turned(tmp_path: Path, rotate: int, turned: int) -> None:
    path = text_pdf(
        tmp_path / "a.pdf", [show("Hello turned", "world of", "letters", x=200, y=150, turned=turned)], rotate=rotate
    )
    found = some(path)
    assert found.text == "Hello turned\nworld of\nletters"
    with PageSource(path, MediaKind.PDF, max_pixels=PLENTY) as source:
        ink = source.reference(1).pixels < 200
    rows, columns = np.nonzero(ink)
    boxes = np.array([word.box for line in found.lines() for word in line.words])
    around = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
    assert np.abs(np.subtract(around, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))).max() <= 2
    for left, top, right, bottom in boxes:
        assert ink[top:bottom, left:right].mean() > 0.1


def test_the_box_of_a_cropped_page_starts_at_its_crop(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "a.pdf", [show("Inside", x=120, y=150) + show("Outside", x=10, y=20)])
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        pdf.pages[0].obj.CropBox = pikepdf.Array([100, 100, 300, 200])
        pdf.save(path)
    found = some(path)
    assert found.text == "Inside"
    assert next(found.lines()).box.left == pytest.approx(20 / 72 * 200, abs=6)


def test_a_word_broken_at_the_end_of_a_line_keeps_its_hyphen_and_its_line(tmp_path: Path) -> None:
    found = some(text_pdf(tmp_path / "a.pdf", [show("a word that is bro-", "ken in two")]))
    assert found.text == "a word that is bro-\nken in two"


def test_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    left = [f"left column line {number}" for number in range(6)]
    right = [f"right column line {number}" for number in range(6)]
    found = some(text_pdf(tmp_path / "a.pdf", [show(*left, x=20) + " " + show(*right, x=220)]))
    assert found.text.split("\n\n") == ["\n".join(left), "\n".join(right)]


def test_paragraphs_are_blocks(tmp_path: Path) -> None:
    found = some(text_pdf(tmp_path / "a.pdf", [show("one", "two", "three") + show("four", "five", y=160)]))
    assert found.text == "one\ntwo\nthree\n\nfour\nfive"


def test_text_put_letter_by_letter_is_joined_to_words(tmp_path: Path) -> None:
    spread = "BT /F1 14 Tf 40 200 Td [(H) -60 (e) -60 (l) -60 (l) -60 (o) -400 (y) -60 (o) -60 (u)] TJ ET"
    assert some(text_pdf(tmp_path / "a.pdf", [spread])).text == "Hello you"


def test_a_page_without_text_is_not_real_but_can_be_had_empty(tmp_path: Path) -> None:
    path = image_pdf(tmp_path / "a.pdf", page().image)
    assert read(path) is None
    empty = read(path, always=True)
    assert empty is not None
    assert (empty.text, empty.source) == ("", Source.TEXT_LAYER)


def test_a_stamp_on_a_scan_is_not_its_text(tmp_path: Path) -> None:
    assert read(image_pdf(tmp_path / "a.pdf", page().image, extra=show("Received 4 March 1998", y=20))) is None


def test_a_page_of_text_over_a_picture_is_real(tmp_path: Path) -> None:
    lines = [f"line {number} of a slide with a picture behind it" for number in range(8)]
    over = show(*lines, y=300)
    assert some(image_pdf(tmp_path / "a.pdf", Image.new("L", (900, 700), 200), extra=over)).text == "\n".join(lines)


def test_characters_without_meaning_are_no_text(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "a.pdf", [show("abcdefghij")])
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        ranges = b"1 beginbfrange <61> <6A> <E000> endbfrange"
        cmap = b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <FF> endcodespacerange "
        pdf.pages[0].obj.Resources.Font.F1.ToUnicode = pdf.make_stream(cmap + ranges + b" endcmap end")
        pdf.save(path)
    assert read(path) is None


def test_what_is_filled_into_a_form_is_read(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "a.pdf", [show("Name:")])
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        font = pdf.pages[0].obj.Resources.Font
        shown = pdf.make_stream(b"/Tx BMC q BT /F1 14 Tf 2 4 Td (Ada Lovelace) Tj ET Q EMC")
        shown.stream_dict.update(
            {
                "/Type": pikepdf.Name.XObject,
                "/Subtype": pikepdf.Name.Form,
                "/BBox": pikepdf.Array([0, 0, 150, 20]),
                "/Resources": pikepdf.Dictionary(Font=font),
            }
        )
        field = pdf.make_indirect(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Annot,
                Subtype=pikepdf.Name.Widget,
                FT=pikepdf.Name.Tx,
                F=4,
                T="name",
                V="Ada Lovelace",
                Rect=pikepdf.Array([100, 246, 250, 266]),
                AP=pikepdf.Dictionary(N=shown),
            )
        )
        pdf.pages[0].obj.Annots = pikepdf.Array([field])
        pdf.Root.AcroForm = pikepdf.Dictionary(Fields=pikepdf.Array([field]))
        pdf.save(path)
    assert some(path).text.split() == ["Name:", "Ada", "Lovelace"]


def test_a_picture_has_no_text_layer(tmp_path: Path) -> None:
    path, kind = save(page().image, tmp_path / "a")
    with PageSource(path, kind, max_pixels=PLENTY) as source:
        assert read_text_layer(source, 1) is None


def test_a_page_that_is_not_there_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(PageDamaged):
        read(text_pdf(tmp_path / "a.pdf", [show("x")]), number=3)


@pytest.mark.parametrize(
    ("utf16", "read_as"),
    [
        ("D83DDE00", "\U0001f600"),
        ("D835DC65", "\U0001d465"),
        ("D83D", "\ufffd"),
        ("DE00", "\ufffd"),
        ("DE00D83D", "\ufffd\ufffd"),
        ("00410000", "A"),
        ("00E9", "é"),
    ],
    ids=["emoji", "mathematical letter", "high half", "low half", "halves in the wrong order", "NUL", "accent"],
)
def test_characters_beyond_the_first_65536_are_whole(tmp_path: Path, utf16: str, read_as: str) -> None:
    """PDFium gives UTF-16, one half of a character at a time."""
    found = some(mapped_pdf(tmp_path / "a.pdf", "The quick brown fox jumps over ~ and so on and on and on", utf16))
    assert found.text == f"The quick brown fox jumps over {read_as} and so on and on and on"
    assert Page.model_validate_json(found.model_dump_json()) == found


def test_a_character_of_two_halves_has_one_box_and_the_words_after_it_keep_theirs(tmp_path: Path) -> None:
    contents = "plain ~~ words"
    two, one = (some(mapped_pdf(tmp_path / f"{utf16}.pdf", contents, utf16)) for utf16 in ("D83DDE00", "00E9"))
    assert two.text == "plain \U0001f600\U0001f600 words"
    boxes = [[word.box for line in found.lines() for word in line.words] for found in (two, one)]
    assert boxes[0] == boxes[1]


def test_a_page_of_nothing_but_mathematical_letters_is_a_real_text_layer(tmp_path: Path) -> None:
    assert some(mapped_pdf(tmp_path / "a.pdf", "~~~ ~~", "D835DC65")).text == "\U0001d465" * 3 + " " + "\U0001d465" * 2
