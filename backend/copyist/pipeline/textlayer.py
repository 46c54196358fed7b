"""The text that a PDF page carries itself."""

from __future__ import annotations

from copyist.document import Page, Source
from copyist.pipeline.render import PageSource

ENGINE = "text-layer"
VERSION = "1"


def read_text_layer(source: PageSource, number: int, *, always: bool = False) -> Page | None:
    """The page's real text layer; ``None`` where it has none, or with ``always`` an empty page."""
    if not always:
        return None
    width, height = source.size(number)
    return Page(number=number, width=width, height=height, dpi=source.dpi(number), source=Source.TEXT_LAYER, engine=ENGINE, engine_version=VERSION)
