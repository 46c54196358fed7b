"""Tiny checkpoints of dots.ocr in exactly the published layout: two shards behind an index, configs, tokenizer.

``write_tiny_dots`` has random weights, with sizes chosen so that slips show. ``write_reading_dots`` is trained for some
seconds until it answers a page with ink on it with ``READS`` and a blank one with ``[]``, whatever it is asked.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from copyist.engines.base import DotsSettings, EngineSettings, Stop
from copyist.engines.dots.backend import Prompt, Question
from copyist.engines.dots.prompts import WORDINGS
from copyist.engines.dots.resize import resized
from tests.engines.dots.published import PUBLISHED, published_shapes
from tests.engines.drawing import drawn, in_colour

MARKS = (
    *("<|endoftext|>", "<|imgpad|>", "<|img|>", "<|endofimg|>", "<|systemprompt|>", "<|endofsystemprompt|>"),
    *("<|user|>", "<|endofuser|>", "<|assistant|>", "<|endofassistant|>"),
)
PIECES = (
    '[{"bbox": [28, 28, 84, 56], ',
    '"category": "Text", ',
    '"text": "0123"}, ',
    '{"bbox": [28, 56, 84, 84], ',
    '"category": "Text", "text": ',
    '"4567"}]',
)
"""What the trained model reads, in tokens of its own: it only has to learn which follows which."""
READS = "".join(PIECES)
NOTHING = "[]"
_CHANCE = np.random.default_rng(2)
IMAGES = [
    _CHANCE.integers(0, 256, (28 * down, 28 * across, 3), dtype=np.uint8) for down, across in ((3, 5), (4, 2), (1, 2))
]
"""Three images of noise, of different shapes."""
_WORDS = 620
"""Entries of the tokenizer beside pieces and marks."""

_TINY = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4}
_TINY_VISION = {
    "embed_dim": 48,
    "hidden_size": 24,
    "intermediate_size": 56,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
}
_READING = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_READING_VISION = {
    "embed_dim": 32,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def tiny_config(sizes: Mapping[str, Any] = _TINY, vision: Mapping[str, Any] = _TINY_VISION) -> dict[str, Any]:
    """The published configuration with other sizes."""
    vocabulary = _WORDS + len(PIECES) + 1 + len(MARKS)
    config = {**PUBLISHED, **sizes, "vocab_size": vocabulary, "max_position_embeddings": 4096}
    config["image_token_id"] = vocabulary - len(MARKS) + MARKS.index("<|imgpad|>")
    config["vision_config"] = {**PUBLISHED["vision_config"], **vision}
    return config


def random_tensors(config: Mapping[str, Any], seed: int = 7) -> dict[str, Any]:
    """Weights under which every part of the model matters: norms are not 1, biases not 0, answers not one token."""
    import torch

    chance = np.random.default_rng(seed)
    tensors = {}
    for name, shape in published_shapes(config).items():
        values = chance.standard_normal(shape)
        if len(shape) == 1:
            values = 0.2 * values + (0 if name.endswith("bias") else 1)
        elif "embed_tokens" not in name:
            values *= (1 if name.startswith("vision") else 2) / np.sqrt(np.prod(shape[1:]))
        tensors[name] = torch.from_numpy(values).to(torch.bfloat16)
    # Reported of dots.mocr: one tensor in another type than all others.
    bias = "vision_tower.patch_embed.patchifier.proj.bias"
    tensors[bias] = tensors[bias].float()
    return tensors


def write_checkpoint(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> Path:
    """Write all files of a checkpoint."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name].contiguous() for name in part}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder)
    ends = [_mark("<|endoftext|>"), _mark("<|endofassistant|>")]
    generation = {"eos_token_id": ends, "max_length": 32768, "pad_token_id": ends[0], "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def write_tiny_dots(folder: Path, *, seed: int = 7) -> Path:
    """Write a checkpoint with random weights; returns ``folder``."""
    config = tiny_config()
    return write_checkpoint(folder, config, random_tensors(config, seed))


def write_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer of the published kind, whose merges make the prompts short."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=_WORDS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(list(WORDINGS.values()), trainer)
    written = json.loads(tokenizer.to_str())
    vocabulary = written["model"]["vocab"]
    # The trainer stops early where nothing is left to merge; the rest are places that nothing becomes.
    names = [*vocabulary, *(f"unused{number}" for number in range(len(vocabulary), _WORDS))]
    spelled = [piece.replace(" ", "Ġ") for piece in (*PIECES, NOTHING + " ")]
    written["model"]["vocab"] = {name: number for number, name in enumerate([*names, *spelled])}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    written["added_tokens"] = [{"id": _mark(text), "content": text, **plain} for text in MARKS]
    (folder / "tokenizer.json").write_text(json.dumps(written))


def _mark(text: str) -> int:
    return _WORDS + len(PIECES) + 1 + MARKS.index(text)


def write_reading_dots(folder: Path) -> Path:
    """Write a checkpoint that reads ``READS`` from every page with ink; returns ``folder``.

    It is trained once in a process, in some seconds, and always to the same weights. It has seen images of up to 800 x
    300 pixels: larger ones must be made smaller, by ``max_pixels``.
    """
    config = tiny_config(_READING, _READING_VISION)
    return write_checkpoint(folder, config, _trained())


@cache
def _trained(*, rate: float = 5e-3, most_steps: int = 300) -> Mapping[str, Any]:
    """Teach random weights what to answer, through the engine's own loader and tower, until they know."""
    import torch

    torch.set_num_threads(1)
    model = _pupil()
    parameters = [*model.tower.parameters(), *model.language.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))
    chance = np.random.default_rng(5)
    known = 0
    for _ in range(most_steps):
        optimizer.zero_grad()
        loss = _loss(model, [_page(chance, blank=number % 2 == 0) for number in range(6)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        rates.step()
        known = known + 1 if loss < 0.03 else 0
        if known == 8:
            learned = {f"vision_tower.{name}": value for name, value in model.tower.state_dict().items()}
            learned |= model.language.state_dict()
            return {name: value.to(torch.bfloat16) for name, value in learned.items()}
    raise AssertionError(f"after {most_steps} steps the loss is still {float(loss):.2f}")


def _pupil() -> Any:
    from copyist.engines.dots.local.model import load

    config = tiny_config(_READING, _READING_VISION)
    with tempfile.TemporaryDirectory() as folder:
        return load(write_checkpoint(Path(folder), config, random_tensors(config, seed=3)), dtype="fp32", device="cpu")


def _loss(model: Any, pages: Sequence[npt.NDArray[np.uint8]]) -> Any:
    """How far the model is from answering each of ``pages`` by rote.

    The first token, which says whether there is ink, weighs as much as all that follow from it.
    """
    import torch
    from torch.nn import functional

    rows, mask, answers = _lesson(model, pages)
    longest = max(map(len, answers)) + 1
    scores = model.language(inputs_embeds=rows, attention_mask=mask, logits_to_keep=longest).logits
    wrong = [
        functional.cross_entropy(scores[at, -len(answer) - 1 : -1], torch.tensor(answer), reduction="none")
        for at, answer in enumerate(answers)
    ]
    return torch.stack([row[0] + row[1:].mean() for row in wrong]).mean()


def _lesson(model: Any, pages: Sequence[npt.NDArray[np.uint8]]) -> tuple[Any, Any, list[list[int]]]:
    """What the model is shown, prompt and answer in a row, and the answers alone, in tokens."""
    import torch

    from copyist.engines.dots.local.preprocess import patches

    end = _mark("<|endofassistant|>")
    pieces = [_WORDS + number for number in range(len(PIECES))]
    answers = [[*pieces, end] if (page < 128).any() else [_WORDS + len(PIECES), end] for page in pages]
    asked = [model.prompt_ids(question(page)) + answer for page, answer in zip(pages, answers, strict=True)]
    images = [patches(page) for page in pages]
    rows, mask = model.join(
        asked, model.tower([torch.from_numpy(image) for image, _ in images], [g for _, g in images])
    )
    return rows, mask, answers


def _page(chance: np.random.Generator, *, blank: bool) -> npt.NDArray[np.uint8]:
    """A page as the model is shown it: white, or with digits in one or two lines."""
    width = int(chance.integers(60, 800))
    if blank:
        return resized(np.full((int(chance.integers(28, 200)), width), 255, np.uint8))[0]
    lines = ["".join(chance.choice(list("0123456789 "), 9)) for _ in range(int(chance.integers(1, 3)))]
    return resized(in_colour(drawn(*lines, width=width, size=int(chance.integers(24, 64)), left=10)))[0]


def question(pixels: npt.NDArray[np.uint8], prompt: Prompt = Prompt.LAYOUT, **more: Any) -> Question:
    """A question about an image whose sides are multiples of 28, chosen greedily unless told otherwise."""
    return Question(
        **{"pixels": pixels, "prompt": prompt, "stop": Stop(), "temperature": 0.0, "max_tokens": 40, **more}
    )


def on_cpu(folder: Path | None = None, weights: Path = Path("nowhere"), **more: Any) -> EngineSettings:
    """Settings under which the checkpoint in ``folder``, or the first in ``weights``, is loaded on the CPU."""
    dots = DotsSettings(**{"model_path": folder, "on_cpu": True, **more})
    return EngineSettings(weights=weights, use_gpu=False, dots=dots)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write the tiny checkpoint again with other tensors."""
    tensors = random_tensors(tiny_config())
    change(tensors)
    write_checkpoint(folder, tiny_config(), tensors)


@contextmanager
def hooked(part: Any, hook: Callable[..., None]) -> Iterator[None]:
    """Have ``hook`` called with a part of a model and what it is given, before that part begins."""
    handle = part.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
