from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from copyist.document import BlockKind, Box, Document, Word
from copyist.exports.json import read
from tests.exports.conftest import block, exported, page


def test_a_document_comes_back_as_it_was() -> None:
    line = block("É🙂 “x”").lines[0].model_copy(update={"words": (Word(text="É🙂", box=Box(1, 2, 3, 4)),)})
    formula = block("x", BlockKind.FORMULA, markup=r"\frac{1}{2}").model_copy(update={"lines": (line,)})
    document = Document(pages=(page(formula, turned=90, skew=0.5, dpi=300), page(number=2)))
    assert read(exported(document, "json")) == document
    assert read(exported(Document(), "json")) == Document()


def test_the_version_comes_first_and_boxes_are_four_numbers() -> None:
    tree = json.loads(exported(Document(pages=(page(block("one")),)), "json"))
    assert list(tree) == ["version", "pages"]
    assert tree["version"] == 1
    assert tree["pages"][0]["blocks"][0]["lines"][0]["box"] == [100, 0, 700, 30]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version": 2, "pages": []}', b'{"version": 1, "pages": [{}]}'])
def test_other_data_is_refused(data: bytes) -> None:
    with pytest.raises(ValidationError):
        read(data)
