"""dots.ocr on a server: what is sent, what comes back, and what is said of servers that do not answer."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from copyist.engines.base import DotsSettings, EngineSettings, NotReady, Stop, TimedOut
from copyist.engines.dots.backend import Prompt, Question
from copyist.engines.dots.remote import client as remote
from copyist.engines.dots.remote.background import Background
from copyist.engines.dots.remote.client import Remote
from copyist.engines.dots.remote.wire import QuestionRefused
from copyist.engines.generation import Finish
from copyist.engines.notes import noting
from tests.engines.drawing import drawn, in_colour
from tests.fake_vllm import MODEL, FakeVllm

PIXELS = in_colour(drawn("One", "Two", width=280, height=252))
KEY = "a-secret-key"


def settings(*fakes: FakeVllm, **more: object) -> EngineSettings:
    return EngineSettings(dots=replace(DotsSettings(servers=tuple(fake.url for fake in fakes)), **more))  # type: ignore[arg-type]


@pytest.fixture
def model(fake: FakeVllm) -> Iterator[Remote]:
    backend = Remote(settings(fake))
    yield backend
    backend.close()


def question(prompt: Prompt = Prompt.LAYOUT, stop: Stop | None = None, **more: object) -> Question:
    return Question(PIXELS, prompt, stop or Stop(), **more)  # type: ignore[arg-type]


def refusal(backend: Remote, asked: Question | None = None) -> str:
    with pytest.raises(NotReady) as refused:
        backend.ask(asked or question())
    return str(refused.value)


def test_a_question_is_answered_with_its_finish_tokens_and_confidence(model: Remote) -> None:
    answer = model.ask(question())
    assert '"Line 1 of 2"' in answer.text
    assert (answer.finish, answer.tokens_in) == (Finish.STOP, 280 * 252 // 784 + 100)
    assert answer.tokens_out > 10
    assert answer.confidence == pytest.approx(0.951, abs=0.001)


def test_the_image_comes_first_and_in_its_own_pixels_with_all_that_vllm_needs(fake: FakeVllm, model: Remote) -> None:
    model.ask(question(temperature=0.3, top_p=0.8, max_tokens=777))
    (asked,) = fake.asked
    assert (asked.width, asked.height, asked.format) == (280, 252, "JPEG")
    assert (asked.temperature, asked.top_p, asked.max_tokens, asked.model) == (0.3, 0.8, 777, MODEL)
    assert asked.prefixed
    assert asked.logprobs
    assert asked.repetition_detection == {"max_pattern_size": 64, "min_pattern_size": 1, "min_count": 20}


def test_a_region_is_read_at_its_place(model: Remote) -> None:
    assert model.ask(question(Prompt.REGION, region=(0, 100, 280, 180))).text == "Line 2 of 2"


@pytest.mark.parametrize(
    ("behaviour", "finish"),
    [("length", Finish.LENGTH), ("repetition", Finish.REPETITION), ("filtered", Finish.LENGTH)],
)
def test_only_stop_counts_as_whole(fake: FakeVllm, model: Remote, behaviour: str, finish: Finish) -> None:
    fake.script(behaviour)
    assert model.ask(question()).finish is finish


def test_a_server_that_gives_no_chances_gives_no_confidence(fake: FakeVllm, model: Remote) -> None:
    fake.script("unsure")
    assert model.ask(question()).confidence is None


def test_no_more_tokens_are_asked_for_than_the_servers_context_holds(fake: FakeVllm) -> None:
    fake.max_model_len = 4096
    backend = Remote(settings(fake))
    backend.ask(question(max_tokens=16_384))
    backend.close()
    assert fake.asked[0].max_tokens == 4096 - 90 - 512


def test_a_busy_server_is_asked_again_after_the_time_it_names(fake: FakeVllm, model: Remote) -> None:
    fake.script("429", "429", "good")
    started = time.monotonic()
    with noting() as notes:
        model.ask(question())
    assert time.monotonic() - started >= 0.2
    assert (
        notes
        == [f"The server at 127.0.0.1:{fake.port} is busy (429) and asks to wait for 0.1 s. Asked again after 0.1 s."]
        * 2
    )


def test_a_server_that_wants_to_be_left_alone_for_long_is_not_waited_for(fake: FakeVllm, model: Remote) -> None:
    fake.script("429_long")
    assert "asks to wait for 600 s" in refusal(model)
    assert len(fake.asked) == 1


@pytest.mark.parametrize("behaviour", ["500", "503", "drop"])
def test_trouble_is_tried_three_times_and_then_said(fake: FakeVllm, model: Remote, behaviour: str) -> None:
    fake.script(behaviour, behaviour, "good")
    assert model.ask(question()).finish is Finish.STOP
    fake.script(behaviour, behaviour, behaviour, "good")
    words = refusal(model)
    assert len(fake.asked) == 6
    assert ("dropped the connection" if behaviour == "drop" else f"error ({behaviour})") in words


def test_a_server_that_is_gone_cannot_be_reached(fake: FakeVllm) -> None:
    backend = Remote(settings(fake))
    fake.stop()
    words = refusal(backend)
    backend.close()
    assert "cannot be reached" in words


def test_a_server_that_hangs_is_given_up_at_the_time_limit_and_hears_of_it(fake: FakeVllm) -> None:
    backend = Remote(settings(fake, timeout_s=0.3))
    fake.script("hang")
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"did not answer within 0\.3 s"):
        backend.ask(question())
    assert time.monotonic() - started < 1.5
    assert _soon(lambda: fake.dropped == 1)
    backend.close()


def test_a_stop_is_heeded_within_a_second_and_the_server_hears_of_it(fake: FakeVllm, model: Remote) -> None:
    fake.script("hang")
    stop = Stop()
    threading.Timer(0.2, stop.ask, [TimedOut("It did not finish within 2 s.")]).start()
    started = time.monotonic()
    with pytest.raises(TimedOut, match="2 s"):
        model.ask(question(stop=stop))
    assert time.monotonic() - started < 1.2
    assert _soon(lambda: fake.dropped == 1)
    assert model.ask(question()).finish is Finish.STOP


def test_a_stop_is_heeded_between_two_tries(fake: FakeVllm, model: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 5.0)
    fake.default = "500"
    stop = Stop()
    threading.Timer(0.2, stop.ask, [TimedOut("Enough.")]).start()
    started = time.monotonic()
    with pytest.raises(TimedOut, match="Enough"):
        model.ask(question(stop=stop))
    assert time.monotonic() - started < 1.2


def test_no_question_is_asked_for_a_page_that_is_stopped(fake: FakeVllm, model: Remote) -> None:
    stop = Stop()
    stop.ask(TimedOut("Enough."))
    with pytest.raises(TimedOut):
        model.ask(question(stop=stop))
    assert fake.asked == []


def test_a_question_that_is_refused_is_not_asked_again(fake: FakeVllm, model: Remote) -> None:
    fake.script("400")
    with pytest.raises(QuestionRefused, match="400") as refused:
        model.ask(question())
    assert "secret" not in str(refused.value)
    assert len(fake.asked) == 1


def test_an_answer_without_an_end_is_refused(fake: FakeVllm, model: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_ANSWER_BYTES", 2_000_000)
    fake.script("endless")
    with pytest.raises(QuestionRefused, match="more than 2 MB"):
        model.ask(question())


def test_something_else_than_the_api_is_called_so(fake: FakeVllm, model: Remote) -> None:
    fake.script("html")
    assert "does not look like an OpenAI-compatible server" in refusal(model)


def test_a_model_that_was_exchanged_is_found_again(fake: FakeVllm, model: Remote) -> None:
    model.ask(question())
    fake.models = ("another",)
    assert "404" in refusal(model)
    assert model.ask(question()).finish is Finish.STOP
    assert fake.asked[-1].model == "another"


def test_after_failures_in_a_row_a_server_is_left_alone(fake: FakeVllm, model: Remote) -> None:
    fake.default = "500"
    refusal(model)
    words = refusal(model)
    assert "failed 5 times in a row and is left alone for 30 s" in words
    assert len(fake.asked) == 5
    assert "left alone" in refusal(model)
    assert len(fake.asked) == 5


def test_a_closed_backend_says_so(fake: FakeVllm) -> None:
    backend = Remote(settings(fake))
    fake.script("hang")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(backend.ask, question())
        assert _soon(lambda: len(fake.asked) == 1)
        backend.close()
        with pytest.raises(NotReady):
            asked.result(timeout=5)
    backend.close()


def test_the_least_busy_server_is_asked() -> None:
    with FakeVllm(default="slow") as one, FakeVllm(default="slow") as other:
        backend = Remote(settings(one, other))
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: backend.ask(question()), range(8)))
        backend.close()
    assert len(answers) == 8
    assert (len(one.asked), len(other.asked)) == (4, 4)


@pytest.mark.parametrize("behaviour", ["500", "429", "429_long", "drop"])
def test_another_server_is_asked_without_waiting(behaviour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 5.0)
    with FakeVllm(default=behaviour) as one, FakeVllm() as other:
        backend = Remote(settings(one, other))
        started = time.monotonic()
        assert all(backend.ask(question()).finish is Finish.STOP for _ in range(3))
        assert time.monotonic() - started < 2
        backend.close()


def test_pages_are_read_together_on_pooled_connections(fake: FakeVllm) -> None:
    fake.default = "slow"
    backend = Remote(settings(fake, at_once=8))
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: backend.ask(question()), range(16)))
    took_s = time.monotonic() - started
    backend.close()
    assert 0.8 <= took_s < 3, "sixteen slow answers in two rounds"


def test_the_key_is_sent_and_never_told(fake: FakeVllm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fake.api_key = KEY
    backend = Remote(settings(fake, api_key=KEY))
    with noting() as notes:
        fake.script("500")
        backend.ask(question())
    fake.api_key = "another"
    words = refusal(backend)
    backend.close()
    assert fake.asked[0].authorization == f"Bearer {KEY}"
    assert "DOTS_OCR_API_KEY" in words
    seen = [backend.version, words, str(notes), repr(backend._servers)]
    seen += [record.getMessage() for record in caplog.records if record.name.startswith(("copyist", "httpx"))]
    assert not [text for text in seen if KEY in text]


def test_the_picture_that_is_sent_is_the_page(fake: FakeVllm, model: Remote) -> None:
    pixels = np.full((56, 84, 3), 255, np.uint8)
    model.ask(Question(pixels, Prompt.TEXT, Stop()))
    assert (fake.asked[0].width, fake.asked[0].height, fake.asked[0].prompt) == (84, 56, "text")


def _soon(is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + 3
    while time.monotonic() < until:
        if is_so():
            return True
        time.sleep(0.02)
    return False


def test_nothing_begun_while_the_background_is_closed_waits_for_ever() -> None:
    for _ in range(50):
        background = Background("test")
        closing = threading.Thread(target=background.close)
        begun: list[Future[None]] = []
        closing.start()
        with suppress(RuntimeError):
            while True:
                begun.append(background.start(asyncio.sleep(30)))
        closing.join()
        assert not wait(begun, timeout=5).not_done
