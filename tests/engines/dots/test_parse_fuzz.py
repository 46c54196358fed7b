"""Ten thousand broken answers: nothing is raised, no sound block is lost, and no input costs more than its length."""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from types import FrameType
from typing import Any

import pytest

from copyist.document import Block, Box
from copyist.engines.dots.parse.layout import blocks_of, text_blocks
from copyist.engines.dots.parse.layout_json import Cell, parse
from tests.engines.dots.layouts import PAGE, cell_of

ANSWERS = 10_000
WIDTH, HEIGHT = 600, 700


def cut(text: str, chance: random.Random) -> str:
    return text[: chance.randrange(len(text) + 1)]


def lose_the_beginning(text: str, chance: random.Random) -> str:
    return text[chance.randrange(len(text) + 1) :]


def flip(text: str, chance: random.Random) -> str:
    data = bytearray(text.encode(errors="replace"))
    for _ in range(chance.randint(1, 8)):
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data.decode(errors="replace")


def delete(text: str, chance: random.Random) -> str:
    start, end = _span(text, chance)
    return text[:start] + text[end:]


def delete_one(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + text[at + 1 :]


def duplicate(text: str, chance: random.Random) -> str:
    start, end = _span(text, chance)
    return text[:end] + text[start:end] * chance.randint(1, 3) + text[end:]


def move(text: str, chance: random.Random) -> str:
    start, end = _span(text, chance)
    rest = text[:start] + text[end:]
    at = chance.randrange(len(rest) + 1)
    return rest[:at] + text[start:end] + rest[at:]


def shuffle(text: str, chance: random.Random) -> str:
    places = sorted(chance.randrange(len(text) + 1) for _ in range(4))
    parts = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    chance.shuffle(parts)
    return "".join(parts)


def insert(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return (
        text[:at] + chance.choice(['"', "'", "{", "}", "[", "]", ",", ":", "\\", "\n", "\0", "```", "NaN"]) + text[at:]
    )


def unescape(text: str, chance: random.Random) -> str:
    start, end = _span(text, chance)
    return text[:start] + text[start:end].replace("\\\\", "\\").replace('\\"', '"') + text[end:]


MUTATIONS = [cut, lose_the_beginning, flip, delete, delete_one, duplicate, move, shuffle, insert, unescape]


def _span(text: str, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(text) + 1)
    return start, min(len(text), start + chance.randint(1, 120))


def written(chance: random.Random) -> list[str]:
    """The blocks of some page, in one of the styles that a model may have."""
    page = chance.sample(PAGE, chance.randint(2, len(PAGE)))
    ascii_only, indent = chance.random() < 0.3, chance.choice([None, None, 1])
    return [json.dumps(block, ensure_ascii=ascii_only, indent=indent) for block in page]


def broken(blocks: list[str], chance: random.Random) -> str:
    answer = chance.choice(["[{}]", "```json\n[{}]\n```", "Layout: [{}] Done.", '{{"layout": [{}]}}']).format(
        chance.choice([", ", ",\n", ","]).join(blocks)
    )
    for _ in range(chance.randint(1, 3)):
        answer = chance.choice(MUTATIONS)(answer, chance)
    return answer


def sound(blocks: Iterable[str], answer: str) -> Counter[Cell]:
    """The cells of the blocks that came through untouched, as often as each did."""
    return Counter({_cell(block): answer.count(block) for block in set(blocks)})


@cache
def _cell(block: str) -> Cell:
    return cell_of(json.loads(block))


def test_ten_thousand_broken_answers_raise_nothing_and_lose_no_sound_block() -> None:
    chance = random.Random(20261121)
    kept = 0
    for index in range(ANSWERS):
        blocks = written(chance)
        answer = broken(blocks, chance)
        layout = parse(answer)
        expected = sound(blocks, answer)
        assert not expected - Counter(layout.cells), answer
        assert layout.whole or layout.problems, answer
        kept += expected.total()
        if index % 20 == 0:
            assert_within_the_page(
                blocks_of(layout.cells, scale_x=0.8, scale_y=0.7, width=WIDTH, height=HEIGHT, confidence=0.5)
            )
            assert_within_the_page(text_blocks(answer, width=WIDTH, height=HEIGHT, confidence=None))
    assert kept > 2 * ANSWERS, "the mutations leave too little to be lost"


def assert_within_the_page(blocks: Iterable[Block]) -> None:
    page = Box(0, 0, WIDTH, HEIGHT)
    for block in blocks:
        assert block.box.within(WIDTH, HEIGHT) == block.box
        assert Box.around((page, block.box)) == page
        for line in block.lines:
            assert Box.around((block.box, line.box)) == block.box
            assert [word.text for word in line.words] == line.text.split()
            assert all(Box.around((page, word.box)) == page for word in line.words)


HOSTILE = {
    "objects": '{"text":"',
    "quotes": '"',
    "escaped quotes": '\\"',
    "backslashes": "\\",
    "escapes": "\\u12",
    "braces": "{",
    "brackets": "[",
    "keys": '"bbox":',
    "boxes": '{"bbox":[1,1,',
    "values": '"bbox":"a",',
    "ends": '"bbox":"a"}',
    "python": "{'bbox':",
    "repeats": '"text":"x","text":"y",',
    "loose values": '"text": b "text" : c ',
    "spaces": " ",
    "dollars": "$a ",
    "fences": "```",
    "sound": '{"bbox":[1,2,3,4],"category":"Text","text":"abc"},\n',
}


@pytest.mark.parametrize("before", ["", "[", '[{"bbox":[1,2,3,4],"category":"Text","text":"'], ids=["", "list", "text"])
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_the_work_grows_with_the_length_of_the_answer_and_not_with_its_square(unit: str, before: str) -> None:
    short, long = (before + unit * (length // len(unit)) for length in (2_000, 16_000))
    assert lines_run(parse, long) <= 10 * lines_run(parse, short) + 1000


def lines_run(function: Callable[[str], object], argument: str) -> int:
    """How many lines of Python a call runs."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(argument)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("before", ["[", '[{"bbox":[1,2,3,4],"category":"Text","text":"'], ids=["list", "text"])
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_regular_expressions_do_not_run_away(unit: str, before: str) -> None:
    """What runs inside of one line is seen by its time alone: the square of this length would take minutes."""
    started = time.process_time()
    parse(before + unit * (100_000 // len(unit)))
    assert time.process_time() - started < 3
