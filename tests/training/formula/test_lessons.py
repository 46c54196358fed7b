"""What is learned from: the same whoever makes it, goes on where it stopped, and leaves out what cannot be learned."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from copyist.engines.formula.vocabulary import Vocabulary
from copyist.training.events import Failed
from copyist.training.formula.batches import Batch, Batches, Place
from copyist.training.formula.lessons import CHUNK, Course, LeftOut, Lesson, Lessons
from tests.servers import process_environment
from tests.training.formula.small_sets import SMALL, add, texts, write_set

CONFIG = SMALL["tiny"]
FORMULAS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("formulas"), train=FORMULAS)


def course(folder: Path, **changes: object) -> Course:
    vocabulary = Vocabulary.of(tuple(text) for text in texts(FORMULAS))
    told = {"folder": folder, "vocabulary": vocabulary, "frame": CONFIG.frame, "longest": CONFIG.longest}
    return Course(**{**told, **changes})  # type: ignore[arg-type]


def first(lessons: Lessons, count: int) -> list[Lesson | LeftOut]:
    stream = lessons.stream((), 0)
    return [next(stream) for _ in range(count)]


def batches(folder: Path, place: Place, *, epochs: int = 2, size: int = 6) -> list[Batch]:
    lessons = Lessons(course(folder), processes=0)
    made = Batches(lessons, place, size=size, epoch_size=FORMULAS, left_out=lambda left: None)
    return [batch for _ in range(place.epoch, epochs) for batch in made.epoch()]


def same(one: Batch, other: Batch) -> bool:
    return (one.numbers, one.ids) == (other.numbers, other.ids) and np.array_equal(one.pixels, other.pixels)


def test_lessons_are_the_same_however_many_processes_make_them(folder: Path) -> None:
    count = 2 * CHUNK + 10
    here = first(Lessons(course(folder), processes=0), count)
    two = Lessons(course(folder), processes=2)
    try:
        there = first(two, count)
    finally:
        two.close()
    assert [lesson.number for lesson in here] == [lesson.number for lesson in there] == list(range(count))
    for one, other in zip(here, there, strict=True):
        assert isinstance(one, Lesson) and isinstance(other, Lesson)
        assert one.ids == other.ids and np.array_equal(one.pixels, other.pixels)


def test_each_epoch_shows_every_formula_once_in_another_order_and_drawn_otherwise(folder: Path) -> None:
    lessons = first(Lessons(course(folder), processes=0), 2 * FORMULAS)
    ids = [lesson.ids for lesson in lessons if isinstance(lesson, Lesson)]
    one, two = ids[:FORMULAS], ids[FORMULAS:]
    assert sorted(one) == sorted(two) and len(set(one)) == FORMULAS
    assert one != two
    drawn = {lesson.ids: lesson.pixels.tobytes() for lesson in lessons[:FORMULAS] if isinstance(lesson, Lesson)}
    again = {lesson.ids: lesson.pixels.tobytes() for lesson in lessons[FORMULAS:] if isinstance(lesson, Lesson)}
    assert sum(drawn[key] == again[key] for key in drawn) == 0


def test_without_augmentation_a_formula_looks_the_same_each_time(folder: Path) -> None:
    lessons = first(Lessons(course(folder, augment=False), processes=0), 2 * FORMULAS)
    drawn = {(lesson.ids, lesson.pixels.tobytes()) for lesson in lessons if isinstance(lesson, Lesson)}
    assert len(drawn) == FORMULAS


def test_an_epoch_of_batches_holds_each_lesson_once_and_none_too_many_at_a_time(folder: Path) -> None:
    made = batches(folder, Place())
    numbers = [number for batch in made for number in batch.numbers]
    assert sorted(numbers[:FORMULAS]) == list(range(FORMULAS))
    assert sorted(numbers) == list(range(2 * FORMULAS))
    assert {len(batch.pixels) for batch in made} <= set(range(1, 7))
    assert all(batch.pixels.shape[1] % 32 == 0 == batch.pixels.shape[2] % 32 for batch in made)
    assert (made[-1].after, made[0].after.epoch) == (Place(1, 2 * FORMULAS), 0)


def test_batches_go_on_from_any_place_as_if_nothing_had_been(folder: Path) -> None:
    whole = batches(folder, Place())
    for at in (0, 2, len(whole) // 2, len(whole) - 2):
        rest = batches(folder, whole[at].after)
        assert len(rest) == len(whole) - at - 1
        assert all(same(one, other) for one, other in zip(rest, whole[at + 1 :], strict=True))


def test_what_cannot_be_learned_is_left_out_with_a_code_and_a_sentence(tmp_path: Path) -> None:
    write_set(tmp_path, train=3)
    add(tmp_path, "train", "a-unknown", "1+1", latex="1+\\omega")
    add(tmp_path, "train", "b-long", "1", latex="1" * 20)
    add(tmp_path, "train", "c-braces", "1", latex="\\frac{1}{")
    add(tmp_path, "train", "d-broken", "1").write_text("<ink><trace>1 1</tra")
    left = [each for each in first(Lessons(course(tmp_path), processes=0), 7) if isinstance(each, LeftOut)]
    found = {each.name.split("/")[-1][0]: each for each in left}
    assert {key: each.code for key, each in found.items()} == {
        "a": "unknown_token",
        "b": "label_too_long",
        "c": "unbalanced_braces",
        "d": "broken_inkml",
    }
    assert "\\omega" in found["a"].reason and "20 tokens" in found["b"].reason
    assert all(each.reason.endswith(".") for each in left)


def test_a_process_that_is_gone_ends_training_with_a_sentence(folder: Path) -> None:
    lessons = Lessons(course(folder), processes=1)
    try:
        stream = lessons.stream((), 0)
        next(stream)
        (child,) = (each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline()))
        child.kill()
        with pytest.raises(Failed, match="--processes"):
            for _ in range(10 * CHUNK):
                next(stream)
    finally:
        lessons.close()


KILLED = """
import os, sys
from pathlib import Path
from tests.training.formula.test_lessons import Lessons, course
if __name__ == "__main__":
    lessons = Lessons(course(Path(sys.argv[1])), processes=2)
    next(lessons.stream((), 0))
    print("ready", flush=True)
    while True:
        os.read(0, 1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes end with their parent on Linux")
def test_a_trainer_that_is_killed_leaves_no_process_behind(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = process_environment(PYTHONPATH=str(Path(__file__).parents[3]))
    with subprocess.Popen(
        [sys.executable, script, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as trainer:
        assert trainer.stdout is not None and trainer.stdout.readline() == b"ready\n"
        children = psutil.Process(trainer.pid).children(recursive=True)
        assert len(children) >= 2
        trainer.kill()
    deadline = time.monotonic() + 20
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline, children
        time.sleep(0.05)
