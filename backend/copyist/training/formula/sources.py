"""Where formulas come from: files of ink in folders, and a table beside pictures. ``sets`` is the way in."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from copyist.engines.formula.latex import LatexProblem, normalize
from copyist.errors import FormulaDataMissing
from copyist.training.formula import inkml
from copyist.training.formula.examples import Example, ExampleUnusable

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

TABLE = "labels.csv"
_INK = ".inkml"
_SAYS: tuple[tuple[Split, re.Pattern[str]], ...] = (
    ("test", re.compile(r"Test|TEST|(?<![A-Za-z])test")),
    ("valid", re.compile(r"(?:Val|VAL|(?<![A-Za-z])val)(?:id(?:ation)?|ID(?:ATION)?)?(?![a-z])")),
    ("train", re.compile(r"Train|TRAIN|(?<![A-Za-z])train")),
)
"""The names of CROHME's folders: TestINKML_2013, TrainINKML, CROHME2014_TestEM_GT, valid."""
_ALSO_TRAIN = frozenset(("synthetic", "symbols"))
"""MathWriting's further folders; its authors train on them too."""
_SPLIT_NAMES: dict[str, Split] = {"": "train", "val": "valid", "validation": "valid", "dev": "valid"}
_MOST_PIXELS = 50_000_000
_SHORT = 200
"""Characters of a name in a sentence."""


class Source(Protocol):
    """Examples by name; to be sent to other processes. ``kind`` is mathwriting, crohme or csv."""

    kind: str

    def names(self) -> Iterator[tuple[str, Split | None]]:
        """All names, and the split of each, None where nobody says; in no order."""

    def latex(self, name: str) -> str:
        """The label as it came; raises ``ExampleUnusable``."""

    def example(self, name: str) -> Example:
        """All of it; raises ``ExampleUnusable``."""


class InkFiles:
    """InkML in folders, whose names say the split; a name is the path from ``folder`` on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.kind = "mathwriting" if any(_holds_ink(folder / split) for split in SPLITS) else "crohme"

    def names(self) -> Iterator[tuple[str, Split | None]]:
        """Of all files that end in .inkml, hidden ones aside; links to folders are not followed."""
        return _ink(str(self._folder), "", None)

    def latex(self, name: str) -> str:
        """What the file is annotated with."""
        return inkml.read_label(self._folder / name)

    def example(self, name: str) -> Example:
        """The ink of the file."""
        written = inkml.read(self._folder / name)
        return Example(label_of(written.latex, name), written.ink, None, name, written.writer, written.notes)


class Table:
    """``labels.csv`` with the columns image, latex and, if there is one, split; the images, or ink, lie beside it."""

    kind = "csv"

    def __init__(self, folder: Path) -> None:
        """Raises ``FormulaDataMissing`` for a table that cannot be read."""
        self._folder = folder
        self._rows: dict[str, tuple[str, Split | None]] = {}
        try:
            with (folder / TABLE).open(encoding="utf-8-sig", newline="") as file:
                self._fill(csv.DictReader(file, strict=True, skipinitialspace=True))
        except UnicodeDecodeError as error:
            raise FormulaDataMissing(reason=f"{folder / TABLE} is not in UTF-8; save it as UTF-8.") from error
        except (OSError, csv.Error) as error:
            raise FormulaDataMissing(reason=f"{folder / TABLE} cannot be read: {error}.") from error

    def names(self) -> Iterator[tuple[str, Split | None]]:
        """Of all rows."""
        return ((name, split) for name, (_, split) in self._rows.items())

    def latex(self, name: str) -> str:
        """What the row says."""
        return self._rows[name][0]

    def example(self, name: str) -> Example:
        """The picture, or the ink where the row names an InkML file."""
        label = label_of(self.latex(name), name)
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ExampleUnusable("broken_image", f"{name[:_SHORT]} lies outside of the folder.")
        if path.suffix.lower() == _INK:
            written = inkml.read(self._folder / path)
            return Example(label, written.ink, None, name, written.writer, written.notes)
        return Example(label, None, _picture(self._folder / path, name), name)

    def _fill(self, rows: csv.DictReader[str]) -> None:
        columns = list(rows.fieldnames or ())
        if not {"image", "latex"} <= set(columns):
            found = ", ".join(columns)[:_SHORT] or "none"
            raise FormulaDataMissing(
                reason=f"{self._folder / TABLE} needs the columns image and latex, and the first line has {found}."
            )
        for row in rows:
            if any(row.get(None) or ()):
                raise FormulaDataMissing(
                    reason=f"{self._folder / TABLE} has more fields in line {rows.line_num} than in the first; "
                    "a formula with commas has to stand in quotes."
                )
            name, said = (row["image"] or "").strip(), (row.get("split") or "").strip().lower()
            split = _SPLIT_NAMES.get(said, said)
            if split not in SPLITS:
                raise FormulaDataMissing(
                    reason=f"{self._folder / TABLE} has the split {said[:_SHORT]} in line {rows.line_num}, "
                    "where train, valid or test is expected."
                )
            if name:
                self._rows.setdefault(name, ((row["latex"] or "").strip(), split if "split" in columns else None))


def label_of(latex: str, name: str) -> tuple[str, ...]:
    """The canonical label; raises ``ExampleUnusable``: no_label, unbalanced_braces, bad_latex."""
    try:
        label = normalize(latex)
    except LatexProblem as problem:
        code = problem.code if problem.code == "unbalanced_braces" else "bad_latex"
        raise ExampleUnusable(code, f"The label of {name[:_SHORT]} is no LaTeX: {problem}") from problem
    if not label:
        raise ExampleUnusable("no_label", f"Nobody says what {name[:_SHORT]} reads.")
    return label


def _holds_ink(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(entry.name.endswith(_INK) for entry in entries)


def _ink(folder: str, above: str, split: Split | None) -> Iterator[tuple[str, Split | None]]:
    """Names in ``folder`` and in what it holds; ``above`` is its own name with a slash."""
    inner = []
    try:
        entries = os.scandir(folder)
    except OSError as error:
        raise FormulaDataMissing(reason=f"{folder} cannot be looked into: {error.strerror}.") from error
    with entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            if name.endswith(_INK):
                yield above + name, split
            elif entry.is_dir(follow_symlinks=False):
                inner.append(name)
    for name in inner:
        yield from _ink(os.path.join(folder, name), f"{above}{name}/", _said(name) or split)  # noqa: PTH118


def _said(name: str) -> Split | None:
    """What the name of a folder says of the split."""
    if name in _ALSO_TRAIN:
        return "train"
    return next((split for split, pattern in _SAYS if pattern.search(name)), None)


def _picture(path: Path, name: str) -> npt.NDArray[np.uint8]:
    """Grey or RGB, upright, on white where it is transparent."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ExampleUnusable("broken_image", f"{name[:_SHORT]} has more than {_MOST_PIXELS:,} pixels.")
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
            grey = upright.mode in {"1", "L"}
            return np.asarray(upright.convert("L" if grey else "RGB"))
    except ExampleUnusable:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ExampleUnusable("broken_image", f"{name[:_SHORT]} cannot be opened as a picture.") from error
