"""Corrections: what people say that stands on a line, only ever added. A line's text is its last revision.

Readings are never rewritten: whoever shows one lays the last revisions over it. All that writes here does so under the
lock of the job's row, so the revisions of a line follow each other, and kept results are made anew (``Job.changes``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session, aliased

from copyist import document
from copyist.db.insert import insert
from copyist.db.jobs import is_id
from copyist.db.learning_tables import Correction, LinePicture
from copyist.db.states import PageStatus
from copyist.db.tables import Job, Page, Reading, now
from copyist.errors import CorrectionTooLong, EmptyCorrection, NotFound, StaleCorrection

MAX_CHARACTERS = 2000
SHOWN_CHARACTERS = 200
"""Of somebody else's correction, in the sentence that says that it was there before."""
NOTHING = ""
"""The text of a line where nothing stands: an engine took a blot, or a ruled line, for one."""
LARGEST = 2**31 - 1
AT_ONCE = 500
_LINE_ID = re.compile(r"([0-9a-f-]{36})\.([1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})", re.ASCII)
_BREAKS = re.compile("[ \t]*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+[ \t]*")


@dataclass(frozen=True)
class LineId:
    """Which line: ``page`` counts from 1, ``line`` from 0 in reading order of what was read on the page."""

    job_id: str
    page: int
    line: int

    @classmethod
    def parse(cls, text: str) -> LineId:
        """The id that ``str`` gives; raises ``NotFound`` for what cannot be one."""
        found = _LINE_ID.fullmatch(text)
        if found is None or not is_id(found[1]) or max(int(found[2]), int(found[3])) > LARGEST:
            raise NotFound(what="line")
        return cls(found[1], int(found[2]), int(found[3]))

    def __str__(self) -> str:
        return f"{self.job_id}.{self.page}.{self.line}"


@dataclass(frozen=True)
class Change:
    """What somebody says of one line: its ``text``, or that it is right as it is shown (``None``).

    ``parent`` is the revision that was looked at, 0 for the line as it was read; ``None`` if that does not matter.
    With ``nothing`` no line stands there, and ``text`` is not looked at: a text that is empty may be a slip.
    """

    line: int
    text: str | None
    parent: int | None = None
    nothing: bool = False


def wording(text: str) -> str:
    """``text`` as it is kept: in composed form (NFC), on one line, without blanks around it.

    Raises ``EmptyCorrection`` where nothing is left that could be seen, and ``CorrectionTooLong``.
    """
    plain = unicodedata.normalize("NFC", _BREAKS.sub(" ", document.whole(text)).strip())
    if not any(sign.isprintable() and not sign.isspace() for sign in plain):
        raise EmptyCorrection
    if len(plain) > MAX_CHARACTERS:
        raise CorrectionTooLong(limit=MAX_CHARACTERS, length=len(plain))
    return plain


def revise(
    session: Session,
    job: Job,
    *,
    page: int,
    line: int,
    text: str | None,
    source: str,
    author: str,
    parent: int | None = None,
    nothing: bool = False,
) -> Correction:
    """Add one revision to one line of ``job`` (its row locked by the caller) and give the line's last one.

    ``text`` is ``None`` for a line that is right as it is shown; with ``nothing`` it is ``NOTHING`` from now on. What
    is known already adds nothing.

    Raises ``NotFound`` for a line that was not read, ``EmptyCorrection``, ``CorrectionTooLong``, and
    ``StaleCorrection`` where ``parent`` is not the last revision.
    """
    change = Change(line, text, parent, nothing)
    return revise_page(session, job, page, [change], source=source, author=author).last[line]


@dataclass(frozen=True)
class Revised:
    """What came of the changes to one page: the last revision of each line, and the lines that have a new one."""

    last: Mapping[int, Correction]
    corrected: tuple[int, ...] = ()
    confirmed: tuple[int, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether anything was added."""
        return bool(self.corrected or self.confirmed)


def revise_page(
    session: Session, job: Job, page: int, changes: Sequence[Change], *, source: str, author: str
) -> Revised:
    """The same for several lines of a page, of which its reading is looked at once; all of them or none."""
    content = read_page(session, job.id, page)
    lines = list(content.lines())
    last = {number: one for (_, number), one in current(session, job.id, [page]).items()}
    made = []
    for change in changes:
        if not 0 <= change.line < len(lines):
            raise NotFound(what="line")
        before = last.get(change.line)
        after = _after(lines[change.line], before, change)
        if before is not None and before.after == after:
            continue
        if before in made:  # It gets its id, which is the parent of the next one.
            session.flush()
        facts = _facts(job, page, change.line, content, lines[change.line])
        parent_id, was = (before.id, before.after) if before else (None, lines[change.line].text)
        revision = Correction(**facts, before=was, after=after, source=source, author=author, parent_id=parent_id)
        session.add(revision)
        last[change.line] = revision
        made.append(revision)
    if made:
        session.flush()
        _wish_for_pictures(session, job.id, page, [revision.line for revision in made], len(lines))
        job.changes, job.updated_at = job.changes + 1, now()
        session.flush()
    right = [revision.line for revision in made if revision.after == revision.before]
    wrong = [revision.line for revision in made if revision.after != revision.before]
    return Revised({change.line: last[change.line] for change in changes}, tuple(wrong), tuple(right))


def _after(read: document.Line, last: Correction | None, change: Change) -> str:
    """The text of the line from now on; raises ``StaleCorrection``."""
    shown = last.after if last else read.text
    text = NOTHING if change.nothing else None if change.text is None else wording(change.text)
    # Whoever sends the same once more, because the answer was lost, has not seen the revision that came of it.
    if last is not None and text == last.after:
        return last.after
    if change.parent is not None and change.parent != (last.id if last else 0):
        raise StaleCorrection(text=shown[:SHOWN_CHARACTERS], revision=last.id if last else 0)
    return shown if text is None or text == _plain(shown) else text


def says_the_same(shown: str, text: str) -> bool:
    """Whether ``text`` is what stands on a line that is shown as ``shown``; raises what ``wording`` does."""
    return wording(text) == _plain(shown)


def _plain(shown: str) -> str:
    try:
        return wording(shown)
    except EmptyCorrection:
        return NOTHING
    except CorrectionTooLong:
        return shown


def _facts(job: Job, page: int, line: int, content: document.Page, read: document.Line) -> dict[str, Any]:
    """What does not change from one revision of a line to the next."""
    return {
        "job_id": job.id,
        "owner": job.owner,
        "file_sha256": job.file_sha256,
        "page": page,
        "line": line,
        "box": list(read.box),
        "engine": content.engine,
        "engine_version": content.engine_version,
        "confidence": read.confidence,
    }


def _wish_for_pictures(session: Session, job_id: str, page: int, lines: Iterable[int], lines_on_page: int) -> None:
    """Note the lines for a worker to cut out; those that were noted before stay as they are."""
    rows = [
        {"job_id": job_id, "page": page, "line": line, "lines_on_page": lines_on_page, "attempts": 0}
        for line in sorted(set(lines))
    ]
    session.execute(insert(session, LinePicture).on_conflict_do_nothing(), rows)


def read_page(session: Session, job_id: str, page: int) -> document.Page:
    """What was read on a page of a job; raises ``NotFound`` where nothing was, or not yet."""
    query = select(Reading.page).join(Page, Page.reading_id == Reading.id)
    query = query.where(Page.job_id == job_id, Page.number == page, Page.status == PageStatus.DONE)
    found = session.scalar(query) if 1 <= page <= LARGEST else None
    if found is None:
        raise NotFound(what=f"page {page} that was read")
    return document.Page.model_validate_json(found)


def current(session: Session, job_id: str, pages: Iterable[int]) -> dict[tuple[int, int], Correction]:
    """The last revision of each line of these pages that has one, by page and line."""
    numbers, found = sorted(set(pages)), {}
    for start in range(0, len(numbers), AT_ONCE):
        here = (Correction.job_id == job_id, Correction.page.in_(numbers[start : start + AT_ONCE]))
        last = select(func.max(Correction.id)).where(*here).group_by(Correction.page, Correction.line)
        for one in session.scalars(select(Correction).where(Correction.id.in_(last))):
            found[one.page, one.line] = one
    return found


def texts(session: Session, job_id: str, pages: Iterable[int]) -> dict[int, dict[int, str]]:
    """What stands on the lines that somebody corrected or confirmed, by page and line."""
    found: dict[int, dict[int, str]] = {}
    for (page, line), revision in current(session, job_id, pages).items():
        found.setdefault(page, {})[line] = revision.after
    return found


def earlier(session: Session, job_id: str, pages: Iterable[int]) -> dict[tuple[int, int], set[str]]:
    """All that stood on lines of these pages before their last revision, by page and line."""
    numbers, found = sorted(set(pages)), dict[tuple[int, int], set[str]]()
    for start in range(0, len(numbers), AT_ONCE):
        query = select(Correction.page, Correction.line, Correction.before).where(Correction.job_id == job_id)
        for page, line, before in session.execute(query.where(Correction.page.in_(numbers[start : start + AT_ONCE]))):
            found.setdefault((page, line), set()).add(before)
    return found


def history(session: Session, line: LineId) -> list[Correction]:
    """All revisions of a line, the first one first."""
    query = select(Correction).where(Correction.job_id == line.job_id, Correction.page == line.page)
    return list(session.scalars(query.where(Correction.line == line.line).order_by(Correction.id)))


def of_job(session: Session, job_id: str, *, after: int, limit: int) -> list[Correction]:
    """The revisions of a job's lines in the order they came, those after the revision ``after``."""
    query = select(Correction).where(Correction.job_id == job_id, Correction.id > after)
    return list(session.scalars(query.order_by(Correction.id).limit(limit)))


def are_left(session: Session, job_id: str, owner: str | None) -> bool:
    """Whether there are corrections of a job of ``owner``'s (``None``: of anybody's), which may have expired."""
    whose = () if owner is None else (Correction.owner == owner,)
    return is_id(job_id) and bool(session.scalar(select(exists().where(Correction.job_id == job_id, *whose))))


def forget(session: Session, job_id: str) -> list[str]:
    """Delete a job's corrections and what is known of its lines' pictures; gives hashes of those nobody else has."""
    other = aliased(LinePicture)
    shared = exists().where(other.sha256 == LinePicture.sha256, other.job_id != job_id)
    own = select(LinePicture.sha256).where(LinePicture.job_id == job_id, LinePicture.sha256.is_not(None), ~shared)
    alone = sorted({sha256 for sha256 in session.scalars(own) if sha256})
    session.execute(delete(LinePicture).where(LinePicture.job_id == job_id))
    session.execute(delete(Correction).where(Correction.job_id == job_id))
    return alone
