"""The text that a PDF page carries itself: read from it exactly, and a hundred times faster than from its picture.

Decided page by page. A text layer is real when it is made of characters one can read and is not a mere stamp on a scan.
"""

from __future__ import annotations

from typing import Final

from copyist.document import Block, Page, Source
from copyist.pipeline.glyphs import Glyphs, flatten, has_text_annotations, read_glyphs
from copyist.pipeline.pdf import Survey
from copyist.pipeline.render import PageSource
from copyist.pipeline.textlines import text_blocks

ENGINE: Final = "text-layer"
VERSION: Final = "1"

_MAX_UNREADABLE: Final = 0.05
"""Share of replacement characters, private-use ones and such without a mapping in a real text layer."""
_SCANNED_COVER: Final = 0.7
_STAMP_CHARACTERS, _STAMP_LINES = 100, 3
"""A page under an image with no more text than this is a scan with a number, a date or a stamp on it."""


def read_text_layer(source: PageSource, number: int, *, always: bool = False) -> Page | None:
    """The page read from its text layer; ``None`` when it has no real one.

    With ``always`` there is a page in any case, if need be an empty one. Boxes are in the reference frame, confidence
    is ``None``. Raises ``PageDamaged`` and ``TooManyPixels``.
    """
    size = source.size(number)
    found = _read(source, number, size)
    if found is None:
        return _page(source, number, size, ()) if always else None
    glyphs, survey = found
    blocks = text_blocks(glyphs, size)
    if not always and not _is_real(glyphs, blocks, survey):
        return None
    return _page(source, number, size, blocks)


def _read(source: PageSource, number: int, size: tuple[int, int]) -> tuple[Glyphs, Survey] | None:
    survey = source.survey(number)
    if survey is None:
        return None
    with source.pdf_page(number) as page:
        annotated = has_text_annotations(page)
        if annotated:
            flatten(page)
        else:
            glyphs = read_glyphs(page, size)
    if annotated:
        with source.pdf_page(number) as page:
            glyphs = read_glyphs(page, size)
    return (glyphs, survey) if glyphs is not None else None


def _is_real(glyphs: Glyphs, blocks: tuple[Block, ...], survey: Survey) -> bool:
    lines = sum(len(block.lines) for block in blocks)
    characters = [code for code in glyphs.codes if code > 32]
    unreadable = sum(map(_is_unreadable, characters)) + glyphs.unmapped
    if not lines or unreadable > _MAX_UNREADABLE * len(characters):
        return False
    is_stamp = len(characters) < _STAMP_CHARACTERS or lines <= _STAMP_LINES
    return not (is_stamp and survey.image_cover >= _SCANNED_COVER)


def _is_unreadable(code: int) -> bool:
    """Replacement and private-use characters: what fonts without a proper mapping give."""
    return code == 0xFFFD or 0xE000 <= code <= 0xF8FF or code >= 0xF0000


def _page(source: PageSource, number: int, size: tuple[int, int], blocks: tuple[Block, ...]) -> Page:
    return Page(
        number=number,
        width=size[0],
        height=size[1],
        dpi=source.dpi(number),
        source=Source.TEXT_LAYER,
        engine=ENGINE,
        engine_version=VERSION,
        blocks=blocks,
    )
