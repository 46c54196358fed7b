"""The date that a line of a note is due, as people write it.

The standard library is enough: the formats are few and fixed, and a general parser sees dates in "1.5 kg" and "24/7".
Day comes before month where both readings are possible, month before day where only that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<month>(?i:jan(?:uary)?|feb(?:ruary)?|mar|apr(?:il)?|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    # "may" and "march" in small letters are verbs.
    r"|nov(?:ember)?|dec(?:ember)?)|M(?i:ay|arch))\b\.?"
)
_YEAR = r"(?:,? ?(?P<year>(?:19|20|21)[0-9]{2}))?(?![\w:]|[/-][0-9])"
_DAY = r"(?P<day>[0-9]{1,2})(?i:st|nd|rd|th)?"
_LABEL = (
    r"(?P<label>(?i:\b(?:due(?: (?:date|on|by))?|deadline|by|before|until|till|on) ?[:;]? ?(?:the )?))?"
    r"(?i:\b(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b[.,]? ?)?"
)
_FORMATS = tuple(
    re.compile(_LABEL + body)
    for body in (
        r"(?<![\w/.-])(?P<a>[0-9]{1,4})(?P<sep>[/.-]) ?(?P<b>[0-9]{1,2})(?P=sep) ?(?P<c>[0-9]{1,4})(?![\w/-]|\.[0-9])",
        r"(?<!\w)" + _MONTH + r" ?" + _DAY + _YEAR,
        r"(?<![\w/.-])" + _DAY + r" ?(?:of )?" + _MONTH + _YEAR,
        r"(?<![\w/.-])(?P<a>[0-9]{1,2})/(?P<b>[0-9]{1,2})(?![\w/-]|\.[0-9])",
    )
)


@dataclass(frozen=True, slots=True)
class _Found:
    day: date
    labelled: bool
    start: int
    end: int


def take_date(text: str, uploaded: date) -> tuple[date | None, str]:
    """The due date in ``text`` (single spaces), and the text without it and the "due" or "by" before it.

    A date after such a word is preferred to others, else the first counts. One without a year is the next such day from
    ``uploaded`` on. What is no real date (31/02/2025) stays text.
    """
    found = min(_dates(text, uploaded), key=lambda one: (not one.labelled, one.start), default=None)
    if found is None:
        return None, text
    return found.day, f"{text[: found.start]} {text[found.end :]}"


def _dates(text: str, uploaded: date) -> Iterator[_Found]:
    for pattern in _FORMATS:
        for match in pattern.finditer(text):
            if day := _day(match, uploaded):
                yield _Found(day, match["label"] is not None, match.start(), match.end())


def _day(match: re.Match[str], uploaded: date) -> date | None:
    parts = match.groupdict()
    if month := parts.get("month"):
        return _dated(parts["year"], _MONTHS.index(month[:3].lower()) + 1, int(parts["day"]), uploaded)
    first, second = int(parts["a"]), int(parts["b"])
    if "c" not in parts:
        # Without a year "24/7" and "1/2" look the same as a date: only a word such as "due" makes them one.
        return _either(None, first, second, uploaded) if parts["label"] else None
    if len(parts["a"]) == 4:
        return _dated(parts["a"], second, int(parts["c"]), uploaded)
    # "1.2.25" is rather a version or a section than a date.
    short_year = "20" + parts["c"] if len(parts["c"]) == 2 and parts["sep"] == "/" else parts["c"]
    return _either(short_year, first, second, uploaded) if len(short_year) == 4 else None


def _either(year: str | None, first: int, second: int, uploaded: date) -> date | None:
    return _dated(year, second, first, uploaded) or _dated(year, first, second, uploaded)


def _dated(year: str | None, month: int, day: int, uploaded: date) -> date | None:
    if year is not None:
        return _real(int(year), month, day) if 1900 <= int(year) < 2200 else None
    # 29 February can be eight years off (1896 to 1904).
    days = (_real(uploaded.year + ahead, month, day) for ahead in range(9))
    return next((one for one in days if one and one >= uploaded), None)


def _real(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
