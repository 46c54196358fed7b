"""Which verified lines become a dataset, what is left out and why, and that the same lines give the same one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from copyist.training.examples import Chosen, LeftOut, Split, choose, manifest, read_manifest, sha256_of, split_of


@dataclass(frozen=True)
class Line:
    """A verified line of a page of 4 lines; its picture is ``ink``."""

    line: int
    text: str
    read: str = ""
    split: str | None = "train"
    ink: str | None = field(default=None)
    page: int = 1
    job_id: str = "job"
    revision: int = 0
    lines_on_page: int = 4
    problem: str | None = None
    cut: bool = True

    @property
    def id(self) -> str:
        return f"{self.job_id}.{self.page}.{self.line}"

    @property
    def sha256(self) -> str | None:
        return sha256_of((self.ink or self.id).encode()) if self.cut else None

    @property
    def page_sha256(self) -> str | None:
        return sha256_of(f"{self.job_id}{self.page}".encode()) if self.cut else None


def chosen(lines: Sequence[Line], *, share: float = 0.3, most_alike: int = 10, at_least: int = 0) -> Chosen:
    return choose(lines, corrected_share=share, most_alike=most_alike, at_least=at_least)


def left(lines: Sequence[Line], **rules: float) -> dict[str, int]:
    return dict(chosen(lines, **rules).left_out)  # type: ignore[arg-type]


def test_pages_are_split_in_the_shares_that_are_said_once_and_for_ever() -> None:
    pages = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    counted = Counter(map(split_of, pages))
    assert counted[Split.TRAIN] / 4000 == pytest.approx(0.7, abs=0.03)
    assert counted[Split.DEV] / 4000 == pytest.approx(0.1, abs=0.02)
    # Another answer for a page that was split before would put lines that were learned from into the proof.
    assert "".join(split_of(page)[0] for page in pages[:20]) == "ttdttthttthtttttttth"


def test_texts_are_learned_in_one_spelling() -> None:
    (example,) = chosen([Line(0, " it\u2019s  a\u0301 ", read="it's \u00e1")]).examples
    assert (example.text, example.corrected, example.line) == ("it's \u00e1", False, "job.1.0")


def test_what_has_no_picture_or_no_text_is_left_out_and_counted() -> None:
    lines = [
        Line(0, "a", problem="The file is gone."),
        Line(1, "b", cut=False, split=None),
        Line(2, " \u00a0"),
        Line(3, "d"),
    ]
    found = chosen(lines)
    assert [example.text for example in found.examples] == ["d"]
    assert found.left_out == {LeftOut.NO_PICTURE: 1, LeftOut.WAITS: 1, LeftOut.EMPTY: 1}


def test_of_the_same_picture_the_newest_text_is_taken() -> None:
    lines = [Line(0, "old", ink="x", revision=1), Line(1, "new", ink="x", revision=9), Line(2, "new", ink="x")]
    (example,) = chosen(lines).examples
    assert (example.text, example.revision) == ("new", 9)
    assert left(lines) == {LeftOut.DUPLICATE: 1, LeftOut.CONTRADICTED: 1}


def test_ten_thousand_equal_corrections_do_not_drown_the_rest() -> None:
    same = [Line(number, "ha ha", read="x", revision=number, lines_on_page=10_000) for number in range(10_000)]
    others = [Line(number, f"text {number}", read="x", page=2) for number in range(40)]
    found = chosen([*same, *others])
    assert len(found.examples) == 50 and found.left_out == {LeftOut.TOO_MANY_ALIKE: 9990}
    assert min(example.revision for example in found.examples if example.text == "ha ha") == 9990


def test_a_page_held_out_counts_when_every_line_of_it_is_verified() -> None:
    page = [Line(number, f"line {number}", split="holdout") for number in range(4)]
    assert left(page[:3]) == {LeftOut.PAGE_NOT_VERIFIED: 3}
    assert len(chosen(page).examples) == 4
    # One of them cannot be shown to a model; the page was verified for all that.
    assert len(chosen([*page[:3], replace(page[3], problem="gone", cut=False)]).examples) == 3


def test_a_picture_that_is_held_out_is_not_learned_from() -> None:
    for strong, weak in (("holdout", "train"), ("holdout", "dev"), ("dev", "train")):
        page = [Line(number, f"line {number}", split=strong, ink=f"{number}") for number in range(4)]
        again = Line(0, "line 0", split=weak, ink="0", page=2, revision=5)
        found = chosen([*page, again])
        assert {example.split for example in found.examples} == {Split(strong)}
        assert found.left_out == {LeftOut.HELD_OUT: 1}
    # Also while its page does not count yet: it will, one day.
    partial = replace(page[0], split="holdout")
    assert left([partial, again]) == {LeftOut.PAGE_NOT_VERIFIED: 1, LeftOut.HELD_OUT: 1}


def corrected_and_confirmed(corrected: int, confirmed: int) -> list[Line]:
    count = corrected + confirmed
    return [Line(number, f"text {number}", read=f"text {number}" * (number >= corrected)) for number in range(count)]


@pytest.mark.parametrize(
    ("corrected", "confirmed", "share", "at_least", "kept"),
    [(30, 100, 0.3, 0, 70), (30, 60, 0.3, 0, 60), (3, 100, 0.3, 32, 29), (0, 50, 0.3, 0, 50), (9, 50, 1.0, 0, 0)],
)
def test_confirmed_lines_are_dropped_down_to_the_share_and_corrected_ones_never(
    corrected: int, confirmed: int, share: float, at_least: int, kept: int
) -> None:
    found = chosen(corrected_and_confirmed(corrected, confirmed), share=share, at_least=at_least)
    assert Counter(example.corrected for example in found.examples) == Counter({True: corrected, False: kept})
    assert found.left_out.get(LeftOut.CONFIRMED, 0) == confirmed - kept


def test_the_same_lines_give_the_same_manifest_in_whatever_order_they_come() -> None:
    lines = corrected_and_confirmed(20, 100)
    first = manifest(chosen(lines).examples)
    Random(1).shuffle(lines)
    assert manifest(chosen(lines).examples) == first
    assert sha256_of(first) == hashlib.sha256(first).hexdigest()


def test_a_manifest_is_read_back_and_a_broken_one_says_where(tmp_path: Path) -> None:
    examples = chosen([Line(0, "f\u00fcr \u201cx\u201d\u2028y"), Line(1, "b")]).examples
    path = tmp_path / "examples.jsonl"
    path.write_bytes(manifest(examples))
    assert read_manifest(path) == examples
    for broken in ('{"sha256": 1}', "no json", ""):
        path.write_bytes(manifest(examples) + f"{broken}\n".encode())
        with pytest.raises(ValueError, match=r"examples\.jsonl, line 3: "):
            read_manifest(path)
