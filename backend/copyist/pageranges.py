"""Page ranges as people write them: ``1-3,5``, ``7-`` for the rest of the document. Pages count from 1."""

from __future__ import annotations

import re

from copyist.errors import InvalidOption, PagesOutOfRange

_PART = re.compile(r"\s*([0-9]{1,7})\s*(?:(-)\s*([0-9]{1,7})?\s*)?", re.ASCII)
_ALLOWED = 'page numbers and ranges, such as "1-3,5" or "7-"'
_MAX_LENGTH = 1000


def read_ranges(text: str) -> tuple[tuple[int, int | None], ...]:
    """The ranges in ``text`` as (first, last), with ``None`` for "to the end"; else raises ``InvalidOption``.

    This needs no document, so a wrong range is refused with the upload.
    """
    ranges = []
    for part in text.split(",") if len(text) <= _MAX_LENGTH else [""]:
        match = _PART.fullmatch(part)
        if match is None:
            raise _invalid(text)
        first = int(match[1])
        last = first if match[2] is None else int(match[3]) if match[3] else None
        if first < 1 or (last is not None and last < first):
            raise _invalid(text)
        ranges.append((first, last))
    return tuple(ranges)


def parse_pages(text: str, total: int) -> tuple[int, ...]:
    """The pages that ``text`` names in a document of ``total`` pages, in ascending order, each once.

    Raises ``InvalidOption`` for a wrong syntax and ``PagesOutOfRange`` for pages the document does not have.
    """
    pages: set[int] = set()
    for first, last in read_ranges(text):
        last = total if last is None else last
        if first > total or last > total:
            raise PagesOutOfRange(pages=text.strip(), total=total)
        pages.update(range(first, last + 1))
    return tuple(sorted(pages))


def _invalid(text: str) -> InvalidOption:
    return InvalidOption(value=text[:40], option="pages", allowed=_ALLOWED)
