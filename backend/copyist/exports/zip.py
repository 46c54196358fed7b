"""Every other format in one archive, and of a document of several pages a PAGE XML file for each."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from copyist.errors import CopyistError
from copyist.exports import pagexml
from copyist.exports.material import Material

Write = Callable[[Material, IO[bytes]], None]

FAILED = "failed.txt"
"""The ending of the file that says which formats are missing, and why."""

_EARLIEST = 1980
"""The first year that an archive can write down (APPNOTE.TXT, 4.4.6)."""

log = logging.getLogger(__name__)


def write(material: Material, into: IO[bytes], *, formats: Mapping[str, Write]) -> None:
    """An archive of ``formats``, by extension; ``into`` need not be seekable.

    Each file is made on disk before it goes in, so one that fails leaves the others whole and is named in a file of its
    own. Raises what failed last where nothing could be made, and any error that a retry would help.
    """
    failures: dict[str, Exception] = {}
    made = 0
    with ZipFile(into, "w") as archive:
        for name, make in _files(material, formats):
            with tempfile.TemporaryFile() as content:
                if error := _failure(make, content):
                    log.warning("%s could not be put into an archive", name, exc_info=error)
                    failures[name] = error
                else:
                    _add(archive, name, content, material)
                    made += 1
        if failures and not made:
            raise failures.popitem()[1]
        if failures:
            with tempfile.TemporaryFile() as content:
                content.writelines(f"{name}: {_reason(error)}\n".encode() for name, error in failures.items())
                _add(archive, f"{material.stem}.{FAILED}", content, material)


def _files(material: Material, formats: Mapping[str, Write]) -> Iterator[tuple[str, Callable[[IO[bytes]], None]]]:
    several = len(material.numbers) > 1
    for extension, make in formats.items():
        if not (several and make is pagexml.write):
            yield f"{material.stem}.{extension}", partial(make, material)
    if several:
        for page in material.pages():
            yield f"pages/{page.number:04}.page.xml", partial(pagexml.write_page, material, page)


def _failure(make: Callable[[IO[bytes]], None], content: IO[bytes]) -> Exception | None:
    try:
        make(content)
    except OSError:
        raise  # a disk that is full is no fault of one format
    except Exception as error:
        if isinstance(error, CopyistError) and error.retry:
            raise
        return error
    return None


def _reason(error: Exception) -> str:
    return error.detail if isinstance(error, CopyistError) else f"It could not be made ({type(error).__name__})."


def _add(archive: ZipFile, name: str, content: IO[bytes], material: Material) -> None:
    day = material.uploaded
    entry = ZipInfo(name, (max(day.year, _EARLIEST), day.month, day.day, 0, 0, 0))
    entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o644 << 16
    # Its size tells the archive whether to write the file down as one of more than 4 GB.
    entry.file_size = content.seek(0, 2)
    content.seek(0)
    with archive.open(entry, "w") as member:
        shutil.copyfileobj(content, member, 1 << 20)
