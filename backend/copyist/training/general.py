"""Lines of other hands, for two ends: to examine whether a new model forgot how to read them, and to learn from beside.

They come from a folder (``Order.general_set``) as ``copyist train export`` writes one, or are drawn (``strokes``). What
is learned from is never what is examined on: of a folder other pages, of the drawn ones other hands.
"""

from __future__ import annotations

import hashlib
from itertools import groupby
from pathlib import Path

import numpy as np

from copyist.training.events import Failed
from copyist.training.examples import Example, Split, read_manifest
from copyist.training.lessons import Picture, load_picture
from copyist.training.order import LINES, Order
from copyist.training.strokes import general_lines
from copyist.training.vocabulary import Unlearnable

MANIFEST = "manifest.jsonl"
DRAWN = "drawn"
_EXAMINED, _LEARNED = 7_919, 104_729
"""Seeds of the drawn lines: their hands are not the same, whatever the run's seed."""


def general_set(order: Order) -> list[tuple[Picture, str, str]]:
    """The lines that both models are examined on, the same for the same order: picture, text, and page or writer.

    At most ``order.general_lines``. Raises ``Failed`` for a folder that is broken, naming what is wrong with it.
    """
    if order.general_set is None:
        return general_lines(order.general_lines, seed=_EXAMINED)
    examined, _ = _parted(order.general_set, order.general_lines)
    return [(picture(order.general_set, line.sha256), line.text, line.page) for line in examined]


def replay_lines(order: Order, count: int, *, examples: Path | None = None) -> list[tuple[Picture, str]]:
    """``count`` lines to learn from against forgetting, none of those of ``general_set``: picture and text.

    ``examples`` is the run's own manifest: a folder may show the very pages that the run holds out, of which nothing is
    taken. Where it has too few lines to spare, the rest is drawn. Raises as ``general_set`` does.
    """
    seed = order.parameters.seed
    found: list[tuple[Picture, str]] = []
    if order.general_set is not None:
        _, spare = _parted(order.general_set, order.general_lines)
        held_out = _held_out(examples) if examples else set()
        spare = [line for line in spare if held_out.isdisjoint((line.page, line.sha256))]
        chosen = np.random.default_rng(seed).permutation(len(spare))[:count]
        found = [(picture(order.general_set, spare[at].sha256), spare[at].text) for at in chosen]
    drawn = general_lines(count - len(found), seed=_LEARNED + seed)
    return [*found, *((shown, text) for shown, text, _ in drawn)]


def name(order: Order) -> str:
    """What the general set is called in reports."""
    return DRAWN if order.general_set is None else order.general_set.name


def picture(folder: Path, sha256: str) -> Picture:
    """The picture of a line, grey (height, width) or RGB; raises ``Failed`` unless it is whole and the one meant."""
    try:
        return load_picture(folder / LINES / f"{sha256}.png", sha256)
    except Unlearnable as error:
        raise Failed(
            "damaged_picture",
            f"{LINES}/{sha256}.png in the folder {folder.name} is missing, is no PNG or is another one. Export it "
            "again, or take the line out.",
        ) from error


def _held_out(examples: Path) -> set[str]:
    """The hashes of the pages and pictures that a run does not learn from."""
    kept = [line for line in read_manifest(examples) if line.split is not Split.TRAIN]
    return {line.page for line in kept} | {line.sha256 for line in kept}


def _parted(folder: Path, wanted: int) -> tuple[list[Example], list[Example]]:
    """The lines to examine on, and those of all other pages.

    Pages come in the order of their hashes, which is as good as by chance and stays when others are added.
    """
    try:
        lines = [line for line in read_manifest(folder / MANIFEST) if line.text.strip()]
    except OSError as error:
        raise _broken(folder, f"{MANIFEST} is missing or cannot be opened") from error
    except ValueError as error:
        raise _broken(folder, str(error).rstrip(".")) from error
    if not lines:
        raise _broken(folder, f"{MANIFEST} has no lines")
    lines.sort(key=lambda line: (hashlib.sha256(line.page.encode()).digest(), line.line, line.sha256))
    examined: list[Example] = []
    spare: list[Example] = []
    for _, page in groupby(lines, key=lambda line: line.page):
        if len(examined) < wanted:
            examined += page
        else:
            spare += page
    examined = examined[:wanted]
    pictures = {line.sha256 for line in examined}
    return examined, [line for line in spare if line.sha256 not in pictures]


def _broken(folder: Path, problem: str) -> Failed:
    return Failed(
        "broken", f"The folder {folder.name} cannot be used: {problem}. Export it again, or check GENERAL_SET."
    )
