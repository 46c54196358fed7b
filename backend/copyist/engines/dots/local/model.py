"""dots.ocr in this process: an own vision tower in front of transformers' Qwen2, loaded whole or not at all.

Nothing of the checkpoint's own Python code is run, and none of transformers' ``Auto`` classes is used, which would ask
for it on the standard input. Imported only where a model is loaded, since it needs torch.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from torch import Tensor

from copyist.engines.base import NotReady
from copyist.engines.checkpoints import Checkpoint, CheckpointUnusable, open_checkpoint, require
from copyist.engines.dots.backend import Question
from copyist.engines.dots.local.architecture import (
    VISION_PREFIX,
    Architecture,
    LanguageConfig,
    check_shapes,
    read_architecture,
)
from copyist.engines.dots.local.preprocess import patches, tokens_of
from copyist.engines.dots.local.vision import VisionTower
from copyist.engines.dots.prompts import wording
from copyist.engines.torchvision_shim import import_torchvision

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import_torchvision()
    from transformers import BitsAndBytesConfig, GenerationConfig, Qwen2Config, Qwen2ForCausalLM
    from transformers.utils import logging as transformers_logging

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_IMAGE = "<|imgpad|>"
_ENDS = ("<|endoftext|>", "<|endofassistant|>", "<|assistant|>")
"""The model ends its turn with any of them; the published generation configs name different ones."""
_PAD = "<|endoftext|>"


@dataclass(frozen=True)
class Vocabulary:
    """The tokenizer, and the ids that mean something to the model; they are found by their text."""

    tokenizer: Tokenizer
    image: int
    pad: int
    ends: frozenset[int]

    def prompt_ids(self, text: str, image_tokens: int) -> list[int]:
        """The ids of a question: one image that takes ``image_tokens`` tokens, then ``text``.

        Raises ``ValueError`` for a text that holds one of the model's own marks: a second image mark would be filled
        with rows that belong to the first.
        """
        spoken = self._ids(text)
        marks = self.tokenizer.get_added_tokens_decoder()
        if any(token in marks for token in spoken):
            raise ValueError("A prompt must not hold the marks that divide the model's own conversation.")
        opened, closed = self._ids("<|user|><|img|>"), self._ids("<|endofimg|>")
        answer = self._ids("<|endofuser|><|assistant|>")
        return [*opened, *[self.image] * image_tokens, *closed, *spoken, *answer]

    def text_of(self, tokens: Sequence[int]) -> str:
        """What the model wrote, without its marks."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)


@dataclass(frozen=True)
class Model:
    """A loaded model. ``language`` is a ``Qwen2ForCausalLM``."""

    architecture: Architecture
    vocabulary: Vocabulary
    tower: VisionTower
    language: Any

    def prompt_ids(self, question: Question) -> list[int]:
        """The ids of a question, with a place for each row of its image."""
        height, width = question.pixels.shape[:2]
        return self.vocabulary.prompt_ids(wording(question.prompt, question.region), tokens_of(height, width))

    def embed(self, questions: Sequence[Question], between: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """What the language model is given: rows (batch, longest, hidden) and a mask (batch, longest), padded left.

        ``between`` is called between the storeys of the tower, and may raise.
        """
        images = [patches(question.pixels) for question in questions]
        rows = self.tower([torch.from_numpy(values) for values, _ in images], [grid for _, grid in images], between)
        return self.join([self.prompt_ids(question) for question in questions], rows)

    def join(self, prompts: Sequence[Sequence[int]], images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Put the rows (T, hidden) of each image at the marks in its prompt, and pad all prompts to the longest.

        Raises ``ValueError`` when a prompt has not exactly one mark for each row.
        """
        longest = max(map(len, prompts))
        pad = self.vocabulary.pad
        ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        ids, mask = ids.to(self.language.device), mask.to(self.language.device)
        rows = self.language.get_input_embeddings()(ids)
        for at, image in enumerate(images):
            marks = ids[at] == self.architecture.image_token_id
            if int(marks.sum()) != len(image):
                raise ValueError(f"The image has {len(image)} rows and the prompt {int(marks.sum())} marks for them.")
            rows[at, marks] = image.to(rows.device, rows.dtype)
        return rows, mask


class _LanguageModel(Qwen2ForCausalLM):  # type: ignore[misc]
    """Qwen2, which does not mind that the tower's tensors lie in the same files."""

    _keys_to_ignore_on_load_unexpected = [r"^vision_tower\."]  # noqa: RUF012 - so it is declared in transformers


def load(folder: Path, *, dtype: str, device: str, quantization: str = "none") -> Model:
    """The model in ``folder``; ``dtype`` is a name of ``DTYPES``, ``quantization`` is ``none``, ``int8`` or ``nf4``.

    Only the linear layers of the language model are quantized: the tower loses more than it would save. Raises
    ``NotReady`` with the reason rather than load half a model.
    """
    try:
        checkpoint = open_checkpoint(folder)
        require(folder, ("tokenizer.json",))
        architecture = read_architecture(checkpoint.config)
        check_shapes(architecture, checkpoint.shapes)
        vocabulary = _load_vocabulary(folder, architecture)
    except CheckpointUnusable as error:
        raise NotReady(f"The checkpoint in {folder.name} cannot be loaded. {error}") from error
    tower = _load_tower(checkpoint, architecture, DTYPES[dtype], device)
    language = _load_language(folder, architecture, dtype=DTYPES[dtype], device=device, quantization=quantization)
    return Model(architecture, vocabulary, tower, language)


def language_config(sizes: LanguageConfig) -> Any:
    """The configuration of transformers' Qwen2; without the base of its rotary positions it would take another one."""
    fields = asdict(sizes)
    rope = {"rope_type": "default", "rope_theta": fields.pop("rope_theta")}
    return Qwen2Config(
        **fields, rope_parameters=rope, tie_word_embeddings=False, use_sliding_window=False, attn_implementation="sdpa"
    )


def _load_vocabulary(folder: Path, architecture: Architecture) -> Vocabulary:
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        # The library raises nothing narrower.
        raise CheckpointUnusable("Its tokenizer.json is cut or no tokenizer; pull the weights again.") from error
    # On a GPU, a token without a row in the model ends all work of the process.
    highest, known = max(tokenizer.get_vocab().values(), default=0), architecture.language.vocab_size
    if highest >= known:
        raise CheckpointUnusable(
            f"Its tokenizer.json has a token {highest} and config.json a vocab_size of {known}; they are of different "
            "models. Pull the weights again."
        )
    ids = {text: _mark(tokenizer, text) for text in (_IMAGE, *_ENDS)}
    if ids[_IMAGE] != architecture.image_token_id:
        raise CheckpointUnusable(
            f"The mark {_IMAGE} is {ids[_IMAGE]} in tokenizer.json and {architecture.image_token_id} in config.json; "
            "they are of different models. Pull the weights again."
        )
    ends = frozenset(ids[text] for text in _ENDS) | _configured_ends(folder)
    return Vocabulary(tokenizer, ids[_IMAGE], ids[_PAD], ends)


def _mark(tokenizer: Tokenizer, text: str) -> int:
    token = tokenizer.token_to_id(text)
    if token is None:
        raise CheckpointUnusable(f"Its tokenizer.json has no {text}; it is another model's. Pull the weights again.")
    return int(token)


def _configured_ends(folder: Path) -> frozenset[int]:
    path = folder / "generation_config.json"
    if not path.is_file():
        return frozenset()
    try:
        ends = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id", [])
        return frozenset(map(int, ends if isinstance(ends, list) else [ends]))
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointUnusable("Its generation_config.json is damaged; pull the weights again.") from error


def _load_tower(checkpoint: Checkpoint, architecture: Architecture, dtype: torch.dtype, device: str) -> VisionTower:
    """The tower, made without memory of its own and given the tensors of the files, one by one."""
    with torch.device("meta"):
        tower = VisionTower(architecture.vision)
    tensors = {}
    for path in checkpoint.files:
        with safe_open(path, framework="pt", device="cpu") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                if name.startswith(VISION_PREFIX):
                    tensors[name.removeprefix(VISION_PREFIX)] = file.get_tensor(name).to(device, dtype)
    try:
        tower.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        raise NotReady(f"The vision tower in {checkpoint.folder.name} cannot be loaded: {error}") from error
    tower.requires_grad_(False).eval()
    return tower


def _load_language(
    folder: Path, architecture: Architecture, *, dtype: torch.dtype, device: str, quantization: str
) -> Any:
    """transformers' Qwen2; it fills what is missing at random and only reports it, so that the report is read."""
    transformers_logging.disable_progress_bar()
    options = {} if quantization == "none" else {"quantization_config": _quantized(quantization, dtype)}
    if options:
        # Packed layers cannot be moved later, and need the number of the card.
        options["device_map"] = {"": "cuda:0" if device == "cuda" else device}
    try:
        language, loading = _LanguageModel.from_pretrained(
            folder,
            config=language_config(architecture.language),
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise NotReady(f"The language model in {folder.name} cannot be loaded: {error}") from error
    problems = sorted([*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])])
    if problems:
        raise NotReady(f"The checkpoint in {folder.name} has no fitting {problems[0]}; pull the weights again.")
    # What came with the folder would fill what a call leaves open, and warn about it every time.
    language.generation_config = GenerationConfig()
    return language.eval() if options else language.to(device).eval()


def _quantized(quantization: str, dtype: torch.dtype) -> Any:
    """Which layers bitsandbytes packs: all linear ones but the last, whose rounding would choose the tokens."""
    skipped = ["lm_head"]
    if quantization == "int8":
        # It says at every layer and token that it computes in float16.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=skipped
    )
