"""Made-up readings as any engine may give them, and what the published schemas say of a file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hypothesis import strategies as st
from lxml import etree

from copyist.document import Block, BlockKind, Box, Document, Line, Page, Source, Word

SCHEMAS = Path(__file__).parent.parent / "schemas"

_TEXTS = st.text(max_size=12) | st.sampled_from(
    ["\x00\x01\x1f", "\ufffe\uffff", "]]>", "<b>&amp;\"'", "\x0c\x0b\x85\u2028", "ab cd", "\ud800", "日本", "שלום", " "]
)
_MARKUP = st.none() | st.sampled_from(
    ["", "<table><tr><td>1</td><td>\x02</td></tr></table>", "\\frac{a}{b} < c", "**b**"]
)
_SURE = st.none() | st.floats(0, 1)
# Some reach beyond the page, some are nothing or inside out.
_BOXES = st.builds(Box, *[st.integers(-50, 1100)] * 4)
_WORDS = st.builds(Word, text=_TEXTS, box=_BOXES, confidence=_SURE)
_LINES = st.builds(Line, text=_TEXTS, box=_BOXES, confidence=_SURE, words=st.lists(_WORDS, max_size=3).map(tuple)) | (
    st.lists(_WORDS, min_size=1, max_size=3).map(
        lambda words: Line(text=" ".join(word.text for word in words), box=Box(0, 0, 9, 9), words=tuple(words))
    )
)
_BLOCKS = st.builds(
    Block,
    kind=st.sampled_from(BlockKind),
    box=_BOXES,
    lines=st.lists(_LINES, max_size=3).map(tuple),
    markup=_MARKUP,
)
_PAGES = st.builds(
    Page,
    width=st.integers(1, 1000),
    height=st.integers(1, 1000),
    dpi=st.none() | st.integers(1, 1200),
    turned=st.sampled_from([0, 90, 180, 270]),
    skew=st.floats(-20, 20),
    source=st.sampled_from(Source),
    engine=_TEXTS,
    engine_version=_TEXTS,
    blocks=st.lists(_BLOCKS, max_size=4).map(tuple),
)


def documents(max_pages: int = 3) -> st.SearchStrategy[Document]:
    """Documents of at least one page, whose numbers have gaps."""
    return st.lists(_PAGES, min_size=1, max_size=max_pages).map(
        lambda pages: Document(
            pages=tuple(page.model_copy(update={"number": 3 * place + 2}) for place, page in enumerate(pages))
        )
    )


@cache
def _schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(SCHEMAS / name))


def valid(data: bytes, schema: str) -> etree._Element:
    """The root of a file that its published schema accepts; raises ``lxml.etree.DocumentInvalid``."""
    root = etree.fromstring(data)
    _schema(schema).assertValid(root)
    return root
