"""Leases by name: one holder at a time, and one turn in a period."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from copyist.db import locks
from copyist.db.session import Database


def once(db: Database, holder: str, seconds: float = 60) -> bool:
    with db.write() as session:
        return locks.once(session, "work", holder, seconds)


def test_of_many_who_ask_at_once_one_has_its_turn(db: Database) -> None:
    with ThreadPoolExecutor(6) as pool:
        turns = list(pool.map(lambda asker: once(db, f"beat-{asker % 3}"), range(30)))
    assert turns.count(True) == 1


def test_who_is_started_anew_has_no_second_turn_in_a_period(db: Database) -> None:
    assert [once(db, f"beat:{process}") for process in (1, 1, 2, 3)] == [True, False, False, False]


def test_each_period_has_its_turn(db: Database) -> None:
    assert once(db, "a", seconds=0.2)
    assert not once(db, "b", seconds=0.2)
    time.sleep(0.25)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda holder: once(db, holder), "abcd")).count(True) == 1


def test_a_period_can_be_ended_by_whose_turn_it_was(db: Database) -> None:
    assert once(db, "a")
    for holder, free in (("b", False), ("a", True)):
        with db.write() as session:
            locks.release(session, "work", holder)
        assert once(db, "c") is free


def test_what_was_taken_by_a_clock_that_was_wrong_is_free(db: Database) -> None:
    for name in ("work", "sweeper"):
        with db.write() as session:
            assert locks.once(session, name, "a", seconds=3600)
    assert once(db, "b", seconds=60)
    with db.write() as session:
        assert locks.acquire(session, "sweeper", "b", 60)
        assert not locks.acquire(session, "sweeper", "c", 31), "half as long is nobody's error"
