"""A ``DoclingDocument``, docling's own tree, from the pages that were read.

As described by docling-core's schema 1.4.0 (``docs/DoclingDocument.json`` there), which every later reader takes. Boxes
and page sizes are in pixels of the page as uploaded, origin top left. Lists are not nested, cells of tables have no
spans and no boxes, pictures have no pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from copyist.document import Block, BlockKind, Box, Page
from copyist.exports.text import table_text

VERSION = "1.4.0"

_LABELS = {
    BlockKind.TEXT: "text",
    BlockKind.CAPTION: "caption",
    BlockKind.FOOTNOTE: "footnote",
    BlockKind.HEADER: "page_header",
    BlockKind.FOOTER: "page_footer",
    BlockKind.FORMULA: "formula",
}
_FURNITURE = frozenset({BlockKind.HEADER, BlockKind.FOOTER})


def docling_document(filename: str, pages: Iterable[Page]) -> dict[str, Any]:
    """The tree as plain JSON values."""
    tree = _Tree()
    for page in pages:
        tree.add(page)
    return {
        "schema_name": "DoclingDocument",
        "version": VERSION,
        "name": PurePosixPath(filename).stem,
        "origin": None,
        "furniture": _root("furniture", []),
        "body": _root("body", tree.body),
        "groups": tree.groups,
        "texts": tree.texts,
        "pictures": tree.pictures,
        "tables": tree.tables,
        "key_value_items": [],
        "form_items": [],
        "pages": tree.pages,
    }


def _root(name: str, children: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "self_ref": f"#/{name}",
        "parent": None,
        "children": children,
        "content_layer": name,
        "name": "_root_",
        "label": "unspecified",
    }


class _Tree:
    """The lists of items as they fill, and the order in which they are to be read."""

    def __init__(self) -> None:
        self.body: list[dict[str, str]] = []
        self.groups: list[dict[str, Any]] = []
        self.texts: list[dict[str, Any]] = []
        self.pictures: list[dict[str, Any]] = []
        self.tables: list[dict[str, Any]] = []
        self.pages: dict[str, Any] = {}
        self._has_title = False

    def add(self, page: Page) -> None:
        """One page with its blocks."""
        size = {"width": float(page.width), "height": float(page.height)}
        self.pages[str(page.number)] = {"size": size, "image": None, "page_no": page.number}
        for block in page.blocks:
            self._block(page.number, block)

    def _block(self, page: int, block: Block) -> None:
        if block.kind is BlockKind.LIST and block.lines:
            self._list(page, block)
        elif block.kind is BlockKind.TABLE:
            self.body.append(self._table(page, block))
        elif block.kind is BlockKind.TITLE:
            kind = {"label": "section_header", "level": 1} if self._has_title else {"label": "title"}
            self._has_title = True
            self._body_text(page, block, kind)
        elif block.kind is BlockKind.PICTURE:
            self.body.append(self._picture(page, block.box))
            self._body_text(page, block, {"label": "text"})
        else:
            self._body_text(page, block, {"label": _LABELS.get(block.kind, "text")})

    def _body_text(self, page: int, block: Block, kind: dict[str, Any]) -> None:
        markup_first = block.kind is BlockKind.FORMULA
        text = (block.markup if markup_first else None) or block.text or block.markup or ""
        if text:
            kind = kind | {"content_layer": "furniture" if block.kind in _FURNITURE else "body"}
            self.body.append(self._text(page, block.box, text, kind))

    def _list(self, page: int, block: Block) -> None:
        group = _item(f"#/groups/{len(self.groups)}", "list") | {"name": "list"}
        self.groups.append(group)
        self.body.append(_ref(group))
        kind = {"label": "list_item", "parent": _ref(group), "enumerated": False, "marker": "-"}
        group["children"] = [self._text(page, line.box, line.text, kind) for line in block.lines]

    def _text(self, page: int, box: Box, text: str, kind: dict[str, Any]) -> dict[str, str]:
        item = _item(f"#/texts/{len(self.texts)}", "text") | {"prov": [_place(page, box, len(text))]}
        self.texts.append(item | {"orig": text, "text": text} | kind)
        return _ref(item)

    def _picture(self, page: int, box: Box) -> dict[str, str]:
        item = _item(f"#/pictures/{len(self.pictures)}", "picture") | {"prov": [_place(page, box, 0)]}
        self.pictures.append(item | _FLOATING | {"annotations": []})
        return _ref(item)

    def _table(self, page: int, block: Block) -> dict[str, str]:
        text = (table_text(block.markup) if block.markup else "") or block.text
        rows = [row.split("\t") for row in text.splitlines()]
        cells = [_cell(row, column, cell) for row, line in enumerate(rows) for column, cell in enumerate(line)]
        item = _item(f"#/tables/{len(self.tables)}", "table") | {"prov": [_place(page, block.box, 0)]}
        data = {"table_cells": cells, "num_rows": len(rows), "num_cols": max(map(len, rows), default=0)}
        self.tables.append(item | _FLOATING | {"data": data})
        return _ref(item)


_FLOATING: dict[str, Any] = {"captions": [], "references": [], "footnotes": [], "image": None}


def _item(own: str, label: str) -> dict[str, Any]:
    return {"self_ref": own, "parent": {"$ref": "#/body"}, "children": [], "content_layer": "body", "label": label}


def _ref(item: dict[str, Any]) -> dict[str, str]:
    return {"$ref": item["self_ref"]}


def _place(page: int, box: Box, length: int) -> dict[str, Any]:
    corners = {"l": float(box.left), "t": float(box.top), "r": float(box.right), "b": float(box.bottom)}
    return {"page_no": page, "bbox": corners | {"coord_origin": "TOPLEFT"}, "charspan": [0, length]}


def _cell(row: int, column: int, text: str) -> dict[str, Any]:
    return {
        "bbox": None,
        "row_span": 1,
        "col_span": 1,
        "start_row_offset_idx": row,
        "end_row_offset_idx": row + 1,
        "start_col_offset_idx": column,
        "end_col_offset_idx": column + 1,
        "text": text,
        "column_header": False,
        "row_header": False,
        "row_section": False,
    }
