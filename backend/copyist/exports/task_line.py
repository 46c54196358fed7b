"""One line of a note, its mark taken off, as a task: who, until when, how urgent, and what is left as its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from copyist.exports.dates import take_date
from copyist.exports.marks import last_box


class Priority(StrEnum):
    """How urgent a task is, the least urgent first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


@dataclass(frozen=True, slots=True)
class TaskLine:
    """What one line says. ``name`` is empty when the line holds nothing but its marks, dates and people."""

    name: str
    assignee: str | None
    due_date: date | None
    priority: Priority | None
    checked: bool | None


def read_task_line(text: str, uploaded: date) -> TaskLine:
    """``text`` taken apart. Signs of urgency are looked for before and after the person, who is often last."""
    text, checked = last_box(" ".join(text.split()))
    due_date, text = take_date(text, uploaded)
    before, text = _take_priority(_tidy(text))
    assignee, text = _take_assignee(_tidy(text))
    after, text = _take_priority(_tidy(text))
    return TaskLine(_tidy(text), assignee, due_date, _most_urgent([*before, *after]), checked)


_EMPTY_BRACKETS = re.compile(r"[\[(][\s,;:]*[\])]")


def _tidy(text: str) -> str:
    """Single spaces, and none of the commas, dashes and brackets that a token leaves behind."""
    text = " ".join(_EMPTY_BRACKETS.sub(" ", text).split())
    text = re.sub(r"([\[(]) *[,;] *| *[,;] *([\])])| +(?=[,;:.?])", r"\1\2", text)
    text = re.sub(r"(?: [-–—,;:|/=]+)+(?= [-–—,;:|/=]+(?: |$)|$)", "", text)
    return text.lstrip(" ,;:|–—-=.").rstrip(" ,;:|–—")


# --- urgency ----------------------------------------------------------------------------------------------------

_LEVELS = {
    "urgent": Priority.URGENT,
    "asap": Priority.URGENT,
    "critical": Priority.URGENT,
    "high": Priority.HIGH,
    "important": Priority.HIGH,
    "medium": Priority.MEDIUM,
    "low": Priority.LOW,
    "minor": Priority.LOW,
    "whenever": Priority.LOW,
}
_ANY = "|".join(_LEVELS)
# "high", "low" and "medium" are words of many names (High Street, low fat); alone at the start they say nothing.
_PLAIN = "urgent|asap|critical|important|minor|whenever"
_TAGS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?i:\b(?:priority|prio) ?[:=]? ?(?P<word>{_ANY})\b)",
        rf"(?i:\b(?P<word>{_ANY})[ -](?:priority|prio)\b:?)",
        rf"(?i:[\[(] ?(?P<word>{_ANY}) ?!* ?[\])])",
        rf"(?i:^(?P<word>{_ANY}) ?(?:[:,;–—]|- ))",
        rf"(?i:^(?P<word>{_PLAIN})\b(?=.))",
        rf"(?i:[ ,;:–—-](?P<word>{_ANY})[.!]*$)",
        r"(?i:\b(?P<word>asap)\b)",
        rf"\b(?P<word>{_PLAIN.upper()})\b",
    )
)
_IN_SENTENCE = re.compile(rf"(?i:\b(?:{_PLAIN})\b)")
_EXCLAIMED = re.compile(r"!(?: ?!)+|(?:^|(?<=\s))!|!$|!(?=\))")


def _take_priority(text: str) -> tuple[list[Priority], str]:
    """All levels that ``text`` names, and the text without them.

    A plain adjective amid a sentence counts but stays: "Read the important mail" would lose its sense.
    """
    found: list[Priority] = []
    for pattern in _TAGS:
        found += [_LEVELS[match["word"].lower()] for match in pattern.finditer(text)]
        text = pattern.sub(" ", text)
    found += [_LEVELS[match[0].lower()] for match in _IN_SENTENCE.finditer(text)]
    for match in _EXCLAIMED.finditer(text):
        found.append((Priority.LOW, Priority.HIGH, Priority.URGENT)[min(match[0].count("!"), 3) - 1])
    return found, _EXCLAIMED.sub(" ", text)


def _most_urgent(found: list[Priority]) -> Priority | None:
    return max(found, key=list(Priority).index, default=None)


# --- the person -------------------------------------------------------------------------------------------------

_WORD = re.compile(r" ?([^\W\d_][\w'’.\-]*)")
_LABEL = re.compile(r"(?i:\b(?:assigned to|assignee|owner) ?[:;] ?@?|\bassigned to @?(?=[^\W\d_]))")
_ARROW = re.compile(r" ?(?:[→⇒➔➜➤⟶]|[-–—=~]{1,2}[>»]) ?(?P<person>@?[^\W\d_][^→⇒➔➜➤⟶>»\d]*)$")
# Tesseract reads a drawn arrow as its tip.
_STROKE = re.compile(r"(?<=\w) [>»] (?P<person>[^>»]+)$")
_AT = re.compile(r"(?<![\w.@])@(?P<person>[^\W\d_][\w'’\-]*(?:\.[\w'’\-]+)*)")
_BRACKETED = re.compile(r" ?(?:\[(?P<square>[^\[\]()]*)\]|\((?P<round>[^\[\]()]*)\))[.,;]?$")
# Words that stand in brackets at the end of a task and are nobody's name.
_NOBODY = re.compile(
    "(?i:x|done|todo|tbd|tba|tbc|wip|ok|yes|no|optional|draft|maybe|am|pm|today|tomorrow|tonight|daily|weekly|monthly"
    "|home|work|office|phone|email|pdf|vat|jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?"
    "|september|oct(ober)?|nov(ember)?|dec(ember)?|mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun|([a-z]{3,6}day))"
)


def _take_assignee(text: str) -> tuple[str | None, str]:
    for person, rest in _people(text):
        if name := person.strip(" .,;:-–—!@"):
            return name, rest
    return None, text


def _people(text: str) -> Iterator[tuple[str, str]]:
    """Who may be meant, the plainest way of saying so first, each with the text that is left without them."""
    for label in _LABEL.finditer(text):
        # Without a colon only a capital tells a name: "assigned to the printer".
        person, end = _leading_name(text, label.end(), any_first=label[0].rstrip(" @").endswith((":", ";")))
        yield person, f"{text[: label.start()]} {text[end:]}"
    if (arrow := _ARROW.search(text)) and len(arrow["person"].split()) <= 3:
        yield arrow["person"], text[: arrow.start()]
    if (arrow := _STROKE.search(text)) and _is_name(arrow["person"]):
        yield arrow["person"], text[: arrow.start()]
    if at := _AT.search(text):
        yield at["person"], f"{text[: at.start()]} {text[at.end() :]}"
    if bracketed := _BRACKETED.search(text):
        person = (bracketed["square"] or bracketed["round"] or "").strip(" ,;:")
        if _is_name(person):
            yield person, text[: bracketed.start()]


def _leading_name(text: str, start: int, *, any_first: bool) -> tuple[str, int]:
    """Up to three capitalised words from ``start`` on, and where they end; the first may be small if ``any_first``."""
    words: list[str] = []
    while len(words) < 3 and (word := _WORD.match(text, start)):
        if word[1][0].islower() and (words or not any_first):
            break
        words.append(word[1])
        start = word.end()
    return " ".join(words), start


def _is_name(text: str) -> bool:
    """Whether ``text`` looks like a person: one to three capitalised words, none known to mean something else."""
    words = text.split()
    capitalised = all(_WORD.fullmatch(word) and not word[0].islower() for word in words)
    return 1 <= len(words) <= 3 and capitalised and not any(_NOBODY.fullmatch(word.strip(".")) for word in words)
