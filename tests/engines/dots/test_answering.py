"""What a loaded dots.ocr answers: against the slow reference, alone and in batches, and what ends an answer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from copyist.engines.base import Stop, TimedOut
from copyist.engines.dots.backend import Answer, Prompt, Question
from copyist.engines.dots.local.answering import Limits, answer
from copyist.engines.dots.local.model import Model, load
from copyist.engines.dots.prompts import wording
from copyist.engines.generation import Finish
from tests.engines.dots import reference
from tests.engines.dots.tiny_dots import IMAGES, hooked, question, rewrite, tiny_config


def answers(model: Model, *questions: Question, limits: Limits = Limits()) -> list[Answer]:
    found: dict[int, Answer] = {}
    answer(model, questions, found.__setitem__, limits=limits)
    return [found[place] for place in range(len(questions))]


def test_scores_agree_with_the_slow_reference_at_once_and_step_by_step(folder: Path) -> None:
    model = load(folder, dtype="fp32", device="cpu")
    language = model.language.double()
    model.tower.double()
    rows, mask = model.embed([question(IMAGES[0])], lambda: None)
    exact = reference.logits(reference.tensors(folder), tiny_config(), rows[0].detach().numpy())
    with torch.inference_mode():
        whole = language(inputs_embeds=rows, attention_mask=mask).logits[0].numpy()
        assert np.abs(whole - exact).max() < 5e-5 * exact.std()
        # The rotary table is float32, which is what is left of a difference.
        written = language(inputs_embeds=rows[:, :-4], use_cache=True)
        for place in range(rows.shape[1] - 4, rows.shape[1]):
            step = {"inputs_embeds": rows[:, place : place + 1], "past_key_values": written.past_key_values}
            written = language(**step, use_cache=True)
            assert np.abs(written.logits[0, -1].numpy() - exact[place]).max() < 5e-5 * exact.std()


def test_the_prompt_is_the_published_template(model: Model) -> None:
    ids = model.prompt_ids(question(IMAGES[0]))
    shown = model.vocabulary.tokenizer.decode(ids, skip_special_tokens=False)
    marks = "<|imgpad|>" * 15
    wanted = f"<|user|><|img|>{marks}<|endofimg|>{wording(Prompt.LAYOUT)}<|endofuser|><|assistant|>"
    assert shown == wanted
    assert ids == model.vocabulary.tokenizer.encode(wanted, add_special_tokens=False).ids


def test_a_prompt_with_a_mark_of_the_model_in_it_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="marks"):
        model.vocabulary.prompt_ids("Read <|imgpad|> this", 4)


def test_rows_that_do_not_fit_the_marks_are_refused_rather_than_cut(model: Model) -> None:
    with pytest.raises(ValueError, match="3 rows and the prompt 2 marks"):
        model.join([model.vocabulary.prompt_ids("Read", 2)], [torch.zeros(3, 24)])


def test_every_published_end_of_a_turn_ends_an_answer(model: Model) -> None:
    marks = ("<|endoftext|>", "<|endofassistant|>", "<|assistant|>")
    assert model.vocabulary.ends == {model.vocabulary.tokenizer.token_to_id(mark) for mark in marks}


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_batch_answers_as_each_page_alone_token_by_token(model: Model, temperature: float) -> None:
    asked = [question(image, temperature=temperature, top_p=0.9) for image in IMAGES]
    together = answers(model, *asked)
    alone = [answers(model, one)[0] for one in asked]
    assert [one.text for one in together] == [one.text for one in alone]
    assert [one.finish for one in together] == [one.finish for one in alone]
    assert len({one.text for one in together}) == 3
    for one, other in zip(together, alone, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-4)


def test_rows_of_one_batch_have_their_own_temperature(model: Model) -> None:
    greedy, warm = question(IMAGES[0]), question(IMAGES[0], temperature=1.5, top_p=1.0)
    mixed = answers(model, greedy, warm, question(IMAGES[0], temperature=0.8, top_p=1e-6))
    assert mixed[0].text == answers(model, greedy)[0].text
    assert mixed[1].text == answers(model, warm)[0].text != mixed[0].text
    assert mixed[2].text == mixed[0].text


def test_greedy_tokens_and_their_confidence_are_those_of_the_reference(folder: Path, model: Model) -> None:
    short = answers(model, question(IMAGES[2], max_tokens=4))[0]
    weights = reference.tensors(folder)
    rows = model.embed([question(IMAGES[2])], lambda: None)[0][0].detach().double().numpy()
    tokens, sure = [], []
    for _ in range(4):
        scores = reference.logits(weights, tiny_config(), rows)[-1]
        tokens.append(int(scores.argmax()))
        sure.append(scores.max() - np.log(np.exp(scores - scores.max()).sum()) - scores.max())
        rows = np.vstack([rows, weights["model.embed_tokens.weight"][tokens[-1]]])
    assert (short.finish, short.tokens_out) == (Finish.LENGTH, 4)
    assert short.tokens_in == len(model.prompt_ids(question(IMAGES[2])))
    assert short.text == model.vocabulary.text_of(tokens)
    assert short.confidence == pytest.approx(float(np.exp(np.mean(sure))), rel=1e-4)


def test_each_row_ends_at_its_own_length(model: Model) -> None:
    short, long = answers(model, question(IMAGES[0], max_tokens=3), question(IMAGES[1], max_tokens=9))
    assert (short.tokens_out, long.tokens_out) == (3, 9)
    assert short.text == answers(model, question(IMAGES[0], max_tokens=3))[0].text


def test_an_answer_is_handed_out_while_others_are_still_written(model: Model) -> None:
    ended: list[tuple[int, float]] = []
    asked = [question(IMAGES[0], max_tokens=80), question(IMAGES[1], max_tokens=2)]
    answer(model, asked, lambda place, _: ended.append((place, time.monotonic())))
    assert [place for place, _ in ended] == [1, 0]
    assert ended[1][1] - ended[0][1] > 0.02


def test_a_row_that_is_stopped_ends_alone(model: Model) -> None:
    stop = Stop()
    stop.ask(TimedOut("enough"))
    stopped, other = answers(model, question(IMAGES[0], stop=stop), question(IMAGES[1]))
    assert (stopped.finish, stopped.tokens_out) == (Finish.ASKED, 1)
    assert other == answers(model, question(IMAGES[1]))[0]


def test_a_batch_that_nobody_waits_for_is_given_up_in_the_tower(model: Model) -> None:
    stop = Stop()
    stop.ask(TimedOut("enough"))
    assert answers(model, question(IMAGES[0], stop=stop))[0] == Answer("", Finish.ASKED)


def test_time_over_ends_an_answer(model: Model) -> None:
    assert answers(model, question(IMAGES[0]), limits=Limits(seconds=0))[0] == Answer("", Finish.TIME)
    with hooked(model.language, lambda *_: time.sleep(0.1)):
        late = answers(model, question(IMAGES[0]), limits=Limits(seconds=1))[0]
    assert late.finish == Finish.TIME
    assert 0 < late.tokens_out < 12


def test_a_model_that_says_one_thing_over_and_over_is_stopped(copy: Path) -> None:
    def always_the_same(tensors: dict[str, Any]) -> None:
        tensors["lm_head.weight"] = torch.zeros_like(tensors["lm_head.weight"])

    rewrite(copy, always_the_same)
    stuck = answers(load(copy, dtype="fp32", device="cpu"), question(IMAGES[0], max_tokens=2000))[0]
    assert (stuck.finish, stuck.tokens_out) == (Finish.REPETITION, 32)


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_every_half_of_the_model_has_the_type_that_was_asked_for(folder: Path, dtype: str) -> None:
    model = load(folder, dtype=dtype, device="cpu")
    wanted = {"bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
    assert {parameter.dtype for parameter in (*model.tower.parameters(), *model.language.parameters())} == {wanted}
    assert answers(model, question(IMAGES[0], max_tokens=5))[0].tokens_out == 5
