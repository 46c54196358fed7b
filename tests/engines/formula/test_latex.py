"""LaTeX: many ways to write a formula are one, what is broken has a code, and what a model breaks is mended."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copyist.engines.formula.latex import LatexProblem, joined, mended, normalize, problem, tokens
from copyist.engines.formula.latex_words import (
    ARGUMENTS,
    FENCES,
    FONTS,
    GRID_COMMANDS,
    GRIDS,
    HIDDEN,
    INFIX,
    LISTS,
    NEGATED,
    SIDES,
    SYNONYMS,
    UNSEEN,
)

WORDS = sorted(
    {
        *(
            "a",
            "b",
            "x",
            "1",
            "2",
            "+",
            "=",
            "(",
            ")",
            "[",
            "]",
            "|",
            ".",
            ",",
            "<",
            "'",
            "&",
            "\\\\",
            "\\in",
            "\\alpha",
        ),
        *(
            "_",
            "^",
            "{",
            "}",
            "_",
            "^",
            "{",
            "}",
            "\\not",
            "\\root",
            "\\of",
            "\\pmod",
            "\\substack",
            "\\prime",
            "\\sin",
        ),
        *(f"\\{side}{{{name}}}" for name in [*GRIDS, *LISTS, "strange"] for side in ("begin", "end")),
        *(*ARGUMENTS, *FENCES, *FONTS, *GRID_COMMANDS, *HIDDEN, *INFIX, *NEGATED, *SIDES, *SYNONYMS, *UNSEEN),
    }
)
SOME: tuple[str, ...] = (
    "a",
    "1",
    "_",
    "^",
    "{",
    "}",
    "'",
    ".",
    "&",
    "\\\\",
    "[",
    "]",
    "(",
    ")",
    "\\{",
    "\\frac",
    "\\sqrt",
    "\\mathrm",
    "\\,",
)
SOME += (
    "\\begin{matrix}",
    "\\end{matrix}",
    "\\begin{cases}",
    "\\end{cases}",
    "\\over",
    "\\not",
    "=",
    "\\left",
    "\\right",
)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (r"\frac12", r"\frac{1}{2}"),
        (r"x^2_1", r"x_{1}^{2}"),
        (r"{a+b \over c}", r"\frac{a+b}{c}"),
        (r"{n \choose k}", r"\binom{n}{k}"),
        (r"\left( {x} \right)\,\!", "(x)"),
        (r"\left. x \right|_0", r"x|_{0}"),
        (r"\sum\limits_{i}^n", r"\sum_{i}^{n}"),
        (r"\mathrm{d}\boldsymbol{x}\text{ if }", "dxif"),
        (r"\operatorname{sin}\mathrm{cos}{\rm log}x", r"\sin\cos\log x"),
        (r"a\le b\ge c\ne d\to e\ast f", r"a\leq b\geq c\neq d\rightarrow e*f"),
        (r"\lbrace x \mid x\not=y \rbrace", r"\{x|x\neq y\}"),
        ("f''+g'^2", r"f^{\prime\prime}+g^{\prime2}"),
        (r"{x^2}^3", r"{x^{2}}^{3}"),
        (r"x^2{}^3", r"x^{2}{}^{3}"),
        ("{x^1{}^3_2}", "x^{1}{}^{3}_{2}"),
        ("{x^1}^3_2", "{x^{1}}^{3}_{2}"),
        (r"\begin{cases}x^1\end{cases}^2", r"\{{x^{1}}^{2}"),
        (r"a_1{_2b}", r"a_{1}{}_{2}b"),
        (r"{}^{14}C", r"^{14}C"),
        (r"\sqrt [3] x", r"\sqrt[3]{x}"),
        (r"\root 3 \of x", r"\sqrt[3]{x}"),
        (r"$\frac{1}{2}$", r"\frac{1}{2}"),
        (r"\left(\begin{array}{cc}1&2\\[2pt]3&4\\\end{array}\right)^T", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{T}"),
        (r"\left\{\begin{array}{l}a\\b\end{array}\right.", r"\begin{cases}a\\b\end{cases}"),
        (r"\begin{aligned}a&=b\\&=c\end{aligned}", r"\begin{matrix}a=b\\=c\end{matrix}"),
        (r"a \\ b", r"\begin{matrix}a\\b\end{matrix}"),
        (r"\begin{pmatrix}a\end{pmatrix}", "(a)"),
        ("1, 2, ...", r"1,2,\ldots"),
        ("π×2 ≤ 20°", r"\pi\times2\leq20^{\circ}"),
        (r"50% \textcolor{red}{x}", r"50\%x"),
        (r"\mathbb R", r"\mathbb{R}"),
        (r"\left<x\right>\bigl<y\bigr.", r"\langle x\rangle\langle y"),
        ("90^{°}f^{''}x^{^{a^b}}y^{{}^2_3}", r"90^{\circ}f^{\prime\prime}x^{a^{b}}y^{_{3}^{2}}"),
        (r"\cfrac[l]{1}{2}", r"\frac{1}{2}"),
        (r"x\sb1\sp2#", r"x_{1}^{2}\#"),
        (r"\begin{array}{c}a\\\cline{1-2}b\end{array}", r"\begin{matrix}a\\b\end{matrix}"),
        (r"x_{}^{}", "x"),
    ],
)
def test_ways_to_write_the_same_are_one(written: str, canonical: str) -> None:
    assert joined(normalize(written)) == canonical
    assert normalize(canonical) == normalize(written)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ("{a", "unbalanced_braces"),
        ("a}", "unbalanced_braces"),
        (r"\begin{matrix}{a\end{matrix}}", "unbalanced_braces"),
        (r"\frac{1}", "missing_argument"),
        ("x^", "missing_argument"),
        (r"\left", "missing_argument"),
        (r"\begin{matrix}a", "unclosed_environment"),
        (r"\begin{matrix}a\end{pmatrix}", "unclosed_environment"),
        (r"\end{matrix}", "unclosed_environment"),
        (r"\begin{picture}a\end{picture}", "unknown_environment"),
        (r"\begin", "unknown_environment"),
        ("x^1^2", "bad_latex"),
        (r"a \over b \over c", "bad_latex"),
        ("a & b", "bad_latex"),
        (r"\sqrt[3", "bad_latex"),
        ("a\\", "bad_latex"),
        ("a" * 200_000, "bad_latex"),
        *(
            (opening * 1_000, "too_deep")
            for opening in ("{" * 10, r"\sqrt", r"\not", r"x_{", r"\begin{matrix}", r"\sqrt[")
        ),
    ],
)
def test_broken_latex_has_a_code_and_a_sentence(broken: str, code: str) -> None:
    with pytest.raises(LatexProblem, match=r"\.$") as caught:
        normalize(broken)
    assert caught.value.code == code
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.code, str(again)) == (code, str(caught.value))


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ([r"\frac", "{", "1", "}", "{", "2"], r"\frac{1}{2}"),
        (["a", "}", "+", "b", r"\end{matrix}"], "a+b"),
        ([r"\begin{pmatrix}", "a", "&", "b", r"\\", "c", "&", "{", "d"], r"\begin{pmatrix}a&b\\c&d\end{pmatrix}"),
        ([r"\begin{pmatrix}", "a", "&", "b", r"\end{matrix}", "+"], r"\begin{pmatrix}a&b\end{pmatrix}+"),
        (["x", "^", "{", "2", "}", "+", r"\sqrt"], "x^{2}+"),
        (["x", "^"], "x"),
    ],
)
def test_what_a_model_left_open_is_closed(written: list[str], left: str) -> None:
    assert problem(written) is not None
    assert joined(mended(written)) == left
    assert problem(mended(written)) is None


def test_tokens_are_commands_environments_and_characters() -> None:
    cut = tokens(r"\frac{12}\alpha b \begin {cases} x \\[1ex] y\end{cases}\{\,")
    environment = [r"\begin{cases}", "x", r"\\", "y", r"\end{cases}"]
    assert cut == [r"\frac", "{", "1", "2", "}", r"\alpha", "b", *environment, r"\{", r"\,"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS) | st.sampled_from(SOME), max_size=30))
def test_whatever_a_model_writes_is_mended_to_canonical_latex(written: list[str]) -> None:
    whole = mended(written)
    assert normalize(joined(whole)) == tuple(whole)
    assert mended(whole) == whole
    if problem(written) is None:
        assert list(normalize(joined(written))) == whole


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab1\\{}_^&[]$%'. \nfrac"), max_size=40))
def test_normalizing_text_gives_canonical_tokens_or_a_problem(latex: str) -> None:
    try:
        canonical = normalize(latex)
    except LatexProblem:
        return
    assert normalize(joined(canonical)) == canonical
