"""A Nougat of some megabytes in the files and names of ``facebook/nougat-small``, which says a text by rote.

Its decoder adds nothing to what a position says about itself, and every position says one token. Only its attention to
the picture is left, too weak to change a token: it shows in the confidence. ``sure`` is the lead of the right token
over the others before the softmax.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from tokenizers import pre_tokenizers

from copyist.engines.torchvision_shim import import_torchvision

PAPER = r"""# On the width of rivers

**A. Author**

###### Abstract

We show that \(w_{i}<n\) holds for every river \(i\), as [12] claims.

## 1 Introduction

\[\sum_{i=1}^{n}w_{i}=\frac{W}{2} \tag{1}\]

* one bank
* another bank

\begin{table}
\begin{tabular}{l c} River & Width \\ \hline Elbe & 0.5 \\ \end{tabular}
\end{table}
Table 1: Two columns.

Plain words end the page."""
"""What the contract's Nougat says: a block of every kind."""

_SIDE = {"height": 64, "width": 48}
_MAX_LENGTH = 256
_VOCABULARY = 400


def write_reading_nougat(folder: Path) -> None:
    """Write a checkpoint that reads ``PAPER`` on every page."""
    write_nougat(folder, PAPER)


def write_nougat(folder: Path, text: str, *, loop: str = "", sure: float = 12.0, rival: float = 0.0) -> None:
    """Write a checkpoint that says ``text``; with ``loop`` it goes on with that for ever, and never ends.

    ``rival`` is how much of the right token's lead another one has, everywhere.
    """
    import_torchvision()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = _tokenizer(text + loop)
    said = tokenizer.encode(text, add_special_tokens=False)
    again = tokenizer.encode(loop, add_special_tokens=False)
    said += [again[at % len(again)] for at in range(_MAX_LENGTH - len(said))] if loop else [tokenizer.eos_token_id]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _model(len(tokenizer))
        _learn_by_rote(model.decoder, said, sure, rival)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    _write_tokenizer(tokenizer, folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_IMAGES))


def _model(vocabulary: int) -> transformers.VisionEncoderDecoderModel:
    encoder = transformers.DonutSwinConfig(
        image_size=[_SIDE["height"], _SIDE["width"]], embed_dim=128, depths=[1, 1], num_heads=[2, 2], window_size=4
    )
    decoder = transformers.MBartConfig(
        vocab_size=vocabulary,
        d_model=_MAX_LENGTH,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=8,
        max_position_embeddings=_MAX_LENGTH,
        scale_embedding=True,
        add_final_layer_norm=True,
        is_decoder=True,
        is_encoder_decoder=False,
        add_cross_attention=True,
        tie_word_embeddings=False,
    )
    both = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, tie_word_embeddings=False
    )
    model = transformers.VisionEncoderDecoderModel(both)
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=0,
        decoder_start_token_id=0,
        eos_token_id=2,
        forced_eos_token_id=2,
        pad_token_id=1,
        max_length=_MAX_LENGTH,
    )
    return model


@torch.no_grad()
def _learn_by_rote(decoder: torch.nn.Module, said: Sequence[int], sure: float, rival: float) -> None:
    weights = dict(decoder.named_parameters())
    for name, weight in weights.items():
        if "layers.0" in name and "layer_norm" not in name:
            weight.mul_(0.05 if "encoder_attn" in name else 0.0)
    positions = weights["model.decoder.embed_positions.weight"]
    positions.zero_()
    positions[2:].copy_(torch.eye(_MAX_LENGTH))  # MBart counts its positions from two.
    weights["model.decoder.embed_tokens.weight"].zero_()
    head = decoder.lm_head.weight
    head.zero_()
    lead = sure / (_MAX_LENGTH - 1) ** 0.5  # The layer norm takes a one among zeros to this root.
    for position, token in enumerate(said[:_MAX_LENGTH]):
        head[token, position] = lead
        head[token % 200 + 10, position] += rival * lead


def _tokenizer(text: str) -> transformers.NougatTokenizer:
    """Bytes, and what ``text`` makes of them; the special tokens where they are published."""
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = transformers.NougatTokenizer(vocab={sign: at for at, sign in enumerate([*_FIRST, *signs])}, merges=[])
    return bare.train_new_from_iterator([text], vocab_size=_VOCABULARY, show_progress=False)


def _write_tokenizer(tokenizer: transformers.NougatTokenizer, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    special = {f"{name}_token": sign for name, sign in _SPECIAL.items()}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    published = special | {
        "clean_up_tokenization_spaces": True,
        "model_max_length": 3584,
        "processor_class": "NougatProcessor",
        "tokenizer_class": "NougatTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(published))


_FIRST = ("<s>", "<pad>", "</s>", "<unk>", "[START_REF]")
_SPECIAL = {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "unk": "<unk>"}
_IMAGES = {
    "do_align_long_axis": False,
    "do_crop_margin": True,
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": True,
    "do_thumbnail": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "NougatImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "processor_class": "NougatProcessor",
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": _SIDE,
}
