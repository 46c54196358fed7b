"""Lines that people corrected or confirmed, as what can be learned from: their pictures, and how many there are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Engine, and_, case, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from copyist.db.corrections import LineId
from copyist.db.learning_tables import Correction, LinePicture, TrainingRun
from copyist.db.runs import KIND
from copyist.db.states import RunStatus
from copyist.db.tables import File, Job, now
from copyist.document import Box, Mode

MOST_ALIKE = 10
"""So many train lines with the same text are learned from. Thousands that say the same, whoever sent them, would teach
the model to guess that text; ten of them show enough of how a hand writes it."""
MAX_ATTEMPTS = 5
"""So often it is tried to cut a line out of its page."""
NOT_HANDWRITING = "Its page was not read as handwriting, which is what is learned."
"""The problem of lines that are well corrected and no example: print would take the model away from handwriting."""
BLANK = "There is nothing but paper where the line is said to be."
TRIED_OFTEN = "It could not be cut out of its page in {attempts} attempts."

MANY, KEPT_S = 10_000, 5.0
_kept: WeakKeyDictionary[Engine, tuple[float, Counts]] = WeakKeyDictionary()
_WAITS = and_(LinePicture.sha256.is_(None), LinePicture.problem.is_(None))


@dataclass(frozen=True)
class PageToCut:
    """A page with lines that wait for their pictures.

    ``kind`` is the media kind of its file, ``None`` when that is gone. ``lines`` are numbers, from 0, and boxes in
    pixels of the page as uploaded.
    """

    file_sha256: str
    kind: str | None
    is_handwriting: bool
    lines: tuple[tuple[int, Box], ...]


@dataclass(frozen=True)
class VerifiedLine:
    """A line that somebody corrected or confirmed: what its last revision says, and its picture, once there is one."""

    job_id: str
    page: int
    line: int
    revision: int
    text: str
    read: str
    """What was read before anybody looked."""
    owner: str
    engine: str
    lines_on_page: int
    sha256: str | None
    page_sha256: str | None
    split: str | None
    problem: str | None

    @property
    def id(self) -> str:
        """The line's id, as the API has it."""
        return str(LineId(self.job_id, self.page, self.line))


@dataclass(frozen=True)
class Counts:
    """How much there is to learn from."""

    lines: int
    """Lines that somebody corrected or confirmed, of whatever pages."""
    corrected: int
    """Those of them whose text is another one than was read."""
    train: int
    """Lines that a dataset made now would learn from: with a picture, each picture once, few with the same text."""
    dev: int
    holdout_pages: int
    """Pages held out on which every line is verified."""
    holdout_pages_partial: int
    """Pages held out that do not count yet, because some of their lines are not verified."""
    waiting: int
    """Lines that wait to be cut out of their pages."""
    with_problem: int
    """Lines of handwriting that have no picture, and never will."""
    new: int
    """Lines for training that were verified after those that the last run learned from."""


def waiting(session: Session, limit: int, older_than: datetime) -> list[tuple[str, int]]:
    """Pages (job id, number) with lines that wait, whose message was sent before ``older_than``; oldest first."""
    sent = func.coalesce(LinePicture.sent_at, LinePicture.created_at)
    query = (
        select(LinePicture.job_id, LinePicture.page)
        .where(_WAITS, sent < older_than)
        .group_by(LinePicture.job_id, LinePicture.page)
        .order_by(func.min(LinePicture.created_at))
        .limit(limit)
    )
    return [(job_id, page) for job_id, page in session.execute(query)]


def being_cut(session: Session, since: datetime) -> int:
    """How many lines wait for their first picture that were corrected after ``since``."""
    query = select(func.count()).select_from(LinePicture).where(_WAITS, LinePicture.created_at > since)
    return session.scalar(query) or 0


def sent(session: Session, pages: Iterable[tuple[str, int]]) -> None:
    """Note that messages for the waiting lines of ``pages`` go out now."""
    for job_id, page in pages:
        session.execute(update(LinePicture).where(_waits_on(job_id, page)).values(sent_at=now()))


def to_cut(session: Session, job_id: str, page: int) -> PageToCut | None:
    """The lines of a page that wait for a picture, ``None`` if there are none; the attempt is counted.

    Lines that were tried too often do not wait any more: they have a problem from now on.
    """
    moment = now()
    session.execute(
        update(LinePicture)
        .where(_waits_on(job_id, page), LinePicture.attempts >= MAX_ATTEMPTS)
        .values(problem=TRIED_OFTEN.format(attempts=MAX_ATTEMPTS))
    )
    wanted = session.scalars(
        update(LinePicture)
        .where(_waits_on(job_id, page))
        .values(attempts=LinePicture.attempts + 1, sent_at=moment)
        .returning(LinePicture.line)
        .execution_options(synchronize_session=False)
    ).all()
    columns = (Correction.line, Correction.box, Correction.file_sha256, Correction.engine)
    on_page = select(*columns).where(Correction.job_id == job_id, Correction.page == page)
    facts = {row.line: row for row in session.execute(on_page.order_by(Correction.id))}
    lines = tuple((line, Box(*facts[line].box)) for line in sorted(wanted) if line in facts)
    if not lines:
        return None
    first = facts[lines[0][0]]
    options = session.scalar(select(Job.options).where(Job.id == job_id))
    mode = options.get("mode") if options is not None else None
    # A job that is gone leaves no mode behind; this engine reads nothing but handwriting.
    is_handwriting = mode == Mode.HANDWRITING or (options is None and first.engine == "trocr")
    kind = session.scalar(select(File.kind).where(File.sha256 == first.file_sha256))
    return PageToCut(first.file_sha256, kind, is_handwriting, lines)


def cut(
    session: Session,
    job_id: str,
    page: int,
    *,
    page_sha256: str,
    split: str,
    recipe: str,
    pictures: Mapping[int, str | None],
) -> list[str]:
    """Write down the pictures (hashes, by line) of a page's lines; ``None`` for a line with nothing on it.

    What is written stays: a line that has a picture or a problem already keeps it, and a page keeps the hash and the
    split that its first lines got. Gives the hashes of pictures that no line has any more, because its job was deleted
    meanwhile.
    """
    known = select(LinePicture.page_sha256, LinePicture.split).where(
        LinePicture.job_id == job_id, LinePicture.page == page, LinePicture.split.is_not(None)
    )
    earlier = session.execute(known.limit(1)).first()
    of_page = dict(zip(("page_sha256", "split"), earlier or (page_sha256, split), strict=True))
    for line, sha256 in pictures.items():
        session.execute(
            update(LinePicture)
            .where(_waits_on(job_id, page), LinePicture.line == line)
            .values(sha256=sha256, problem=None if sha256 else BLANK, recipe=recipe, **of_page)
        )
    made = {sha256 for sha256 in pictures.values() if sha256}
    return sorted(made - set(session.scalars(select(LinePicture.sha256).where(LinePicture.sha256.in_(made)))))


def problem(session: Session, job_id: str, page: int, why: str) -> None:
    """Write down why the lines of a page that wait will get no picture."""
    session.execute(update(LinePicture).where(_waits_on(job_id, page)).values(problem=why))


def give_back(session: Session, job_id: str, page: int) -> None:
    """The attempt that ``to_cut`` counted was none: something of ours was away."""
    session.execute(
        update(LinePicture)
        .where(_waits_on(job_id, page), LinePicture.attempts > 0)
        .values(attempts=LinePicture.attempts - 1)
    )


def verified(session: Session, upto: int | None = None) -> list[VerifiedLine]:
    """Every line that somebody corrected or confirmed, by id; with ``upto`` as it was after that revision."""
    first, last = aliased(Correction), aliased(Correction)
    columns = (last.job_id, last.page, last.line, last.id, last.after, first.before, last.owner, last.engine)
    picture = (LinePicture.lines_on_page, LinePicture.sha256, LinePicture.page_sha256, LinePicture.split)
    query = (
        _of_last(select(*columns, *picture, LinePicture.problem), last, upto)
        .join(first, and_(_same_line(first, last), first.parent_id.is_(None)))
        .join(LinePicture, _same_line(LinePicture, last))
        .order_by(last.job_id, last.page, last.line)
    )
    rows: Iterable[Sequence[Any]] = session.execute(query)
    return [VerifiedLine(*row) for row in rows]


def last_correction_id(session: Session) -> int:
    """The newest revision of any line; 0 when there is none."""
    return session.scalar(select(func.max(Correction.id))) or 0


def counts(session: Session) -> Counts:
    """All counts of this moment; where there are ``MANY`` lines, of the last ``KEPT_S`` seconds.

    100,000 corrected lines take SQLite a second and PostgreSQL three, and whoever looks at the desk asks again and
    again.
    """
    engine = session.get_bind().engine
    until, found = _kept.get(engine, (0.0, None))
    if found is None or time.monotonic() >= until:
        found = _counted(session)
        if found.lines >= MANY:
            _kept[engine] = time.monotonic() + KEPT_S, found
    return found


def _counted(session: Session) -> Counts:
    failed = and_(LinePicture.problem.is_not(None), LinePicture.problem != NOT_HANDWRITING)
    dev = and_(LinePicture.split == "dev", LinePicture.sha256.is_not(None))
    totals = select(func.count(), _count_if(_WAITS), _count_if(failed), _count_if(dev)).select_from(LinePicture)
    lines, waits, problems, dev_lines = session.execute(totals).one()
    whole, partial = _holdout_pages(session)
    return Counts(
        lines=lines,
        corrected=_changed_lines(session),
        train=_train_lines(session),
        dev=dev_lines,
        holdout_pages=whole,
        holdout_pages_partial=partial,
        waiting=waits,
        with_problem=problems,
        new=_new_lines(session),
    )


def _changed_lines(session: Session) -> int:
    first, last = aliased(Correction), aliased(Correction)
    # Most lines have one revision, which needs no other beside it.
    once = _of_last(select(func.count()), last).where(last.parent_id.is_(None), last.after != last.before)
    again = (
        _of_last(select(func.count()), last)
        .join(first, and_(_same_line(first, last), first.parent_id.is_(None)))
        .where(last.parent_id.is_not(None), last.after != first.before)
    )
    return (session.scalar(once) or 0) + (session.scalar(again) or 0)


def _train_lines(session: Session) -> int:
    last = aliased(Correction)
    texts = (
        _of_last(select(func.count(LinePicture.sha256.distinct()).label("pictures")), last)
        .join(LinePicture, _same_line(LinePicture, last))
        .where(LinePicture.split == "train", LinePicture.sha256.is_not(None), last.after != "")
        .group_by(last.after)
        .subquery()
    )
    counted = case((texts.c.pictures > MOST_ALIKE, MOST_ALIKE), else_=texts.c.pictures)
    return int(session.scalar(select(func.coalesce(func.sum(counted), 0))) or 0)


def _holdout_pages(session: Session) -> tuple[int, int]:
    """Held out pages on which every line is verified, and those on which some are; the same page in two jobs once."""
    whole = case((func.count() >= func.max(LinePicture.lines_on_page), 1), else_=0)
    pages = (
        select(func.max(LinePicture.page_sha256).label("page"), whole.label("whole"))
        .group_by(LinePicture.job_id, LinePicture.page)
        .having(func.max(LinePicture.split) == "holdout")
        .subquery()
    )
    each = select(func.max(pages.c.whole).label("whole")).group_by(pages.c.page).subquery()
    known, complete = session.execute(select(func.count(), func.coalesce(func.sum(each.c.whole), 0))).one()
    return complete, known - complete


def _new_lines(session: Session) -> int:
    done = select(func.max(TrainingRun.last_correction_id)).where(
        TrainingRun.kind == KIND,
        TrainingRun.dataset_sha256.is_not(None),
        TrainingRun.status.not_in((RunStatus.FAILED, RunStatus.CANCELLED)),
    )
    since = session.scalar(done) or 0
    last = aliased(Correction)
    useful = or_(LinePicture.split == "train", and_(LinePicture.split.is_(None), LinePicture.problem.is_(None)))
    query = _of_last(select(func.count()), last).join(LinePicture, _same_line(LinePicture, last))
    return session.scalar(query.where(last.id > since, last.after != "", useful, LinePicture.problem.is_(None))) or 0


def _of_last(query: Any, last: type[Correction], upto: int | None = None) -> Any:
    """The select ``query`` over the last revision of every line: the one that no other follows."""
    later = aliased(Correction)
    follows = later.parent_id == last.id
    if upto is not None:
        query, follows = query.where(last.id <= upto), and_(follows, later.id <= upto)
    # An outer join: both databases turn it into a hash join, which for NOT EXISTS only one of them does.
    return query.select_from(last).outerjoin(later, follows).where(later.id.is_(None))


def _same_line(one: type[Correction | LinePicture], other: type[Correction]) -> ColumnElement[bool]:
    return and_(one.job_id == other.job_id, one.page == other.page, one.line == other.line)


def _waits_on(job_id: str, page: int) -> ColumnElement[bool]:
    return and_(LinePicture.job_id == job_id, LinePicture.page == page, _WAITS)


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
