"""What formulas are made of: numbers, letters, powers, fractions, sums of them. ``grammar`` makes formulas of these."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from typing import TypeVar

Thought = Callable[[], str]
T = TypeVar("T")


def commands(names: str) -> tuple[str, ...]:
    """The commands of LaTeX with these names, which are parted by spaces."""
    return tuple(rf"\{name}" for name in names.split())


LETTERS = tuple(string.ascii_letters)
DIGITS = tuple(string.digits)
GREEK = commands(
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi omega "
    "Gamma Delta Theta Lambda Pi Sigma Phi Psi Omega"
)
ACCENTS = commands("hat vec dot ddot tilde overline")
SETS = tuple(rf"\mathbb{{{letter}}}" for letter in "RNZQC")

_USUAL_LETTERS = "xxxxxxyyyyzzaaabbbccnnnmmktttrsuvwpqdefghijl"
_USUAL_GREEK = commands("alpha beta theta lambda pi pi mu sigma phi omega gamma delta epsilon rho")


class Parts:
    """Thinks up parts of formulas with the luck of ``dice``; a part is LaTeX, with a space where one may be needed."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def one(self, *choices: str) -> str:
        """One of ``choices``."""
        return self.dice.choice(choices)

    def sign(self, *names: str) -> str:
        """One of the commands with these names."""
        return rf"\{self.dice.choice(names)} "

    def of(self, *ways: Thought) -> str:
        """What one of ``ways`` thinks up."""
        return self.dice.choice(ways)()

    def weighed(self, choices: Sequence[tuple[float, T]]) -> T:
        """One of ``choices``, by the weights before them."""
        return self.dice.choices([choice for _, choice in choices], [weight for weight, _ in choices])[0]

    def chance(self, share: float) -> bool:
        """True in ``share`` of all cases."""
        return self.dice.random() < share

    def digit(self) -> str:
        """Mostly 2 to 9."""
        return str(self.dice.randint(2, 9) if self.chance(0.85) else self.dice.choice((0, 1, 1)))

    def number(self) -> str:
        """A whole number of one to five digits."""
        digits = self.weighed([(45, 1), (30, 2), (14, 3), (8, 4), (3, 5)])
        if digits == 1:
            return str(self.dice.randint(0, 9))
        return str(self.dice.randint(1, 9)) + "".join(self.dice.choices(DIGITS, k=digits - 1))

    def decimal(self) -> str:
        """With a point, or with a comma."""
        places = "".join(self.dice.choices(DIGITS, k=self.dice.randint(1, 3)))
        return self.number()[:3] + self.one(".", ".", ".", ",") + places

    def small(self) -> str:
        """A number as people calculate with."""
        return self.weighed([(6, self.digit), (3, self.number), (1, self.decimal)])()

    def letter(self) -> str:
        """Mostly those that stand for numbers."""
        if self.chance(0.75):
            return self.dice.choice(_USUAL_LETTERS)
        return self.dice.choice(string.ascii_uppercase if self.chance(0.6) else string.ascii_lowercase)

    def greek(self) -> str:
        """A Greek letter."""
        return (self.dice.choice(_USUAL_GREEK) if self.chance(0.7) else self.dice.choice(GREEK)) + " "

    def name(self) -> str:
        """A letter, now and then Greek."""
        return self.greek() if self.chance(0.2) else self.letter()

    def indexed(self) -> str:
        """A letter with a subscript."""
        index = self.weighed(
            [
                (5, self.digit()),
                (5, self.one(*"ijknmxyt012")),
                (1, self.one(*"nik") + self.one("+1", "-1")),
                (0.5, self.one("max", "min", "ij", "AB", "12")),
            ]
        )
        return f"{self.name()}_{{{index}}}"

    def power(self) -> str:
        """A letter with a superscript."""
        exponent = self.weighed(
            [
                (14, self.one("2", "2", "2", "3", "4", self.digit())),
                (4, self.one(*"nmkxt")),
                (2, "-" + self.digit()),
                (2, self.one(*"nxk") + self.one("+", "-") + self.digit()),
                (2, self.one(self.number(), self.digit() + self.letter(), self.simple_fraction())),
            ]
        )
        return f"{self.name()}^{{{exponent}}}"

    def simple_fraction(self) -> str:
        """Of a number or a letter by another."""
        top = self.weighed([(6, self.digit), (3, self.letter), (2, self.number), (1, self.greek)])
        bottom = self.weighed([(6, self.digit), (2, self.letter), (2, self.number)])
        return rf"\frac{{{top()}}}{{{bottom()}}}"

    def term(self, depth: int = 1) -> str:
        """A factor or a product; ``depth`` is how many fractions, roots and brackets it may have in one another."""
        ways: list[tuple[float, Thought]] = [
            (8, self.name),
            (8, self.small),
            (7, self.power),
            (5, lambda: self.small() + self.letter()),
            (4, lambda: self.digit() + self.power()),
            (4, self.indexed),
            (2, lambda: self.letter() + self.letter()),
            (1, lambda: f"{self.indexed()}^{{{self.one('2', '2', '3', 'n')}}}"),
            (1, lambda: f"{self.dice.choice(ACCENTS)}{{{self.name()}}}"),
        ]
        if depth:
            ways += self.deep_terms(depth - 1)
        return self.weighed(ways)()

    def deep_terms(self, depth: int) -> list[tuple[float, Thought]]:
        """Ways to a term with sums in it."""
        return [
            (3, lambda: rf"\frac{{{self.sum(depth)}}}{{{self.sum(depth)}}}"),
            (2, self.simple_fraction),
            (3, lambda: rf"\sqrt{{{self.sum(depth)}}}"),
            (1, lambda: rf"\sqrt[{self.one('3', '3', '4', 'n')}]{{{self.sum(depth)}}}"),
            (3, lambda: f"({self.longer_sum(depth)})"),
            (2, lambda: f"({self.longer_sum(depth)})^{{{self.one('2', '2', '3', 'n', '-1')}}}"),
            (3, lambda: self.function(depth)),
            (1, lambda: f"|{self.sum(depth)}|"),
            (1, lambda: f"e^{{{self.sum(depth)}}}"),
            (1, lambda: f"{self.letter()}({self.sum(depth)})"),
        ]

    def sum(self, depth: int = 0) -> str:
        """One to three terms."""
        return self.added(self.weighed([(5, 1), (4, 2), (1, 3)]), depth)

    def longer_sum(self, depth: int = 0) -> str:
        """Two or three terms, as they stand in brackets."""
        return self.added(self.weighed([(1, 1), (6, 2), (2, 3)]), depth)

    def added(self, count: int, depth: int) -> str:
        """So many terms with operators between them."""
        text = ("-" if self.chance(0.06) else "") + self.term(depth)
        for _ in range(count - 1):
            between = self.weighed([(9, "+"), (8, "-"), (2, r"\cdot "), (2, r"\times "), (1, r"\pm "), (0.5, "/")])
            text += between + self.term(depth)
        return text

    def function(self, depth: int = 0) -> str:
        """A sine, a logarithm and so on of something."""
        name = self.one(r"\sin", r"\cos", r"\tan", r"\sin", r"\cos", r"\ln", r"\log", r"\exp", r"\cot")
        power = "^{2}" if self.chance(0.15) and name not in (r"\ln", r"\exp") else ""
        if name == r"\log" and self.chance(0.5):
            power = f"_{{{self.one('2', '3', '10', 'a', 'b')}}}"
        inside = self.weighed(
            [
                (6, self.name()),
                (3, self.digit() + self.name()),
                (4, f"({self.sum(depth)})"),
                (2, self.one(self.power(), self.digit())),
            ]
        )
        return f"{name}{power} {inside}"

    def relation(self) -> str:
        """Mostly an equals sign."""
        if self.chance(0.7):
            return "="
        return self.one(
            "<", "<", ">", ">", self.sign("leq", "leq", "geq", "geq", "neq", "neq", "approx", "equiv", "sim")
        )
