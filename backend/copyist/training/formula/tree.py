"""What a formula is made of: canonical LaTeX (``engines.formula.latex``) as a tree of what stands around what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ACCENTS = frozenset({r"\hat", r"\vec", r"\dot", r"\ddot", r"\tilde", r"\overline", r"\underline"})
FENCES = {"matrix": "", "pmatrix": "()", "bmatrix": "[]", "vmatrix": "||", "cases": "{"}
"""The brackets around a grid, by the name of its environment."""

_OPENING = frozenset({"(", "[", r"\{", r"\langle", r"\lfloor", r"\lceil"})
_CLOSING = frozenset({")", "]", r"\}", r"\rangle", r"\rfloor", r"\rceil"})
_EITHER = frozenset({"|", r"\|"})


@dataclass(frozen=True)
class Symbol:
    """One token that is written as it stands: ``x``, ``\\alpha``, ``\\sin``."""

    name: str


@dataclass(frozen=True)
class Row:
    """Parts beside each other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Script:
    """``base`` with what stands below and above at its right, or under and over it."""

    base: Node
    sub: Row | None
    sup: Row | None


@dataclass(frozen=True)
class Fraction:
    """``\\frac``; without a bar, ``\\binom``'s inside."""

    top: Row
    bottom: Row
    bar: bool = True


@dataclass(frozen=True)
class Root:
    """``\\sqrt``, with its index where it has one."""

    body: Row
    index: Row | None


@dataclass(frozen=True)
class Accent:
    """A mark over ``body``, or under it."""

    mark: str
    body: Row


@dataclass(frozen=True)
class Fence:
    """Brackets around ``body``, as high as it; an empty one is not written."""

    opening: str
    body: Node
    closing: str


@dataclass(frozen=True)
class Grid:
    """Rows of cells; ``cases`` has its cells at the left of their columns, others in the middle."""

    rows: tuple[tuple[Row, ...], ...]
    left: bool


Node = Symbol | Row | Script | Fraction | Root | Accent | Fence | Grid


def parsed(tokens: Sequence[str]) -> Row:
    """The tree of canonical tokens (``latex.normalize``); raises ``ValueError`` for others."""
    reader = _Reader(tokens)
    row = reader.row()
    if reader.at < len(tokens):
        raise ValueError(f"{tokens[reader.at]} stands where nothing is open")
    return row


class _Reader:
    """Goes through the tokens once."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tokens
        self.at = 0

    @property
    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.next
        if not token or (expected and token != expected):
            raise ValueError(f"{expected or 'something'} is missing at token {self.at} of the formula")
        self.at += 1
        return token

    def row(self, *, ends: Sequence[str] = ("}", "&", r"\\")) -> Row:
        parts: list[Node] = []
        while self.next and self.next not in ends and not self.next.startswith(r"\end{"):
            parts.append(self.scripted(self.node()))
        return Row(_fenced(parts))

    def group(self) -> Row:
        self.take("{")
        row = self.row()
        self.take("}")
        return row

    def node(self) -> Node:
        name = self.take()
        if name == "{":
            self.at -= 1
            return self.group()
        if name == r"\frac":
            return Fraction(self.group(), self.group())
        if name == r"\binom":
            return Fence("(", Fraction(self.group(), self.group(), bar=False), ")")
        if name == r"\sqrt":
            return self.root()
        if name in ACCENTS:
            return Accent(name, self.group())
        if name == r"\mathbb":
            return self.set_letter()
        if name.startswith(r"\begin{"):
            return self.grid(name[7:-1])
        return Symbol(name)

    def set_letter(self) -> Symbol:
        self.take("{")
        letter = self.take()
        self.take("}")
        return Symbol(rf"\mathbb{{{letter}}}")

    def root(self) -> Root:
        index = None
        if self.next == "[":
            self.take()
            index = self.row(ends=("]",))
            self.take("]")
        return Root(self.group(), index)

    def scripted(self, base: Node) -> Node:
        found: dict[str, Row] = {}
        while self.next in ("_", "^") and self.next not in found:
            mark = self.take()
            found[mark] = self.group()
        return Script(base, found.get("_"), found.get("^")) if found else base

    def grid(self, name: str) -> Fence:
        if name not in FENCES:
            raise ValueError(f"there is no way to write the environment {name}")
        rows: list[tuple[Row, ...]] = []
        cells: list[Row] = []
        while True:
            cells.append(self.row())
            mark = self.take()
            if mark != "&":
                rows.append(tuple(cells))
                cells = []
            if mark.startswith(r"\end{"):
                break
        if name == "cases":
            return Fence(r"\{", Grid(tuple(rows), left=True), "")
        opening, closing = FENCES[name][:1], FENCES[name][1:]
        return Fence(opening, Grid(tuple(rows), left=False), closing)


def _fenced(parts: Sequence[Node]) -> tuple[Node, ...]:
    """Brackets that belong together made one part, with what stands between them."""
    open_: list[str] = [""]
    inside: list[list[Node]] = [[]]

    def undo() -> None:
        """What opened last closes nowhere: it is a sign like others."""
        inner = inside.pop()
        inside[-1] += [Symbol(open_.pop()), *inner]

    for part in parts:
        core = part.base if isinstance(part, Script) else part
        name = core.name if isinstance(core, Symbol) else ""
        opens = part is core and (name in _OPENING or (name in _EITHER and open_[-1] != name))
        if opens:
            open_.append(name)
            inside.append([])
            continue
        while name in _CLOSING and open_[-1] in _EITHER:
            undo()
        if (name in _CLOSING and len(open_) > 1) or (name in _EITHER and open_[-1] == name):
            fence = Fence(open_.pop(), Row(tuple(inside.pop())), name)
            inside[-1].append(Script(fence, part.sub, part.sup) if isinstance(part, Script) else fence)
        else:
            inside[-1].append(part)
    while len(open_) > 1:
        undo()
    return tuple(inside[0])


def symbols(node: Node) -> list[str]:
    """Every symbol in ``node`` that is written with strokes of its own, in reading order; for tests and counts."""
    if isinstance(node, Symbol):
        return [node.name]
    if isinstance(node, Row):
        return [name for part in node.parts for name in symbols(part)]
    inner: list[Node | None] = []
    if isinstance(node, Script):
        inner = [node.base, node.sub, node.sup]
    elif isinstance(node, Fraction):
        inner = [node.top, node.bottom]
    elif isinstance(node, Root):
        inner = [node.index, node.body]
    elif isinstance(node, Accent | Fence):
        inner = [node.body]
    elif isinstance(node, Grid):
        inner = [cell for row in node.rows for cell in row]
    return [name for part in inner if part is not None for name in symbols(part)]
