"""What a page says: Document > Page > Block > Line > Word, the same from every engine.

Boxes are in pixels of the page *as uploaded* (EXIF orientation applied, PDF pages at ``Page.dpi``), origin at the top
left, ``right`` and ``bottom`` exclusive. Confidence is 0 to 1, never a percentage, or ``None`` where an engine gives
none. All records are frozen and go to JSON and back by pydantic: ``page.model_dump_json()`` and
``Page.model_validate_json(text)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Box(NamedTuple):
    """An upright rectangle in pixels; in JSON ``[left, top, right, bottom]``."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.bottom - self.top

    @classmethod
    def around(cls, boxes: Iterable[Box]) -> Box:
        """The smallest box that holds all of ``boxes``; raises ``ValueError`` when there are none."""
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        return cls(min(lefts), min(tops), max(rights), max(bottoms))

    def within(self, width: int, height: int) -> Box:
        """This box cut to a page of ``width`` x ``height`` pixels."""
        left, top = min(max(self.left, 0), width), min(max(self.top, 0), height)
        return Box(left, top, min(max(self.right, left), width), min(max(self.bottom, top), height))


class BlockKind(StrEnum):
    """What a block is."""

    TEXT = "text"
    TITLE = "title"
    LIST = "list"
    TABLE = "table"
    FORMULA = "formula"
    PICTURE = "picture"
    CAPTION = "caption"
    HEADER = "header"
    FOOTER = "footer"
    FOOTNOTE = "footnote"


class Mode(StrEnum):
    """What a page is to be read as."""

    DOCUMENT = "document"
    HANDWRITING = "handwriting"
    FORMULA = "formula"
    PAPER = "paper"


class Outcome(StrEnum):
    """How one try of one engine on a page ended, as the page's trail tells it."""

    READ = "read"
    KEPT_OTHER = "kept_other"
    """It read the page, but another engine's reading was kept."""
    NOT_READY = "not_ready"
    FAILED = "failed"
    GARBAGE = "garbage"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    """Its process died while the rest of the worker lived: the engine's own doing."""
    LOST = "lost"
    """The whole worker was gone: killed, or without power. Nobody's fault that we know of."""
    CACHED = "cached"


class TextPolicy(StrEnum):
    """What to do with the text layer of a PDF page: use a real one, never use it, or use nothing else."""

    AUTO = "auto"
    FORCE = "force"
    ONLY = "only"


class Source(StrEnum):
    """Where a page's text comes from."""

    OCR = "ocr"
    TEXT_LAYER = "text_layer"


class Record(BaseModel):
    """A frozen value that crosses rooms."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Decoding(Record):
    """How a model that writes its answer token by token is to choose them; ``None`` leaves it to the engine.

    ``model`` names another model of the same engine: its folder's name in the weights folder, or the name it is
    published under.
    """

    model: str | None = Field(default=None, max_length=200)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)


def whole(text: str) -> str:
    """``text`` as it can be written down: halves of characters joined (UTF-16), lone ones marked, no NUL."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


Text = Annotated[str, AfterValidator(whole)]
"""Text that every database and every format takes, whatever an engine or a PDF made of it."""


class Word(Record):
    """One word and how sure the engine is of it."""

    text: Text
    box: Box
    confidence: float | None = Field(default=None, ge=0, le=1)


class Line(Record):
    """One line of text: what a person corrects. ``words`` may be empty where an engine gives lines only."""

    text: Text
    box: Box
    confidence: float | None = Field(default=None, ge=0, le=1)
    words: tuple[Word, ...] = ()


class Block(Record):
    """A paragraph, heading, table, ... in reading order.

    ``markup`` holds what lines cannot say, where an engine says it: LaTeX for a formula; sanitised HTML, LaTeX or a
    pipe table for a table; else Markdown, with formulas between dollar signs. It says the same as the lines: whoever
    changes a line drops the markup of its block.
    """

    kind: BlockKind = BlockKind.TEXT
    box: Box
    lines: tuple[Line, ...] = ()
    markup: Text | None = None

    @property
    def text(self) -> str:
        """The block's lines, one per line."""
        return "\n".join(line.text for line in self.lines)


class Page(Record):
    """One page as one engine read it.

    ``turned`` is how many degrees clockwise (0, 90, 180, 270) the page had to be turned to stand upright, ``skew`` by
    how many degrees clockwise it was still tilted then. Boxes are in the page as uploaded all the same. ``complete`` is
    false where the engine knows that it read only a part of what stands there.
    """

    number: int = Field(default=1, ge=1)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    dpi: int | None = None
    turned: int = 0
    skew: float = 0.0
    source: Source = Source.OCR
    complete: bool = True
    engine: str
    engine_version: str
    blocks: tuple[Block, ...] = ()

    def lines(self) -> Iterator[Line]:
        """All lines in reading order."""
        for block in self.blocks:
            yield from block.lines

    @property
    def text(self) -> str:
        """The page's text: blocks parted by a blank line."""
        return "\n\n".join(block.text or (block.markup or "") for block in self.blocks if block.text or block.markup)

    @property
    def confidence(self) -> float | None:
        """Mean confidence of the lines, each weighed by its characters; ``None`` when no line has one."""
        weighed = [(line.confidence, len(line.text)) for line in self.lines() if line.confidence is not None]
        characters = sum(count for _, count in weighed)
        return sum(value * count for value, count in weighed) / characters if characters else None


class Document(Record):
    """The pages of one job, in order."""

    pages: tuple[Page, ...] = ()
