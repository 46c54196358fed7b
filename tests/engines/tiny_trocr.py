"""Tiny TrOCR checkpoints in the layouts that are published: the small models' and the base and large models'.

``small`` is a DeiT with a sentencepiece tokenizer and an older image processor, ``base`` a ViT with a byte-level BPE.
Their weights are random, or trained for seconds to tell a few words apart: enough to follow a line from page to text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers.implementations import ByteLevelBPETokenizer

from copyist.engines.lines import crop, find_lines
from copyist.engines.torchvision_shim import import_torchvision
from tests.engines.drawing import drawn

WORDS = ("0123 4567", "by the harbour", "lantern", "9 March 1894")
"""What a trained checkpoint reads when ``drawing.drawn`` has drawn it."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789.,'-"
_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>"}
_START = _END = 2
"""Published models begin with the token that ends a text."""
_VOCABULARY = 400
_SIDE = 48
_POSITIONS = 40


def write_small(folder: Path, **decoder: Any) -> Path:
    """Write a random checkpoint with the files of ``microsoft/trocr-small-handwritten``."""
    folder.mkdir(parents=True)
    (folder / "sentencepiece.bpe.model").write_bytes(_sentencepiece())
    mask = {"content": "<mask>", "single_word": False, "lstrip": True, "rstrip": False, "normalized": True}
    tokens = {**_TOKENS, "cls_token": "<s>", "mask_token": mask}
    _json(folder / "special_tokens_map.json", tokens)
    _json(folder / "tokenizer_config.json", {**tokens, "sp_model_kwargs": {}, "tokenizer_class": "XLMRobertaTokenizer"})
    # The size as one number, and a class that has another name by now.
    older = {
        "crop_size": _SIDE,
        "do_center_crop": False,
        "size": _SIDE,
        "feature_extractor_type": "DeiTFeatureExtractor",
    }
    _json(folder / "preprocessor_config.json", {**_PICTURE, **older, "resample": 3})
    _write_model(_model("deit", scale_embedding=True, activation_function="relu", **decoder), folder)
    return folder


def write_base(folder: Path, **decoder: Any) -> Path:
    """Write a random checkpoint with the files of ``microsoft/trocr-base-handwritten``."""
    folder.mkdir(parents=True)
    _write_byte_level(folder)
    _write_model(_model("vit", **decoder), folder)
    return folder


def write_reading_trocr(folder: Path) -> Path:
    """Write a checkpoint that reads the ``WORDS``, and makes something of every other line."""
    folder.mkdir(parents=True)
    _write_byte_level(folder)
    model = _model("vit")
    model.load_state_dict(_trained())
    _write_model(model, folder)
    return folder


def write_rote_trocr(folder: Path, text: str, *, ends: bool = True) -> Path:
    """Write a checkpoint that says ``text`` of every line, over and over where it never ``ends``."""
    folder.mkdir(parents=True)
    _write_byte_level(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    said = tokenizer.encode(text, add_special_tokens=False)
    again = [_END] if ends else said
    said += [again[at % len(again)] for at in range(_POSITIONS)]
    model = _model("vit", d_model=_VOCABULARY, decoder_attention_heads=1, scale_embedding=False)
    _learn_by_rote(model.decoder, said)
    _write_model(model, folder)
    return folder


_PICTURE = {"do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def _write_byte_level(folder: Path) -> None:
    _byte_level().save_model(str(folder))
    tokens = {**_TOKENS, "cls_token": "<s>", "mask_token": "<mask>"}
    _json(folder / "special_tokens_map.json", tokens)
    config = {**tokens, "add_prefix_space": False, "trim_offsets": True, "tokenizer_class": "RobertaTokenizer"}
    _json(folder / "tokenizer_config.json", config)
    size = {"height": _SIDE, "width": _SIDE}
    newer = {"size": size, "resample": 2, "image_processor_type": "ViTImageProcessor"}
    _json(folder / "preprocessor_config.json", {**_PICTURE, **newer})


def _model(kind: str, **decoder: Any) -> transformers.VisionEncoderDecoderModel:
    """A model with random weights, the same at each call."""
    import_torchvision()
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96}
    encoder = transformers.AutoConfig.for_model(kind, image_size=_SIDE, patch_size=8, qkv_bias=kind == "deit", **sizes)
    asked = {
        "vocab_size": _VOCABULARY,
        "d_model": 48,
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 96,
        "max_position_embeddings": _POSITIONS,
        "tie_word_embeddings": False,
        # As published: without this being overruled, every step reads all tokens before it again.
        "use_cache": False,
        "cross_attention_hidden_size": 48,
        **decoder,
    }
    both = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, transformers.TrOCRConfig(**asked), tie_word_embeddings=False
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return transformers.VisionEncoderDecoderModel(both).eval()


def _write_model(model: transformers.VisionEncoderDecoderModel, folder: Path) -> None:
    """Save ``model`` as it is published: without the pooler, with the length limit and beams of its makers."""
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    weights = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if not name.startswith("encoder.pooler")}
    save_file(kept, weights, metadata={"format": "pt"})
    ids = {"bos_token_id": 0, "decoder_start_token_id": _START, "eos_token_id": _END, "pad_token_id": 1}
    _json(folder / "generation_config.json", {"_from_model_config": True, "use_cache": False, "max_length": 20, **ids})


def _learn_by_rote(decoder: Any, said: list[int]) -> None:
    """Every position says one token: its embedding is that token's own direction, and nothing else is added."""
    with torch.no_grad():
        body = decoder.model.decoder
        for layer in body.layers:
            for part in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
                part.weight.zero_()
                part.bias.zero_()
        body.embed_tokens.weight.zero_()
        body.embed_positions.weight.zero_()
        for at, token in enumerate(said[:_POSITIONS]):
            # Positions are counted from 2 on, as in fairseq.
            body.embed_positions.weight[at + 2, token] = 1.0
        decoder.output_projection.weight.copy_(torch.eye(_VOCABULARY))


@cache
def _trained() -> dict[str, Any]:
    """The weights of a model that was trained on the ``WORDS``."""
    model = _model("vit")
    pictures, texts = _lessons()
    _train(model, pictures, texts, steps=60, batch=len(texts))
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def write_taught_trocr(folder: Path, lessons: Sequence[tuple[npt.NDArray[np.uint8], str]], *, steps: int) -> Path:
    """Write a checkpoint that was trained on ``lessons``: grey pictures of lines, and what they say."""
    folder.mkdir(parents=True)
    _write_byte_level(folder)
    model = _model("vit")
    pictures = torch.stack([_as_seen(picture) for picture, _ in lessons])
    _train(model, pictures, [text for _, text in lessons], steps=steps, batch=32)
    _write_model(model.eval(), folder)
    return folder


def _train(model: Any, pictures: Any, texts: Sequence[str], *, steps: int, batch: int) -> None:
    """Teach ``model`` to read ``texts`` in ``pictures``, shape (count, 3, side, side), ``batch`` at a time in turn."""
    tokenizer = _byte_level()
    with torch.random.fork_rng(), _one_thread():
        torch.manual_seed(7)
        labels = torch.tensor(_padded([[*tokenizer.encode(text).ids, _END] for text in texts]))
        given = torch.cat([torch.full((len(labels), 1), _START), labels[:, :-1].clamp(min=1)], dim=1)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for step in range(steps):
            some = torch.arange(step * batch, (step + 1) * batch) % len(texts)
            logits = model(pixel_values=pictures[some], decoder_input_ids=given[some]).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[some].flatten(), ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _lessons() -> tuple[Any, list[str]]:
    """Pictures of the words as a page's lines are cut out, shape (count, 3, side, side), and what they say."""
    pictures, texts = [], []
    for word in WORDS:
        for size in (36, 40, 44):
            page = drawn(word, word, size=size)
            for line in find_lines(page):
                pictures.append(_as_seen(crop(page, line)))
                texts.append(word)
    return torch.stack(pictures), texts


def _as_seen(picture: npt.NDArray[np.uint8]) -> Any:
    processor = transformers.ViTImageProcessor(**_PICTURE, size={"height": _SIDE, "width": _SIDE}, resample=2)
    rgb = np.repeat(picture[:, :, None], 3, axis=2)
    return processor(rgb, return_tensors="pt", input_data_format="channels_last").pixel_values[0]


def _padded(rows: list[list[int]]) -> list[list[int]]:
    longest = max(map(len, rows))
    return [row + [-100] * (longest - len(row)) for row in rows]


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _byte_level() -> ByteLevelBPETokenizer:
    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator([_LETTERS, *WORDS], vocab_size=_VOCABULARY, min_frequency=1, special_tokens=special)
    return tokenizer


@cache
def _sentencepiece() -> bytes:
    """A unigram model as XLM-R's: ids 0 to 2 are <unk>, <s> and </s>, which the tokenizer moves to fairseq's places."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*_LETTERS.split(), *WORDS] * 5),
        model_writer=model,
        model_type="unigram",
        vocab_size=90,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


Writer = Callable[[Path], Path]
"""One of the functions above."""
