"""How fast dots.ocr reads on this GPU: pages and tokens a second, and memory, for several pages at once.

Speed does not depend on what the weights are, so that random ones at full size (3.04 billion) stand for the published:
they are made on the device. Every answer has the same forced length. The comparison is the usual way: one page at a
time through plain ``generate``.

``python -m benchmarks.gpu --folder weights/dots-mocr`` takes a checkpoint instead, and ``--tiny`` runs the same code
with a small model on the CPU, to show that it runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import Figure, console, machine, plain, show
from copyist.engines.base import Stop
from copyist.engines.dots.backend import Prompt, Question
from copyist.engines.dots.local.architecture import Architecture, LanguageConfig, VisionConfig
from copyist.engines.dots.prompts import WORDINGS
from copyist.engines.gpu import why_no_cuda

# The models' own modules load torch, which the other benchmarks need not wait for.
if TYPE_CHECKING:
    from copyist.engines.dots.local.model import Model, Vocabulary

ABOUT = "dots.ocr on a GPU, pages at once against one at a time"
BATCHES = (1, 4, 8, 16)
TOKENS = 1200
"""The length of a full page's answer."""
A4 = (2352, 1652)
"""Height and width of an A4 page at 200 dpi, as the model is shown it: 19,824 patches, 4,956 tokens."""
_MARKS = ("<|endoftext|>", "<|imgpad|>", "<|img|>", "<|endofimg|>")
_TURNS = ("<|user|>", "<|endofuser|>", "<|assistant|>", "<|endofassistant|>")
FULL = Architecture(
    VisionConfig(1536, 1536, 4224, 42, 12, 1e-5),
    LanguageConfig(151_936, 1536, 8960, 28, 12, 2, 131_072, 1e-6, 1e6),
    image_token_id=151_665,
)
"""The sizes of dots.ocr and dots.mocr."""
TINY = Architecture(
    VisionConfig(32, 32, 48, 2, 2, 1e-5), LanguageConfig(1024, 32, 64, 2, 4, 2, 8192, 1e-6, 1e6), image_token_id=0
)


@dataclass(frozen=True)
class Trial:
    """What is measured: which model, on which device, with how many pages at once and how many tokens an answer."""

    architecture: Architecture = FULL
    device: str = "cuda"
    dtype: str = "bf16"
    batches: tuple[int, ...] = BATCHES
    tokens: int = TOKENS
    page: tuple[int, int] = A4
    folder: Path | None = None


TINY_TRIAL = Trial(TINY, "cpu", "fp32", batches=(1, 2), tokens=4, page=(56, 84))


@dataclass(frozen=True)
class Rate:
    """What some pages at once took, in seconds; ``first_s`` of them until the first token. Peak memory in bytes."""

    pages: int
    tokens: int
    first_s: float
    whole_s: float
    peak_bytes: int


def measure(quick: bool) -> list[Figure]:
    """Take the figures, or say why there are none."""
    why = why_no_cuda()
    if why:
        return [plain("dots.ocr at full size", "no GPU", f"not measured here: {why}")]
    return figures(Trial(tokens=64, batches=(1, 4)) if quick else Trial())


def figures(trial: Trial) -> list[Figure]:
    """Measure plain ``generate`` first, then every number of pages at once."""
    model = _model(trial)
    alone = _timed(trial, 1, lambda pages, tokens: _generate(model, pages, tokens))
    rates = [rate for count in trial.batches if (rate := _fitting(trial, model, count))]
    best = max(rates, key=_pages_a_second)
    size = sum(parameter.numel() for half in (model.tower, model.language) for parameter in half.parameters())
    height, width = trial.page
    return [
        plain("the model", f"{size / 1e9:.3g} B weights", f"{trial.dtype} on {trial.device}, {_card(trial)}"),
        plain("a page", f"{width} x {height} pixels", f"{width * height // 784} tokens in, {trial.tokens} out"),
        _figure("plain generate, 1 page at a time", alone),
        *(_figure(f"{rate.pages} pages at once" if rate.pages > 1 else "1 page at a time", rate) for rate in rates),
        *(plain(f"{count} pages at once", "do not fit") for count in trial.batches[len(rates) :]),
        plain(
            f"{best.pages} pages at once against plain generate",
            f"{_pages_a_second(best) / _pages_a_second(alone):.1f} times as fast",
        ),
    ]


def _fitting(trial: Trial, model: Model, count: int) -> Rate | None:
    """The rate of ``count`` pages at once; ``None`` when they do not fit into the memory."""
    import torch

    try:
        return _timed(trial, count, lambda pages, tokens: _answer(model, pages, tokens))
    except torch.OutOfMemoryError:
        return None


def _figure(what: str, rate: Rate) -> Figure:
    memory = f", peak {rate.peak_bytes / 1e9:.1f} GB" if rate.peak_bytes else ""
    note = f"{rate.pages * rate.tokens / rate.whole_s:,.0f} tokens/s, first after {rate.first_s:.2f} s{memory}"
    return plain(what, f"{_pages_a_second(rate):.3g} pages/s", note)


def _pages_a_second(rate: Rate) -> float:
    return rate.pages / rate.whole_s


def _timed(trial: Trial, count: int, run: Callable[[Sequence[Question], int], None]) -> Rate:
    """Read ``count`` pages once to warm up, once to the first token, and once to the end."""
    chance = np.random.default_rng(count)
    height, width = trial.page
    pages = [
        Question(chance.integers(0, 256, (height, width, 3), dtype=np.uint8), Prompt.LAYOUT, Stop(), temperature=0.0)
        for _ in range(count)
    ]
    run(pages, min(4, trial.tokens))
    first_s, _ = _clocked(trial, lambda: run(pages, 1))
    whole_s, peak = _clocked(trial, lambda: run(pages, trial.tokens))
    return Rate(count, trial.tokens, first_s, whole_s, peak)


def _clocked(trial: Trial, work: Callable[[], None]) -> tuple[float, int]:
    """The seconds that ``work`` takes, and the most memory that the device had in use meanwhile."""
    import torch

    on_gpu = trial.device == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - started, torch.cuda.max_memory_allocated() if on_gpu else 0


def _answer(model: Model, pages: Sequence[Question], tokens: int) -> None:
    """As the engine does it, with nothing to end an answer but its length."""
    from copyist.engines.dots.local.answering import Limits, answer

    lengths = []
    asked = [replace(page, max_tokens=tokens) for page in pages]
    answer(model, asked, lambda _, one: lengths.append(one.tokens_out), limits=Limits(loops=False))
    assert lengths == [tokens] * len(pages)


def _generate(model: Model, pages: Sequence[Question], tokens: int) -> None:
    """As transformers does it by itself."""
    import torch
    from transformers import GenerationConfig

    with torch.inference_mode():
        rows, mask = model.embed(pages, lambda: None)
        written = model.language.generate(
            inputs_embeds=rows,
            attention_mask=mask,
            generation_config=GenerationConfig(max_new_tokens=tokens, pad_token_id=0, do_sample=False),
        )
    assert written.shape == (len(pages), tokens)


def _model(trial: Trial) -> Model:
    """The checkpoint, or random weights at the trial's sizes, made where they are to compute."""
    import torch

    from copyist.engines.dots.local.model import DTYPES, Model, language_config, load
    from copyist.engines.dots.local.vision import VisionTower

    if trial.folder is not None:
        loaded = load(trial.folder, dtype=trial.dtype, device=trial.device)
        return replace(loaded, vocabulary=replace(loaded.vocabulary, ends=frozenset()))
    from transformers import Qwen2ForCausalLM

    vocabulary = _vocabulary()
    architecture = replace(trial.architecture, image_token_id=vocabulary.image)
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[trial.dtype])
    try:
        with torch.device(trial.device):
            tower, language = VisionTower(architecture.vision), Qwen2ForCausalLM(language_config(architecture.language))
    finally:
        torch.set_default_dtype(before)
    return Model(architecture, vocabulary, tower.eval(), language.eval())


def _vocabulary() -> Vocabulary:
    """A tokenizer that writes the prompts about as short as the published one, and no token that ends an answer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from copyist.engines.dots.local.model import Vocabulary

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1000, initial_alphabet=alphabet, special_tokens=[*_MARKS, *_TURNS], show_progress=False
    )
    tokenizer.train_from_iterator(list(WORDINGS.values()), trainer)
    pad, image = (tokenizer.token_to_id(mark) for mark in _MARKS[:2])
    return Vocabulary(tokenizer, image, pad, frozenset())


def _card(trial: Trial) -> str:
    import torch

    return str(torch.cuda.get_device_name()) if trial.device == "cuda" else "a smoke test, not a measurement"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for; without a GPU say so and end well."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=ABOUT)
    parser.add_argument("--tiny", action="store_true", help="a small model on the CPU: does it run at all")
    parser.add_argument("--folder", type=Path, help="a checkpoint to measure, instead of random weights")
    parser.add_argument("--tokens", type=int, help="the forced length of an answer")
    parser.add_argument("--batches", help="pages at once, as in 1,4,8,16")
    parser.add_argument("--json", action="store_true", help="print JSON, and keep nothing")
    asked = parser.parse_args(arguments)
    why = "" if asked.tiny else why_no_cuda()
    if why:
        console.print(f"Not measured here: {why}", markup=False)
        return 0
    found = figures(_trial(asked))
    if asked.json:
        print(json.dumps([asdict(figure) for figure in found], indent=2))
    else:
        show("gpu", ABOUT, found, machine(), quick=asked.tiny)
    return 0


def _trial(asked: argparse.Namespace) -> Trial:
    trial = TINY_TRIAL if asked.tiny else Trial(folder=asked.folder)
    given: dict[str, Any] = {"tokens": asked.tokens or trial.tokens}
    if asked.batches:
        given["batches"] = tuple(int(count) for count in asked.batches.split(","))
    return replace(trial, **given)


if __name__ == "__main__":
    sys.exit(main())
