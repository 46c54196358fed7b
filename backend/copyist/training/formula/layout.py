"""Where the symbols of a formula stand: boxes in boxes, as TeX does it, with the distances of somebody's hand.

The sizes are those of the strokes that a hand really wrote, so that nothing runs into what is beside it unless the
hand does. (matplotlib's mathtext places printed glyphs, and knows no matrices.) Units: a capital is 1 high, y points
down, y = 0 is the line that is written on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from copyist.training.formula import tree
from copyist.training.formula.boxes import Box, Hand, Piece, bounds, together
from copyist.training.formula.grammar_parts import commands
from copyist.training.formula.ink import Stroke

AXIS = -0.45
"""Where fraction bars and the middle of tall brackets stand."""

WORDS = {
    rf"\{word}": word
    for words in (
        "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan",
        "log ln lg exp lim max min sup inf arg det",
    )
    for word in words.split()
}
"""Tokens that are written letter by letter."""
RELATIONS = frozenset(
    (
        *"=<>:",
        *commands("leq geq neq approx sim equiv propto in notin subset supset subseteq perp |"),
        *commands("rightarrow leftarrow leftrightarrow Rightarrow Leftarrow Leftrightarrow"),
    )
)
OPERATORS = frozenset((*"+-*", *commands("times div cdot pm mp circ cup cap backslash wedge vee")))
_POINTS = frozenset({",", ";"})
_UNDER = frozenset({r"\lim", r"\max", r"\min", r"\sup", r"\inf"})
_BIG = frozenset({r"\sum", r"\prod"})
_INTEGRALS = frozenset({r"\int", r"\oint"})
_HIGH = frozenset({r"\prime", r"\circ"})
"""Superscripts that stand at the top of what they belong to."""
_SMALLEST = 0.3


def laid_out(formula: tree.Row, hand: Hand) -> list[Piece]:
    """The symbols of ``formula`` in the order in which they are written; raises ``ValueError`` for strange ones."""
    try:
        return _Layout(hand).box(formula, 1.0).pieces
    except KeyError as error:
        raise ValueError(f"nobody knows how to write {error.args[0]}") from error


def _core(node: tree.Node | None) -> str:
    """The symbol that decides about the space around ``node``."""
    if isinstance(node, tree.Script):
        return _core(node.base)
    return node.name if isinstance(node, tree.Symbol) else ""


class _Layout:
    """Makes boxes of nodes, each on the line y = 0."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.spacing = hand.spacing
        self.chance = hand.chance

    def box(self, node: tree.Node, size: float) -> Box:
        if isinstance(node, tree.Symbol):
            return self.symbol(node.name, size)
        if isinstance(node, tree.Row):
            return self.row(node.parts, size)
        if isinstance(node, tree.Script):
            return self.script(node, size)
        if isinstance(node, tree.Fraction):
            return self.fraction(node, size)
        if isinstance(node, tree.Root):
            return self.root(node, size)
        if isinstance(node, tree.Accent):
            return self.accent(node, size)
        if isinstance(node, tree.Fence):
            return self.fence(node, size)
        return self.grid(node, size)

    def some(self, distance: float) -> float:
        """``distance``, more or less."""
        return distance * math.exp(self.spacing.uneven * self.chance.standard_normal())

    def far(self, distance: float) -> float:
        """``distance``, or more, now and then three times as much."""
        return self.some(distance) * (1.0 + 2.0 * float(self.chance.random()) ** 4)

    def piece(self, symbol: str, strokes: Sequence[Stroke]) -> Box:
        return Box([Piece(symbol, strokes)], *bounds(strokes))

    def bar(self, mark: str, left: float, right: float, y: float) -> Box:
        return self.piece(mark, self.hand.stretched(mark, right - left, 0.0)).moved(left, y)

    def symbol(self, name: str, size: float) -> Box:
        if name not in WORDS:
            return self.piece(name, self.hand.glyph(name, size))
        letters: list[Box] = []
        end = 0.0
        for letter in WORDS[name]:
            box = self.piece(letter, self.hand.glyph(letter, size))
            letters.append(box.moved(end - box.left, 0.0))
            end = box.right + min(self.some(self.spacing.letters), 0.25) * size
        return together(letters)

    def row(self, parts: Sequence[tree.Node], size: float) -> Box:
        if not parts:
            return Box([], 0.0, -0.5 * size, 0.3 * size, 0.0)
        boxes: list[Box] = []
        end = 0.0
        for number, part in enumerate(parts):
            box = self.box(part, size)
            level = self.spacing.wander * size * self.chance.standard_normal()
            gap = self.gap(parts[number - 1] if number else None, part, parts[number - 2] if number > 1 else None)
            nearer = self.spacing.wander * self.chance.standard_normal() if number else 0.0
            boxes.append(box.moved(end + (gap + nearer) * size - box.left, level))
            end = box.right
        return together(boxes)

    def gap(self, before: tree.Node | None, part: tree.Node, earlier: tree.Node | None) -> float:
        """The space between ``before`` and ``part`` in capitals' heights; a sign after an operator stands close."""
        if before is None:
            return 0.0
        one, other = _core(before), _core(part)
        spacing = self.spacing
        if one in RELATIONS or other in RELATIONS:
            return self.some(spacing.relations)
        if other in OPERATORS:
            return self.some(spacing.operators)
        if one in OPERATORS:
            sign = earlier is None or _core(earlier) in OPERATORS | RELATIONS | _POINTS
            return self.some(spacing.letters if sign else spacing.operators)
        if one in _POINTS or one in WORDS or other in WORDS:
            return self.some((spacing.letters + spacing.operators) / 2)
        if one in _BIG | _INTEGRALS or isinstance(before, tree.Fraction) or isinstance(part, tree.Fraction):
            return self.some(spacing.letters) + 0.08
        return self.some(spacing.letters)

    def script(self, node: tree.Script, size: float) -> Box:
        base = self.box(node.base, size)
        name = _core(node.base)
        spacing = self.spacing
        small = max(_SMALLEST, size * spacing.script)
        sub = self.box(node.sub, small) if node.sub else None
        sup = self.box(node.sup, small) if node.sup else None
        if name in _UNDER or (spacing.under and name in _BIG) or (spacing.under_integrals and name in _INTEGRALS):
            return self.limits(base, sub, sup, size)
        parts = [base]
        start = base.right + min(self.some(spacing.letters) * 0.5, 0.25) * size
        middle = (base.top + base.bottom) / 2
        if node.sup and sup is not None:
            foot = min(middle, AXIS * 0.9 * size) - spacing.rise * size * 0.5
            foot = min(foot, base.top + 0.6 * sup.height) if base.height > 1.3 * size else foot
            foot = min(foot, base.top + 0.7 * sup.height) if _HIGH.issuperset(tree.symbols(node.sup)) else foot
            parts.append(sup.moved(start - sup.left, foot - sup.bottom))
        if sub is not None:
            head = max(middle, AXIS * 0.6 * size) + spacing.drop * size
            head = max(head, base.bottom - 0.6 * sub.height) if base.height > 1.3 * size else head
            head = max(head, sup.bottom + 0.08 * size) if sup is not None else head
            if name in _INTEGRALS:
                start = base.left + 0.5 * base.width + 0.1 * size
            parts.append(sub.moved(start - sub.left, head - sub.top))
        return together(parts)

    def limits(self, base: Box, sub: Box | None, sup: Box | None, size: float) -> Box:
        parts = [base]
        middle = (base.left + base.right) / 2
        if sup is not None:
            lean = self.chance.normal(0.0, 0.08) * size
            parts.append(sup.at(middle - sup.width / 2 + lean, base.top - self.some(0.16) * size - sup.height))
        if sub is not None:
            lean = self.chance.normal(0.0, 0.08) * size
            parts.append(sub.at(middle - sub.width / 2 + lean, base.bottom + self.some(0.16) * size))
        return together(parts)

    def fraction(self, node: tree.Fraction, size: float) -> Box:
        inner = max(_SMALLEST, size * self.spacing.fraction)
        top, bottom = self.box(node.top, inner), self.box(node.bottom, inner)
        width = max(top.width, bottom.width)
        lean = self.chance.normal(0.0, 0.06, 2) * width
        axis = AXIS * size
        top.at(-top.width / 2 + lean[0], axis - self.some(self.spacing.gap) * size - top.height)
        bottom.at(-bottom.width / 2 + lean[1], axis + self.some(self.spacing.gap) * size)
        if not node.bar:
            return together([top, bottom])
        left = min(top.left, bottom.left) - self.far(self.spacing.over) * size
        right = max(top.right, bottom.right) + self.far(self.spacing.over) * size
        return together([top, self.bar(r"\frac", left, right, axis), bottom])

    def root(self, node: tree.Root, size: float) -> Box:
        body = self.box(node.body, size)
        above, under = self.far(1.2 * self.spacing.gap) * size, self.chance.normal(0.08, 0.1) * size
        height = max(body.height + above + under, 0.8 * size)
        hook = min(max(0.4 * height, 0.4 * size), 0.9 * size) * math.exp(self.chance.normal(0.0, 0.25))
        start = self.far(0.5 * self.spacing.letters) * size
        end = self.far(self.spacing.over + 0.08) + self.chance.normal(0.0, 0.06)
        width = hook + start + body.width + end * size
        left = body.left - hook - start
        sign = self.piece(r"\sqrt", self.hand.root(hook, width, height)).moved(left, body.bottom + under - height)
        parts = [sign, body]
        if node.index is not None:
            index = self.box(node.index, max(_SMALLEST, 0.55 * size))
            place = body.top + 0.42 * body.height - index.bottom
            parts.insert(0, index.moved(left + 0.45 * hook - index.right, place))
        return together(parts)

    def accent(self, node: tree.Accent, size: float) -> Box:
        body = self.box(node.body, size)
        long = node.mark in (r"\overline", r"\underline") or len(node.body.parts) > 1
        width = body.width * (1.05 if long else 1.0)
        width = width if long else min(max(width, 0.45 * size), 0.8 * size)
        height = {r"\hat": 0.22, r"\vec": 0.2, r"\tilde": 0.16}
        mark = self.piece(node.mark, self.hand.stretched(node.mark, width, height.get(node.mark, 0.0) * size))
        left = (body.left + body.right - mark.width) / 2 + self.chance.normal(0.03, 0.05) * size
        if node.mark == r"\underline":
            return together([body, mark.at(left, body.bottom + self.some(0.12) * size)])
        return together([body, mark.at(left, body.top - self.some(0.14) * size - mark.height)])

    def fence(self, node: tree.Fence, size: float) -> Box:
        body = self.box(node.body, size)
        tall = self.spacing.tall or isinstance(node.body, tree.Grid)
        grown = tall and body.height > 1.45 * size
        parts = [body]
        if node.opening:
            mark = self.bracket(node.opening, body, size, grown)
            gap = self.some(self.spacing.letters * 0.7) + (0.1 if grown else 0.0)
            parts.insert(0, mark.moved(body.left - gap * size - mark.right, 0.0))
        if node.closing:
            mark = self.bracket(node.closing, body, size, grown)
            gap = self.some(self.spacing.letters * 0.7) + (0.1 if grown else 0.0)
            parts.append(mark.moved(body.right + gap * size - mark.left, 0.0))
        return together(parts)

    def bracket(self, name: str, body: Box, size: float, grown: bool) -> Box:
        if not grown:
            return self.piece(name, self.hand.glyph(name, size))
        above, under = (self.chance.normal(0.1, 0.1, 2) * size).tolist()
        strokes = self.hand.stretched(name, 0.0, max(body.height + above + under, size))
        return self.piece(name, strokes).moved(0.0, body.top - above)

    def grid(self, node: tree.Grid, size: float) -> Box:
        inner = max(_SMALLEST, 0.95 * size)
        rows = [[self.box(cell, inner) for cell in row] for row in node.rows]
        columns = max(len(row) for row in rows)
        widths = [max((row[at].width for row in rows if at < len(row)), default=0.0) for at in range(columns)]
        lefts = [0.0]
        for width in widths:
            lefts.append(lefts[-1] + width + self.some(self.spacing.columns) * size)
        boxes: list[Box] = []
        y = 0.0
        for row in rows:
            above, under = max(-cell.top for cell in row), max(cell.bottom for cell in row)
            y += above
            for at, cell in enumerate(row):
                spare = 0.0 if node.left else (widths[at] - cell.width) / 2
                lean = self.chance.normal(0.0, 0.08) * size
                boxes.append(cell.moved(lefts[at] + spare + lean - cell.left, y + self.chance.normal(0, 0.05) * size))
            y += under + self.some(self.spacing.rows) * size
        all_ = together(boxes)
        return all_.moved(0.0, AXIS * size - (all_.top + all_.bottom) / 2)
