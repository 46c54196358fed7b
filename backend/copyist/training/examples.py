"""Examples and datasets: which verified lines are learned from, and which prove what was learned.

A dataset is its manifest: one ``Example`` a line in JSON, sorted, and named by the SHA-256 of these bytes. The same
verified lines give the same manifest, on every machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from pydantic import ValidationError

from copyist.document import Record
from copyist.training.normal import plain

RULE: Final = 1
"""The version of the rule that splits pages; it is part of what is hashed."""


class Split(StrEnum):
    """What a page's lines are for: decided once, by the hash of the page's pixels, and never again."""

    TRAIN = "train"
    DEV = "dev"
    HOLDOUT = "holdout"


_SHARES: Final = ((Split.TRAIN, 0.7), (Split.DEV, 0.8), (Split.HOLDOUT, 1.0))
"""Each with the share of pages up to its end."""
_STRONGEST: Final = (Split.HOLDOUT, Split.DEV, Split.TRAIN)
"""Of a picture that is in several splits, the first counts: what proves was never learned from."""


class Example(Record):
    """One line to learn from, or to be examined on."""

    sha256: str
    """Of the picture, a PNG."""
    text: str
    """What stands there, as a person says."""
    page: str
    """Hash of the page's pixels."""
    split: Split
    corrected: bool
    """A person changed what was read; else it was found to be right."""
    read: str
    """What was read before anybody looked."""
    line: str
    """The line's id."""
    revision: int


class LeftOut(StrEnum):
    """Why a verified line is in no dataset."""

    WAITS = "waits"
    """It was not cut out of its page yet."""
    NO_PICTURE = "no_picture"
    EMPTY = "empty"
    PAGE_NOT_VERIFIED = "page_not_verified"
    """Its page is held out, and other lines of it are not verified: figures from it would not be fair."""
    DUPLICATE = "duplicate"
    """The same picture with the same text."""
    CONTRADICTED = "contradicted"
    """The same picture with another text, which is newer."""
    HELD_OUT = "held_out"
    """The same picture is on a page that is held out, or that says when to stop."""
    TOO_MANY_ALIKE = "too_many_alike"
    """So many other lines have the same text."""
    CONFIRMED = "confirmed"
    """A right line too many for the share of corrected ones."""


class Verified(Protocol):
    """A verified line (``db.examples.VerifiedLine``)."""

    @property
    def id(self) -> str:
        """The line's id."""

    @property
    def job_id(self) -> str:
        """With ``page``: which page it is on."""

    @property
    def page(self) -> int:
        """From 1."""

    @property
    def lines_on_page(self) -> int:
        """How many lines were read there."""

    @property
    def revision(self) -> int:
        """The last one's; a larger one is newer."""

    @property
    def text(self) -> str:
        """What stands there."""

    @property
    def read(self) -> str:
        """What was read."""

    @property
    def sha256(self) -> str | None:
        """Of its picture; ``None``: there is none, or not yet."""

    @property
    def page_sha256(self) -> str | None:
        """Of the page's pixels."""

    @property
    def split(self) -> str | None:
        """As it was written down once."""

    @property
    def problem(self) -> str | None:
        """Why there will be no picture."""


@dataclass(frozen=True)
class Chosen:
    """The examples in the manifest's order, and how many lines were left out for what."""

    examples: tuple[Example, ...]
    left_out: Mapping[LeftOut, int]


def split_of(page_sha256: str) -> Split:
    """What the page is for: of all pages 70 % train, 10 % say when to stop (dev), 20 % prove what was learned."""
    digest = hashlib.sha256(f"split-{RULE}:{page_sha256}".encode()).digest()
    at = int.from_bytes(digest[:8]) / 2**64
    return next(split for split, end in _SHARES if at < end)


def choose(lines: Iterable[Verified], *, corrected_share: float, most_alike: int, at_least: int = 0) -> Chosen:
    """Make a dataset of verified ``lines``: which are taken, what is left out and why. Deterministic.

    Of the train lines at most ``most_alike`` have the same text. Confirmed ones among them are dropped, by their
    hashes, until at least ``corrected_share`` (0 to 1) were corrected; but none below ``at_least`` train lines, and
    none where nothing was corrected at all. Corrected lines are never dropped for that.
    """
    left_out: Counter[LeftOut] = Counter()
    with_picture = _with_picture(list(lines), left_out)
    examples = _one_of_each(with_picture, left_out)
    train = [example for example in examples if example.split is Split.TRAIN]
    kept = _with_share(_not_alike(train, most_alike, left_out), corrected_share, at_least, left_out)
    others = [example for example in examples if example.split is not Split.TRAIN]
    return Chosen(tuple(sorted([*kept, *others], key=_place)), dict(sorted(left_out.items())))


def manifest(examples: Iterable[Example]) -> bytes:
    """The manifest of a dataset: JSON Lines, sorted, UTF-8."""
    rows = (f"{example.model_dump_json()}\n" for example in sorted(examples, key=_place))
    return "".join(rows).encode()


def sha256_of(content: bytes) -> str:
    """SHA-256 (hex) of a manifest, or of a picture."""
    return hashlib.sha256(content).hexdigest()


def read_manifest(path: Path) -> tuple[Example, ...]:
    """The examples that the manifest at ``path`` lists; raises ``ValueError``, with the line that is wrong."""
    examples = []
    with path.open(encoding="utf-8") as rows:
        for number, row in enumerate(rows, start=1):
            try:
                examples.append(Example.model_validate_json(row))
            except ValidationError as error:
                found = error.errors(include_url=False, include_input=False)[0]
                field = ".".join(str(part) for part in found["loc"])
                raise ValueError(f"{path.name}, line {number}: {field or 'JSON'}: {found['msg']}.") from error
    return tuple(examples)


def _place(example: Example) -> tuple[str, int, str]:
    return example.line, example.revision, example.sha256


@dataclass(frozen=True)
class _Candidate:
    """An example, and whether it stands on a page that is held out without being verified as a whole."""

    example: Example
    is_partial: bool


def _with_picture(lines: Sequence[Verified], left_out: Counter[LeftOut]) -> list[_Candidate]:
    """The lines that have a picture and a text."""
    verified = Counter((line.job_id, line.page) for line in lines)
    found = []
    for line in lines:
        text, read = plain(line.text), plain(line.read)
        if line.problem is not None:
            left_out[LeftOut.NO_PICTURE] += 1
        elif line.sha256 is None or line.page_sha256 is None or line.split is None:
            left_out[LeftOut.WAITS] += 1
        elif not text:
            left_out[LeftOut.EMPTY] += 1
        else:
            example = Example(
                sha256=line.sha256,
                text=text,
                page=line.page_sha256,
                split=Split(line.split),
                corrected=text != read,
                read=read,
                line=line.id,
                revision=line.revision,
            )
            is_partial = example.split is Split.HOLDOUT and verified[line.job_id, line.page] < line.lines_on_page
            found.append(_Candidate(example, is_partial))
    return found


def _one_of_each(candidates: Iterable[_Candidate], left_out: Counter[LeftOut]) -> list[Example]:
    """One example of each picture: of the strongest split that it is in, the newest."""
    of_picture: defaultdict[str, list[_Candidate]] = defaultdict(list)
    for candidate in candidates:
        of_picture[candidate.example.sha256].append(candidate)
    kept = []
    for same in of_picture.values():
        split = min((one.example.split for one in same), key=_STRONGEST.index)
        left_out[LeftOut.HELD_OUT] += sum(one.example.split is not split for one in same)
        left_out[LeftOut.PAGE_NOT_VERIFIED] += sum(one.is_partial for one in same)
        there = [one.example for one in same if one.example.split is split and not one.is_partial]
        if there:
            newest = max(there, key=lambda example: example.revision)
            kept.append(newest)
            alike = sum(example.text == newest.text for example in there)
            left_out[LeftOut.DUPLICATE] += alike - 1
            left_out[LeftOut.CONTRADICTED] += len(there) - alike
    for reason in [reason for reason, count in left_out.items() if not count]:
        del left_out[reason]
    return kept


def _not_alike(train: Iterable[Example], most: int, left_out: Counter[LeftOut]) -> list[Example]:
    """At most ``most`` examples of each text, the newest ones."""
    of_text: defaultdict[str, list[Example]] = defaultdict(list)
    for example in sorted(train, key=lambda example: -example.revision):
        of_text[example.text].append(example)
    if alike := sum(len(same) - most for same in of_text.values() if len(same) > most):
        left_out[LeftOut.TOO_MANY_ALIKE] = alike
    return [example for same in of_text.values() for example in same[:most]]


def _with_share(train: Iterable[Example], share: float, at_least: int, left_out: Counter[LeftOut]) -> list[Example]:
    """All corrected examples and as many confirmed ones as there is room for: by hash, so most stay the next time."""
    examples = list(train)
    corrected = [example for example in examples if example.corrected]
    confirmed = [example for example in examples if not example.corrected]
    if not corrected:
        return confirmed
    # Rounded first: 0.3 and 0.7 are no binary fractions, and a whole number must not fall short of itself.
    room = max(int(round(len(corrected) * (1 - share) / share, 9)), at_least - len(corrected), 0)
    if len(confirmed) > room:
        left_out[LeftOut.CONFIRMED] = len(confirmed) - room
    confirmed.sort(key=lambda example: sha256_of(example.sha256.encode()))
    return [*corrected, *confirmed[:room]]
