from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from copyist.engines.base import DotsSettings, EngineSettings, NotReady, Stop, TimedOut
from copyist.engines.dots import local
from copyist.engines.dots.answering import Limits, answer
from copyist.engines.dots.architecture import read_architecture
from copyist.engines.dots.backend import Answer, Prompt, Question
from copyist.engines.dots.footprint import GB, batch_bytes, weights_bytes
from copyist.engines.dots.local import Local, check
from copyist.engines.dots.model import Model, load
from copyist.engines.dots.prompts import wording
from copyist.engines.dots.resize import resized
from copyist.engines.generation import Finish
from copyist.engines.gpu import Gpu
from tests.engines.dots import reference
from tests.engines.dots.tiny_dots import (
    NOTHING,
    PUBLISHED,
    READS,
    published_shapes,
    question,
    random_tensors,
    tiny_config,
    write_checkpoint,
    write_reading_dots,
    write_tiny_dots,
)
from tests.engines.drawing import blank, drawn

CHANCE = np.random.default_rng(2)
IMAGES = [
    CHANCE.integers(0, 256, (28 * down, 28 * across, 3), dtype=np.uint8) for down, across in ((3, 5), (4, 2), (1, 2))
]
WHITE = np.full((28, 28, 3), 255, np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_tiny_dots(tmp_path_factory.mktemp("weights") / "dots.ocr")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder, dtype="fp32", device="cpu")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be broken."""
    broken = tmp_path / "dots.ocr"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    return broken


def on_cpu(folder: Path | None = None, weights: Path = Path("nowhere"), **more: Any) -> EngineSettings:
    dots = DotsSettings(**{"model_path": folder, "on_cpu": True, **more})
    return EngineSettings(weights=weights, use_gpu=False, dots=dots)


def on_gpu(monkeypatch: pytest.MonkeyPatch, free: float, capability: tuple[int, int] = (8, 6)) -> None:
    card = Gpu(0, "a card", 24 * GB, int(free), capability)
    monkeypatch.setattr(local, "gpus", lambda: (card,))
    monkeypatch.setattr(local, "why_no_cuda", lambda: "")


def answers(model: Model, *questions: Question, limits: Limits = Limits()) -> list[Answer]:
    found: dict[int, Answer] = {}
    answer(model, questions, found.__setitem__, limits)
    return [found[place] for place in range(len(questions))]


# What is there, before anything is loaded.


def test_a_checkpoint_is_ready_and_named_by_its_folder_files_and_type(folder: Path) -> None:
    found = check(on_cpu(folder))
    assert (found.ready, found.reason, found.device, found.model, found.at_once) == (True, "", "cpu", "dots.ocr", 1)
    assert found.version.startswith("dots-local dots.ocr ")
    assert found.version.endswith(" fp32")
    assert found.memory_bytes == 4 * sum(math.prod(shape) for shape in published_shapes(tiny_config()).values())


def test_the_version_changes_with_the_files_and_the_type(copy: Path) -> None:
    before = check(on_cpu(copy)).version
    assert check(on_cpu(copy, dtype="fp16")).version.endswith(" fp16")
    (copy / "tokenizer.json").write_text((copy / "tokenizer.json").read_text() + " ")
    assert check(on_cpu(copy)).version != before


def test_the_first_folder_of_the_right_model_is_found_whatever_its_name(folder: Path, tmp_path: Path) -> None:
    for name, content in (("a.file", None), ("b-cut", "{"), ("c-other", '{"model_type": "qwen2"}'), ("d-list", "[]")):
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / "config.json").write_text(content)
    assert "no weights of dots.ocr" in check(on_cpu(weights=tmp_path)).reason
    (tmp_path / "rednote.v1.5").symlink_to(folder)
    assert check(on_cpu(weights=tmp_path)).model == "rednote.v1.5"


def test_no_weights_at_all_tell_where_to_get_them() -> None:
    reason = check(on_cpu()).reason
    assert "copyist weights pull" in reason
    assert "DOTS_OCR_MODEL_PATH" in reason


def cut_shard(folder: Path) -> None:
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])


def no_shard(folder: Path) -> None:
    (folder / "model-00001-of-00002.safetensors").unlink()


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def changed(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **values}))

    return change


def changed_vision(**values: Any) -> Callable[[Path], None]:
    return changed(vision_config={**tiny_config()["vision_config"], **values})


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        tensors = random_tensors(tiny_config())
        change(tensors)
        write_checkpoint(folder, tiny_config(), tensors)

    return rewrite


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut shard": (cut_shard, "model-00002-of-00002.safetensors is cut"),
    "no shard": (no_shard, "model-00001-of-00002.safetensors is missing"),
    "no tokenizer": (no_tokenizer, "tokenizer.json is missing"),
    "other model": (changed(model_type="qwen2_vl"), "a checkpoint of qwen2_vl"),
    "other class": (changed(architectures=["Other"]), "not of dots.ocr"),
    "no tower": (changed(vision_config=None), "has no vision_config"),
    "other width": (changed(hidden_size=48), "has the shape"),
    "scaled positions": (changed(rope_scaling={"type": "yarn"}), "scales the rotary positions"),
    "no base": (changed(rope_theta=None), "no usable rope_theta"),
    "tied": (changed(tie_word_embeddings=True), "tie_word_embeddings is True"),
    "no size": (changed(num_hidden_layers="28"), "no usable num_hidden_layers"),
    "causal": (changed_vision(is_causal=True), "vision_config.is_causal is True"),
    "biases": (changed_vision(use_bias=True), "vision_config.use_bias is True"),
    "video": (changed_vision(temporal_patch_size=2), "temporal_patch_size is 2"),
    "unknown value": (changed_vision(window_size=112), "vision_config has window_size = 112"),
    "odd heads": (changed_vision(num_attention_heads=5), "do not fit its embed_dim"),
    "missing tensor": (
        rewritten(lambda tensors: tensors.pop("vision_tower.blocks.2.norm2.weight")),
        "vision_tower.blocks.2.norm2.weight is missing",
    ),
    "foreign tensor": (
        rewritten(lambda tensors: tensors.update({"model.layers.0.self_attn.q_norm.weight": torch.ones(6)})),
        "model.layers.0.self_attn.q_norm.weight",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_or_foreign_checkpoint_is_not_ready_and_says_why(copy: Path, name: str) -> None:
    damage, words = BROKEN[name]
    damage(copy)
    found = check(on_cpu(copy))
    assert (found.ready, words in found.reason) == (False, True), found.reason
    with pytest.raises(NotReady, match=r"dots\.ocr"):
        Local(on_cpu(copy))
    with pytest.raises(NotReady, match=r"dots\.ocr"):
        load(copy, dtype="fp32", device="cpu")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("tokenizer.json", "{}", "no tokenizer"),
        ("tokenizer.json", '{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}', "imgpad"),
        ("generation_config.json", "[", "generation_config.json is damaged"),
    ],
)
def test_what_only_loading_shows_is_told_as_not_ready(copy: Path, file: str, content: str, words: str) -> None:
    (copy / file).write_text(content)
    with pytest.raises(NotReady, match=words):
        Local(on_cpu(copy))


def test_an_image_mark_of_another_id_is_refused(copy: Path) -> None:
    changed(image_token_id=3)(copy)
    with pytest.raises(NotReady, match="different models"):
        Local(on_cpu(copy))


def test_without_a_gpu_a_cpu_is_only_used_on_request(folder: Path) -> None:
    found = check(on_cpu(folder, on_cpu=False))
    assert not found.ready
    assert "DOTS_OCR_ON_CPU=true" in found.reason


def test_quantization_needs_a_gpu_and_its_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "needs a GPU" in check(on_cpu(folder, quantization="nf4")).reason
    on_gpu(monkeypatch, free=20 * GB)
    settings = replace(on_cpu(folder, quantization="int8"), use_gpu=True)
    monkeypatch.setattr(local, "_missing", lambda package: package == "bitsandbytes")
    assert "bitsandbytes and accelerate; install copyist with [gpu]" in check(settings).reason
    monkeypatch.setattr(local, "_missing", lambda package: False)
    assert check(settings).version.endswith(" bf16 int8")


def test_too_little_gpu_memory_is_told_in_gigabytes_with_the_way_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu(monkeypatch, free=1.2 * GB)
    found = check(replace(on_cpu(folder), use_gpu=True))
    assert not found.ready
    assert "1.2 GB are free and 1.5 GB are needed" in found.reason
    assert "DOTS_OCR_QUANTIZATION=nf4 or a smaller DOTS_OCR_MAX_PIXELS" in found.reason


def test_too_little_memory_on_a_cpu_is_told_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_free_here", lambda: GB)
    assert "This machine has too little memory: 1.0 GB are free and 1.5 GB" in check(on_cpu(folder)).reason


def test_bf16_is_chosen_where_the_card_has_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(on_cpu(folder), use_gpu=True)
    on_gpu(monkeypatch, free=20 * GB)
    assert check(settings).version.endswith(" bf16")
    on_gpu(monkeypatch, free=20 * GB, capability=(7, 5))
    assert check(settings).version.endswith(" fp32")


def test_more_memory_reads_more_pages_at_once_unless_somebody_says_how_many(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(on_cpu(folder), use_gpu=True)
    counts = []
    for free in (1.505, 1.55, 1.6, 20):
        on_gpu(monkeypatch, free=free * GB)
        counts.append(check(settings).at_once)
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 16)
    assert 1 < counts[1] < 16
    assert check(replace(settings, dots=replace(settings.dots, at_once=40))).at_once == 40


def test_at_full_size_the_footprint_is_that_of_the_sheet() -> None:
    shapes, architecture = published_shapes(PUBLISHED), read_architecture(PUBLISHED)
    sizes = {name: weights_bytes(shapes, dtype="bf16", quantization=name) / GB for name in ("none", "int8", "nf4")}
    assert {name: round(size, 1) for name, size in sizes.items()} == {"none": 6.1, "int8": 4.8, "nf4": 4.2}

    def batch(*images: tuple[int, int]) -> float:
        halves = architecture.vision, architecture.language
        return batch_bytes(*halves, images=images, max_tokens=8192, dtype="bf16") / GB

    # Tower 0.9, prefill 0.5, cache 0.4: an A4 page at 200 dpi.
    assert batch((2352, 1652)) == pytest.approx(1.8, abs=0.1)
    assert batch((3360, 3360)) == pytest.approx(4.6, abs=0.1)
    assert batch(*[(2352, 1652)] * 16) < 16 * batch((2352, 1652)) / 1.8


# What the loaded model does.


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
    late = answers(model, question(IMAGES[0], max_tokens=4000), limits=Limits(seconds=0.4))[0]
    assert late.finish == Finish.TIME
    assert 0 < late.tokens_out < 4000


def test_a_model_that_says_one_thing_over_and_over_is_stopped(copy: Path) -> None:
    def always_the_same(tensors: dict[str, Any]) -> None:
        tensors["lm_head.weight"] = torch.zeros_like(tensors["lm_head.weight"])

    rewritten(always_the_same)(copy)
    stuck = answers(load(copy, dtype="fp32", device="cpu"), question(IMAGES[0], max_tokens=2000))[0]
    assert (stuck.finish, stuck.tokens_out) == (Finish.REPETITION, 32)


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_every_half_of_the_model_has_the_type_that_was_asked_for(folder: Path, dtype: str) -> None:
    model = load(folder, dtype=dtype, device="cpu")
    wanted = {"bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
    assert {parameter.dtype for parameter in (*model.tower.parameters(), *model.language.parameters())} == {wanted}
    assert answers(model, question(IMAGES[0], max_tokens=5))[0].tokens_out == 5


# The backend as the engine has it.


@pytest.fixture(scope="module")
def backend(folder: Path) -> Iterator[Local]:
    loaded = Local(on_cpu(folder, at_once=4))
    yield loaded
    loaded.close()


@contextmanager
def hooked(part: Any, hook: Callable[..., None]) -> Iterator[None]:
    """Have ``hook`` called with a part of the model and what it is given, before that part begins."""
    handle = part.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def ask_all(backend: Local, asked: list[Question]) -> list[Answer]:
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(backend.ask, asked))


def test_questions_of_several_threads_get_the_answers_they_would_get_alone(backend: Local) -> None:
    asked = [question(image, max_tokens=12) for image in (*IMAGES, WHITE)]
    assert [one.text for one in ask_all(backend, asked)] == [backend.ask(one).text for one in asked]


def test_while_it_is_loaded_it_is_ready_with_the_version_it_was_loaded_with(copy: Path) -> None:
    settings = on_cpu(copy)
    backend = Local(settings)
    no_tokenizer(copy)
    assert check(settings).ready
    assert check(settings).version == backend.version
    backend.close()
    assert not check(settings).ready


def test_running_out_of_memory_halves_the_batch_and_every_page_is_read(backend: Local) -> None:
    asked = [question(image, max_tokens=12) for image in (*IMAGES, WHITE)]
    expected = [backend.ask(one).text for one in asked]
    sizes: list[int] = []

    def shortage(_: Any, given: tuple[Any, ...]) -> None:
        sizes.append(len(given[0]))
        if len(given[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with hooked(backend._runner._model.tower, shortage):
        assert [one.text for one in ask_all(backend, asked)] == expected
    assert sizes.count(1) == 4
    assert max(sizes) > 1


def test_a_page_for_which_memory_never_does_fails_alone(backend: Local) -> None:
    def shortage(_: Any, given: tuple[Any, ...]) -> None:
        if any(len(image) > 40 for image in given[0]):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:116] DefaultCPUAllocator: can't allocate memory")

    with hooked(backend._runner._model.tower, shortage), ThreadPoolExecutor(2) as pool:
        large, small = (pool.submit(backend.ask, question(image, max_tokens=5)) for image in (IMAGES[0], IMAGES[2]))
        assert small.result(20).tokens_out == 5
        with pytest.raises(MemoryError, match="DOTS_OCR_MAX_PIXELS"):
            large.result(20)


def test_a_question_is_left_within_a_second_of_being_stopped_and_its_row_ends(folder: Path) -> None:
    backend, stop, steps = Local(on_cpu(folder)), Stop(), []

    def slow(*_: Any) -> None:
        steps.append(1)
        time.sleep(0.05)

    backend._runner._model.language.register_forward_pre_hook(slow)
    threading.Timer(0.3, stop.ask, [TimedOut("enough")]).start()
    started = time.monotonic()
    with pytest.raises(TimedOut, match="enough"):
        backend.ask(question(IMAGES[0], stop=stop))
    assert time.monotonic() - started < 1.3
    backend.close()
    assert 0 < len(steps) < 30


def test_after_closing_it_answers_nobody_and_closes_again(folder: Path) -> None:
    backend = Local(on_cpu(folder))
    backend.close()
    backend.close()
    with pytest.raises(NotReady):
        backend.ask(question(WHITE))


def test_a_trained_checkpoint_reads_pages_with_ink_and_nothing_on_blank_ones(tmp_path: Path) -> None:
    backend = Local(on_cpu(write_reading_dots(tmp_path / "dots.mocr"), at_once=4))
    pages = [drawn("0123 4567"), blank(), drawn("0123 4567", "0123 4567", width=500), drawn("9999 8888", size=60)]
    found = ask_all(backend, [question(resized(page)[0], temperature=0.1, top_p=0.9) for page in pages])
    backend.close()
    assert [one.text.strip() for one in found] == [READS, NOTHING, READS, READS]
    assert {one.finish for one in found} == {Finish.STOP}
    assert all(one.confidence is not None and 0.9 < one.confidence <= 1 for one in found)
