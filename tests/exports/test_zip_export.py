"""All formats in one archive."""

from __future__ import annotations

import errno
import io
import zipfile
from typing import IO

import pytest

from copyist.document import Document
from copyist.errors import FileGone, NoPages, Unavailable
from copyist.exports import EXPORTS
from copyist.exports import zip as archive
from copyist.exports.material import Material
from tests.exports.conftest import Write, exported, material, page
from tests.exports.reading import valid


class Pipe(io.RawIOBase):
    """Takes bytes and cannot go back, as a response or a pipe."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.taken += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def works(material: Material, into: IO[bytes]) -> None:
    into.write(b"made")


def fails(material: Material, into: IO[bytes]) -> None:
    into.write(b"half a fi")
    raise RuntimeError("in /opt/secret")


def packed(document: Document, formats: dict[str, archive.Write], **facts: object) -> zipfile.ZipFile:
    pipe = Pipe()
    archive.write(material(document, **facts), pipe, formats=formats)  # type: ignore[arg-type]
    packed = zipfile.ZipFile(io.BytesIO(pipe.taken))
    assert packed.testzip() is None
    return packed


TEXTS = {name: EXPORTS[name].write for name in ("txt", "json", "hocr", "alto.xml", "page.xml")}


def test_each_format_is_the_file_that_it_is_alone(write: Write) -> None:
    document = write("one")
    inside = packed(document, TEXTS, filename="../a note.png")
    assert inside.namelist() == [f"a note.{name}" for name in TEXTS]
    for name in ("txt", "json", "alto.xml"):
        assert inside.read(f"a note.{name}") == exported(document, name, filename="a note.png")


def test_of_several_pages_each_has_its_page_xml(write: Write) -> None:
    pages = tuple(one.model_copy(update={"number": 3 * one.number}) for one in write("one", "two").pages)
    inside = packed(Document(pages=pages), TEXTS)
    assert inside.namelist()[-2:] == ["pages/0003.page.xml", "pages/0006.page.xml"]
    assert "note.page.xml" not in inside.namelist()
    for number, text in ((3, "one"), (6, "two")):
        root = valid(inside.read(f"pages/{number:04}.page.xml"), "pagecontent.xsd")
        assert text in "".join(root.itertext())


def test_a_format_that_fails_is_named_and_the_others_are_whole(write: Write) -> None:
    inside = packed(write("one"), {"txt": works, "pdf": fails, "md": works})
    assert inside.namelist() == ["note.txt", "note.md", "note.failed.txt"]
    assert inside.read("note.failed.txt").decode() == "note.pdf: It could not be made (RuntimeError).\n"


def test_a_reason_for_people_is_given_as_it_is(write: Write) -> None:
    def gone(material: Material, into: IO[bytes]) -> None:
        raise FileGone

    inside = packed(write("one"), {"txt": works, "pdf": gone})
    assert FileGone.template in inside.read("note.failed.txt").decode()


@pytest.mark.parametrize("error", [Unavailable(what="The storage"), OSError(errno.ENOSPC, "No space left on device")])
def test_what_may_work_later_is_no_archive(write: Write, error: Exception) -> None:
    def later(material: Material, into: IO[bytes]) -> None:
        raise error

    with pytest.raises(type(error)):
        packed(write("one"), {"txt": works, "pdf": later})


def test_nothing_at_all_is_an_error() -> None:
    with pytest.raises(NoPages):
        packed(Document(pages=()), {"alto.xml": TEXTS["alto.xml"]})
    with pytest.raises(RuntimeError):
        packed(Document(pages=(page(),)), {"pdf": fails})


def test_a_target_that_breaks_is_no_failure_of_a_format(write: Write) -> None:
    class Broken(Pipe):
        def write(self, data: object) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        archive.write(material(write("one")), Broken(), formats={"txt": works})  # type: ignore[arg-type]
