"""The tasks: thin doors from Celery to the work. Arguments are ids; whatever happened is in the database afterwards."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from copyist.queue import drawing, intake, reading
from copyist.queue.app import app
from copyist.queue.context import context
from copyist.queue.routing import DRAW_PAGE, INTAKE, READ_PAGE


def _token(task: Any) -> str:
    """A fresh lease token. It begins with the task's id, so that the main process can find what a dead child held."""
    return f"{task.request.id}.{uuid4().hex}"


@app.task(name=INTAKE, bind=True)
def take_in(self: Any, job_id: str) -> None:
    """Look into a job's file, make its pages, and read the first."""
    intake.take_in(context(), job_id, token=_token(self))


@app.task(name=READ_PAGE, bind=True)
def read_page(self: Any, job_id: str, number: int) -> None:
    """Read one page of a job."""
    reading.read_one(context(), job_id, number, token=_token(self))


@app.task(name=DRAW_PAGE)
def draw_page(job_id: str, number: int) -> None:
    """Draw the picture of one page."""
    drawing.draw(context(), job_id, number)
