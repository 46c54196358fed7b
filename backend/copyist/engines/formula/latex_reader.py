"""Goes over the tokens of a formula once and makes canonical ones; ``latex_commands`` says what each command does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from copyist.engines.formula.latex_row import Row, fenced, grid
from copyist.engines.formula.latex_words import FONTS, GRIDS, INFIX, LISTS, SIDES, SYNONYMS, UNSEEN
from copyist.engines.formula.unusable import Unusable

DEEPEST = 60
"""So many braces and environments may stand inside one another; TeX itself takes 255."""
_MENDED_DEEPEST = DEEPEST // 2 - 2
"""Less for what is mended: an argument around ``\\over`` is two deep once it is canonical."""

LINES = frozenset(("\\\\",))
CELLS = frozenset(("\\\\", "&"))
_NO_BREAKS: frozenset[str] = frozenset()
_ORDINARY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-=()<>/,.!|;:*?@")
"""Looked at first, because most tokens are one of them."""
_CLOSING = frozenset(("}", "&", "\\\\"))
_NO_ARGUMENT = frozenset(("}", "&", "\\\\", "_", "^"))


class LatexProblem(Unusable):
    """LaTeX that cannot be read; ``code`` says why in a word, the text in a sentence."""


class Reader:
    """Reads ``tokens`` once. ``strict`` raises ``LatexProblem``; else what is wrong is mended or left out.

    ``handlers`` are called for their tokens, which are passed over already, to add to a row what comes of them. They go
    on reading with ``peek``, ``skip``, ``argument`` and the like, and may not step back.
    """

    def __init__(self, tokens: Sequence[str], handlers: Mapping[str, Handler], *, strict: bool) -> None:
        same = SYNONYMS.get
        self.strict = strict
        self._tokens = [same(word, word) for word in tokens]
        self._handlers = handlers
        self._deepest = DEEPEST if strict else _MENDED_DEEPEST
        self._at = 0
        self._open: list[str] = []

    def formula(self) -> list[str]:
        """The canonical tokens of all of it; lines outside of an environment become a matrix of one column."""
        rows = self._rows("", LINES)
        return fenced(rows[0][0].finished() if len(rows) == 1 else grid("matrix", rows))

    def peek(self) -> str | None:
        """The next token, None after the last."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def skip(self, word: str) -> bool:
        """Pass over ``word`` if it comes next."""
        comes = self.peek() == word
        self._at += comes
        return comes

    def inside(self, closer: str) -> Row:
        """What stands up to ``closer``, which is passed over; its opening is passed over already."""
        if not self._enter(closer):
            return Row()
        row = self._row(closer)
        self._open.pop()
        self.skip(closer)
        return row

    def cells(self, closer: str, breaks: frozenset[str]) -> list[list[Row]] | None:
        """The same as lines of cells; None where that would be too deep."""
        if not self._enter(closer):
            return None
        rows = self._rows(closer, breaks)
        self._open.pop()
        word = self.peek()
        if word == closer or (word is not None and closer != "}" and word.startswith("\\end{")):
            self._at += 1
        return rows

    def argument(self, command: str) -> list[str] | None:
        """What ``command`` belongs to; None where there is nothing and that is to be mended."""
        while self._no_argument_yet():
            self._at += 1
        word = self.peek()
        bracketed = word == "]" and self._open[-1:] == ["]"]
        if word is None or word in _NO_ARGUMENT or word in INFIX or word.startswith("\\end{") or bracketed:
            if self.strict:
                raise missing(command)
            return None
        self._at += 1
        if word == "{":
            return self.inside("}").finished() if self._enterable() else None
        if not self._enter(""):
            return None
        row = Row()
        handler = self._handler(word)
        if handler is None:
            row.add(word)
        else:
            handler(self, row, word)
        self._open.pop()
        return row.finished()

    def pass_raw(self, opening: str, closing: str) -> None:
        """Pass over what stands between these, if it comes next."""
        if self.peek() != opening:
            return
        depth = 0
        for at in range(self._at, len(self._tokens)):
            word = self._tokens[at]
            depth += (word == opening) - (word == closing)
            if not depth:
                self._at = at + 1
                return
        if self.strict:
            raise _not_closed(closing)
        self._at += 1

    def _rows(self, closer: str, breaks: frozenset[str]) -> list[list[Row]]:
        """Lines of cells up to what closes them, which is left; empty lines at the end are no lines."""
        rows: list[list[Row]] = [[]]
        while True:
            rows[-1].append(self._row(closer, breaks))
            word = self.peek()
            if word is None or word not in breaks:
                break
            if word != "&":
                rows.append([])
            self._at += 1
        while len(rows) > 1 and all(cell.empty for cell in rows[-1]):
            rows.pop()
        return rows

    def _row(self, closer: str, breaks: frozenset[str] = _NO_BREAKS) -> Row:
        """All up to ``closer`` or a break, which is left."""
        row = Row()
        head, infix = None, ""
        while (word := self.peek()) is not None:
            if word in _ORDINARY:
                row.add(word)
            elif word in breaks or (word == closer == "]"):
                break
            elif word in _CLOSING or word.startswith("\\end{"):
                if self._closes(word, closer):
                    break
            elif (handler := self._handler(word)) is not None:
                self._at += 1
                handler(self, row, word)
                continue
            elif word not in INFIX:
                row.add(word)
            elif not infix:
                head, infix, row = row, word, Row()
            elif self.strict:
                raise LatexProblem("bad_latex", f"{infix} and {word} stand in the same braces.")
            self._at += 1
        if word is None and closer and self.strict:
            raise _not_closed(closer)
        return row if head is None else _infixed(INFIX[infix], head, row)

    def _handler(self, word: str) -> Handler | None:
        return self._handlers.get("\\begin" if word.startswith("\\begin{") else word)

    def _closes(self, word: str, closer: str) -> bool:
        """Whether ``word`` ends the row that ``closer`` is to end."""
        if word == closer:
            return True
        if self.strict:
            raise _out_of_place(word, closer)
        if word in CELLS:
            return False
        if word == "}":
            return word in self._open
        # An environment that ends by another's name ends; the end of one that is not known never began.
        known = word[5:-1] in GRIDS or word[5:-1] in LISTS
        return known and any(other.startswith("\\end{") for other in self._open)

    def _no_argument_yet(self) -> bool:
        word = self.peek()
        if word in FONTS:
            return self._tokens[self._at + 1 : self._at + 2] != ["{"]
        return word in UNSEEN or word in SIDES

    def _enterable(self) -> bool:
        if len(self._open) < self._deepest:
            return True
        if self.strict:
            raise LatexProblem("too_deep", f"More than {DEEPEST} braces stand inside one another.")
        return False

    def _enter(self, closer: str) -> bool:
        """Go one deeper; False where that is too deep."""
        if self._enterable():
            self._open.append(closer)
            return True
        return False


Handler = Callable[[Reader, Row, str], None]


def missing(command: str) -> LatexProblem:
    """The problem that ``command`` has nothing that it could belong to."""
    return LatexProblem("missing_argument", f"{command} stands without what it belongs to.")


def _infixed(command: str, head: Row, tail: Row) -> Row:
    row = Row()
    if command != "\\substack":
        row.extend([command, "{", *head.finished(), "}", "{", *tail.finished(), "}"])
    elif tail.empty:
        row.splice(head)
    else:
        row.extend(grid(command, [[head], [tail]]))
    return row


def _not_closed(closer: str) -> LatexProblem:
    if closer == "}":
        return LatexProblem("unbalanced_braces", "An opening brace is not closed.")
    if closer == "]":
        return LatexProblem("bad_latex", "An opening bracket is not closed.")
    return LatexProblem("unclosed_environment", f"{closer} is missing.")


def _out_of_place(word: str, closer: str) -> LatexProblem:
    if word == "}":
        return LatexProblem("unbalanced_braces", "A closing brace stands where nothing is open.")
    if word in CELLS:
        return LatexProblem("bad_latex", f"{word} stands outside of a matrix or of lines.")
    if closer == "}":
        return LatexProblem("unbalanced_braces", f"{word} stands before an opening brace is closed.")
    return LatexProblem("unclosed_environment", f"{word} closes what is not open.")
