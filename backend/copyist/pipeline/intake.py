"""Taking a file in: how many pages it has, and whether it is one that can be read at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from copyist.errors import TooManyPages
from copyist.media import MediaKind
from copyist.pageranges import parse_pages
from copyist.pipeline.render import PageSource

__all__ = ["Intake", "inspect", "parse_pages"]


@dataclass(frozen=True)
class Intake:
    """What is known of a file before its first page is read.

    ``repaired``: it was damaged in a way that could be mended. Nothing is kept of the repair: it is made again, with
    the same outcome, whenever the file is opened.
    """

    pages: int
    repaired: bool = False


def inspect(path: Path, kind: MediaKind, *, max_pages: int, max_pixels: int) -> Intake:
    """Count the pages of a file: frames of a TIFF, pages of a PDF, else 1.

    Raises ``Encrypted``, ``NoPages``, ``TooManyPages``, ``TooManyPixels`` or ``DamagedFile``. Damage to a single page
    is left to be found when that page is read.
    """
    with PageSource(path, kind, max_pixels=max_pixels) as source:
        pages = source.pages(limit=max_pages)
        if pages > max_pages:
            raise TooManyPages(pages=pages, limit=max_pages)
        return Intake(pages=pages, repaired=source.repaired)
