"""The tasks: thin doors from Celery to the work. Arguments are ids; whatever happened is in the database afterwards."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

from copyist.queue import drawing, intake, lines, reading
from copyist.queue.app import app
from copyist.queue.context import context
from copyist.queue.routing import CUT_LINES, DRAW_PAGE, INTAKE, READ_PAGE
from copyist.queue.together import do_together


def _token(task: Any) -> str:
    """A fresh lease token. It begins with the task's id, so that the main process can find what a dead child held."""
    return f"{task.request.id}.{uuid4().hex}"


def _queue(task: Any) -> str:
    """The queue that the task came from."""
    return str((task.request.delivery_info or {}).get("routing_key", ""))


@app.task(name=INTAKE, bind=True)
def take_in(self: Any, job_id: str) -> None:
    """Look into a job's file, make its pages, and read the first."""
    here = context()
    first = partial(intake.take_in, here, job_id, token=_token(self))
    do_together(here, _queue(self), first, token=partial(_token, self))


@app.task(name=READ_PAGE, bind=True)
def read_page(self: Any, job_id: str, number: int) -> None:
    """Read one page of a job."""
    here, queue = context(), _queue(self)
    first = partial(reading.read_one, here, job_id, number, token=_token(self))
    alone = here.pages_at_once(queue) > 1 and reading.was_tried(here, job_id, number)
    do_together(here, queue, first, token=partial(_token, self), alone=alone)


@app.task(name=DRAW_PAGE)
def draw_page(job_id: str, number: int) -> None:
    """Draw the picture of one page."""
    drawing.draw(context(), job_id, number)


@app.task(name=CUT_LINES)
def cut_lines(job_id: str, number: int) -> None:
    """Cut the lines that somebody corrected out of one page."""
    lines.cut_lines(context(), job_id, number)
