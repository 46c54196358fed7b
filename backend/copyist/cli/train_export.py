"""``copyist train export``: the lines that people verified as a folder of pictures and a manifest, for other tools."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from copyist.cli.database import opened
from copyist.cli.parts import configured, stop
from copyist.errors import CopyistError
from copyist.queue.dataset import DAMAGED, LOST, OF_PRINT, Selection, fill, select
from copyist.reasons import why
from copyist.settings import Settings
from copyist.storage import Storage
from copyist.training.examples import LeftOut, Split, manifest, sha256_of

MANIFEST = "manifest.jsonl"
REASONS = {
    LeftOut.WAITS: "not cut out of its page yet; a worker does that",
    LeftOut.NO_PICTURE: "no picture: the page is gone, damaged, or blank there",
    LeftOut.EMPTY: "nothing but blanks as text",
    LeftOut.PAGE_NOT_VERIFIED: "on a page held out that has unverified lines",
    LeftOut.DUPLICATE: "the same picture and text once more",
    LeftOut.CONTRADICTED: "another text for the same picture is newer",
    LeftOut.HELD_OUT: "the same picture is held out",
    LeftOut.TOO_MANY_ALIKE: "many other lines have the same text",
    LeftOut.CONFIRMED: "right as it was read, beyond TRAIN_CORRECTED_SHARE",
    OF_PRINT: "not read as handwriting",
    LOST: "its picture is lost",
    DAMAGED: "its picture is damaged",
}
"""Reason to what people are told of it."""


def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", show_default=False)],
    zipped: Annotated[bool, typer.Option("--zip", help="Write FOLDER.zip instead of the folder.")] = False,
) -> None:
    """Export what training would learn from now: manifest.jsonl and lines/*.png."""
    settings = configured(broker=False)
    target = folder.with_name(f"{folder.name}.zip") if zipped else folder
    if target.exists() and (zipped or not target.is_dir() or any(target.iterdir())):
        raise stop(f"{target} is there already. Name another, so that nothing of it is mixed with this.", os.EX_USAGE)
    try:
        found = _found(settings)
        if found.examples:
            kept = _zip(settings, target, found) if zipped else _fill(settings, target, found)
    except CopyistError as error:
        raise stop(error.detail) from error
    except OSError as error:
        raise stop(f"The dataset could not be written to {target}: {error.strerror or why(error)}.") from error
    except SQLAlchemyError as error:
        raise stop(f"The database does not answer: {why(error)}.") from error
    if not found.examples:
        _show(found)
        raise stop("There is nothing to export: no line was corrected or confirmed that could be learned from.")
    _show(kept)
    typer.echo(f"{target}: {len(kept.examples)} lines, sha256 {sha256_of(manifest(kept.examples))}")


def _found(settings: Settings) -> Selection:
    with opened(settings) as database:
        return select(database, share=settings.train_corrected_share, at_least=settings.train_min_lines)


def _fill(settings: Settings, folder: Path, found: Selection) -> Selection:
    return fill(Storage(settings.storage), folder, found, name=MANIFEST)


def _zip(settings: Settings, target: Path, found: Selection) -> Selection:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as work:
        files = Path(work) / "files"
        kept = _fill(settings, files, found)
        part = Path(work) / target.name
        # Pictures are compressed as they are.
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(files.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(files))
        part.replace(target)
    return kept


def _show(found: Selection) -> None:
    counts = found.counts()
    table = Table("what", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("lines", justify="right")
    for split in Split:
        pages = f", {counts['holdout_pages']} pages" if split is Split.HOLDOUT else ""
        table.add_row(f"{split.value}{pages}", str(counts[split.value]))
    table.add_row("of all, corrected", str(counts["corrected"]))
    for reason, count in found.left_out.items():
        table.add_row(f"left out: {REASONS[reason]}", str(count))
    Console().print(table)
