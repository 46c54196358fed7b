"""InkML files of MathWriting and of CROHME: ink and what it says.

InkML is https://www.w3.org/TR/InkML/. Both dialects write a point's numbers apart by spaces and points apart by commas;
the label is an annotation of the whole ink: ``normalizedLabel`` or ``label`` (MathWriting), ``truth`` (CROHME). The
groups in which CROHME says which strokes are one symbol are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from copyist.engines.formula.latex import joined, normalize
from copyist.training.formula.examples import ExampleUnusable
from copyist.training.formula.ink import Ink, Stroke, Written

LARGEST_BYTES = 8_000_000
MOST_STROKES, MOST_POINTS = 5_000, 200_000
"""A formula of an hour's writing has fewer."""
_FARTHEST = 1e9
"""Coordinates beyond it are no place on paper."""
_LABELS = ("normalizedLabel", "label", "truth")
"""In the order in which they are asked for."""
_NAMESPACE = "http://www.w3.org/2003/InkML"
_VALUE = re.compile(r"(['\"!]?)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[TF*?]|#[0-9A-Fa-f]+)|(\S)")


def read(path: Path) -> Written:
    """The ink and the label of a file; the name is the file's, without its ending.

    ``latex`` is empty where the file has no label. Strokes without a point are left out and noted. Raises
    ``ExampleUnusable``: broken_inkml for what is no InkML, too large, or has entities; no_strokes.
    """
    root = _root(path)
    channels = _Channels.of(root)
    strokes: list[Stroke] = []
    empty, points = 0, 0
    for trace in _all(root, "trace"):
        stroke = channels.stroke(trace.text or "", path)
        points += len(stroke)
        if len(strokes) >= MOST_STROKES or points > MOST_POINTS:
            raise _broken(path, f"has more than {MOST_STROKES} strokes or {MOST_POINTS} points")
        if len(stroke):
            strokes.append(stroke)
        else:
            empty += 1
    if not strokes:
        reason = "holds no stroke with a point in it" if empty else "holds no strokes"
        raise ExampleUnusable("no_strokes", f"{path.name} {reason}.")
    said = _annotations(root)
    notes = (f"{empty} strokes without points were left out.",) if empty else ()
    return Written(Ink(tuple(strokes)), _label(said), path.stem, said.get("writer", ""), notes)


def read_label(path: Path) -> str:
    """The label alone, which is quicker; empty where there is none. Raises as ``read`` does, but for no strokes."""
    return _label(_annotations(_root(path)))


def write(written: Written, path: Path) -> None:
    """Write MathWriting's dialect, which ``read`` reads; raises ``latex.LatexProblem`` for a label that is none."""
    said = {
        "label": written.latex,
        "normalizedLabel": joined(normalize(written.latex)),
        "sampleId": written.name or path.stem,
        "writer": written.writer,
    }
    lines = [f'<ink xmlns="{_NAMESPACE}">']
    lines += [f"<annotation type={quoteattr(kind)}>{escape(text)}</annotation>" for kind, text in said.items() if text]
    lines.append('<traceFormat><channel name="X" type="decimal"/><channel name="Y" type="decimal"/></traceFormat>')
    for number, stroke in enumerate(written.ink.strokes):
        points = ",".join(f"{x:.7g} {y:.7g}" for x, y in stroke.tolist())
        lines.append(f'<trace id="{number}">{points}</trace>')
    path.write_text("\n".join([*lines, "</ink>", ""]), encoding="utf-8")


def _root(path: Path) -> Element:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError is for a name that no file can have.
        raise _broken(path, "cannot be opened") from error
    if len(content) > LARGEST_BYTES:
        raise _broken(path, f"is larger than {LARGEST_BYTES // 1_000_000} MB")
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise _broken(path, "declares a document type or entities, which are not followed") from error
    except (ParseError, ValueError, LookupError) as error:
        raise _broken(path, "is no XML") from error
    if _name(root) != "ink":
        raise _broken(path, "is XML, but no InkML")
    return root


def _name(element: Element) -> str:
    """Without its namespace; comments have none."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _all(root: Element, name: str) -> Iterator[Element]:
    return (element for element in root.iter() if _name(element) == name)


def _annotations(root: Element) -> dict[str, str]:
    """What is said of the whole ink; of several annotations of a kind the first with a text."""
    said: dict[str, str] = {}
    for element in root:
        text = (element.text or "").strip()
        if _name(element) == "annotation" and text:
            said.setdefault(element.get("type", ""), text)
    return said


def _label(said: dict[str, str]) -> str:
    return next((said[kind] for kind in _LABELS if kind in said), "")


def _broken(path: Path, reason: str) -> ExampleUnusable:
    return ExampleUnusable("broken_inkml", f"{path.name} {reason}.")


@dataclass(frozen=True)
class _Channels:
    """Where x and y stand among a point's numbers, and whether they grow to the left or upwards."""

    x: int = 0
    y: int = 1
    signs: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, root: Element) -> _Channels:
        """As the first ``traceFormat`` says that has both, else x and y come first."""
        for form in _all(root, "traceFormat"):
            channels = list(_all(form, "channel"))
            names = [channel.get("name", "").upper() for channel in channels]
            if "X" in names and "Y" in names:
                x, y = names.index("X"), names.index("Y")
                first, second = (-1.0 if channels[at].get("orientation") == "-ve" else 1.0 for at in (x, y))
                return cls(x, y, (first, second))
        return cls()

    def stroke(self, text: str, path: Path) -> Stroke:
        """The points of a trace, none for an empty one."""
        rows = [numbers for point in text.split(",") if (numbers := point.split())]
        if not rows:
            return np.empty((0, 2))
        try:
            points = np.array([(float(row[self.x]), float(row[self.y])) for row in rows])
        except (ValueError, IndexError):
            points = self._spelled(text, path)
        if not (np.abs(points) < _FARTHEST).all():
            raise _broken(path, "has coordinates that are no numbers, or beyond any paper")
        return points * self.signs

    def _spelled(self, text: str, path: Path) -> Stroke:
        """As the standard has it: numbers that need no space between them, and differences from the point before.

        A ``'`` says that this number and the following ones of its channel are differences, ``"`` differences of those,
        ``!`` that they are not; ``*`` stands for the number before.
        """
        modes, values, speeds = {self.x: "!", self.y: "!"}, {self.x: 0.0, self.y: 0.0}, {self.x: 0.0, self.y: 0.0}
        found = []
        for point in text.split(","):
            numbers = list(_VALUE.finditer(point))
            if not numbers:
                continue
            if len(numbers) <= max(self.x, self.y) or any(number[3] for number in numbers):
                raise _broken(path, "has points that are no numbers")
            for at in (self.x, self.y):
                mode, spelled = numbers[at][1], numbers[at][2]
                modes[at] = mode or modes[at]
                values[at], speeds[at] = _next(modes[at], spelled, values[at], speeds[at], path)
            found.append((values[self.x], values[self.y]))
        return np.array(found).reshape(-1, 2)


def _next(mode: str, spelled: str, value: float, speed: float, path: Path) -> tuple[float, float]:
    """The next value of a channel, and by how much it changed."""
    if spelled == "*":
        return (value, 0.0) if mode == "!" else (value + speed, speed)
    try:
        number = float(int(spelled[1:], 16)) if spelled[0] == "#" else float(spelled)
    except (ValueError, OverflowError) as error:
        raise _broken(path, "has points that are no numbers") from error
    if mode == "!":
        return number, number - value
    speed = number if mode == "'" else speed + number
    return value + speed, speed
