"""Whether dots.ocr can be loaded here, before anything is: files, device, memory."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from copyist.engines.base import NotReady
from copyist.engines.checkpoints import INDEX
from copyist.engines.dots.local import resident as local
from copyist.engines.dots.local.architecture import read_architecture
from copyist.engines.dots.local.footprint import GB, batch_bytes, weights_bytes
from copyist.engines.dots.local.model import load
from copyist.engines.dots.local.resident import Local, check
from copyist.engines.gpu import Gpu
from tests.engines.dots.published import PUBLISHED, published_shapes
from tests.engines.dots.tiny_dots import on_cpu, rewrite, tiny_config
from tests.servers import process_environment


def on_gpu(monkeypatch: pytest.MonkeyPatch, free: float, capability: tuple[int, int] = (8, 6)) -> None:
    card = Gpu(0, "a card", 24 * GB, int(free), capability)
    monkeypatch.setattr(local, "gpus", lambda: (card,))
    monkeypatch.setattr(local, "why_no_cuda", lambda: "")


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


def test_a_broken_folder_does_not_stand_before_a_whole_one(folder: Path, copy: Path, tmp_path: Path) -> None:
    cut_shard(copy)
    (tmp_path / "a-broken").symlink_to(copy)
    assert "is cut" in check(on_cpu(weights=tmp_path)).reason
    (tmp_path / "b-whole").symlink_to(folder)
    assert check(on_cpu(weights=tmp_path)).model == "b-whole"
    Local(on_cpu(weights=tmp_path)).close()


def test_a_tokenizer_with_tokens_that_the_model_has_not_is_not_loaded(copy: Path) -> None:
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][-1], "id": 5000, "content": "<|more|>"})
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(NotReady, match="tokenizer"):
        Local(on_cpu(copy))


def test_a_folder_that_is_not_there_is_named() -> None:
    assert "no folder dots-mocr" in check(on_cpu(Path("weights/dots-mocr"))).reason


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


def index_of(file: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / INDEX).write_text(json.dumps({"weight_map": {"lm_head.weight": file}}))

    return change


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
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
    "endless": (changed(num_hidden_layers=10**9), "asks for 1,000,000,000 layers"),
    "endless tower": (changed_vision(num_hidden_layers=10**9), "asks for 1,000,000,000 layers"),
    "no number": (changed(rms_norm_eps=float("nan")), "no usable rms_norm_eps"),
    "too large a number": (changed(rope_theta=10**400), "no usable rope_theta"),
    "listed positions": (changed(rope_parameters=[1]), "no usable rope_parameters"),
    "deep": (lambda folder: (folder / "config.json").write_text("[" * 100_000), "config.json is not JSON"),
    "listed files": (index_of(["model-00001-of-00002.safetensors"]), "names files outside of its folder"),
    "files elsewhere": (index_of("../model-00001-of-00002.safetensors"), "names files outside of its folder"),
    "causal": (changed_vision(is_causal=True), "vision_config.is_causal is True"),
    "biases": (changed_vision(use_bias=True), "vision_config.use_bias is True"),
    "video": (changed_vision(temporal_patch_size=2), "temporal_patch_size is 2"),
    "unknown value": (changed_vision(window_size=112), "vision_config has window_size = 112"),
    "odd heads": (changed_vision(num_attention_heads=5), "do not fit its embed_dim"),
    "missing tensor": (
        lambda folder: rewrite(folder, lambda tensors: tensors.pop("vision_tower.blocks.2.norm2.weight")),
        "vision_tower.blocks.2.norm2.weight is missing",
    ),
    "foreign tensor": (
        lambda folder: rewrite(folder, lambda tensors: tensors.update({"model.layers.0.q_norm": torch.ones(6)})),
        "a tensor model.layers.0.q_norm that dots.ocr has not",
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
    on_gpu(monkeypatch, free=0.4 * GB)
    found = check(replace(on_cpu(folder), use_gpu=True))
    assert not found.ready
    assert "0.4 GB are free and 0.6 GB are needed" in found.reason
    assert "DOTS_OCR_QUANTIZATION=nf4 or a smaller DOTS_OCR_MAX_PIXELS" in found.reason


def test_too_little_memory_on_a_cpu_is_told_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "free_here", lambda: GB // 4)
    assert "This machine has too little memory: 0.2 GB are free and 0.7 GB" in check(on_cpu(folder)).reason


def test_the_memory_asked_for_follows_the_largest_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu(monkeypatch, free=0.53 * GB)
    large, small = (replace(on_cpu(folder, max_pixels=pixels), use_gpu=True) for pixels in (11_289_600, 10_000))
    assert (check(large).ready, check(small).ready) == (False, True)


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
    for free in (0.6, 0.64, 0.7, 20):
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
    assert batch((2352, 1652), (2352, 1624)) > batch((2352, 1652), (2352, 1652)) + 0.1


def test_checking_loads_no_heavy_library(folder: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from copyist.engines.base import DotsSettings, EngineSettings\n"
        "from copyist.engines.dots.local.resident import check\n"
        "dots = DotsSettings(model_path=pathlib.Path(sys.argv[1]), on_cpu=True)\n"
        "found = check(EngineSettings(use_gpu=False, dots=dots))\n"
        "print(found.ready, *({'torch', 'transformers'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, env=process_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]
