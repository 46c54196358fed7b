"""Warming a GPU worker up: its model is loaded, and has read something, before the first page comes."""

from __future__ import annotations

import logging
import threading
import time

import cv2
import numpy as np
from billiard import current_process

from copyist.engines.base import PageImage, ReadOptions
from copyist.engines.gpu import gpus, use_only
from copyist.queue.context import Context

log = logging.getLogger(__name__)


def take_a_gpu() -> None:
    """In a child of the pool: one process per card, so the first child takes the first card, and so on."""
    cards = gpus()
    if cards:
        use_only(cards[getattr(current_process(), "index", 0) % len(cards)])


def warm_up(context: Context, processes: int) -> None:
    """Load, in a thread, the engine that needs a GPU, if one is ready; pages that come meanwhile wait for it.

    Where as many children as there are ``processes`` have ended in that, the next would, too, and no page be read ever:
    then it is left to the pages, which pass over an engine that takes its process down.
    """
    name = context.gpu_engine()
    if name is not None and context.board.unended(name) >= processes:
        log.warning("engine %s is not warmed up: it took its process down before", name)
    elif name is not None:
        threading.Thread(target=_read_something, args=(context, name), name="warm-up", daemon=True).start()


def _read_something(context: Context, name: str) -> None:
    started = time.monotonic()
    try:
        with context.registry.turn(name) as engine:
            engine.read([PageImage(_words(), dpi=200)], ReadOptions())
    except Exception as error:
        # The pages will meet the same, and their trails say so.
        log.warning("engine %s could not be warmed up: %s", name, error)
    else:
        log.info("engine %s is warm after %.1f s", name, time.monotonic() - started)


def _words() -> np.ndarray:
    """A small page with two words on it: ``uint8``, (224, 448)."""
    page = np.full((224, 448), 255, np.uint8)
    cv2.putText(page, "warm up", (40, 120), cv2.FONT_HERSHEY_SIMPLEX, 2.0, 0, 4)
    return page
