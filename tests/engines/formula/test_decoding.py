from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from copyist.engines.base import Stop, TimedOut
from copyist.engines.formula.decoding import Floats, Found, Integers, Limits, beam, greedy
from copyist.engines.formula.vocabulary import END, PAD, START, UNKNOWN
from copyist.engines.generation import Finish

A, B, C = 4, 5, 6
_TOKENS = 7
Ways = Mapping[tuple[int, ...], Mapping[int, float]]
"""What follows what is written, and how probable it is."""


@dataclass
class Book:
    """A decoder that knows by heart what follows; a picture is the number of its book."""

    books: list[Ways]
    sizes: list[int] = field(default_factory=list)
    """How many rows there were at each step."""

    def cross(self, pictures: Floats) -> list[tuple[int, tuple[int, ...]]]:
        return [(int(picture.ravel()[0]), ()) for picture in pictures]

    def step(self, tokens: Integers, position: int, state: list[tuple[int, tuple[int, ...]]]) -> Floats:
        self.sizes.append(len(state))
        logits = np.full((len(state), _TOKENS), -30.0, np.float32)
        for row, (number, before) in enumerate(state):
            written = (*before, int(tokens[row])) if position else ()
            state[row] = (number, written)
            for token, probability in self.books[number].get(written, {END: 1.0}).items():
                logits[row, token] = math.log(probability)
        return logits

    def reorder(self, state: list[tuple[int, tuple[int, ...]]], rows: Integers) -> list[tuple[int, tuple[int, ...]]]:
        return [state[row] for row in rows]


SHORT: Ways = {(): {A: 0.9, B: 0.1}, (A,): {END: 0.8, B: 0.2}}
LONG: Ways = {(): {B: 0.6, A: 0.4}, (B,): {C: 1.0}, (B, C): {A: 1.0}, (B, C, A): {END: 1.0}}
LOOP: Ways = {(A,) * count: {A: 1.0} for count in range(60)}
# The likelier beginning leads to nothing that is likely.
GARDEN_PATH: Ways = {
    (): {A: 0.55, B: 0.45},
    (A,): {A: 0.34, B: 0.33, C: 0.33},
    (B,): {C: 0.99, A: 0.01},
    (B, C): {END: 0.99, A: 0.01},
}


def _pictures(*numbers: int) -> Floats:
    return np.array(numbers, np.float32)[:, None, None, None]


def _greedy(*books: Ways, limits: Limits = Limits(50)) -> list[Found]:
    return greedy(Book(list(books)), _pictures(*range(len(books))), limits)


def test_each_row_is_the_likeliest_way_with_the_probability_of_its_end() -> None:
    short, long = _greedy(SHORT, LONG)
    assert (short.ids, short.finish) == ((A,), Finish.STOP)
    assert np.exp(short.log_probabilities) == pytest.approx([0.9, 0.8], abs=1e-4)
    assert short.mean == pytest.approx(math.sqrt(0.72), abs=1e-4)
    assert short.least == pytest.approx(0.8, abs=1e-4)
    assert long.ids == (B, C, A)


def test_rows_that_ended_leave_the_batch_and_change_no_other() -> None:
    book = Book([SHORT, LONG, SHORT])
    assert [found.ids for found in greedy(book, _pictures(0, 1, 2), Limits(50))] == [(A,), (B, C, A), (A,)]
    assert book.sizes == [3, 3, 1, 1]


def test_what_is_no_part_of_a_formula_is_never_written() -> None:
    (found,) = _greedy({(): {PAD: 0.3, START: 0.3, UNKNOWN: 0.3, A: 0.1}})
    assert found.ids == (A,)
    assert found.least == pytest.approx(0.1, abs=1e-3)


def test_a_loop_is_cut_before_its_second_round() -> None:
    (found,) = _greedy(LOOP)
    assert (found.ids, found.finish) == ((A,), Finish.REPETITION)
    assert len(found.log_probabilities) == 1


def test_the_longest_formula_may_be_so_long_and_no_longer() -> None:
    (whole,), (cut,) = (_greedy(LONG, limits=Limits(longest)) for longest in (3, 2))
    assert (whole.ids, whole.finish) == ((B, C, A), Finish.STOP)
    assert (cut.ids, cut.finish, len(cut.log_probabilities)) == ((B, C), Finish.LENGTH, 2)


def test_the_time_is_kept() -> None:
    (found,) = _greedy(LOOP, limits=Limits(50, seconds=-1.0))
    assert (found.ids, found.finish) == ((A,), Finish.TIME)


def test_a_length_can_be_forced() -> None:
    (found,) = _greedy(SHORT, limits=Limits(9, shortest=9, loops=False))
    assert len(found.ids) == 9


@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_who_is_asked_to_stop_stops(search: str) -> None:
    stop = Stop()
    stop.ask(TimedOut())
    with pytest.raises(TimedOut):
        if search == "greedy":
            greedy(Book([SHORT]), _pictures(0), Limits(50), stop)
        else:
            beam(Book([SHORT]), _pictures(0)[0], Limits(50), 2, stop)


def test_several_ways_find_what_the_likeliest_step_misses() -> None:
    (plain,) = _greedy(GARDEN_PATH)
    ways = beam(Book([GARDEN_PATH]), _pictures(0)[0], Limits(50), 3)
    assert plain.ids[0] == A
    assert (ways[0].ids, ways[0].finish) == ((B, C), Finish.STOP)
    assert ways[0].mean > plain.mean
    assert [way.mean for way in ways] == sorted((way.mean for way in ways), reverse=True)
    assert len({way.ids for way in ways}) == len(ways) <= 3


def test_of_several_ways_one_that_ends_well_goes_before_a_likelier_loop() -> None:
    best = beam(Book([{**LOOP, (): {A: 0.9, B: 0.1}, (A,): {A: 0.999, END: 0.001}}]), _pictures(0)[0], Limits(50), 2)[0]
    assert best.finish is Finish.STOP
