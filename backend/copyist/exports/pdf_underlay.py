"""What an earlier OCR left on a page: text that is drawn invisibly, to be taken away before new text comes.

Text that is seen stays, and so does a text object in which some is seen, for the place of each piece hangs on the one
before. Fields and comments are not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import pikepdf

Instruction = pikepdf.ContentStreamInstruction | pikepdf.ContentStreamInlineImage

_INVISIBLE: Final = 3
_SHOWS: Final = frozenset({"Tj", "TJ", "'", '"'})
_PAINTS: Final = frozenset({"f", "F", "f*", "B", "B*", "b", "b*", "S", "s", "sh", "Do", "INLINE IMAGE"})


def without_invisible_text(page: pikepdf.Page) -> bytes | None:
    """The page's content without the invisible text in it; ``None`` where there is none, or none that can be told."""
    resources = page.obj.get("/Resources")
    if not isinstance(resources, pikepdf.Dictionary):
        return None
    forms = _forms(resources)
    if not forms and not resources.get("/Font"):
        return None
    try:
        instructions = pikepdf.parse_content_stream(page)
        kept = list(_kept(instructions, forms))
    except (pikepdf.PdfError, RuntimeError, ValueError, TypeError, KeyError, IndexError):
        return None  # content too odd to be understood stays as it is
    return None if len(kept) == len(instructions) else pikepdf.unparse_content_stream(kept)


def _forms(resources: pikepdf.Object) -> dict[str, pikepdf.Object]:
    found = resources.get("/XObject")
    items = found.items() if isinstance(found, pikepdf.Dictionary) else ()
    return {name: item for name, item in items if isinstance(item, pikepdf.Stream) and item.get("/Subtype") == "/Form"}


def _kept(instructions: Iterable[Instruction], forms: Mapping[str, pikepdf.Object]) -> Iterator[Instruction]:
    shown = list(_with_modes(instructions))
    seen = {place for place, mode, _ in shown if mode not in (None, _INVISIBLE)}
    for place, mode, instruction in shown:
        hidden = mode == _INVISIBLE and place not in seen
        if not hidden and str(instruction.operator) == "Do":
            form = forms.get(str(instruction.operands[0]))
            hidden = form is not None and _is_invisible_text(form)
        if not hidden:
            yield instruction


def _is_invisible_text(form: pikepdf.Object) -> bool:
    instructions = pikepdf.parse_content_stream(form)
    modes = {mode for _, mode, _ in _with_modes(instructions) if mode is not None}
    return modes == {_INVISIBLE} and not any(str(each.operator) in _PAINTS for each in instructions)


def _with_modes(instructions: Iterable[Instruction]) -> Iterator[tuple[int, int | None, Instruction]]:
    """Each instruction with the number of its text object and, if it shows text, the render mode it does so in."""
    place, mode = 0, 0
    outer: list[int] = []
    for instruction in instructions:
        operator = str(instruction.operator)
        if operator == "q":
            outer.append(mode)
        elif operator == "Q" and outer:
            mode = outer.pop()
        elif operator == "Tr":
            mode = int(instruction.operands[0])
        place += operator == "BT"
        yield place, mode if operator in _SHOWS else None, instruction
