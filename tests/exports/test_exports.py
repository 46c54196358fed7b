from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import date

import pytest

from copyist.document import Document, Page
from copyist.errors import InvalidOption
from copyist.exports import EXPORTS, find_export
from tests.exports.conftest import Write, exported, material


@pytest.mark.parametrize("extension", [name for name, export in EXPORTS.items() if export.is_text])
def test_every_text_export_is_utf8(extension: str, write: Write) -> None:
    assert EXPORTS[extension].extension == extension
    assert "Ünïcode" in exported(write("Ünïcode"), extension).decode("utf-8")


def test_an_unknown_extension_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidOption) as caught:
        find_export("exe")
    assert "txt, md, json, hocr, alto.xml, page.xml" in caught.value.detail


def test_the_day_of_upload_reaches_the_tasks(write: Write) -> None:
    data = exported(write("- Renew the lease by Dec 17"), "todo.json", uploaded=date(2031, 12, 18))
    assert json.loads(data)["tasks"][0]["due_date"] == "2032-12-17"


@pytest.mark.parametrize("extension", ["txt", "md", "json", "hocr", "alto.xml"])
def test_a_page_is_written_before_the_next_is_asked_for(extension: str, write: Write) -> None:
    document = write(*["a line of text"] * 200)
    into, sizes = io.BytesIO(), []

    def pages() -> Iterator[Page]:
        for page in document.pages:
            yield page
            sizes.append(into.tell())

    find_export(extension).write(material(Document(), pages=pages, numbers=range(1, 201)), into)
    assert len(set(sizes[-200:])) > 10


@pytest.mark.parametrize(
    ("filename", "name", "stem"),
    [
        ("scan.pdf", "scan.pdf", "scan"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("C:\\scans\\a.b.pdf", "a.b.pdf", "a.b"),
        ("/", "document", "document"),
        ("..", "document", "document"),
        ("", "document", "document"),
        (".pdf", "pdf", "pdf"),
        ("a\x00b\nc\u202e\u200b.png", "abc.png", "abc"),
        ('a<b>:"|?*.png', "a_b______.png", "a_b______"),
        ("naïve 日本.png", "naïve 日本.png", "naïve 日本"),
    ],
)
def test_names_are_made_safe_for_any_system(filename: str, name: str, stem: str) -> None:
    made = material(Document(), filename=filename)
    assert (made.name, made.stem) == (name, stem)


def test_long_names_fit_into_a_file_system() -> None:
    made = material(Document(), filename="日" * 500 + "." + "x" * 400)
    assert 100 < len(f"{made.stem}.todo.json".encode()) < 255
    assert material(Document(), filename="日" * 500 + ".png").name.endswith("日.png")
