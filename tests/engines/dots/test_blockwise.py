"""Pages read block by block, and pictures read again for the text in them."""

from __future__ import annotations

import numpy as np
import pytest

from copyist.document import BlockKind
from copyist.engines.base import GarbageError, NotReady, PageImage, Stop, TimedOut
from copyist.engines.dots.backend import Answer, Prompt, Question
from copyist.engines.dots.blockwise import MAX_AGAIN, MAX_BLOCKS
from copyist.engines.dots.crops import show
from copyist.engines.dots.interview import MAX_QUESTIONS, Asked, Interview, NoQuestionsLeft
from tests.engines.dots.scripted import PAGE, Scripted, boxes, layout, read, text, words
from tests.engines.drawing import drawn

LAYOUT, LAYOUT_ONLY, TEXT, REGION = Prompt.LAYOUT, Prompt.LAYOUT_ONLY, Prompt.TEXT, Prompt.REGION
GOOD = layout("First line", "Second line")
LOOP = layout(*["the cat sat " * 60] * 2)


def test_then_the_page_is_read_block_by_block() -> None:
    backend = Scripted(LOOP, LOOP, LOOP, boxes("Title", "Text", "Table"), text("A"), text("B"), text("<table>"))
    blocks, notes = read(backend)
    assert backend.prompts == [LAYOUT] * 3 + [LAYOUT_ONLY, REGION, REGION, TEXT]
    assert [question.region for question in backend.questions[4:6]] == [(20, 20, 320, 50), (20, 70, 320, 100)]
    assert backend.questions[6].pixels.shape[0] < 100, "a table is shown close up"
    assert [block.kind for block in blocks] == [BlockKind.TITLE, BlockKind.TEXT, BlockKind.TABLE]
    assert notes[2] == "The answer repeats itself; asked for its boxes, then for each block."
    assert notes[-1].startswith("layout_only and 3 blocks")
    assert blocks[0].lines[0].confidence == pytest.approx(0.8)


def test_a_block_that_fails_in_place_is_read_close_up() -> None:
    backend = Scripted(boxes("Text", "Text"), text("na " * 90), text("A"), text("B"))
    blocks, _ = read(backend, prompt="layout_only")
    assert backend.prompts == [LAYOUT_ONLY, REGION, TEXT, REGION]
    assert words(blocks) == ["A", "B"]


def test_a_block_that_nothing_helps_is_left_out_and_said_so() -> None:
    backend = Scripted(boxes("Text", "Text", "Text"), text(""), text(""), text("B"), text("C"))
    blocks, notes = read(backend, prompt="layout_only")
    assert words(blocks) == ["B", "C"]
    assert "1 of 3 blocks could not be read and are left out." in notes


def test_too_many_blocks_are_not_asked_for_one_by_one() -> None:
    backend = Scripted(boxes(*["Text"] * (MAX_BLOCKS + 1), size=1), text("All of it"))
    blocks, notes = read(backend, prompt="layout_only")
    assert backend.prompts == [LAYOUT_ONLY, TEXT]
    assert notes[0] == "41 blocks were found; asked for the plain text."
    assert words(blocks) == ["All of it"]


def test_a_picture_with_text_is_read_again_as_a_crop() -> None:
    page = PageImage(drawn("Label in a drawing", width=700, height=560))
    backend = Scripted(boxes("Picture", size=90), text("Label in a drawing"))
    blocks, notes = read(backend, page)
    assert backend.prompts == [LAYOUT, TEXT]
    assert (blocks[0].kind, blocks[0].text) == (BlockKind.PICTURE, "Label in a drawing")
    assert "Pictures and blocks without text, read again: 1; 1 of them hold text." in notes


def test_a_picture_without_edges_or_too_small_stays_a_picture() -> None:
    smooth = np.repeat(np.linspace(0, 255, 700, dtype=np.uint8)[None], 560, axis=0)
    backend = Scripted(boxes("Picture", size=90))
    blocks, _ = read(backend, PageImage(smooth))
    assert (len(backend.questions), blocks[0].kind, blocks[0].text) == (1, BlockKind.PICTURE, "")
    backend = Scripted(boxes("Picture", size=30))
    read(backend)
    assert len(backend.questions) == 1


def test_no_more_than_some_pictures_are_read_again() -> None:
    page = PageImage(np.random.default_rng(5).integers(0, 255, (1000, 700), dtype=np.uint8))
    backend = Scripted(boxes(*["Picture"] * (MAX_AGAIN + 3), size=90), text(""))
    _, notes = read(backend, page)
    assert len(backend.questions) == MAX_AGAIN + 1
    assert any("3 more were not" in note for note in notes)


def test_a_page_is_kept_when_the_server_goes_away_before_its_pictures_are_read() -> None:
    page = PageImage(np.random.default_rng(5).integers(0, 255, (560, 700), dtype=np.uint8))
    blocks, notes = read(Scripted(boxes("Picture", size=90), NotReady("The server is gone.")), page)
    assert blocks[0].kind is BlockKind.PICTURE
    assert "Pictures and blocks without text were not read again: The server is gone." in notes


def test_a_stop_while_pictures_are_read_is_no_failure_of_theirs() -> None:
    page = PageImage(np.random.default_rng(5).integers(0, 255, (560, 700), dtype=np.uint8))

    def stopping(question: Question) -> Answer:
        question.stop.ask(TimedOut("It did not finish within 2 s."))
        question.stop.check()
        raise AssertionError

    with pytest.raises(TimedOut):
        read(Scripted(boxes("Picture", size=90), stopping), page)


def test_a_page_of_blocks_that_cannot_be_read_costs_a_bounded_number_of_questions() -> None:
    page = PageImage(drawn("Text", width=700, height=50 * (MAX_BLOCKS + 1)))
    backend = Scripted(LOOP, LOOP, LOOP, boxes(*["Text"] * MAX_BLOCKS), text(""))
    with pytest.raises(GarbageError):
        read(backend, page)
    assert len(backend.questions) < MAX_QUESTIONS
    assert backend.prompts[-1] is TEXT, "there is always one left for the plain text"


def test_an_interview_ends_when_its_questions_are_used_up() -> None:
    interview = Interview(Scripted(GOOD), Stop(), max_questions=2)
    shown = show(PAGE.pixels, 1_000_000)
    for _ in range(2):
        interview.ask(shown, Asked(LAYOUT, 100))
    with pytest.raises(NoQuestionsLeft):
        interview.ask(shown, Asked(LAYOUT, 100))
    assert (interview.questions, interview.tokens) == (2, 2480)


def test_a_block_that_came_without_its_text_is_read_again() -> None:
    lacking = layout("First line", "", "Third line")
    backend = Scripted(lacking, text("Second line"))
    blocks, _ = read(backend)
    assert backend.prompts == [LAYOUT, REGION]
    assert words(blocks) == ["First line", "Second line", "Third line"]
