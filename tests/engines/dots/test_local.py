"""The loaded model as the engine has it: many threads ask, memory runs out, somebody stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from copyist.engines.base import NotReady, Stop, TimedOut
from copyist.engines.dots.backend import Answer, Question
from copyist.engines.dots.local.resident import Local, check
from copyist.engines.dots.resize import resized
from copyist.engines.generation import Finish
from tests.engines.dots.tiny_dots import IMAGES, NOTHING, READS, hooked, on_cpu, question, write_reading_dots
from tests.engines.drawing import blank, drawn

WHITE = np.full((28, 28, 3), 255, np.uint8)


@pytest.fixture(scope="module")
def backend(folder: Path) -> Iterator[Local]:
    loaded = Local(on_cpu(folder, at_once=4))
    yield loaded
    loaded.close()


def ask_all(backend: Local, asked: list[Question]) -> list[Answer]:
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(backend.ask, asked))


def test_questions_of_several_threads_get_the_answers_they_would_get_alone(backend: Local) -> None:
    asked = [question(image, max_tokens=12) for image in (*IMAGES, WHITE)]
    assert [one.text for one in ask_all(backend, asked)] == [backend.ask(one).text for one in asked]


def test_while_it_is_loaded_it_is_ready_with_the_version_it_was_loaded_with(copy: Path) -> None:
    settings = on_cpu(copy)
    backend = Local(settings)
    (copy / "tokenizer.json").unlink()
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
