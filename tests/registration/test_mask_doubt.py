"""Which mask contradicts the images."""

import numpy as np
import pytest
import small_patient as small

from sirtjax.registration import Side
from sirtjax.registration._mask_doubt import doubtful_mask
from sirtjax.spatial import voxel_centres_mm
from sirtjax.volume import LabelMap

WIDE = small.grid((64, 52, 56), (3.5, 3.5, 4.0))


def sides(change=None, *, which=0, floating=None):
    """The patient twice, one liver mask changed: `change` takes points and the true mask."""
    found = []
    for number, grid in enumerate((WIDE, WIDE)):
        mask = small.masks(grid, lesion=False)["liver"].mask("liver")
        if change is not None and number == which:
            mask = change(voxel_centres_mm(grid), mask)
        image = small.image(grid) if number == 0 or floating is None else floating
        found.append(Side(image=image, masks={"liver": LabelMap.from_mask(mask, grid, name="liver")}))
    return found[0], found[1]


def with_a_mass(points, mask):
    """A ball below the liver, in other tissue."""
    return mask | (np.linalg.norm(points - small.LIVER_MM - [-55, 0, -45], axis=-1) < 40)


def without_a_half(points, mask):
    return mask & (points[..., 0] > small.LIVER_MM[0])


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("change", [with_a_mass, without_a_half])
def test_the_mask_that_was_changed_is_named(change, which):
    said = doubtful_mask(sides(change, which=which), small.FULL)
    assert said is not None and said.startswith(f"the {('reference', 'floating')[which]} liver mask is in doubt")


def test_masks_in_different_places():
    away = doubtful_mask(
        sides(lambda p, _: np.linalg.norm(p - small.LIVER_MM - [-75, 0, 0], axis=-1) < 25, which=1), small.FULL
    )
    assert away is not None and "mark different places" in away


def test_images_of_different_content_name_no_mask():
    other = small.image(WIDE, lambda points: points[..., [1, 2, 0]] * 1.3 + 40.0)
    assert doubtful_mask(sides(floating=other), small.FULL) is None
