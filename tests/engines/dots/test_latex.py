"""LaTeX in the model's text: found, unwrapped, and given back the backslashes that JSON took."""

from __future__ import annotations

import pytest
from hypothesis import given

from copyist.engines.dots.parse.latex import Part, maths_in, parts_of, restored
from tests.engines.dots.layouts import latex, texts


@pytest.mark.parametrize(
    ("text", "maths"),
    [
        ("no maths", []),
        ("an $x$ and a $y_1$.", ["$x$", "$y_1$"]),
        ("$$a$$ and \\(b\\) and \\[c\nd\\]", ["$$a$$", "\\(b\\)", "\\[c\nd\\]"]),
        ("costs $5 and $6, or $x$", ["$x$"]),
        ("costs $5, then $10", []),
        ("\\$5 and $x$", ["$x$"]),
        ("$ 5 $ and $a\\$b$", ["$a\\$b$"]),
        ("$open and \\(c\\)", ["\\(c\\)"]),
        ("\\\\(not maths\\\\)", []),
        ("$", []),
        ("$$", []),
        ("$$$$", ["$$$$"]),
    ],
)
def test_maths_is_found_and_prices_are_none(text: str, maths: list[str]) -> None:
    assert [text[start:end] for start, end in maths_in(text)] == maths


@given(texts)
def test_maths_lies_in_the_text_in_order(text: str) -> None:
    ends = [0, *(position for span in maths_in(text) for position in span), len(text)]
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    "formula", [r"\frac{a}{b}", r"a \\ b", r"\{x\}", r"\text{if } x", r"\left[ a \right]", r"a\ ", "x'"]
)
@pytest.mark.parametrize("wrapped", ["$${}$$", "$$\n{}\n$$", r"\[{}\]", r"\[ {} \]", "${}$", r"\({}\)", " {} "])
def test_a_formula_loses_its_delimiters_and_nothing_else(formula: str, wrapped: str) -> None:
    parts = parts_of(wrapped.replace("{}", formula))
    assert [part.text.rstrip() for part in parts] == [formula.rstrip()]
    assert parts[0].is_formula


@given(latex)
def test_any_latex_survives_byte_for_byte(formula: str) -> None:
    bare = formula.strip()
    kept = [Part(f"{bare} " if bare.endswith("\\") and not bare.endswith("\\\\") else bare, is_formula=True)]
    assert parts_of(f"$${formula} $$") == kept


def test_a_formula_that_was_cut_loses_its_beginning_only() -> None:
    assert parts_of(r"$$\frac{a}{b") == [Part(r"\frac{a}{b", is_formula=True)]
    assert parts_of(r"\[ \frac{a}{b") == [Part(r"\frac{a}{b", is_formula=True)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("$$a$$\n$$b$$", [("a", True), ("b", True)]),
        ("$$a$$.", [("a.", True)]),
        ("$$a$$, where $b$ is: $$c$$ (1)", [("a", True), (", where $b$ is:", False), ("c", True), ("(1)", False)]),
        ("$a$ and $b$", [("$a$ and $b$", False)]),
        ("", []),
        ("$$ $$", []),
    ],
)
def test_text_between_formulas_is_kept_apart(text: str, parts: list[tuple[str, bool]]) -> None:
    assert [(part.text, part.is_formula) for part in parts_of(text)] == parts


@pytest.mark.parametrize(
    ("eaten", "text"),
    [
        ("\frac{a}{b} and \beta", r"\frac{a}{b} and \beta"),
        ("$a \times \theta$", r"$a \times \theta$"),
        ("$\rho \neq 0$", r"$\rho \neq 0$"),
        ("a\ttan\nnew\rold", "a\ttan\nnew\rold"),
        ("$a\n= b\tc$", "$a\n= b\tc$"),
        ("$$\nu = 3\n$$", "$$\nu = 3\n$$"),
    ],
)
def test_commands_that_json_took_for_escapes_come_back(eaten: str, text: str) -> None:
    assert restored(eaten) == text
    assert restored(text) == text


def test_a_short_command_comes_back_where_backslashes_are_known_to_stand_alone() -> None:
    assert restored("$\nu$\nu", bare=True) == "$\\nu$\nu"


def test_a_formula_needs_no_delimiters_to_be_maths() -> None:
    assert restored("a \times b", maths=True) == r"a \times b"
    assert restored("a \times b") == "a \times b"
