"""The last resort: says in so many words that nothing was read, so that a page never ends without an answer.

Instant and deterministic. The chain marks whatever it returns as degraded.
"""

from __future__ import annotations

from collections.abc import Sequence

from copyist.document import Block, Box, Line, Page
from copyist.engines.base import Availability, EngineSettings, Mode, PageImage, ReadOptions
from copyist.engines.reading_order import words_along

NOTICE = (
    "This page was not read.",
    "No OCR engine was used: this is a placeholder text.",
    "Ask whoever runs this server to install an engine, then send the file again.",
)
VERSION = "1"


class Mock:
    """Puts ``NOTICE`` on every page that is not blank, with boxes inside the image and no confidence."""

    name = "mock"
    modes = frozenset(Mode)
    needs_gpu = False
    cost = 0.0
    dpi = 150
    stops = True
    heavy = False

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:  # noqa: ARG003
        """Always ready."""
        return Availability(ready=True, version=VERSION)

    def __init__(self, settings: EngineSettings) -> None:  # noqa: ARG002
        self.version = VERSION

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:  # noqa: ARG002
        """Give each image that has any contrast the notice, one line under the other; a blank one has no text."""
        return [self._page(image) for image in images]

    def close(self) -> None:
        """Nothing is held."""

    def _page(self, image: PageImage) -> Page:
        blank = image.pixels.size == 0 or int(image.pixels.min()) == int(image.pixels.max())
        lines = () if blank else _notice_lines(image.width, image.height)
        return Page(
            width=image.width,
            height=image.height,
            dpi=image.dpi,
            engine=self.name,
            engine_version=self.version,
            blocks=(Block(box=Box.around(line.box for line in lines), lines=lines),) if lines else (),
        )


def _notice_lines(width: int, height: int) -> tuple[Line, ...]:
    """The notice spread over the page: a line in every second band of its height."""
    lines, bands = [], 2 * len(NOTICE) + 1
    for index, text in enumerate(NOTICE):
        top, bottom = height * (2 * index + 1) // bands, height * (2 * index + 2) // bands
        line = Box(width // 10, top, max(width * 9 // 10, width // 10 + 1), max(bottom, top + 1)).within(width, height)
        lines.append(Line(text=text, box=line, words=words_along(text, line)))
    return tuple(lines)
