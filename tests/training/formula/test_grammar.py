"""Formulas thought up: canonical, seeded, of every token, mostly short."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from copyist.engines.formula import latex
from copyist.training.formula import tree
from copyist.training.formula.glyphs import symbols
from copyist.training.formula.grammar import LONGEST, VOCABULARY, formulas
from copyist.training.formula.grammar_known import KNOWN
from copyist.training.formula.layout import WORDS


@pytest.fixture(scope="module")
def many() -> list[tuple[str, ...]]:
    return list(islice(formulas(7), 4000))


def test_the_same_seed_thinks_of_the_same_formulas(many: list[tuple[str, ...]]) -> None:
    assert list(islice(formulas(7), 50)) == many[:50]
    assert list(islice(formulas(8), 50)) != many[:50]


def test_a_label_is_what_the_normaliser_makes_of_it(many: list[tuple[str, ...]]) -> None:
    assert all(latex.normalize(latex.joined(label)) == label for label in many[:1500])


def test_every_token_comes_up_and_no_other(many: list[tuple[str, ...]]) -> None:
    counts = Counter(token for label in many for token in label)
    assert set(counts) == set(VOCABULARY)


def test_there_are_strokes_for_all_that_is_thought_of(many: list[tuple[str, ...]]) -> None:
    written = {name for label in many[:1500] for name in tree.symbols(tree.parsed(label))}
    assert written <= symbols() | set(WORDS)


def test_nearly_half_is_short_and_nothing_is_too_long(many: list[tuple[str, ...]]) -> None:
    lengths = [len(label) for label in many]
    short, middle = (sum(low <= length <= high for length in lengths) / len(many) for low, high in ((1, 8), (9, 25)))
    assert 0.4 < short < 0.52
    assert 0.33 < middle < 0.48
    assert max(lengths) <= LONGEST


def test_what_everybody_writes_is_of_the_same_tokens() -> None:
    known = [latex.normalize(text) for text in KNOWN]
    assert {token for label in known for token in label} <= set(VOCABULARY)
    assert all(tree.parsed(label).parts for label in known)
