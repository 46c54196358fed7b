"""Tiny checkpoints of pix2tex in the published layout: random weights, or weights that write one text by rote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from copyist.engines.formula.pix2tex_config import DecoderOptions, Pix2TexConfig
from copyist.engines.formula.pix2tex_network import Pix2Tex, resizer

LATEX = r"\frac{x^{2}}{a}-\alpha y=1"
_TEXT = r"\frac { x ^ { 2 } } { a } - \alpha y = 1"
"""As pix2tex writes: a space between all tokens of LaTeX."""
_WIDTH = 64
PUBLISHED_OPTIONS = {"attn_on_attn": True, "cross_attend": True, "ff_glu": True, "rel_pos_bias": False}
CONFIG: dict[str, Any] = {
    "name": "pix2tex",
    "temperature": 0.2,
    "tokenizer": "dataset/tokenizer.json",
    "optimizer": "Adam",
    "max_width": 160,
    "max_height": 64,
    "min_width": 32,
    "min_height": 32,
    "channels": 1,
    "patch_size": 16,
    "dim": _WIDTH,
    "heads": 2,
    "encoder_depth": 1,
    "num_layers": 2,
    "num_tokens": _WIDTH,
    "max_seq_len": 40,
    "pad_token": 0,
    "bos_token": 1,
    "eos_token": 2,
    "backbone_layers": [1],
    "encoder_structure": "hybrid",
    "decoder_args": {**PUBLISHED_OPTIONS, "use_scalenorm": False},
}


def config_of(**changes: Any) -> Pix2TexConfig:
    """``CONFIG`` with ``changes``, as it is understood."""
    content = CONFIG | changes
    known = {name: content[name] for name in Pix2TexConfig.__dataclass_fields__}
    options = {name: known["decoder_args"].get(name, False) for name in DecoderOptions.__dataclass_fields__}
    layers = tuple(known["backbone_layers"])
    return Pix2TexConfig(**known | {"decoder_args": DecoderOptions(**options), "backbone_layers": layers})


def write_pix2tex(folder: Path, *, with_resizer: bool = False, **changes: Any) -> Path:
    """Write a random checkpoint."""
    config = config_of(**changes)
    return _write(folder, changes, random_tensors(shapes_of(Pix2Tex, config)), with_resizer=with_resizer)


def write_rote_pix2tex(folder: Path, text: str = _TEXT, *, ends: bool = True, **changes: Any) -> Path:
    """Write a checkpoint that says ``text`` of every picture, over and over where it never ``ends``."""
    config = config_of(**changes)
    tensors = random_tensors(shapes_of(Pix2Tex, config))
    said = tokenizer().encode(" " + text).ids
    again = [config.eos_token] if ends else said
    said += [again[at % len(again)] for at in range(config.max_seq_len)]
    for name, tensor in tensors.items():
        if ".to_out." in name or ".net.2." in name:
            tensor.zero_()
    tensors["decoder.net.token_emb.weight"].zero_()
    positions = tensors["decoder.net.pos_emb.emb.weight"].zero_()
    for place, token in enumerate(said[: config.max_seq_len]):
        positions[place, token] = 1.0
    tensors["decoder.net.norm.weight"].fill_(1.0)
    tensors["decoder.net.norm.bias"].zero_()
    tensors["decoder.net.to_logits.weight"].copy_(torch.eye(_WIDTH))
    tensors["decoder.net.to_logits.bias"].zero_()
    return _write(folder, changes, tensors, with_resizer=False)


def shapes_of(make: Any, config: Pix2TexConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of what ``make`` makes, by name."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in make(config).state_dict().items()}


def random_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The same at each call, on every machine and with every version of torch."""
    chance = np.random.default_rng(0)
    tensors = {}
    for name in sorted(shapes):
        shape = shapes[name]
        values = chance.standard_normal(shape, dtype=np.float32)
        if len(shape) == 1:
            values = 0.2 * values + (0.0 if name.endswith("bias") else 1.0)
        elif not any(part in name for part in ("emb.", "pos_emb", "cls_token")):
            values /= np.float32(np.prod(shape[1:])) ** 0.5
        tensors[name] = torch.from_numpy(np.asarray(values, np.float32))
    return tensors


def tokenizer() -> Tokenizer:
    """Made as the published one: pairs of bytes, and a space belongs to what follows it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_WIDTH - 2, special_tokens=["[PAD]", "[BOS]", "[EOS]"], show_progress=False
    )
    made.train_from_iterator([" " + _TEXT], trainer)
    return made


def _write(folder: Path, changes: dict[str, Any], tensors: dict[str, Any], *, with_resizer: bool) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | changes), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer().to_str())), encoding="utf-8")
    torch.save(tensors, folder / "weights.pth")
    if with_resizer:
        torch.save(random_tensors(shapes_of(resizer, config_of(**changes))), folder / "image_resizer.pth")
    return folder
