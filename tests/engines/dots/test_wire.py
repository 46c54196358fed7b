"""Questions and answers as they cross the wire: nothing that a server says may do harm."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copyist.engines.base import Stop
from copyist.engines.dots.backend import Answer, Prompt, Question
from copyist.engines.dots.remote.wire import LONGEST_TEXT, NotTheApi, answer_of, body
from copyist.engines.generation import Finish

QUESTION = Question(np.full((56, 84, 3), 255, np.uint8), Prompt.LAYOUT, Stop())


@pytest.mark.parametrize(
    ("flavour", "prefixed", "logprobs", "guarded"),
    [
        ("vllm", True, True, True),
        ("sglang", True, True, False),
        ("llamacpp", False, False, False),
        ("ollama", False, False, False),
    ],
)
def test_each_kind_of_server_gets_what_it_understands(
    flavour: str, prefixed: bool, logprobs: bool, guarded: bool
) -> None:
    sent = body(QUESTION, model="m", flavour=flavour, max_tokens=10)
    assert sent["messages"][0]["content"][1]["text"].startswith("<|img|>") is prefixed
    assert sent.get("logprobs", False) is logprobs
    assert ("repetition_detection" in sent) is guarded


@pytest.mark.parametrize(
    "logprobs",
    [
        *(None, {}, [], "none", {"content": None}),
        {"content": [1, {"token": "a"}, {"logprob": "x"}]},
        {"content": [{"logprob": float("nan")}]},
    ],
)
def test_odd_chances_are_no_chances(logprobs: object) -> None:
    choice = {"message": {"content": "text"}, "finish_reason": "stop", "logprobs": logprobs}
    assert answer_of(json.dumps({"choices": [choice], "usage": None}).encode()) == Answer("text", Finish.STOP)


@pytest.mark.parametrize("logprob", [-9999.0, -(10**400), 3])
def test_chances_beyond_all_measure_stay_within_it(logprob: float) -> None:
    choice = {"message": {"content": "text"}, "finish_reason": "stop", "logprobs": {"content": [{"logprob": logprob}]}}
    confidence = answer_of(json.dumps({"choices": [choice]}).encode()).confidence
    assert confidence is not None
    assert 0 < confidence <= 1


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"choices": []}', b'{"choices": ["a"]}', b'{"choices": [{}]}', b"[" * 100_000]
)
def test_what_is_no_answer_is_called_so(content: bytes) -> None:
    with pytest.raises(NotTheApi):
        answer_of(content)


def test_a_text_that_is_longer_than_can_be_asked_for_is_cut() -> None:
    choice = {"message": {"content": "a" * (LONGEST_TEXT + 1)}, "finish_reason": "stop"}
    answer = answer_of(json.dumps({"choices": [choice]}).encode())
    assert (len(answer.text), answer.finish) == (LONGEST_TEXT, Finish.LENGTH)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage", "logprobs", "logprob"]), inner)
    ),
    max_leaves=12,
)


@given(JSON, JSON, JSON)
def test_whatever_a_server_says_is_an_answer_or_none(message: object, logprobs: object, usage: object) -> None:
    choice = {"message": message, "finish_reason": usage, "logprobs": logprobs}
    try:
        answer = answer_of(json.dumps({"choices": [choice], "usage": usage}).encode())
    except NotTheApi:
        return
    assert answer.finish in Finish
    assert answer.confidence is None or 0 <= answer.confidence <= 1
