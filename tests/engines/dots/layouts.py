"""Layouts as the model writes them: a page with everything on it, and any other page for property-based tests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from copyist.engines.dots.parse.cells import Category, Cell

Block = dict[str, Any]

PAGE: list[Block] = [
    {"bbox": [80, 40, 700, 70], "category": "Page-header", "text": "Proceedings, vol. 3"},
    {"bbox": [120, 100, 660, 150], "category": "Title", "text": "# On **Braces**"},
    {
        "bbox": [90, 180, 690, 260],
        "category": "Text",
        "text": 'She said "no" and left.\nThen {all} [was] quiet, at 5\\%.',
    },
    {"bbox": [90, 280, 690, 340], "category": "Formula", "text": "$$\\frac{a}{b} \\neq \\sqrt{\\beta_{i}} \\\\ \\nu$$"},
    {"bbox": [90, 360, 690, 500], "category": "Picture"},
    {"bbox": [90, 510, 690, 540], "category": "Caption", "text": "图 1: Größe über $\\Delta t$ 🙂"},
    {
        "bbox": [90, 560, 690, 700],
        "category": "Table",
        "text": '<table><thead><tr><th colspan="2">Sum</th></tr></thead><tr><td>1</td><td>$x<y$</td></tr></table>',
    },
    {"bbox": [90, 720, 690, 760], "category": "List-item", "text": '- {\\"bbox\\": a name}, and more'},
    {"bbox": [90, 780, 690, 800], "category": "Footnote", "text": "¹ See C:\\new\\table."},
]


def cell_of(block: Block) -> Cell:
    """The cell that a sound block is to become."""
    left, top, right, bottom = map(float, block["bbox"])
    return Cell((left, top, right, bottom), Category(block["category"]), block.get("text"))


CELLS = tuple(map(cell_of, PAGE))

_FORMULA = st.recursive(
    st.sampled_from(
        ["x", "\\alpha", "\\nu", "\\times ", "\\beta_{i}", "\\\\", "\\{", "\\}", "&", "\\ ", "\\text{if }", '"']
    ),
    lambda inner: st.builds("\\frac{{{}}}{{{}}}".format, inner, inner) | st.builds("{{{}}}^{}".format, inner, inner),
    max_leaves=6,
)
latex = st.lists(_FORMULA, min_size=1, max_size=5).map(" ".join)
"""LaTeX with nested braces, commands that look like escapes of JSON, and line breaks."""

_ANYTHING = st.text(st.characters(exclude_characters="\b\f\t\r\v", exclude_categories=["Cs"]), max_size=40)
texts = st.one_of(
    _ANYTHING,
    latex.map("$${}$$".format),
    st.builds("{} ${}$ {}".format, _ANYTHING, latex, _ANYTHING),
    st.sampled_from([block.get("text", "") for block in PAGE]),
)
_SIDE = st.integers(0, 4000) | st.floats(0, 4000).map(lambda number: round(number, 2))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """Any sound block, with its keys in any order."""
    block: Block = {"bbox": [draw(_SIDE) for _ in range(4)], "category": draw(st.sampled_from(Category)).value}
    if block["category"] != "Picture" or draw(st.booleans()):
        block["text"] = draw(texts)
    return dict(draw(st.permutations(list(block.items()))))


pages = st.lists(blocks(), max_size=5)


@st.composite
def written(draw: st.DrawFn, page: list[Block]) -> list[str]:
    """The blocks of ``page`` as JSON, each in the same style, which is any that ``json`` has."""
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, 0, 2]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    return [json.dumps(block, ensure_ascii=ascii_only, indent=indent, separators=separators) for block in page]
