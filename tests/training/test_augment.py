"""Augmented lines: the same each time, still legible, on the paper they were on."""

from __future__ import annotations

import numpy as np
import pytest

from copyist.training.augment import augmented
from tests.engines.drawing import in_colour
from tests.training.conftest import line

KEY, OTHER = "ab" * 32, "cd" * 32
PICTURE = line("salt and rope", 40)


def test_variant_0_is_the_picture_itself() -> None:
    assert augmented(PICTURE, seed=3, key=KEY, variant=0) is PICTURE


def test_a_variant_is_the_same_each_time_and_differs_by_line_by_number_and_by_seed() -> None:
    def seen(seed: int, key: str, variant: int) -> bytes:
        return augmented(PICTURE, seed=seed, key=key, variant=variant).tobytes()

    assert seen(3, KEY, 1) == seen(3, KEY, 1)
    assert len({seen(3, KEY, 1), seen(3, KEY, 2), seen(4, KEY, 1), seen(3, OTHER, 1)}) == 4


@pytest.mark.parametrize("colour", [False, True])
def test_the_ink_stays_whole_on_its_own_paper(colour: bool) -> None:
    paper = np.uint8(200)
    grey = np.minimum(PICTURE, paper)
    picture = in_colour(grey) if colour else grey
    ink = np.count_nonzero(grey < 100)
    for variant in range(1, 60):
        changed = augmented(picture, seed=0, key=KEY, variant=variant)
        assert (changed.dtype, changed.ndim) == (np.uint8, picture.ndim)
        assert 0.9 < changed.shape[1] / picture.shape[1] < 1.3
        dark = np.count_nonzero((changed[..., 0] if colour else changed) < 128)
        assert 0.5 * ink < dark < 2 * ink
        # What came in from outside is as bright as the paper.
        assert abs(float(np.median(changed)) - paper) < 30
        corners = changed[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int)
        assert np.abs(corners - paper).max() < 60


def test_no_change_is_in_all_variants_and_none_is_missing() -> None:
    sizes = {augmented(PICTURE, seed=0, key=KEY, variant=number).shape for number in range(1, 30)}
    means = {round(float(np.median(augmented(PICTURE, seed=0, key=KEY, variant=n)))) for n in range(1, 30)}
    assert PICTURE.shape in sizes and len(sizes) > 5
    assert 255 in means and len(means) > 5
