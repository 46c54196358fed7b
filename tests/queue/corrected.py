"""Pages of handwriting with lines that somebody corrected, from their file to the rows of their corrections."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image
from sqlalchemy import update

from copyist import document, storage
from copyist.db import corrections, jobs, pages
from copyist.db.tables import Job
from copyist.engines.lines import find_lines
from copyist.queue.context import Context
from tests.engines.drawing import drawn
from tests.queue.rows import make_job


@dataclass(frozen=True)
class Written:
    """A job of one page, as it was read: the file's hash, and the lines that were found."""

    job_id: str
    sha256: str
    lines: tuple[document.Line, ...]


def written(context: Context, texts: Sequence[str], *, mode: str = "handwriting") -> Written:
    """Store a page with ``texts`` one under the other, and its reading: "read" on every line."""
    pixels, out = drawn(*texts), io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    sha256 = hashlib.sha256(out.getvalue()).hexdigest()
    context.storage.put(storage.file_key(sha256), out.getvalue())
    lines = tuple(document.Line(text="read", box=line.box) for line in find_lines(pixels))
    assert len(lines) == len(texts)
    job_id = make_job(context, 1, kind="png", sha256=sha256)
    block = document.Block(box=document.Box.around(line.box for line in lines), lines=lines)
    height, width = pixels.shape
    read = document.Page(width=width, height=height, engine="trocr", engine_version="1", blocks=(block,))
    with context.db.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(options={"mode": mode}))
        claim = pages.claim(session, job_id, 1, token="t", lease_s=60, max_attempts=3)
        assert claim is not None
    with context.db.write() as session:
        pages.finish(session, claim.lease, read, trail=[], degraded=False, cache_key=None)
    return Written(job_id, sha256, lines)


def correct(context: Context, page: Written, texts: Mapping[int, str | None]) -> None:
    """Correct lines of a page, or confirm them by ``None``."""
    with context.db.write() as session:
        job = jobs.get(session, page.job_id, lock=True)
        for line, text in texts.items():
            corrections.revise(session, job, page=1, line=line, text=text, source="api", author="somebody")
