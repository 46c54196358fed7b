"""Reading a page the right way up: by its look where that is plain, by trying a few lines where it is not."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np

from copyist.document import Box, Page
from copyist.engines.base import Engine, PageImage, ReadOptions
from copyist.pipeline.prepare import Prepared, place, scale, straighten, turn
from copyist.pipeline.stance import Stance, find_stance

log = logging.getLogger(__name__)

MIN_SKEW = 0.5
"""Degrees; engines read a page that is tilted by less as well as a straight one, and rotating it would blur it."""
DOUBTFUL = 0.6
"""A reading with less confidence than this may be one of a page that lies otherwise."""
_CLEARLY = 1.3
"""A turn must read this much better than the one the page seems to have."""


def read_upright(engine: Engine, whole: Prepared, options: ReadOptions) -> tuple[Prepared, Page]:
    """The page made upright, straight and of a good size, and the engine's reading of it."""
    stance = find_stance(whole.image.pixels)
    turned = stance.turned
    if turned:
        # The look of a page is proved before it is turned: scripts that hang from their upper line seem upside down.
        turned = _best_turn(engine, whole, stance, (turned, (turned + 180) % 360), options)
    prepared = make_ready(whole, stance, turned)
    reading = engine.read([prepared.image], options)[0]
    if (stance.axis_sure and stance.side_sure) or not _is_doubtful(reading):
        return prepared, reading
    return _second_look(engine, whole, stance, (prepared, reading), options)


def make_ready(whole: Prepared, stance: Stance, turned: int) -> Prepared:
    """Turn, straighten and scale a page as it needs."""
    prepared = turn(whole, turned)
    if abs(stance.skew) >= MIN_SKEW:
        prepared = straighten(prepared, stance.skew)
    return scale(prepared, stance.letter_height)


def _second_look(
    engine: Engine, whole: Prepared, stance: Stance, first: tuple[Prepared, Page], options: ReadOptions
) -> tuple[Prepared, Page]:
    """After a doubtful reading: try the other turns, and read the page again if one is clearly better."""
    now = first[0].placement.turned
    others = [(now + 180) % 360] if stance.axis_sure else [(now + more) % 360 for more in (90, 180, 270)]
    turned = _best_turn(engine, whole, stance, (now, *others), options)
    if turned == now:
        return first
    log.info("The page was read again, turned by %d degrees instead of %d", turned, now)
    prepared = make_ready(whole, stance, turned)
    reading = engine.read([prepared.image], options)[0]
    return (prepared, reading) if _weight([reading]) > _weight([first[1]]) else first


def _best_turn(engine: Engine, whole: Prepared, stance: Stance, turns: Iterable[int], options: ReadOptions) -> int:
    """Which of ``turns`` reads best on a few lines; the first, unless another is clearly better."""
    sample = _crop(whole, stance.dense or _middle(whole.image))
    ready = {turned: make_ready(sample, stance, turned) for turned in turns}
    readings = engine.read([prepared.image for prepared in ready.values()], options)
    weights = {turned: _weight([reading]) for turned, reading in zip(ready, readings, strict=True)}
    first = next(iter(weights))
    best = max(weights, key=lambda turned: weights[turned])
    return best if weights[best] > _CLEARLY * weights[first] else first


def _crop(whole: Prepared, box: Box) -> Prepared:
    """A part of the page as a page of its own."""
    pixels = np.ascontiguousarray(whole.image.pixels[box.top : box.bottom, box.left : box.right])
    image = PageImage(pixels, whole.image.dpi)
    return place(image, (image.width, image.height))


def _middle(image: PageImage) -> Box:
    """The middle of a page, a third of it each way but 600 pixels at least."""
    across, down = max(image.width // 3, 600) // 2, max(image.height // 3, 600) // 2
    x, y = image.width // 2, image.height // 2
    return Box(x - across, y - down, x + across, y + down).within(image.width, image.height)


def _is_doubtful(reading: Page) -> bool:
    """Whether an engine that knows how sure it is was not; an empty reading is one."""
    confidence = reading.confidence
    return confidence < DOUBTFUL if confidence is not None else not reading.text


def _weight(readings: Iterable[Page]) -> float:
    """How much was read: letters and digits, each by the confidence in its word."""
    return sum(
        (word.confidence or 0.0) * sum(character.isalnum() for character in word.text)
        for reading in readings
        for line in reading.lines()
        for word in (line.words or (line,))
    )
