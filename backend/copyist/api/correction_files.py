"""Corrected files as they come in: taken from the request, told apart, laid beside what was read."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import UploadFile

from copyist import document
from copyist.api import examples
from copyist.api.results import numbers_of, pages_and_texts
from copyist.api.service import Service
from copyist.corrections import page_xml, reword, text_file
from copyist.corrections.text_file import Shown
from copyist.db.tables import Job
from copyist.errors import (
    DamagedFile,
    EmptyCorrection,
    FileTooLarge,
    InvalidOption,
    LinesDoNotMatch,
    MissingFile,
    NoLines,
)
from copyist.exports.text import block_text

MAX_BYTES = 10_000_000
"""A corrected text is held in memory: five thousand pages fit into that."""
XML_TYPES = ("application/xml", "text/xml")
_LOOKED_AT = 4096


@dataclass(frozen=True)
class SentFile:
    """What a request brought."""

    content: bytes
    media_type: str

    @property
    def is_page_xml(self) -> bool:
        """By its type or, as a text may have any, by how it begins."""
        begins = self.content[:_LOOKED_AT]
        looks_so = begins.lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(b"<") and b"PcGts" in begins
        return looks_so or self.media_type in XML_TYPES or self.media_type.endswith("+xml")

    @property
    def text(self) -> str:
        """A text in UTF-8, or in UTF-16 that says so; raises ``DamagedFile``."""
        is_wide = self.content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        try:
            return document.whole(self.content.decode("utf-16" if is_wide else "utf-8-sig"))
        except UnicodeDecodeError as error:
            raise DamagedFile(kind="a text in UTF-8") from error


async def _sent(request: Request) -> SentFile:
    """The body, or the file of a form; raises ``EmptyCorrection``, ``FileTooLarge`` and ``MissingFile``."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        async with request.form(max_files=1, max_fields=10) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise MissingFile(field="file")
            content = await file.read(MAX_BYTES + 1)
            media_type = (file.content_type or "").partition(";")[0].strip().lower()
    else:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > MAX_BYTES:
                break
            parts.append(part)
        content = b"".join(parts) if size <= MAX_BYTES else bytes(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FileTooLarge(limit_mb=round(MAX_BYTES / 1e6, 1))
    if not content.strip():
        raise EmptyCorrection
    return SentFile(content, media_type)


Sent = Annotated[SentFile, Depends(_sent)]

_FILE = {"type": "string", "format": "binary", "description": "A corrected result.txt, or a PAGE XML of one page"}
REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/plain": {"schema": {"type": "string"}, "example": examples.CORRECTED_TEXT},
            "application/xml": {"schema": {"type": "string", "contentMediaType": "application/xml"}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": _FILE}, "required": ["file"]},
            },
        },
    }
}


@dataclass(frozen=True)
class Laid:
    """Lines that found each other, as (line as it is shown, text that was sent), and what is left on both sides."""

    pairs: Sequence[tuple[Shown, str]]
    unmatched: Sequence[Shown]
    unmatched_text: Sequence[str]


def lay_beside(service: Service, job: Job, sent: SentFile, pages: str | None) -> Laid:
    """Find the lines of what was sent among those that were read, with what is corrected of them already.

    Raises ``LinesDoNotMatch``, ``NoLines``, ``EmptyCorrection``, ``DamagedFile``, and what a wrong ``pages`` raises.
    """
    numbers, _ = numbers_of(service, job, pages)
    if sent.is_page_xml:
        return _page_xml(service, job, page_xml.read(sent.content), numbers)
    lines: dict[int, list[Shown]] = {number: [] for number in numbers}
    for page, texts in pages_and_texts(service, job.id, numbers):
        lines[page.number] = _as_text(page, texts)
    found = text_file.match(sent.text, list(lines.values()))
    return Laid(found.pairs, found.unmatched, found.unmatched_text)


def _as_text(read: document.Page, texts: Mapping[int, str]) -> list[Shown]:
    """The lines of a page as ``exports.text`` writes them."""
    found, lines = list[Shown](), iter(_lines(read, texts))
    for block in reword.shown(read, texts).blocks:
        here = list(islice(lines, len(block.lines)))
        if block.text or not block.markup:
            found += here
        else:
            found += [Shown(read.number, None, text) for text in block_text(block).split("\n")]
    return found


def _lines(read: document.Page, texts: Mapping[int, str]) -> list[Shown]:
    """The lines of a page as it is given out, each with its number in the reading."""
    shown = zip(reword.numbers(read, texts), reword.shown(read, texts).lines(), strict=True)
    return [Shown(read.number, number, line.text) for number, line in shown]


def _page_xml(service: Service, job: Job, file: page_xml.PageFile, numbers: Sequence[int]) -> Laid:
    number = _number_of(file, numbers)
    found = next(pages_and_texts(service, job.id, [number]), None)
    lines = _lines(*found) if found else []
    if found is None or file.number not in (None, number):
        problem = f"The file is of page {file.number or number} of its document, which was not read here."
        raise LinesDoNotMatch(sent=len(file.lines), read=len(lines), problem=problem)
    matched = page_xml.match(file, reword.shown(*found))
    return Laid(
        [(lines[place], text) for place, text in matched.pairs],
        [lines[place] for place in matched.unmatched],
        matched.unmatched_text,
    )


def _number_of(file: page_xml.PageFile, numbers: Sequence[int]) -> int:
    """Which of these pages the file is of; raises ``InvalidOption`` where it does not say so, and ``NoLines``."""
    if len(numbers) == 1:
        return numbers[0]
    if not numbers:
        raise NoLines
    told = file.number or file.number_of_picture
    if told is None or told not in numbers:
        raise InvalidOption(option="pages", value="", allowed="the number of the page that the file is of: ?pages=2")
    return told
