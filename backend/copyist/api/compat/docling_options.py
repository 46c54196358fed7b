"""docling's options, as they come in a form or in JSON, as the house's own.

A client that sends all options it knows, with their defaults, must get what it got before: so options that mean nothing
here are passed over, and what cannot be had (a language, a format beside others) is noted in the answer's ``errors``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Annotated, Any, BinaryIO, Literal, cast

import pikepdf
from fastapi import Depends, Form
from pydantic import BaseModel, ValidationError

from copyist import media
from copyist.api import uploads
from copyist.document import TextPolicy
from copyist.errors import CopyistError, InvalidOption
from copyist.languages import language_codes
from copyist.media import MediaKind
from copyist.queue.routing import Priority

Engines = Mapping[str, Mapping[str, Any]]
Format = Literal["md", "text", "json"]

FORMATS: tuple[Format, ...] = ("md", "text", "json")
ENGINES = {"easyocr": "easyocr", "rapidocr": "rapidocr"} | dict.fromkeys(
    ("tesseract", "tesserocr", "tesseract_cli"), "tesseract"
)
"""docling's OCR engines that are here, too. Any other name leaves the choice to the house."""

BY_ADDRESS = "presigned_url"
"""The target of those who want the address of a result. There is none here, and they are told so."""
_NO_END = 1_000_000
"""docling's clients write "to the end" as the largest number there is."""
_MAX_BREAK = 200
_A_YEAR_S = 31_536_000
"""A time limit beyond this is none."""


class NoArtifactStorage(CopyistError):
    """Addresses of results are wanted instead of results. docling's clients ask for that first, and by these very
    words they know to ask again for the results themselves.
    """

    code, status, title = "no_artifact_storage", 422, "Results are not given out by address"
    template = "Addresses of results need artifact storage to be configured, which is not here. Use inbody or zip."


class Kept(BaseModel):
    """What is kept with the job until its result is fetched."""

    to_formats: list[Format] = ["md"]
    page_break: str = ""
    as_zip: bool = False
    notes: list[str] = []

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Kept:
        """From a job's metadata; a job that was made by another route has none of it."""
        try:
            return cls.model_validate(metadata.get("docling", {}))
        except ValidationError:
            return cls()


@dataclass(frozen=True)
class Options:
    """Options that were understood."""

    kept: Kept
    engine: str | None
    languages: tuple[str, ...]
    text: TextPolicy
    pages: tuple[int, int | None]
    time_limit: float | None

    def form(self, priority: Priority, content: IO[bytes]) -> uploads.Form:
        """The same for ``uploads``; ``content`` is the file, to see how many pages it has."""
        return uploads.Form(
            engine=self.engine,
            languages="+".join(self.languages) or None,
            text=self.text.value,
            pages=self._pages(content),
            priority=priority.value,
            metadata=json.dumps({"docling": self.kept.model_dump()}),
            time_limit=self.time_limit,
        )

    def _pages(self, content: IO[bytes]) -> str | None:
        first, last = self.pages
        total = None if last is None else _count_pages(content)
        if total is not None and last is not None and first <= total:
            last = min(last, total)
        if (first, last) == (1, None):
            return None
        return f"{first}-" if last is None else f"{first}-{last}"


def _count_pages(content: IO[bytes]) -> int | None:
    """The pages of a file, ``None`` where it cannot be told here; ``content`` stays where it stands.

    To docling a range may go beyond the end of the document; to us that is a slip.
    """
    start = content.tell()
    try:
        kind = media.sniff(content.read(media.HEAD_BYTES))
        if kind is not MediaKind.PDF:
            return None if kind is MediaKind.TIFF else 1
        content.seek(start)
        with pikepdf.open(cast("BinaryIO", content)) as pdf:
            return len(pdf.pages)
    except (pikepdf.PdfError, CopyistError):
        return None  # Whoever takes the file in says what is wrong with it.
    finally:
        content.seek(start)


@dataclass(frozen=True)
class SourceOptions:
    """Options as they came, to be understood once it is known which engines there are."""

    values: Mapping[str, Any]
    target: str = "inbody"

    def __call__(self, engines: Engines) -> Options:
        """Raises ``InvalidOption`` and ``NoArtifactStorage``."""
        if self.target == BY_ADDRESS:
            raise NoArtifactStorage
        get = self.values.get
        notes: list[str] = []
        languages = _languages(_words(get("ocr_lang")), engines, notes)
        formats = _formats(_words(get("to_formats")), notes)
        engine = ENGINES.get(str(get("ocr_engine") or "").lower())
        return Options(
            kept=Kept(
                to_formats=formats,
                page_break=str(get("md_page_break_placeholder") or "").replace("\0", "")[:_MAX_BREAK],
                as_zip=self.target == "zip" or _flag(get("return_as_file"), otherwise=False),
                notes=notes,
            ),
            engine=engine if engine and engines.get(engine, {}).get("ready") else None,
            languages=languages,
            text=_text(do_ocr=_flag(get("do_ocr"), otherwise=True), force=_flag(get("force_ocr"), otherwise=False)),
            pages=_pages(get("page_range")),
            time_limit=_seconds(get("document_timeout")),
        )


def _form(
    to_formats: Annotated[
        list[str] | None, Form(description="`md`, `text`, `json`; `html` and `doctags` are not made here")
    ] = None,
    do_ocr: Annotated[str | None, Form(description="`false`: use nothing but a PDF's own text")] = None,
    force_ocr: Annotated[str | None, Form(description="`true`: never use a PDF's own text")] = None,
    ocr_engine: Annotated[
        str | None, Form(description="`easyocr`, `rapidocr` or `tesseract`, where it is ready; else our own choice")
    ] = None,
    ocr_lang: Annotated[list[str] | None, Form(description="Languages; those that nobody reads here are noted")] = None,
    page_range: Annotated[list[str] | None, Form(description="The first page and the last, as two fields")] = None,
    md_page_break_placeholder: Annotated[str | None, Form(description="Between the pages of the Markdown")] = None,
    document_timeout: Annotated[str | None, Form(description="Seconds; pages left then are given up")] = None,
    return_as_file: Annotated[str | None, Form(description="`true`: a ZIP")] = None,
    target_type: Annotated[str, Form(description="`inbody` or `zip`")] = "inbody",
) -> SourceOptions:
    values = {name: value for name, value in locals().items() if name != "target_type"}
    if target_type not in ("inbody", "zip", BY_ADDRESS):
        raise InvalidOption(option="target_type", value=target_type[:40], allowed="inbody or zip")
    return SourceOptions(values, target_type)


UploadOptions = Annotated[SourceOptions, Depends(_form)]


def _words(value: object) -> list[str]:
    """The words of a list, however it is written: as one, as several fields, with commas, or as JSON in a field."""
    parts = value if isinstance(value, list) else [value] if value else []
    return [word for part in parts for word in re.findall(r"[\w-]+", str(part))]


def _flag(value: object, *, otherwise: bool) -> bool:
    if value is None or value == "":
        return otherwise
    return str(value).strip().lower() in ("true", "1", "yes", "on")


def _text(*, do_ocr: bool, force: bool) -> TextPolicy:
    if not do_ocr:
        return TextPolicy.ONLY
    return TextPolicy.FORCE if force else TextPolicy.AUTO


def _formats(wanted: list[str], notes: list[str]) -> list[Format]:
    found: list[Format] = [one for one in FORMATS if one in wanted]
    others = sorted(set(wanted) - set(FORMATS))
    if wanted and not found:
        raise InvalidOption(option="to_formats", value=wanted[0][:40], allowed=", ".join(FORMATS))
    if others:
        notes.append(f"Not made here: {', '.join(others)[:100]}.")
    return found or ["md"]


def _languages(wanted: list[str], engines: Engines, notes: list[str]) -> tuple[str, ...]:
    known, unknown = [], []
    for word in wanted[:50]:
        try:
            known += language_codes(word, engines)
        except InvalidOption:
            unknown.append(word[:20])
    if unknown:
        notes.append(f"No engine here reads these languages, so they were passed over: {', '.join(unknown)}.")
    return tuple(dict.fromkeys(known))


def _pages(value: object) -> tuple[int, int | None]:
    numbers = [int(word[:20]) for word in _words(value) if word.isascii() and word.isdigit()]
    if not numbers:
        return 1, None
    first, last = numbers[0], numbers[-1]
    if first < 1 or last < first or first > _NO_END or len(numbers) > 2:
        raise InvalidOption(option="page_range", value=str(value)[:40], allowed="the first page and the last")
    return first, None if last > _NO_END else last


def _seconds(value: object) -> float | None:
    try:
        seconds = float(str(value)) if value else 0.0
    except ValueError as error:
        raise InvalidOption(option="document_timeout", value=str(value)[:40], allowed="a number of seconds") from error
    return seconds if 0 < seconds <= _A_YEAR_S else None
