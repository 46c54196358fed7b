"""Kinds of formulas: arithmetic, polynomials, integrals, sums, limits, matrices, cases, sets."""

from __future__ import annotations

from copyist.training.formula.grammar_known import KNOWN
from copyist.training.formula.grammar_parts import SETS, Parts, Thought

GRIDS = ("matrix", "pmatrix", "bmatrix", "vmatrix", "cases")
_INFINITY = r"\infty"


class Kinds(Parts):
    """Thinks up formulas of each kind."""

    def arithmetic(self) -> str:
        """As pupils write it, with the answer or without."""
        text = self.one(self.number(), self.number(), self.small())
        for _ in range(self.weighed([(7, 1), (2, 2), (1, 3)])):
            text += self.one("+", "+", "-", "-", *[self.sign("times", "times", "div", "cdot")] * 4, "/") + self.one(
                self.number(), self.small()
            )
        return text + self.weighed(
            [(4, ""), (5, "="), (4, "=" + self.small()), (3, "=" + self.number()), (1, "=" + self.letter())]
        )

    def linear(self) -> str:
        """``2x+5=`` and the like."""
        left = self.digit() + self.letter() + self.one("+", "-") + self.small()
        return left + self.weighed([(2, "="), (5, "=" + self.small()), (2, self.relation() + self.small()), (1, "")])

    def compared(self) -> str:
        """A letter and a number."""
        return f"{self.letter()}{self.relation()}{self.small()}"

    def set_(self) -> str:
        """Of sets and their elements."""
        name, other = self.one(*"ABCMNSXYUV"), self.one(*"ABCMNSXYQ", *SETS)
        return self.of(
            lambda: rf"{self.letter()}\in {other}",
            lambda: rf"{self.letter()}\in {self.dice.choice(SETS)}",
            lambda: rf"{self.letter()}\notin {other}",
            lambda: rf"{name}{self.sign('cup', 'cap', 'backslash')} {other}",
            lambda: rf"{name}{self.sign('subset', 'subset', 'subseteq', 'supset')} {other}",
            lambda: rf"\forall {self.letter()}\in {other}",
            lambda: rf"\exists {self.letter()}\in {other}",
            lambda: rf"{name}=\{{{self.digit()},{self.digit()},{self.digit()}\}}",
            lambda: rf"{name}=\emptyset",
            lambda: rf"{name}\cap {other}=\emptyset",
            lambda: rf"\{{{self.letter()}|{self.letter()}{self.relation()}{self.digit()}\}}",
        )

    def interval(self) -> str:
        """Open or closed."""
        end = self.one(self.small(), _INFINITY, self.letter())
        return f"{self.one('[', '(', '[')}{self.small()},{end}{self.one(']', ')', ')')}"

    def polynomial(self) -> str:
        """Of degree two to four."""
        x = self.one(*"xxxytanz")
        degree = self.weighed([(6, 2), (3, 3), (1, 4)])
        text = f"{self.one('', '', self.digit(), self.letter())}{x}^{{{degree}}}"
        for power in range(degree - 1, -1, -1):
            if self.chance(0.85):
                factor = self.one("", self.digit(), self.digit(), self.one(*"bcp"))
                what = {0: self.small(), 1: factor + x}.get(power, f"{factor}{x}^{{{power}}}")
                text += self.one("+", "+", "-") + what
        return text + self.weighed([(5, "=0"), (2, "=" + self.small()), (4, ""), (1, "=y")])

    def integral(self, depth: int = 1) -> str:
        """With limits or without."""
        x = self.one("x", "x", "x", "t", "u", "y", r"\theta ")
        limits = ""
        if self.chance(0.55):
            low = self.one("0", "0", "1", "a", "-1", r"-\infty", "t_{1}", "x_{0}", "C", r"-\pi")
            high = self.one("1", "2", _INFINITY, "b", r"\pi", "t", "x", "t_{2}", r"\frac{\pi}{2}", "R")
            limits = f"_{{{low}}}^{{{high}}}" if self.chance(0.9) else f"_{{{self.one(*'CSDV')}}}"
        body = self.weighed([(5, self.term(depth)), (5, self.sum(depth - 1)), (3, f"f({x})"), (2, x + "^{2}"), (1, "")])
        end = self.weighed([(6, ""), (2, "=" + self.sum(0)), (1, "=" + self.simple_fraction())])
        return rf"{self.sign(*['int'] * 9, 'oint')}{limits} {body} d{x}{end}"

    def big(self, depth: int = 1) -> str:
        """A sum or a product with its limits."""
        i = self.one(*"iknjm")
        low = self.weighed(
            [(8, f"{i}={self.one('0', '1', '1', '1', '2')}"), (1, i), (1, rf"{i}\in {self.one(*'AISN')}")]
        )
        limits = f"_{{{low}}}"
        if "=" in low and self.chance(0.95):
            limits += f"^{{{self.one('n', 'n', 'N', 'm', _INFINITY, _INFINITY, '10', '100', 'n-1', 'k')}}}"
        body = self.of(
            lambda: f"{self.letter()}_{{{i}}}",
            lambda: f"{self.letter()}_{{{i}}}{self.letter()}_{{{i}}}",
            lambda: f"{i}^{{{self.one('2', '3', 'k')}}}",
            lambda: rf"\frac{{1}}{{{i}{self.one('', '^{2}', '!', f'({i}+1)')}}}",
            lambda: rf"\frac{{x^{{{i}}}}}{{{i}!}}",
            lambda: self.term(depth),
            lambda: i,
        )
        end = self.weighed([(3, ""), (1, "=" + self.sum(depth - 1))])
        start = self.weighed([(3, ""), (1, self.letter() + "=")])
        return rf"{start}{self.sign('sum', 'sum', 'sum', 'prod')}{limits} {body}{end}"

    def limit(self, depth: int = 1) -> str:
        """A limit, or a largest or smallest value."""
        x = self.one(*"xxnht")
        if self.chance(0.8):
            target = self.one("0", "0", _INFINITY, _INFINITY, "1", "a", "2", "0^{+}", "x_{0}", r"-\infty")
            start = rf"\lim_{{{x}\rightarrow {target}}}"
        else:
            start = rf"{self.sign('max', 'min')}_{{{x}\in {self.one(*'ASRX')}}}"
        body = self.weighed(
            [
                (5, rf"\frac{{{self.sum(depth - 1)}}}{{{self.sum(depth - 1)}}}"),
                (3, f"f({x})"),
                (3, self.sum(depth)),
                (1, rf"\frac{{\sin {x}}}{{{x}}}"),
                (1, rf"(1+\frac{{1}}{{{x}}})^{{{x}}}"),
            ]
        )
        return f"{start} {body}{self.weighed([(4, ''), (3, '=' + self.small()), (1, '=' + _INFINITY), (1, '=e')])}"

    def derivative(self) -> str:
        """In Leibniz's, Lagrange's or Newton's way."""
        x, f = self.one(*"xxtyr"), self.one(*"yfugvsz")
        left = self.of(
            lambda: rf"\frac{{d{f}}}{{d{x}}}",
            lambda: rf"\frac{{d}}{{d{x}}}({self.sum(0)})",
            lambda: rf"\frac{{d^{{2}}{f}}}{{d{x}^{{2}}}}",
            lambda: rf"\frac{{\partial {f}}}{{\partial {x}}}",
            lambda: rf"\frac{{\partial^{{2}} {f}}}{{\partial {x}^{{2}}}}",
            lambda: rf"{f}^{{\prime}}({x})",
            lambda: rf"{f}^{{\prime\prime}}",
            lambda: rf"{self.sign('dot', 'ddot')}{{{f}}}",
            lambda: rf"\nabla {f}",
            lambda: rf"\frac{{\Delta {f}}}{{\Delta {x}}}",
        )
        return left + self.weighed([(1, ""), (3, "=" + self.sum(1)), (3, "=" + self.term(0))])

    def known(self, *, long: bool = False) -> str:
        """What everybody writes, now and then with other letters, so that nothing is learnt by heart."""
        text = self.dice.choice(KNOWN)
        while long and len(text) < 28:
            text = self.dice.choice(KNOWN)
        if "\\" not in text and self.chance(0.5):
            for letter in "abxymnpr":
                if self.chance(0.3):
                    text = text.replace(letter, self.one(*"abcuvwxyzmnpqrst"))
        return text

    def physics(self) -> str:
        """A quantity and what it is."""
        left = self.of(self.letter, self.indexed, lambda: rf"\Delta {self.letter()}", self.greek)
        right = self.of(
            lambda: rf"\frac{{{self.letter()}{self.indexed()}}}{{{self.term(0)}}}",
            lambda: f"{self.simple_fraction()}{self.letter()}{self.power()}",
            lambda: rf"{self.small()}\cdot 10^{{{self.one('', '-')}{self.number()[:2]}}}",
            lambda: f"{self.indexed()}{self.one('+', '-')}{self.letter()}{self.letter()}",
            lambda: rf"\sqrt{{\frac{{{self.term(0)}}}{{{self.letter()}}}}}",
            lambda: rf"2\pi\sqrt{{\frac{{{self.letter()}}}{{{self.letter()}}}}}",
        )
        return f"{left}{self.one('=', '=', '=', '=', self.sign('approx', 'propto'))}{right}"

    def vectors(self) -> str:
        """Letters with arrows, and sides of figures."""
        if self.chance(0.2):
            return rf"\overline{{{self.one('AB', 'BC', 'PQ', 'AC', 'z', 'x+y')}}}={self.small()}"
        one, other = (f"{self.sign('vec', 'vec', 'vec', 'hat')}{{{self.name()}}}" for _ in range(2))
        middle = self.one(r"\cdot ", r"\times ", "+", "-", "=", r"\perp ", r"\| ")
        if self.chance(0.1):
            return rf"\|{one}\|={self.small()}"
        return (
            one + middle + other + self.weighed([(2, ""), (1, "=" + self.small()), (2, rf"=\vec{{{self.letter()}}}")])
        )

    def sequence(self) -> str:
        """The first, the second and so on."""
        x, dots = self.one(*"abxyu"), self.one(r"\ldots", r"\cdots")
        sign = "," if dots == r"\ldots" else "+"
        return f"{x}_{{1}}{sign}{x}_{{2}}{sign}{dots} {sign}{x}_{{{self.one('n', 'm', 'k', '10')}}}"

    def long_fraction(self) -> str:
        """Fractions in fractions, roots in roots."""
        return self.of(
            lambda: rf"{self.letter()}=\frac{{{self.sum(1)}}}{{{self.sum(1)}}}{self.one('+', '-')}{self.term(1)}",
            lambda: (
                rf"\frac{{{self.simple_fraction()}{self.one('+', '-')}{self.term(0)}}}{{{self.sum(1)}}}={self.sum(1)}"
            ),
            lambda: rf"1+\frac{{1}}{{{self.digit()}+\frac{{1}}{{{self.digit()}+\frac{{1}}{{{self.letter()}}}}}}}",
            lambda: rf"\sqrt{{{self.sum(1)}+\sqrt{{{self.sum(1)}}}}}={self.sum(0)}",
        )

    def cell(self) -> str:
        """What stands in a matrix."""
        ways: list[tuple[float, Thought]] = [
            (6, self.digit),
            (7, lambda: self.one("0", "1")),
            (4, self.letter),
            (3, lambda: "-" + self.digit()),
            (1, self.number),
            (2, self.indexed),
            (1, lambda: self.term(0)),
        ]
        return self.weighed(ways)()

    def grid(self, most: int = 2) -> str:
        """A matrix, a vector or a determinant of two rows, three at ``most``."""
        rows = self.weighed([(4, 2), (1 if most < 3 else 6, 3)])
        columns = self.weighed([(2, 1), (6, 2), (1 if most < 3 else 4, 3)])
        name = self.weighed([(1, GRIDS[0]), (5, GRIDS[1]), (4, GRIDS[2]), (3, GRIDS[3])])
        body = r"\\".join("&".join(self.cell() for _ in range(columns)) for _ in range(rows))
        before = self.weighed([(5, ""), (3, self.letter() + "="), (1, rf"\vec{{{self.letter()}}}=")])
        after = self.weighed([(5, ""), (1, "=" + self.small())])
        return rf"{before}\begin{{{name}}}{body}\end{{{name}}}{after}"

    def cases(self) -> str:
        """A system of equations, or a function in pieces."""
        rows = self.weighed([(4, 2), (1, 3)])
        if self.chance(0.5):
            before = ""
            lines = [self.of(self.linear, self.compared, self.small, lambda: f"{self.sum(0)}={self.small()}",
                             lambda: rf"\sqrt{{{self.small()}}}") for _ in range(rows)]  # fmt: skip
        else:
            before = self.one("f(x)=", "y=", "|x|=", "g(t)=", "")
            lines = [f"{self.sum(0)}{self.one('&', ',&')}x{self.relation()}{self.digit()}" for _ in range(rows)]
        body = r"\\".join(lines)
        return rf"{before}\begin{{cases}}{body}\end{{cases}}"
