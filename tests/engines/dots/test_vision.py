"""The vision tower: against the slow reference, and what must not change its rows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from copyist.engines.dots.local.architecture import read_architecture, tensor_shapes
from copyist.engines.dots.local.model import Model, language_config, load
from copyist.engines.dots.local.preprocess import patches, tokens_of
from copyist.engines.dots.local.vision import VisionTower, groups
from tests.engines.dots import reference
from tests.engines.dots.published import PUBLISHED, published_shapes
from tests.engines.dots.tiny_dots import tiny_config

GRIDS = ((6, 10), (8, 4), (2, 2))
TOLERANCES = {torch.float64: 1e-6, torch.float32: 2e-5, torch.bfloat16: 0.1}
"""Of the largest difference to the rms of the reference: exact, in one type, in half of it."""


@pytest.fixture
def model(folder: Path) -> Model:
    """Return a model of one's own: these tests change its type."""
    torch.set_num_threads(1)
    return load(folder, dtype="fp32", device="cpu")


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    chance = np.random.default_rng(1)
    return [chance.integers(0, 256, (14 * down, 14 * across, 3), dtype=np.uint8) for down, across in GRIDS]


@pytest.fixture(scope="module")
def expected(folder: Path, images: list[np.ndarray]) -> list[np.ndarray]:
    weights = reference.tensors(folder)
    return [reference.tower(weights, tiny_config()["vision_config"], image) for image in images]


def in_order(image: np.ndarray) -> list[np.ndarray]:
    """The reference's patches in the order of the model: cell by cell, four patches each."""
    down, across = image.shape[0] // 14, image.shape[1] // 14
    cells = [(row, column) for row in range(0, down, 2) for column in range(0, across, 2)]
    return [reference.patch(image, y + dy, x + dx) for y, x in cells for dy in (0, 1) for dx in (0, 1)]


def rows_of(model: Model, images: list[np.ndarray], dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    tower = model.tower.to(dtype)
    # In float64 the pixels must be as exact as the rest, or their rounding is all that shows.
    exact = dtype == torch.float64
    prepared = [np.array(in_order(image)) if exact else patches(image)[0] for image in images]
    return tower([torch.from_numpy(values) for values in prepared], [patches(image)[1] for image in images])


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_tower_agrees_with_the_slow_reference(
    model: Model, images: list[np.ndarray], expected: list[np.ndarray], dtype: torch.dtype
) -> None:
    for rows, exact in zip(rows_of(model, images, dtype), expected, strict=True):
        difference = np.abs(rows.double().numpy() - exact).max()
        assert difference / np.sqrt((exact**2).mean()) < TOLERANCES[dtype]


def test_patches_are_those_of_the_reference_in_the_order_of_cells(images: list[np.ndarray]) -> None:
    for image, grid in zip(images, GRIDS, strict=True):
        values, found = patches(image)
        assert (found, values.shape, values.dtype) == (grid, (grid[0] * grid[1], 588), np.float32)
        assert np.abs(values - np.array(in_order(image))).max() < 1e-6


def test_patches_are_those_of_the_published_processor_bit_for_bit(images: list[np.ndarray]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    processor = Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, temporal_patch_size=1, min_pixels=784, max_pixels=11_289_600
    )
    for image in images:
        theirs = processor(images=[image], return_tensors="np")
        own, grid = patches(image)
        assert theirs["image_grid_thw"].tolist() == [[1, *grid]]
        assert (theirs["pixel_values"] == own).all()


def test_a_page_of_1708_by_2240_has_4880_tokens() -> None:
    assert tokens_of(2240, 1708) == 4880


@pytest.mark.parametrize("shape", [(28, 30, 3), (14, 28, 3), (28, 28), (28, 28, 4), (0, 28, 3)])
def test_patches_refuse_an_image_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 28"):
        patches(np.zeros(shape, np.uint8))


def test_images_in_one_call_do_not_see_each_other(model: Model, images: list[np.ndarray]) -> None:
    together = rows_of(model, images, torch.float64)
    alone = [rows_of(model, [image], torch.float64)[0] for image in images]
    assert all(torch.allclose(one, other, atol=1e-12) for one, other in zip(together, alone, strict=True))


def test_patches_in_raster_order_give_other_rows(model: Model, images: list[np.ndarray]) -> None:
    image, (down, across) = images[0], GRIDS[0]
    raster = np.array([reference.patch(image, row, column) for row in range(down) for column in range(across)])
    slipped = model.tower([torch.from_numpy(raster)], [GRIDS[0]])[0]
    assert (slipped - rows_of(model, [image])[0]).abs().max() > 0.1


def test_images_go_through_in_groups_of_bounded_size() -> None:
    assert groups([60, 32, 4], 100) == [(0, 3)]
    assert groups([60, 32, 12], 100) == [(0, 2), (2, 3)]
    assert groups([500, 1, 500], 100) == [(0, 1), (1, 2), (2, 3)]
    assert groups([], 100) == []


def test_groups_change_nothing(model: Model, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows_of(model, images, torch.float64)
    monkeypatch.setattr("copyist.engines.dots.local.vision.PATCHES_AT_ONCE", 64)
    apart = rows_of(model, images, torch.float64)
    assert all(torch.allclose(one, other, atol=1e-12) for one, other in zip(whole, apart, strict=True))


def test_a_page_can_be_given_up_between_two_blocks(model: Model, images: list[np.ndarray]) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        model.tower([torch.from_numpy(patches(images[0])[0])], [GRIDS[0]], look)
    assert len(looks) == 3


def test_a_grid_that_does_not_fit_its_patches_is_refused(model: Model, images: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        model.tower([torch.from_numpy(patches(images[0])[0])], [(2, 2)])


def test_at_full_size_the_model_has_the_published_tensors() -> None:
    from transformers import Qwen2ForCausalLM

    architecture = read_architecture(PUBLISHED)
    with torch.device("meta"):
        halves: dict[str, nn.Module] = {
            "vision_tower.": VisionTower(architecture.vision),
            "": Qwen2ForCausalLM(language_config(architecture.language)),
        }
    built: dict[str, Any] = {
        prefix + name: tuple(tensor.shape)
        for prefix, half in halves.items()
        for name, tensor in half.state_dict().items()
    }
    assert built == published_shapes(PUBLISHED) == tensor_shapes(architecture)
    assert len(built) == 643
    assert sum(int(np.prod(shape)) for shape in built.values()) == 3_039_179_264
