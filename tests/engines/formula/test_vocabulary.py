"""The vocabulary of a model: made of what is trained on, saved and read back, and refused when it is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copyist.engines.formula.latex import normalize
from copyist.engines.formula.vocabulary import END, FILE, SPECIAL, UNKNOWN, Vocabulary

LABELS = [normalize(label) for label in (r"\frac{1}{2}x^{2}", "x+1", r"\alpha_{1}+x")]


def test_a_vocabulary_knows_the_tokens_of_its_labels_and_no_others(tmp_path: Path) -> None:
    vocabulary = Vocabulary.of(LABELS)
    assert len(vocabulary) == len(SPECIAL) + len({token for label in LABELS for token in label})
    ids = vocabulary.ids(LABELS[0])
    assert vocabulary.tokens([*ids, END]) == list(LABELS[0])
    assert vocabulary.ids(("x", r"\sum", "1"))[1] == UNKNOWN
    assert vocabulary.unknown((r"\sum", "x", r"\sum", "y")) == [r"\sum", "y"]
    vocabulary.save(tmp_path)
    assert Vocabulary.load(tmp_path) == vocabulary


def test_rare_tokens_are_left_out_and_the_order_of_labels_does_not_matter() -> None:
    assert Vocabulary.of(LABELS, at_least=3).words == ("1", "x", "{", "}")
    assert Vocabulary.of(reversed(LABELS)) == Vocabulary.of(LABELS)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"tokens": ["a", 1]}', '{"tokens": ["a", "a"]}', '{"tokens": [""]}', "no"]
)
def test_what_is_no_vocabulary_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ValueError):
        Vocabulary.load(tmp_path)


def test_a_vocabulary_file_can_be_read_by_a_person(tmp_path: Path) -> None:
    Vocabulary.of(LABELS).save(tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["tokens"][:2] == ["+", "1"]
