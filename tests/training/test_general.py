"""General lines: the same ones each time, none of them learned from, and a broken folder says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from copyist.training import general
from copyist.training.events import Failed
from copyist.training.examples import Example, Split, manifest, read_manifest, sha256_of
from copyist.training.order import LINES, Order, Parameters


def order(folder: Path | None, count: int = 10, seed: int = 0) -> Order:
    return Order(
        run_id="r", base=Path("base"), general_set=folder, general_lines=count, parameters=Parameters(seed=seed)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight pages with five lines each, every picture and text another one."""
    (tmp_path / LINES).mkdir()
    examples = []
    for number in range(40):
        content = cv2.imencode(".png", np.full((20, 100 + number), number, np.uint8))[1].tobytes()
        sha256 = sha256_of(content)
        (tmp_path / LINES / f"{sha256}.png").write_bytes(content)
        page = f"page-{number // 5}"
        about = {"page": page, "split": Split.TRAIN, "corrected": True, "read": "", "revision": 1}
        examples.append(Example(sha256=sha256, text=f"line {number}", line=f"job.{number // 5}.{number % 5}", **about))
    (tmp_path / general.MANIFEST).write_bytes(manifest(examples))
    return tmp_path


def test_lines_of_a_folder_are_the_same_each_time_and_not_learned_from(folder: Path) -> None:
    found = general.general_set(order(folder, 12))
    assert [(text, page) for _, text, page in found] == [
        (text, page) for _, text, page in general.general_set(order(folder, 12))
    ]
    assert len(found) == 12
    examined = {page for _, _, page in found}
    learned = general.replay_lines(order(folder, 12), 25)
    # 12 lines are three pages; the other five have 25 lines.
    assert len({text for _, text in learned}) == len(learned) == 25
    assert not {f"page-{int(text.split()[1]) // 5}" for _, text in learned} & examined
    assert all(picture[0, 0] == int(text.split()[1]) for picture, text in learned)


def test_where_a_folder_has_too_few_lines_to_learn_from_the_rest_is_drawn(folder: Path) -> None:
    learned = general.replay_lines(order(folder, 33), 20)
    assert len(learned) == 20
    assert sum(text.startswith("line ") for _, text in learned) == 5
    assert len(general.replay_lines(order(folder, 100), 3)) == 3
    assert len(general.general_set(order(folder, 100))) == 40


def test_pages_that_the_run_itself_holds_out_are_not_learned_from(folder: Path, tmp_path: Path) -> None:
    lines = read_manifest(folder / general.MANIFEST)
    held_out = [line.model_copy(update={"split": Split.HOLDOUT}) for line in lines[:4]]
    run = tmp_path / "examples.jsonl"
    run.write_bytes(manifest([*held_out, *lines[20:]]))
    learned = {text for _, text in general.replay_lines(order(folder, 1), 40, examples=run)}
    assert not learned & {f"line {number}" for number in range(5)}
    assert sum(text.startswith("line ") for text in learned) >= 30


def test_drawn_lines_to_learn_from_are_of_other_hands() -> None:
    examined = general.general_set(order(None, 12))
    again = general.general_set(order(None, 12, seed=5))
    assert [text for _, text, _ in examined] == [text for _, text, _ in again]
    learned = [general.replay_lines(order(None, 12, seed=seed), 12) for seed in (0, 1)]
    texts = [{text for _, text, _ in examined}, *({text for _, text in lines} for lines in learned)]
    assert not texts[0] & texts[1]
    assert not texts[1] & texts[2]
    assert len({page for _, _, page in examined}) == 3


def without_manifest(folder: Path) -> None:
    (folder / general.MANIFEST).unlink()


def with_an_empty_manifest(folder: Path) -> None:
    (folder / general.MANIFEST).write_text("")


def with_a_line_that_is_none(folder: Path) -> None:
    rows = (folder / general.MANIFEST).read_text().splitlines()
    (folder / general.MANIFEST).write_text("\n".join([*rows[:2], '{"text": "x"}', *rows[3:]]))


def without_pictures(folder: Path) -> None:
    for picture in (folder / LINES).iterdir():
        picture.unlink()


def with_cut_pictures(folder: Path) -> None:
    for picture in (folder / LINES).iterdir():
        picture.write_bytes(picture.read_bytes()[:40])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_manifest, "manifest.jsonl is missing"),
        (with_an_empty_manifest, "manifest.jsonl has no lines"),
        (with_a_line_that_is_none, "manifest.jsonl, line 3"),
        (without_pictures, "is missing"),
        (with_cut_pictures, "another one"),
    ],
)
def test_a_broken_folder_is_refused_with_what_is_wrong(
    folder: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(folder)
    with pytest.raises(Failed, match=words) as refused:
        general.general_set(order(folder))
    assert folder.name in str(refused.value)
