"""What the commands do to the row that they stand in."""

from __future__ import annotations

from itertools import accumulate
from types import MappingProxyType

from copyist.engines.formula.latex_reader import CELLS, LINES, Handler, LatexProblem, Reader, missing
from copyist.engines.formula.latex_row import Row, grid
from copyist.engines.formula.latex_words import (
    ANGLES,
    ARGUMENTS,
    FONTS,
    FUNCTIONS,
    GRID_COMMANDS,
    GRIDS,
    HIDDEN,
    LISTS,
    NEGATED,
    OPTIONAL,
    SIDES,
    SPECIFIED,
    STRUCK,
    UNSEEN,
)

_MARKS = frozenset(("_", "^", "{"))


def _group(reader: Reader, row: Row, _: str) -> None:
    switched = reader.peek() in FONTS
    _named(row, reader.inside("}"), may_be_function=switched)


def _font(reader: Reader, row: Row, _: str) -> None:
    if reader.skip("{"):
        _named(row, reader.inside("}"), may_be_function=True)
    else:
        row.apart = True


def _named(row: Row, inner: Row, *, may_be_function: bool) -> None:
    if may_be_function and inner.text in FUNCTIONS:
        row.add(FUNCTIONS[inner.text])
    else:
        row.splice(inner)


def _script(reader: Reader, row: Row, mark: str) -> None:
    script = reader.argument(mark)
    if script and mark == "^":
        script = _raised_once(script)
    if script is None or row.script(mark, script):
        return
    if reader.strict:
        raise LatexProblem("bad_latex", f"Two {mark} stand at the same place; braces have to say which is which.")
    row.apart = True
    row.script(mark, script)


def _raised_once(script: list[str]) -> list[str]:
    """What is raised, where nothing but something raised stands above: ``90^{°}`` and ``f^{''}``."""
    while script[0] == "^":
        *depths, _ = accumulate((word == "{") - (word == "}") for word in script[1:])
        if 0 in depths:
            break
        script = script[2:-1]
    return script


def _raised(_: Reader, row: Row, word: str) -> None:
    """A prime or a degree; it goes beside what is raised already."""
    sign = ["\\prime" if word == "'" else "\\circ"]
    if not row.script("^", sign):
        row.apart = True
        row.script("^", sign)


def _command(reader: Reader, row: Row, command: str) -> None:
    chosen = reader.inside("]").finished() if command in OPTIONAL and reader.skip("[") else []
    found = [reader.argument(command) for _ in range(ARGUMENTS[command])]
    if any(argument is not None for argument in found):
        row.extend([command, *_bracketed(chosen)])
        for argument in found:
            row.extend(["{", *(argument or ()), "}"])


def _continued(reader: Reader, row: Row, _: str) -> None:
    """amsmath's ``\\cfrac``, whose option says at which side the numerator stands."""
    reader.pass_raw("[", "]")
    _command(reader, row, "\\frac")


def _root(reader: Reader, row: Row, _: str) -> None:
    """Plain TeX's ``\\root 3 \\of {x}``."""
    index = reader.argument("\\root")
    reader.skip("\\of")
    radicand = reader.argument("\\root")
    if index is not None and radicand is not None:
        row.extend(["\\sqrt", *_bracketed(index), "{", *radicand, "}"])


def _bracketed(tokens: list[str]) -> list[str]:
    """An argument in brackets; a bracket in it has to be hidden in braces."""
    if not tokens:
        return []
    return ["[", "{", *tokens, "}", "]"] if "]" in tokens else ["[", *tokens, "]"]


def _unseen(_: Reader, row: Row, __: str) -> None:
    row.apart = True


def _hidden(reader: Reader, row: Row, _: str) -> None:
    row.apart = True
    reader.pass_raw("[", "]")
    reader.pass_raw("{", "}")


def _side(reader: Reader, row: Row, command: str) -> None:
    for sign, angle in ANGLES.items():
        if reader.skip(sign):
            row.add(angle)
            return
    if not reader.skip(".") and reader.strict and reader.peek() in (None, "}"):
        raise LatexProblem("missing_argument", f"{command} stands without a bracket.")


def _not(reader: Reader, row: Row, command: str) -> None:
    struck = reader.argument(command)
    if struck and struck[0] not in _MARKS:
        first, *rest = struck
        row.extend([STRUCK[first], *rest] if first in STRUCK else [command, *struck])
    elif reader.strict:
        raise missing(command)


def _negated(_: Reader, row: Row, word: str) -> None:
    row.extend(["\\not", NEGATED[word]])


def _modulo(reader: Reader, row: Row, command: str) -> None:
    modulus = reader.argument(command)
    if modulus is not None:
        row.extend(["(", "\\bmod", *modulus, ")"])


def _environment(reader: Reader, row: Row, word: str) -> None:
    name = word[len("\\begin{") : -1]
    if name in GRIDS or name in LISTS:
        if name in SPECIFIED:
            reader.pass_raw("[", "]")
            reader.pass_raw("{", "}")
        rows = reader.cells(f"\\end{{{name}}}", CELLS) or []
        # Where ``&`` only says what stands under what, a line is one cell.
        _add(row, GRIDS.get(name, "matrix"), [[_together(cells)] for cells in rows] if name in LISTS else rows)
    elif reader.strict:
        raise LatexProblem("unknown_environment", f"The environment {name} is not known.")


def _grid_command(reader: Reader, row: Row, command: str) -> None:
    if reader.skip("{"):
        _add(row, GRID_COMMANDS[command], reader.cells("}", LINES if command == "\\substack" else CELLS) or [])
    elif reader.strict:
        raise missing(command)


def _add(row: Row, kind: str, rows: list[list[Row]]) -> None:
    if len(rows) == 1 and len(rows[0]) == 1:
        row.single(kind, rows[0][0])
    elif rows:
        row.extend(grid(kind, rows))


def _together(cells: list[Row]) -> Row:
    row = Row()
    for cell in cells:
        row.splice(cell)
    return row


_BY_KIND: tuple[tuple[Handler, tuple[str, ...]], ...] = (
    (_command, tuple(ARGUMENTS)),
    (_font, tuple(FONTS)),
    (_unseen, tuple(UNSEEN)),
    (_hidden, tuple(HIDDEN)),
    (_side, tuple(SIDES)),
    (_negated, tuple(NEGATED)),
    (_grid_command, tuple(GRID_COMMANDS)),
    (_environment, ("\\begin",)),
    (_group, ("{",)),
    (_script, ("_", "^")),
    (_raised, ("'", "\\degree")),
    (_not, ("\\not",)),
    (_continued, ("\\cfrac",)),
    (_root, ("\\root",)),
    (_modulo, ("\\pmod",)),
)
HANDLERS = MappingProxyType({word: handler for handler, words in _BY_KIND for word in words})
"""Whatever is not here stands for itself."""
