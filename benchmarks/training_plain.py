"""The usual way to tune TrOCR: transformers' ``Seq2SeqTrainer`` with LoRA in all attention layers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
import transformers

from copyist.engines.torchvision_shim import import_torchvision
from copyist.training.lessons import Picture

import_torchvision()

from peft import LoraConfig, get_peft_model  # noqa: E402

Pairs = Sequence[tuple[Picture, str]]
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "out_proj"]
_DROPOUT = 0.1


@dataclass
class Steps(transformers.TrainerCallback):  # type: ignore[misc]
    """The CPU seconds of each step."""

    seconds: list[float] = field(default_factory=list)
    _began: float = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """The clock starts."""
        self._began = time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The clock stops."""
        self.seconds.append(time.process_time() - self._began)


class PlainTrainer:
    """Tunes the checkpoint in ``base``; ``train`` may be called once."""

    def __init__(self, base: Path, *, longest: int, dropout: float = _DROPOUT, alpha: int = 32) -> None:
        torch.manual_seed(0)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        self._images = transformers.ViTImageProcessor.from_pretrained(base)
        model = transformers.VisionEncoderDecoderModel.from_pretrained(base)
        end = self._tokenizer.eos_token_id
        model.config.decoder_start_token_id = model.config.eos_token_id = end
        model.config.pad_token_id = self._tokenizer.pad_token_id
        model.generation_config = transformers.GenerationConfig(
            decoder_start_token_id=end,
            eos_token_id=end,
            pad_token_id=self._tokenizer.pad_token_id,
            max_new_tokens=longest,
            use_cache=True,
        )
        config = LoraConfig(r=16, lora_alpha=alpha, lora_dropout=dropout, bias="none", target_modules=TARGETS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model = get_peft_model(model, config)
        self.steps = Steps()

    def train(self, pairs: Pairs, dev: Pairs, *, batch: int, epochs: int, learning_rate: float, most: int = -1) -> None:
        """Train; ``most`` ends it after so many steps."""
        asked = transformers.Seq2SeqTrainingArguments(
            output_dir="unused",
            use_cpu=True,
            predict_with_generate=True,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=batch,
            num_train_epochs=epochs,
            max_steps=most,
            learning_rate=learning_rate,
            weight_decay=0.01,
            warmup_steps=0.05,
            lr_scheduler_type="cosine",
            eval_strategy="epoch" if dev else "no",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = transformers.Seq2SeqTrainer(
                model=self.model,
                args=asked,
                train_dataset=list(pairs),
                eval_dataset=list(dev) or None,
                data_collator=self._collated,
                compute_metrics=self._cer,
                callbacks=[self.steps],
            )
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()

    def _collated(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        images = [np.repeat(picture[:, :, None], 3, axis=2) for picture, _ in pairs]
        pixels = self._images(images, return_tensors="pt", input_data_format="channels_last").pixel_values
        rows = [
            [*self._tokenizer(text, add_special_tokens=False).input_ids, self._tokenizer.eos_token_id]
            for _, text in pairs
        ]
        labels = torch.full((len(rows), max(map(len, rows))), -100)
        for label, row in zip(labels, rows, strict=True):
            label[: len(row)] = torch.tensor(row)
        return {"pixel_values": pixels, "labels": labels}

    def _cer(self, found: Any) -> dict[str, float]:
        said, wanted = (
            self._tokenizer.batch_decode(np.where(ids < 0, self._tokenizer.pad_token_id, ids), skip_special_tokens=True)
            for ids in (found.predictions, found.label_ids)
        )
        return {"cer": float(jiwer.cer(wanted, said))}
