"""The prompts are the model's interface: not a byte of them may change."""

from __future__ import annotations

import hashlib

import pytest

from copyist.engines.dots.backend import Prompt
from copyist.engines.dots.prompts import WORDINGS, wording

# Taken of the texts in dots_ocr/utils/prompts.py of the dots.ocr repository.
HASHES = {
    Prompt.LAYOUT: "16ff71ac5d218f35",
    Prompt.LAYOUT_ONLY: "d10f3720942d901f",
    Prompt.TEXT: "8ee4c4b75c200c7f",
    Prompt.REGION: "b18d62ea1e661977",
}


@pytest.mark.parametrize("prompt", Prompt)
def test_the_words_are_those_of_the_model(prompt: Prompt) -> None:
    assert hashlib.sha256(WORDINGS[prompt].encode()).hexdigest().startswith(HASHES[prompt])


def test_a_region_is_asked_for_with_its_box_behind_the_words() -> None:
    assert wording(Prompt.REGION, (1, 2, 30, 40)).endswith("Bounding Box:\n[1, 2, 30, 40]")
    with pytest.raises(ValueError, match="box"):
        wording(Prompt.REGION)
