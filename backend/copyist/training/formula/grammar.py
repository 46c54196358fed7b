"""Formulas thought up: what pupils and students write, and now and then any symbol at all.

About 45 % are short (to 8 tokens: a number, ``2x+5=``, ``\\sqrt{2}``), 40 % of middle length (to 25) and 15 % long (to
50). One in eight is made around a token of ``VOCABULARY`` that was drawn evenly, so that each comes up.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from copyist.engines.formula import latex
from copyist.training.formula.grammar_kinds import GRIDS, Kinds
from copyist.training.formula.grammar_parts import ACCENTS, DIGITS, GREEK, LETTERS, SETS, Thought, commands

LONGEST = 50
"""Tokens of the longest formula."""

_BETWEEN = ("+", "-", "/", "*", *commands("times div cdot pm mp cup cap backslash wedge vee circ"))
_RELATIONS = (
    *("=", "<", ">"),
    *commands("leq geq neq approx equiv sim propto in notin subset supset subseteq perp |"),
    *commands("rightarrow leftarrow leftrightarrow Rightarrow Leftarrow Leftrightarrow"),
)
_FUNCTIONS = commands("sin cos tan cot log ln exp max min lim")
_ALONE = commands("infty partial nabla emptyset ldots cdots forall exists angle triangle")
_BIG = (r"\sum", r"\prod", r"\int", r"\oint")
_MARKS = (*"!,.:;()[]|_^{}&", *commands(r"\ % { } prime frac sqrt binom mathbb"))
VOCABULARY = tuple(
    sorted(
        {*GREEK, *_BETWEEN, *_RELATIONS, *_FUNCTIONS, *_ALONE, *ACCENTS, *_BIG, *LETTERS, *DIGITS, *_MARKS}
        | {rf"\{edge}{{{name}}}" for edge in ("begin", "end") for name in GRIDS}
    )
)
"""Every token that a formula may have."""

_TRIES = 60


def formulas(seed: int) -> Iterator[tuple[str, ...]]:
    """Formulas without end, as canonical tokens (``latex.normalize``); the same seed gives the same ones."""
    mind = _Mind(random.Random(seed))  # noqa: S311 - formulas, no secrets
    while True:
        yield mind.formula()


class _Mind(Kinds):
    """Thinks of formulas by their length."""

    def formula(self) -> tuple[str, ...]:
        if self.chance(1 / 8):
            tokens = latex.normalize(self.around(self.dice.choice(VOCABULARY)))
        else:
            thought, least, most = self.weighed(
                [(37, (self.short, 1, 8)), (45, (self.middle, 8, 25)), (18, (self.long, 26, LONGEST))]
            )
            for _ in range(_TRIES):
                tokens = latex.normalize(thought())
                if least <= len(tokens) <= most:
                    break
        return tokens if len(tokens) <= LONGEST else latex.normalize(self.arithmetic())

    def short(self) -> str:
        ways: list[tuple[float, Thought]] = [
            (10, self.number),
            (2, self.decimal),
            (18, self.arithmetic),
            (12, self.linear),
            (5, lambda: f"{self.letter()}={self.small()}"),
            (4, lambda: f"{self.letter()}={self.term(0)}"),
            (7, self.power),
            (4, lambda: f"{self.term(0)}{self.one('+', '-')}{self.term(0)}"),
            (6, lambda: rf"\sqrt{{{self.one(self.small(), self.letter(), self.number())}}}"),
            (2, lambda: rf"{self.digit()}\sqrt{{{self.small()}}}"),
            (1, lambda: rf"\sqrt[{self.one('3', '4', 'n')}]{{{self.small()}}}"),
            (7, self.simple_fraction),
            (2, lambda: self.digit() + self.simple_fraction()),
            (5, self.indexed),
            (4, self.function),
            (3, lambda: f"{self.one(*'fghFPuvy')}({self.one(self.letter(), self.digit())})"),
            (2, lambda: rf"{self.one(*'fgyu')}^{{\prime}}{self.one('', '(x)', '=')}"),
            (3, lambda: f"{self.dice.choice(ACCENTS)}{{{self.name()}}}"),
            (4, self.set_),
            (2, self.interval),
            (2, lambda: f"({self.small()},{self.small()})"),
            (2, lambda: f"|{self.one(self.letter(), '-' + self.digit(), self.sum(0))}|"),
            (2, self.compared),
            (1, lambda: rf"{self.letter()}\rightarrow {self.one('0', '1', 'a', self.sign('infty'))}"),
            (1, lambda: rf"{self.number()}\%"),
            (1, lambda: self.one("n", "k", "5", "4", "3", "6", "10") + "!"),
            (1, lambda: rf"{self.number()}^{{\circ}}"),
            (1, lambda: rf"\angle {self.one('ABC', 'BAC', 'A', 'B', 'PQR', 'XYZ')}"),
            (1, lambda: rf"\Delta {self.letter()}"),
            (2, lambda: self.letter() + self.one("", "", self.letter())),
            (3, lambda: self.greek() + self.one("", "", "=" + self.small())),
            (1, lambda: rf"{self.digit()}\pi"),
            (1, lambda: self.one(r"\frac{d}{dx}", r"\frac{dy}{dx}", r"dx", r"dt", r"\frac{\partial}{\partial x}")),
            (1, lambda: f"{self.digit()}:{self.digit()}"),
        ]
        return self.weighed(ways)()

    def middle(self) -> str:
        ways: list[tuple[float, Thought]] = [
            (12, lambda: f"{self.sum(1)}{self.relation()}{self.sum(1)}"),
            (6, lambda: f"{self.letter()}={self.sum(1)}"),
            (5, lambda: self.sum(1)),
            (8, self.polynomial),
            (5, self.arithmetic),
            (4, self.fractions),
            (5, self.integral),
            (4, self.big),
            (4, self.limit),
            (4, self.derivative),
            (6, self.known),
            (4, self.grid),
            (3, self.cases),
            (3, lambda: self.set_() + self.one(r"\Rightarrow ", ",", r"\Leftrightarrow ", ",") + self.set_()),
            (2, lambda: self.compared() + self.one(",", r"\Rightarrow ") + self.compared()),
            (3, self.physics),
            (2, self.vectors),
            (2, lambda: f"{self.function(0)}{self.one('+', '-', '=')}{self.function(0)}"),
            (2, lambda: f"{self.one(*'fghy')}(x)={self.sum(1)}"),
            (2, self.sequence),
            (1, lambda: rf"\binom{{{self.one('n', 'm', '5', '10')}}}{{{self.one(*'kr23')}}}{self.one('', '=10')}"),
            (1, lambda: f"P({self.one(*'ABX')}{self.one('|B', ',Y', '', '=k')})={self.simple_fraction()}"),
        ]
        return self.weighed(ways)()

    def long(self) -> str:
        ways: list[tuple[float, Thought]] = [
            (8, lambda: f"{self.sum(2)}{self.relation()}{self.sum(2)}"),
            (5, lambda: f"{self.middle()}{self.one('=', ',', self.sign('Rightarrow'))}{self.middle()}"),
            (3, lambda: f"{self.sum(1)}={self.sum(1)}={self.sum(1)}"),
            (3, self.long_fraction),
            (3, lambda: self.integral(2)),
            (3, lambda: self.big(2)),
            (2, lambda: self.limit(2)),
            (4, lambda: self.grid(3)),
            (4, self.cases),
            (4, lambda: self.known(long=True)),
            (2, lambda: f"{self.polynomial()}={self.polynomial()}"),
            (2, lambda: self.grid() + self.one("", "=", r"\cdot ") + self.grid()),
        ]
        return self.weighed(ways)()

    def fractions(self) -> str:
        between = self.one("+", "-", r"\times ", r"\div ", r"\cdot ")
        return (
            self.simple_fraction() + between + self.simple_fraction() + self.one("", "=", "=" + self.simple_fraction())
        )

    def around(self, token: str) -> str:
        """A short formula that has ``token``."""
        if token in _BETWEEN:
            return f"{self.term(0)}{token} {self.term(0)}"
        if token in _RELATIONS:
            return f"{self.sum(0)}{token} {self.sum(0)}"
        if token in ACCENTS:
            return f"{token}{{{self.name()}}}{self.one('', '=' + self.term(0), '+' + self.letter())}"
        if token in _FUNCTIONS:
            return (
                f"{self.one('', self.digit(), self.letter() + '=')}{token} {self.one(self.name(), f'({self.sum(0)})')}"
            )
        if token in _BIG:
            limits = self.one("", f"_{{{self.name()}}}", f"_{{{self.digit()}}}^{{{self.name()}}}")
            return f"{token}{limits} {self.term(0)}"
        if token.startswith((r"\begin", r"\end")):
            return self.cases() if "cases" in token else self.grid()
        return self.mark(token) if token in _MARKS else self.beside(token)

    def beside(self, token: str) -> str:
        """A letter, a digit or the like alone, and where they stand."""
        beside = self.one("", "", self.small(), self.name())
        return self.one(
            f"{beside}{token} ",
            f"{token} {beside}",
            f"{token}={self.small()}",
            f"{token}_{{{self.one('0', '1', 'n', 'k')}}}",
            f"{self.name()}_{{{token}}}",
            f"{token}^{{2}}",
            f"({token},{self.name()})",
            f"{self.name()}^{{{token}}}",
        )

    def mark(self, token: str) -> str:
        """Something with one of the marks."""
        ways: dict[str, Thought] = {
            "!": lambda: self.name() + "!",
            r"\%": lambda: self.small() + r"\%",
            r"\prime": lambda: rf"{self.letter()}^{{\prime}}",
            ",": lambda: f"{self.small()},{self.name()}",
            ".": self.decimal,
            ":": lambda: f"{self.name()}:{self.name()}",
            ";": lambda: f"({self.name()};{self.name()})",
            "(": lambda: f"({self.sum(0)})",
            "[": lambda: f"[{self.sum(0)}]",
            ")": self.interval,
            "]": self.interval,
            r"\{": lambda: rf"\{{{self.sum(0)}\}}",
            r"\}": lambda: rf"\{{{self.name()},{self.name()}\}}",
            "|": lambda: f"|{self.sum(0)}|",
            r"\sqrt": lambda: rf"\sqrt{{{self.sum(0)}}}",
            r"\binom": lambda: rf"\binom{{{self.name()}}}{{{self.name()}}}",
            r"\mathbb": lambda: self.one(rf"{self.letter()}\in ", "") + self.dice.choice(SETS),
            "&": self.grid,
            r"\\": self.cases,
            "_": self.indexed,
            "^": self.power,
        }
        return ways.get(token, self.simple_fraction)()
