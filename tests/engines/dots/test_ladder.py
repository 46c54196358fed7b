"""The way of a page through dots.ocr: what is asked next, what is kept, and what the page's notes say of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copyist.document import Decoding
from copyist.engines.base import DotsSettings, GarbageError, NotReady, PageImage, ReadOptions, Stop, TimedOut
from copyist.engines.dots.backend import Answer, Prompt, Question
from copyist.engines.dots.interview import MAX_QUESTIONS
from copyist.engines.dots.ladder import FIRST_TOKENS, read_page
from copyist.engines.generation import Finish
from copyist.engines.notes import noting
from tests.engines.dots.scripted import PAGE, Scripted, cut, layout, read, text, words
from tests.engines.drawing import drawn

LAYOUT, LAYOUT_ONLY, TEXT = Prompt.LAYOUT, Prompt.LAYOUT_ONLY, Prompt.TEXT
GOOD = layout("First line", "Second line")
LOOP = layout(*["the cat sat " * 60] * 2)
SMALL = PageImage(drawn("Text", width=300, height=220))


def test_a_good_answer_is_taken_and_its_cost_noted() -> None:
    backend = Scripted(GOOD)
    blocks, notes = read(backend)
    assert words(blocks) == ["First line", "Second line"]
    assert notes == ["layout: 1,240 tokens, finished by stop."]
    (question,) = backend.questions
    assert (question.prompt, question.temperature, question.top_p) == (LAYOUT, 0.1, 0.9)
    assert question.max_tokens == FIRST_TOKENS
    assert question.pixels.shape == (560, 700, 3)


def test_boxes_come_back_in_pixels_of_the_page_and_lines_are_as_sure_as_the_answer() -> None:
    # 300 x 200 pixels are shown as 308 x 196.
    blocks, _ = read(Scripted(layout("Text")), PageImage(drawn("Text", width=300, height=200)))
    assert blocks[0].box.left == pytest.approx(20 * 300 / 308, abs=1)
    assert blocks[0].box.bottom == pytest.approx(50 * 200 / 196, abs=1)
    assert blocks[0].box.right == 300
    assert blocks[0].lines[0].confidence == 0.9


def test_a_cut_answer_is_asked_for_again_hotter_and_with_all_tokens() -> None:
    backend = Scripted(cut("First line", "Second"), GOOD)
    blocks, notes = read(backend)
    assert words(blocks) == ["First line", "Second line"]
    assert notes[0] == "The answer was cut at 8,192 tokens; asked again at temperature 0.3."
    assert [(question.temperature, question.max_tokens) for question in backend.questions] == [
        (0.1, FIRST_TOKENS),
        (0.3, 16_384),
    ]


def test_a_limit_below_the_first_one_is_kept() -> None:
    backend = Scripted(cut("First line"), GOOD)
    read(backend, max_tokens=1000)
    assert [question.max_tokens for question in backend.questions] == [1000, 1000]


def test_the_third_try_shows_the_page_at_another_size_and_its_boxes_still_fit() -> None:
    page = PageImage(drawn("One line", width=1400, height=1120))
    backend = Scripted(LOOP, LOOP, layout("One line"))
    blocks, notes = read(backend, page)
    assert [question.pixels.shape[:2] for question in backend.questions] == [(1120, 1400)] * 2 + [(840, 1064)]
    assert backend.questions[2].temperature == 0.5
    assert notes[1] == "The answer repeats itself; asked again at 0.75 times the size and temperature 0.5."
    assert blocks[0].box.left == pytest.approx(20 * 1400 / 1064, abs=1)


def test_a_small_page_is_shown_larger_instead() -> None:
    backend = Scripted(LOOP, LOOP, GOOD)
    read(backend)
    assert backend.questions[2].pixels.shape[1] > backend.questions[0].pixels.shape[1]


def test_the_plain_text_is_the_last_resort() -> None:
    backend = Scripted(LOOP, LOOP, LOOP, text("No boxes here."), text("First line\n\nSecond line"))
    blocks, notes = read(backend)
    assert backend.prompts == [LAYOUT] * 3 + [LAYOUT_ONLY, TEXT]
    assert words(blocks) == ["First line", "Second line"]
    assert notes[-1] == "text: 30 tokens, finished by stop."


def test_when_all_fails_the_whole_blocks_of_a_cut_answer_are_kept_as_a_part_of_the_page() -> None:
    backend = Scripted(cut("First line of text", "Second line of text", "Third line of text"), text("", Finish.LENGTH))
    with noting() as notes:
        reading = read_page(backend, DotsSettings(), PAGE, ReadOptions())
    assert not reading.complete
    assert words(reading.blocks)[:2] == ["First line of text", "Second line of text"]
    assert any("parts of the page are missing" in note for note in notes)
    assert any("finished by length" in note for note in notes)


def test_without_anything_whole_the_page_is_left_to_the_next_engine_with_its_cost() -> None:
    backend = Scripted(text("Sorry.", Finish.LENGTH))
    with noting() as notes, pytest.raises(GarbageError):
        read_page(backend, DotsSettings(), PAGE, ReadOptions())
    assert notes[-1] == "The answer was cut at 30 tokens; 5 questions, 150 tokens."


def test_a_loop_of_one_block_is_nothing_worth_keeping() -> None:
    loop = layout("the cat", "the cat", "the cat", finish=Finish.REPETITION)
    with pytest.raises(GarbageError):
        read(Scripted(loop, loop, loop, text("", Finish.LENGTH)))


@pytest.mark.parametrize(("prompt", "first"), [("layout_only", LAYOUT_ONLY), ("text", TEXT)])
def test_a_prompt_that_is_set_is_where_the_ladder_begins(prompt: str, first: Prompt) -> None:
    backend = Scripted(text("na " * 90))
    with pytest.raises(GarbageError):
        read(backend, prompt=prompt)
    assert backend.prompts[0] is first
    assert LAYOUT not in backend.prompts


def test_an_empty_page_is_an_answer_and_one_with_ink_is_asked_once_more() -> None:
    noise = np.random.default_rng(3).integers(235, 255, (560, 700), dtype=np.uint8)
    backend = Scripted(layout())
    assert read(backend, PageImage(noise)) == ((), ["layout: 1,240 tokens, finished by stop."])
    backend = Scripted(layout(), GOOD)
    assert words(read(backend)[0]) == ["First line", "Second line"]


def test_what_the_model_says_twice_is_believed() -> None:
    backend = Scripted(layout())
    blocks, notes = read(backend)
    assert (blocks, len(backend.questions)) == ((), 2)
    assert "No block was found on a page with ink; the second answer says the same, and it was kept." in notes


def test_an_odd_answer_is_better_than_none() -> None:
    form = layout(*["Signature"] * 5)
    backend = Scripted(form, LOOP, LOOP)
    blocks, notes = read(backend)
    assert words(blocks) == ["Signature"] * 5
    assert "The same block came 5 times; no other answer was better, and it was kept." in notes


@pytest.mark.parametrize("pixels", [np.full((300, 200), 255, np.uint8), np.zeros((300, 200, 3), np.uint8)])
def test_a_page_of_one_colour_is_blank_without_a_question(pixels: np.ndarray) -> None:
    backend = Scripted(GOOD)
    assert read(backend, PageImage(pixels)) == ((), [])
    assert backend.questions == []


@pytest.mark.parametrize("shape", [(1, 2), (2, 900), (900, 2)])
def test_pages_of_odd_shapes_are_read(shape: tuple[int, int]) -> None:
    pixels = np.full(shape, 255, np.uint8)
    pixels[0, 0] = 0
    blocks, _ = read(Scripted(layout("x")), PageImage(pixels))
    assert all(0 <= block.box.left < block.box.right <= shape[1] for block in blocks)


@pytest.mark.parametrize("error", [NotReady("The server is gone."), TimedOut("It did not answer within 180 s.")])
def test_a_model_that_cannot_be_had_ends_the_page(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        read(Scripted(LOOP, error))


def test_a_question_that_fails_is_put_otherwise_at_once() -> None:
    backend = Scripted(MemoryError(), GOOD)
    blocks, notes = read(backend)
    assert words(blocks) == ["First line", "Second line"]
    assert [question.temperature for question in backend.questions] == [0.1, 0.5], "the same again would fail again"
    assert notes[0].startswith("The model ran out of memory on the page; asked again at 1.5 times the size")


def test_a_model_that_fails_at_every_question_has_failed_and_not_talked_garbage() -> None:
    backend = Scripted(MemoryError())
    with pytest.raises(MemoryError):
        read(backend)
    assert backend.prompts == [LAYOUT, LAYOUT, LAYOUT_ONLY, TEXT]


def test_internals_of_an_error_stay_in_the_log() -> None:
    backend = Scripted(RuntimeError("CUDA error 700 in /opt/secret"), GOOD)
    _, notes = read(backend)
    assert "secret" not in str(notes)
    assert notes[0].startswith("The model stopped with an error")


def test_a_page_that_is_stopped_asks_nothing_more() -> None:
    stop = Stop()

    def stopping(question: Question) -> Answer:
        question.stop.ask(TimedOut("It did not finish within 2 s."))
        return LOOP

    backend = Scripted(stopping)
    with pytest.raises(TimedOut, match="2 s"):
        read(backend, options=ReadOptions(stop=stop))
    assert len(backend.questions) == 1


def test_a_temperature_that_somebody_asks_for_is_where_the_ladder_begins() -> None:
    backend = Scripted(LOOP, LOOP, GOOD)
    read(backend, options=ReadOptions(decoding=Decoding(temperature=0.4, top_p=0.7)))
    assert [(question.temperature, question.top_p) for question in backend.questions] == [
        (0.4, 0.7),
        (0.4, 0.7),
        (0.5, 0.7),
    ]


ANSWERS = st.builds(
    Answer,
    st.text(max_size=40)
    | st.builds(
        lambda cells: json.dumps(cells),
        st.lists(
            st.fixed_dictionaries(
                {"bbox": st.lists(st.integers(-50, 900), min_size=4, max_size=4)},
                optional={"category": st.sampled_from(["Text", "Table", "Picture"]), "text": st.text(max_size=9)},
            ),
            max_size=6,
        ),
    ),
    st.sampled_from(Finish),
    tokens_out=st.integers(0, 99_999),
    confidence=st.none() | st.floats(0, 1),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ANSWERS, min_size=1, max_size=6), st.sampled_from(["layout", "layout_only", "text"]))
def test_whatever_a_model_says_a_page_is_read_or_left_to_the_next_engine(said: list[Answer], prompt: str) -> None:
    backend = Scripted(*said)
    try:
        blocks, _ = read(backend, SMALL, prompt=prompt)
    except GarbageError:
        return
    finally:
        assert 0 < len(backend.questions) <= MAX_QUESTIONS
    for block in blocks:
        assert 0 <= block.box.left < block.box.right <= SMALL.width
        assert 0 <= block.box.top < block.box.bottom <= SMALL.height
