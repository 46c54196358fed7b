"""A row of canonical tokens while it grows, and what is done to it when it is whole."""

from __future__ import annotations

from collections.abc import Sequence

from copyist.engines.formula.latex_words import FENCES, OPTIONAL

_PRIME = "\\prime"


class Row:
    """Canonical tokens, and the scripts of what stands last, which may still grow.

    ``lead`` are scripts before anything they could belong to. ``group`` is where the last thing begins if it stood in
    braces, ``apart`` whether something unseen stands between the scripts and what comes next. ``up_first`` is set where
    a second script above made braces necessary: one below, written first, would go to what stands in or before them.
    """

    __slots__ = ("apart", "down", "group", "lead", "out", "up", "up_first")

    def __init__(self) -> None:
        self.lead: list[tuple[str, list[str]]] = []
        self.out: list[str] = []
        self.down: list[str] = []
        self.up: list[str] = []
        self.group: int | None = None
        self.apart = False
        self.up_first = False

    @property
    def empty(self) -> bool:
        """Whether nothing is to be seen."""
        return not (self.out or self.down or self.up or self.lead)

    @property
    def text(self) -> str:
        """What stands here if it is plain, or nothing."""
        return "" if self.lead or self.down or self.up else "".join(self.out)

    def add(self, word: str) -> None:
        """One more token."""
        if self.down or self.up:
            self._settle()
        self.group = None
        self.apart = False
        self.out.append(word)

    def extend(self, tokens: Sequence[str]) -> None:
        """More tokens, which begin with no script."""
        self._settle()
        self.out += tokens

    def finished(self) -> list[str]:
        """All tokens; the row is not to be used any more."""
        self._settle()
        if not self.lead:
            return self.out
        return [*(word for mark, script in self.lead for word in _script(mark, script)), *self.out]

    def script(self, mark: str, tokens: list[str]) -> bool:
        """Add a script; False, and nothing done, if there is one already and nothing that keeps the two apart."""
        if not tokens:
            return True
        there = self.down if mark == "_" else self.up
        if there:
            if mark == "^" and there[0] == there[-1] == _PRIME:
                there += tokens
                return True
            if self.group is not None:
                start = self.group
                self._settle()
                self.out[start:] = ["{", *self.out[start:], "}"]
                self.up_first = mark == "^"
            elif self.apart:
                self._settle()
                self.out += "{}"
                self.up_first = mark == "^"
            else:
                return False
        if mark == "_":
            self.down = tokens
        else:
            self.up = tokens
        return True

    def splice(self, other: Row) -> None:
        """Add what stood in braces, which are dropped; scripts at its beginning go to what stands before."""
        self.apart = True
        for mark, script in other.lead:
            self.script(mark, script)
            self.apart = True
        if other.out:
            self._settle()
            self.group = len(self.out)
            self.out += other.out
            self.down, self.up, self.up_first = other.down, other.up, other.up_first
            return
        for mark, script in (("_", other.down), ("^", other.up)):
            self.script(mark, script)
            self.apart = True

    def single(self, kind: str, cell: Row) -> None:
        """Add a matrix of one cell: what stands in it, between its brackets."""
        for opening, (closing, fence) in FENCES.items():
            if fence == kind:
                self.extend([opening, *cell.finished(), closing])
                return
        if kind == "cases":
            self.add("\\{")
        # What stands last in the cell may get scripts from outside.
        self.splice(cell)

    def _settle(self) -> None:
        """Write the scripts down; nothing can be added to them any more."""
        scripts = [("_", self.down), ("^", self.up)]
        for mark, script in reversed(scripts) if self.up_first else scripts:
            if script and self.out:
                self.out += _script(mark, script)
            elif script:
                self.lead.append((mark, script))
        self.down, self.up = [], []
        self.group = None
        self.apart = self.up_first = False


def grid(kind: str, rows: Sequence[Sequence[Row]]) -> list[str]:
    """The environment, or ``\\substack``, of these cells."""
    lines = kind == "\\substack"
    tokens = [kind, "{"] if lines else [f"\\begin{{{kind}}}"]
    for number, cells in enumerate(rows):
        if number:
            tokens.append("\\\\")
        for column, cell in enumerate(cells):
            if column:
                tokens.append("&")
            tokens += cell.finished()
    tokens.append("}" if lines else f"\\end{{{kind}}}")
    return tokens


def fenced(tokens: list[str]) -> list[str]:
    """Three full stops as one sign, and a bare matrix between brackets as the environment that has them."""
    if tokens.count(".") > 2:
        tokens = _dotted(tokens)
    if "\\begin{matrix}" not in tokens:
        return tokens
    found: list[str] = []
    starts: list[int] = []
    passed = False
    for at, word in enumerate(tokens):
        if passed:
            passed = False
            continue
        if word.startswith("\\begin{"):
            starts.append(len(found))
        found.append(word)
        if not word.startswith("\\end{"):
            continue
        start = starts.pop()
        before = found[start - 1] if start else ""
        if word != "\\end{matrix}" or before not in FENCES or (start > 1 and found[start - 2] in OPTIONAL):
            continue
        closing, kind = FENCES[before]
        passed = at + 1 < len(tokens) and tokens[at + 1] == closing
        if not passed:
            if before != "\\{":
                continue
            kind = "cases"
        found[start - 1 :] = [f"\\begin{{{kind}}}", *found[start + 1 : -1], f"\\end{{{kind}}}"]
    return found


def _dotted(tokens: list[str]) -> list[str]:
    found: list[str] = []
    for word in tokens:
        if word == "." and found[-2:] == [".", "."]:
            found[-2:] = ["\\ldots"]
        else:
            found.append(word)
    return found


def _script(mark: str, script: list[str]) -> list[str]:
    return [mark, "{", *script, "}"]
