"""The fallback chain: which engine is tried, whose reading is kept, and what the trail says. Fakes, no mocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from copyist.document import Page
from copyist.engines.base import (
    Availability,
    Engine,
    EngineSettings,
    Mode,
    NotReady,
    Outcome,
    PageImage,
    ReadOptions,
    TimedOut,
    Try,
)
from copyist.engines.chain import Chain, ChainReading, Strategy, chain_order
from copyist.engines.garbage import is_loop
from copyist.engines.notes import note
from copyist.engines.registry import Registry
from copyist.errors import ConfigurationError, PageDamaged
from tests.faulty_engines import PLUGINS, Faulty

IMAGE = PageImage(np.zeros((100, 100), dtype=np.uint8))


class Cheap(Faulty):
    name, cost, confidence = "cheap", 1.0, 0.6
    text = "A line that was raed"


class Dear(Faulty):
    name, cost, confidence = "dear", 9.0, 0.9


class Terse(Faulty):
    name, cost, confidence = "terse", 3.0, 0.99
    text = "line"


class Blind(Faulty):
    name, cost, confidence = "blind", 0.1, None
    text = ""


class Absent(Faulty):
    name = "absent"

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        return Availability(ready=False, reason="Weights are missing.")


class German(Faulty):
    name = "german"

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        return Availability(ready=True, version="1", languages=("deu",))


class Unloadable(Faulty):
    name = "unloadable"

    def __init__(self, settings: EngineSettings) -> None:
        raise OSError("/opt/secret/model.bin: cannot open")


class Huge(Faulty):
    name = "huge"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        raise MemoryError


class Away(Faulty):
    """Seemed to be there, and its server is not."""

    name = "away"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        note("The server was asked three times.")
        raise NotReady("The server does not answer; start it.")


class Late(Faulty):
    name = "late"

    def read(self, images: Sequence[PageImage], options: ReadOptions) -> list[Page]:
        raise TimedOut("It did not finish within 2 s.")


class Scribe(Faulty):
    """Made for handwriting, and dear."""

    name, cost, modes = "scribe", 50.0, frozenset({Mode.HANDWRITING})
    confidence = 0.3


class Half(Faulty):
    """Knows that it read only a part of the page, and is very sure of that."""

    name, confidence = "half", 0.99
    text = "A line that was"

    def page(self, image: PageImage) -> Page:
        return super().page(image).model_copy(update={"complete": False})


FAKES = (Half, Cheap, Dear, Terse, Blind, Absent, German, Unloadable, Huge, Away, Late, Scribe)
HERE = tuple(f"{__name__}:{fake.__name__}" for fake in FAKES)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(EngineSettings(), (*PLUGINS, *HERE))


def read_with(engine: Engine) -> Page:
    return engine.read([IMAGE], ReadOptions())[0]


def read(registry: Registry, *names: str, strategy: Strategy = Strategy.BEST, **more: object) -> ChainReading:
    return Chain(registry, names, strategy, 0.8).read(read_with, **more)  # type: ignore[arg-type]


def story(reading: ChainReading) -> list[tuple[str, str]]:
    return [(step.engine, step.outcome.value) for step in reading.trail]


def test_best_takes_the_first_engine_that_reads(registry: Registry) -> None:
    reading = read(registry, "cheap", "dear", "mock")
    assert story(reading) == [("cheap", "read")]
    assert reading.page is not None
    assert (reading.page.engine, reading.degraded, reading.may_be_cached) == ("cheap", False, True)


def test_best_goes_down_past_what_is_absent_breaks_or_loops(registry: Registry) -> None:
    reading = read(registry, "absent", "broken", "unloadable", "huge", "garbage", "dear", "mock")
    assert story(reading) == [
        ("absent", "not_ready"),
        ("broken", "failed"),
        ("unloadable", "failed"),
        ("huge", "failed"),
        ("garbage", "garbage"),
        ("dear", "read"),
    ]
    assert not reading.may_be_cached


def test_trail_gives_reasons_in_words_without_paths_or_internals(registry: Registry) -> None:
    trail = read(registry, "absent", "broken", "unloadable", "huge", "garbage", "mock").trail
    assert all(step.reason for step in trail if step.outcome is not Outcome.READ)
    said = " ".join(step.reason for step in trail)
    assert "Weights are missing." in said
    assert "out of memory" in said
    assert not any(secret in said for secret in ("/opt", "CUDA", "Error", "secret"))


def test_an_absent_engine_does_not_keep_a_reading_out_of_the_cache(registry: Registry) -> None:
    assert read(registry, "absent", "dear").may_be_cached


@pytest.mark.parametrize("strategy", list(Strategy))
def test_mock_comes_last_wherever_it_stands_and_is_degraded(registry: Registry, strategy: Strategy) -> None:
    assert story(read(registry, "mock", "dear", strategy=strategy)) == [("dear", "read")]
    reading = read(registry, "mock", "broken", strategy=strategy)
    assert story(reading) == [("broken", "failed"), ("mock", "read")]
    assert (reading.degraded, reading.may_be_cached) == (True, False)


def test_mock_asked_for_by_name_is_degraded_too(registry: Registry) -> None:
    assert read(registry, "mock").degraded


def test_without_mock_a_page_that_nobody_reads_has_no_page(registry: Registry) -> None:
    reading = read(registry, "broken", "garbage")
    assert reading.page is None
    assert (reading.degraded, reading.may_be_cached) == (False, False)


def test_fast_stays_with_the_cheap_engine_when_it_is_sure(registry: Registry) -> None:
    reading = read(registry, "dear", "slow", strategy=Strategy.FAST)
    assert story(reading) == [("slow", "read")]


def test_fast_climbs_and_keeps_the_surer_reading(registry: Registry) -> None:
    reading = read(registry, "dear", "cheap", "mock", strategy=Strategy.FAST)
    assert story(reading) == [("cheap", "kept_other"), ("dear", "read")]
    assert reading.page is not None
    assert reading.page.engine == "dear"
    assert "dear was kept" in reading.trail[0].reason
    assert reading.trail[0].confidence == pytest.approx(0.6)
    assert reading.may_be_cached


def test_fast_does_not_let_a_sure_reading_of_far_less_text_win(registry: Registry) -> None:
    reading = read(registry, "cheap", "terse", strategy=Strategy.FAST)
    assert story(reading) == [("cheap", "read"), ("terse", "kept_other")]
    assert reading.page is not None
    assert reading.page.engine == "cheap"


def test_fast_keeps_what_it_has_when_the_dearer_engine_fails(registry: Registry) -> None:
    reading = read(registry, "cheap", "unloadable", "mock", strategy=Strategy.FAST)
    assert [step for step in story(reading) if step[1] == "read"] == [("cheap", "read")]
    assert not reading.degraded


def test_fast_takes_a_blank_page_for_blank(registry: Registry) -> None:
    reading = read(registry, "blind", "dear", strategy=Strategy.FAST)
    assert story(reading) == [("blind", "read")]
    assert reading.page is not None
    assert reading.page.text == ""


def test_fast_climbs_from_an_empty_reading_of_a_page_with_ink(registry: Registry) -> None:
    reading = read(registry, "blind", "dear", strategy=Strategy.FAST, has_ink=lambda: True)
    assert story(reading) == [("blind", "kept_other"), ("dear", "read")]


def test_skips_go_into_the_trail_and_their_engines_are_not_started(registry: Registry) -> None:
    started: list[str] = []
    skip = {"crash": Try("crash", Outcome.CRASHED, "It stopped its worker.")}
    reading = read(registry, "crash", "broken", "dear", skip=skip, on_start=started.append)
    assert reading.trail[0] is skip["crash"]
    assert started == ["broken", "dear"]
    assert not reading.may_be_cached


def test_engines_without_the_language_are_passed_over_in_words(registry: Registry) -> None:
    reading = read(registry, "german", "dear", languages=("eng", "deu"))
    assert story(reading) == [("german", "not_ready"), ("dear", "read")]
    assert reading.trail[0].reason == "It has no model for eng; it reads deu."


def test_a_page_that_cannot_be_rendered_is_no_engines_fault(registry: Registry) -> None:
    def damaged(_engine: Engine) -> Page:
        raise PageDamaged(number=3)

    with pytest.raises(PageDamaged):
        Chain(registry, ("dear", "mock")).read(damaged)


def test_a_callers_own_exceptions_leave_the_chain(registry: Registry) -> None:
    class Cancelled(Exception):
        pass

    def cancelled(_engine: Engine) -> Page:
        raise Cancelled

    with pytest.raises(Cancelled):
        Chain(registry, ("dear", "mock")).read(cancelled, let_through=(Cancelled,))


def test_identity_names_what_decides_a_reading(registry: Registry) -> None:
    best = Chain(registry, ("absent", "dear", "cheap", "mock"))
    assert best.identity() == "best:dear@1,cheap@1,mock@1"
    fast = Chain(registry, ("dear", "cheap"), Strategy.FAST, 0.8)
    assert fast.identity() == "fast<0.8:cheap@1,dear@1"


@pytest.mark.parametrize(
    ("backend", "fallback", "order"),
    [
        ("auto", None, ("trocr", "nougat", "formula", "dots", "easyocr", "rapidocr", "tesseract", "mock")),
        ("auto", ("tesseract",), ("tesseract",)),
        ("tesseract", None, ("tesseract", "trocr", "nougat", "formula", "mock")),
        ("tesseract", (), ("tesseract",)),
        ("rapidocr", ("tesseract",), ("rapidocr", "tesseract")),
        ("mock", None, ("mock",)),
        ("nougat", None, ("nougat", "trocr", "formula", "dots", "easyocr", "rapidocr", "tesseract", "mock")),
        ("crash", None, ("crash", "trocr", "nougat", "formula", "dots", "easyocr", "rapidocr", "tesseract", "mock")),
    ],
)
def test_order_starts_where_the_settings_say(
    registry: Registry, backend: str, fallback: tuple[str, ...] | None, order: tuple[str, ...]
) -> None:
    assert chain_order(backend, fallback, registry.names) == order


def test_order_refuses_unknown_names_with_those_there_are(registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match=r'no engine "abbyy".*tesseract'):
        chain_order("abbyy", None, registry.names)
    with pytest.raises(ConfigurationError, match='no engine "abbyy"'):
        chain_order("auto", ("abbyy",), registry.names)


@pytest.mark.parametrize("text", ["the cat " * 100, "0.\n" * 300, "Yes, " + "no no " * 200, "ab" * 60])
def test_a_loop_is_garbage(text: str) -> None:
    assert is_loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The quiet harbour opened twice. " * 3,
        "Chapter one " + "." * 300 + " 7\nChapter two " + "." * 300 + " 19",
        "_ " * 200,
        "\n".join(f"{n}. the item" for n in range(100)),
    ],
)
def test_repetition_that_people_write_is_not(text: str) -> None:
    assert not is_loop(text)


def test_an_engine_that_proves_to_be_absent_is_not_ready_in_its_own_words_and_nothing_is_cached(
    registry: Registry,
) -> None:
    reading = read(registry, "away", "dear")
    assert story(reading) == [("away", "not_ready"), ("dear", "read")]
    assert reading.trail[0].reason == "The server does not answer; start it."
    assert not reading.may_be_cached


def test_what_an_engine_noted_is_in_the_trail_whether_it_read_or_not(registry: Registry) -> None:
    reading = read(registry, "away", "dear")
    assert [step.notes for step in reading.trail] == [("The server was asked three times.",), ()]


def test_an_engine_that_was_stopped_for_time_is_left_behind(registry: Registry) -> None:
    trail = read(registry, "late", "dear").trail
    assert [(step.outcome, step.reason) for step in trail] == [
        (Outcome.TIMED_OUT, "It did not finish within 2 s."),
        (Outcome.READ, ""),
    ]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_engines_made_for_a_mode_come_first_in_it_and_are_not_mentioned_in_others(
    registry: Registry, strategy: Strategy
) -> None:
    names = ("dear", "scribe", "mock")
    assert story(read(registry, *names, mode=Mode.HANDWRITING, strategy=strategy)) == [("scribe", "read")]
    assert story(read(registry, *names, mode=Mode.DOCUMENT, strategy=strategy)) == [("dear", "read")]


def test_an_engine_that_was_asked_for_is_mentioned_where_it_does_not_read_the_mode(registry: Registry) -> None:
    chain = Chain(registry, ("scribe", "dear"), wished="scribe")
    reading = chain.read(read_with, mode=Mode.DOCUMENT)
    assert story(reading) == [("scribe", "not_ready"), ("dear", "read")]
    assert "mode document" in reading.trail[0].reason


def test_papers_fall_to_the_engines_for_documents(registry: Registry) -> None:
    assert story(read(registry, "tesseract", mode=Mode.PAPER))[0][0] == "tesseract"


def test_an_engine_that_was_asked_for_comes_first_even_before_those_made_for_the_mode(registry: Registry) -> None:
    chain = Chain(registry, ("scribe", "dear"), wished="dear")
    assert story(chain.read(read_with, mode=Mode.HANDWRITING)) == [("dear", "read")]


def test_a_part_of_a_page_gives_way_to_a_whole_reading_by_the_next_engine(registry: Registry) -> None:
    reading = read(registry, "half", "cheap", "mock")
    assert story(reading) == [("half", "kept_other"), ("cheap", "read")]


def test_a_part_of_a_page_is_better_than_far_less_or_nothing_and_is_not_cached(registry: Registry) -> None:
    reading = read(registry, "half", "terse", "broken", "mock")
    assert story(reading) == [("half", "read"), ("terse", "kept_other"), ("broken", "failed")]
    assert (reading.degraded, reading.may_be_cached) == (False, False)
