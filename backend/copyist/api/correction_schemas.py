"""What is said about lines and their corrections, as pydantic models."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from copyist import document
from copyist.api import examples
from copyist.api.schemas import LineBody, line_bodies, shown
from copyist.corrections import reword
from copyist.db.corrections import LineId
from copyist.db.learning_tables import Correction

Source = Literal["api", "desk"]


class LineText(BaseModel):
    """What stands on a line: its text, that the text that is shown is right, or that nothing stands there."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "Invoices", "parent": 11},
                {"confirm": True, "source": "desk"},
                {"nothing": True, "parent": 12},
            ]
        }
    )

    text: str | None = Field(default=None, description="Up to 2,000 characters; line breaks become blanks.")
    confirm: bool = Field(default=False, description="The line is right as it is shown; sent instead of a text.")
    nothing: bool = Field(default=False, description="Nothing stands there, whatever was read; sent instead of a text.")
    parent: int | None = Field(
        default=None,
        ge=0,
        lt=2**31,
        description="The `revision` that was looked at, 0 for none: where there is another one by now, 409.",
    )
    source: Source = "api"


class PageConfirmation(BaseModel):
    """Where somebody looked at the page."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"source": "desk"}]})

    source: Source = "api"


class RevisionBody(BaseModel):
    """One revision of a line. Where ``before`` and ``after`` are the same, somebody found it right; where ``after`` is
    empty, nothing stands there.
    """

    id: int
    line: str = Field(description="The id of the line.")
    parent: int | None = Field(description="The revision before it; null for a line's first.")
    before: str
    after: str
    source: str = Field(description="`api`, `desk`, `text` (a corrected text) or `page.xml`.")
    author: str = Field(description="The name of the key; empty where none was sent.")
    at: datetime


class LineDetail(LineBody):
    """A line, where it stands, and all that was said of it."""

    model_config = shown(examples.LINE)

    job: str
    page: int
    engine: str
    engine_confidence: float | None = Field(description="How sure the engine was of what it read, 0 to 1.")
    picture: str = Field(description="GET here for the picture of its page, which `box` is in.")
    revisions: list[RevisionBody] = Field(description="The first one first.")


class LeftLine(BaseModel):
    """A line that stays as it is, with its text."""

    id: str
    page: int
    line: int = Field(description="From 0, in reading order of the page.")
    text: str


class CorrectionReport(BaseModel):
    """What came of a corrected text. What is not matched stays as it is."""

    model_config = shown(examples.CORRECTIONS)

    corrected: int = Field(description="Lines that have another text now.")
    confirmed: int = Field(description="Lines that were sent as they are, and now count as right.")
    unchanged: int = Field(description="Lines that were sent as they are, and told nothing new.")
    lines: list[str] = Field(description="The ids of the lines that were corrected.")
    outdated: list[LeftLine] = Field(
        description="Lines that were sent as they were before somebody corrected them elsewhere; they stay as they are."
    )
    unmatched: list[LeftLine] = Field(description="Lines that were read, and are not in what was sent.")
    unmatched_text: list[str] = Field(description="Lines that were sent, and are none of those that were read.")


class CorrectionLog(BaseModel):
    """Revisions in the order they were made; ask again with ``after=next_after`` for more."""

    model_config = shown(examples.CORRECTION_LOG)

    corrections: list[RevisionBody]
    next_after: int | None


def revision_body(revision: Correction) -> RevisionBody:
    """A revision as the API shows it."""
    return RevisionBody(
        id=revision.id,
        line=str(LineId(revision.job_id, revision.page, revision.line)),
        parent=revision.parent_id,
        before=revision.before,
        after=revision.after,
        source=revision.source,
        author=revision.author,
        at=revision.created_at,
    )


def line_detail(line: LineId, read: document.Page, revisions: list[Correction]) -> LineDetail:
    """A line of the page that was ``read``, which has it, with all its revisions."""
    last = {line.line: revisions[-1]} if revisions else {}
    content = reword.apply(read, {number: one.after for number, one in last.items()})
    body = line_bodies(line.job_id, line.page, read, content, last)[line.line]
    return LineDetail(
        **body.model_dump(),
        job=line.job_id,
        page=line.page,
        engine=read.engine,
        engine_confidence=list(read.lines())[line.line].confidence,
        picture=f"/api/jobs/{line.job_id}/pages/{line.page}/image",
        revisions=[revision_body(one) for one in revisions],
    )
