"""The base model of the adaptation benchmark: TrOCR's shape, small, trained from nothing on drawn handwriting."""

from __future__ import annotations

import json
import math
import multiprocessing
import queue
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import ByteLevelBPETokenizer

from copyist.engines.torchvision_shim import import_torchvision
from copyist.training.strokes import Hand, texts, write

HEIGHT, WIDTH = 40, 384
"""Pixels that the encoder sees of a line."""
_COLUMN = 8
"""Its patches are columns as high as the line, so many pixels wide: 48 for a line of up to 28 letters."""
_SIZE, _HEADS = 160, 4
_ENCODER_LAYERS, _DECODER_LAYERS = 4, 2
_POSITIONS = 80
_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>"}
_PAD, _END = 1, 2
_SPECIAL: list[Any] = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_BATCH = 32
_KEPT = 40_000
"""Drawn lines that are shown again while new ones are being drawn."""
_FIRST_HAND = 10_000_000
"""Seeds of the hands that the base learns from; the general set's are far below."""
_PEAK_RATE, _WARM_UP = 1.2e-3, 400

Lines = tuple[npt.NDArray[np.uint8], list[str]]
"""Pictures as the encoder sees them, grey, shape (count, HEIGHT, WIDTH), and what they say."""


def pretrain(folder: Path, *, steps: int, every: int = 1000, seed: int = 1) -> Iterator[int]:
    """Train the base for ``steps`` of 32 lines; yields the step of each checkpoint in ``folder``.

    A second loss on the encoder alone (CTC, its layer is thrown away at the end) spares the decoder most of the time
    that it takes to find out which column a letter stands in.
    """
    write_processor(folder)
    torch.manual_seed(seed)
    model, ctc = new_model(), torch.nn.Linear(_SIZE, len(_SPECIAL) + 256)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    parameters = [*model.parameters(), *ctc.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_PEAK_RATE, weight_decay=0.02, betas=(0.9, 0.98))
    model.train()
    with _Drawing(folder, seed) as drawing:
        for step in range(1, steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = _rate(step, steps)
            loss = _losses(model, ctc, drawing.batch(), tokenizer)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            if step % every == 0 or step == steps:
                write_model(model, folder)
                yield step


def new_model() -> Any:
    """The shape of TrOCR with random weights."""
    import_torchvision()
    encoder = transformers.ViTConfig(
        image_size=(HEIGHT, WIDTH),
        patch_size=(HEIGHT, _COLUMN),
        hidden_size=_SIZE,
        num_hidden_layers=_ENCODER_LAYERS,
        num_attention_heads=_HEADS,
        intermediate_size=4 * _SIZE,
    )
    decoder = transformers.TrOCRConfig(
        vocab_size=len(_SPECIAL) + 256,
        d_model=_SIZE,
        decoder_layers=_DECODER_LAYERS,
        decoder_attention_heads=_HEADS,
        decoder_ffn_dim=4 * _SIZE,
        max_position_embeddings=_POSITIONS,
        cross_attention_hidden_size=_SIZE,
        dropout=0.05,
        init_std=0.05,
        tie_word_embeddings=False,
        use_cache=False,
    )
    both = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, tie_word_embeddings=False
    )
    both.decoder_start_token_id, both.pad_token_id, both.eos_token_id = _END, _PAD, _END
    return transformers.VisionEncoderDecoderModel(both)


def write_processor(folder: Path) -> None:
    """Write the tokenizer, one token per byte, and the image settings as ``trocr-base-handwritten`` has them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        iter([" "]), vocab_size=len(_SPECIAL) + 256, special_tokens=_SPECIAL, show_progress=False
    )
    tokenizer.save_model(str(folder))
    tokens = {**_TOKENS, "cls_token": "<s>", "mask_token": "<mask>"}
    _json(folder / "special_tokens_map.json", tokens)
    config = {**tokens, "add_prefix_space": False, "trim_offsets": True, "tokenizer_class": "RobertaTokenizer"}
    _json(folder / "tokenizer_config.json", config)
    picture = {
        "do_normalize": True,
        "do_resize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": {"height": HEIGHT, "width": WIDTH},
        "resample": 2,
        "image_processor_type": "ViTImageProcessor",
    }
    _json(folder / "preprocessor_config.json", picture)


def write_model(model: Any, folder: Path) -> None:
    """Write ``model`` as it is published: without the pooler, as safetensors."""
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    weights = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if not name.startswith("encoder.pooler")}
    save_file(kept, weights, metadata={"format": "pt"})
    ids = {"bos_token_id": 0, "decoder_start_token_id": _END, "eos_token_id": _END, "pad_token_id": _PAD}
    _json(folder / "generation_config.json", {"_from_model_config": True, "use_cache": False, "max_length": 60, **ids})


def as_seen(processor: Any, pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Grey pictures of any size as the model is shown them, shape (count, HEIGHT, WIDTH)."""
    rgb = [np.repeat(picture[:, :, None], 3, axis=2) for picture in pictures]
    values = processor(rgb, return_tensors="np", input_data_format="channels_last")["pixel_values"]
    return np.asarray(np.round((values[:, 0] * 0.5 + 0.5) * 255), np.uint8)


def pixel_values(seen: npt.NDArray[np.uint8]) -> torch.Tensor:
    """What ``as_seen`` gave, as the encoder takes it: shape (count, 3, HEIGHT, WIDTH), -1 to 1."""
    return (torch.from_numpy(seen).float() / 127.5 - 1).unsqueeze(1).expand(-1, 3, -1, -1)


def token_labels(tokenizer: Any, said: Sequence[str]) -> torch.Tensor:
    """The tokens of each text and the end, shape (texts, longest); -100 after it."""
    rows = [tokenizer.encode(text, add_special_tokens=False) for text in said]
    labels = torch.full((len(rows), max(map(len, rows)) + 1), -100)
    for row, tokens in zip(labels, rows, strict=True):
        row[: len(tokens) + 1] = torch.tensor([*tokens, _END])
    return labels


def _losses(model: Any, ctc: Any, lines: Lines, tokenizer: Any) -> torch.Tensor:
    seen, said = lines
    labels = token_labels(tokenizer, said)
    lengths = (labels >= 0).sum(1) - 1
    states = model.encoder(pixel_values=pixel_values(seen)).last_hidden_state
    read = model(encoder_outputs=(states,), labels=labels).loss
    log_probabilities = ctc(states[:, 1:]).log_softmax(-1).transpose(0, 1)
    aligned = torch.nn.functional.ctc_loss(
        log_probabilities,
        labels.clamp(min=0),
        torch.full_like(lengths, log_probabilities.shape[0]),
        lengths,
        blank=_PAD,
        zero_infinity=True,
    )
    return read + 0.5 * aligned


def _rate(step: int, steps: int) -> float:
    """Warm up, then half a cosine down to a hundredth."""
    if step < _WARM_UP:
        return _PEAK_RATE * step / _WARM_UP
    done = (step - _WARM_UP) / max(1, steps - _WARM_UP)
    return _PEAK_RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


class _Drawing:
    """A process that draws lines; training waits for it only at the very beginning."""

    def __init__(self, folder: Path, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._queue: Any = context.Queue(maxsize=8)
        self._process = context.Process(target=_draw, args=(folder, seed, self._queue), daemon=True)
        self._pictures = np.zeros((_KEPT, HEIGHT, WIDTH), np.uint8)
        self._texts: list[str] = []
        self._at = 0
        self._dice = np.random.default_rng(seed)

    def __enter__(self) -> _Drawing:
        self._process.start()
        while len(self._texts) < 40 * _BATCH:
            self._take(wait_s=120.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def batch(self) -> Lines:
        """Lines of those that were drawn up to now, each as likely as another."""
        self._take(wait_s=0.0)
        chosen = self._dice.integers(0, len(self._texts), _BATCH)
        return self._pictures[chosen], [self._texts[number] for number in chosen]

    def _take(self, *, wait_s: float) -> None:
        try:
            pictures, said = self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait()
        except queue.Empty:
            if wait_s:
                raise
            return
        for picture, text in zip(pictures, said, strict=True):
            self._pictures[self._at] = picture
            self._texts[self._at : self._at + 1] = [text]
            self._at = (self._at + 1) % _KEPT


def _draw(folder: Path, seed: int, out: Any) -> None:
    """Draw for ever: 16 lines of one hand at a time."""
    torch.set_num_threads(1)
    import_torchvision()
    processor = transformers.ViTImageProcessor.from_pretrained(folder)
    number = 0
    while True:
        number += 1
        key = seed * _FIRST_HAND + number
        hand, chance = Hand.of(key), np.random.default_rng([key, 5])
        said = texts(16, key)
        out.put((as_seen(processor, [write(text, hand, chance) for text in said]), said))


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
