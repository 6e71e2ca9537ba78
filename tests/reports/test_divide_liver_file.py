"""A liver file is divided with its lesions, and an activity image that contains a part of it is reported."""

import numpy as np
import pytest

from sirtjax import formats, io, reports
from sirtjax.volume import Geometry, LabelMap, Volume, crop_geometry

GRID = Geometry.from_axes((20, 16, 12), spacing_mm=(4.0, 5.0, 6.0))
VOXEL_ML = 4 * 5 * 6 / 1000


@pytest.fixture
def folder(tmp_path):
    """A liver with one lesion inside and a spleen next to it in one label map; two territories; uniform activity."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:14, 2:14, 2:10] = 1
    labels[4:7, 5:9, 4:7] = 2
    labels[16:19, 2:8, 2:8] = 3
    names = ((1, "liver"), (2, "tumour"), (3, "spleen"))
    io.write_labels(tmp_path / "organs.nii.gz", LabelMap(labels, GRID, names=names))
    right = np.arange(20)[:, None, None] < np.full(GRID.shape, 8)
    for name, mask in (("right", right), ("left", ~right)):
        io.write_labels(tmp_path / f"{name}.nii.gz", LabelMap.from_mask(mask, GRID, name=name))
    even = np.ones(GRID.shape, np.float32)
    io.write_nifti(tmp_path / "spect.nii.gz", Volume(even, GRID, unit="counts"))
    part = crop_geometry(GRID, (0, 0, 0), (20, 16, 6))
    io.write_nifti(tmp_path / "short.nii.gz", Volume(even[:, :, :6], part, unit="counts"))
    return tmp_path


def divided(folder, **options):
    notes = []
    found = reports.divide_liver_file(
        folder / "organs.nii.gz",
        folder / "territories.nii.gz",
        masks=[folder / "right.nii.gz", folder / "left.nii.gz"],
        liver_name="liver",
        on_note=notes.append,
        **options,
    )
    return found, notes


def test_lesions_of_the_same_file_belong_to_the_territories(folder):
    found, notes = divided(folder)
    assert found.shares.volume_ml == pytest.approx((6 * 12 * 8 * VOXEL_ML, 6 * 12 * 8 * VOXEL_ML))
    assert found.shares.liver_volume_ml == pytest.approx(12 * 12 * 8 * VOXEL_ML)
    assert formats.read_masks(found.output)["right"].mask("right")[5, 6, 5]
    (note,) = notes
    assert "organs.nii.gz: the liver includes tumour, contoured inside it in the same file" in note


def test_an_activity_image_of_a_part_of_the_liver_is_reported(folder):
    found, notes = divided(folder, activity=folder / "short.nii.gz")
    assert found.shares.activity_fraction == pytest.approx((0.5, 0.5))
    assert any("short.nii.gz: contains only 50 % of the liver" in note for note in notes)
    _, notes = divided(folder, activity=folder / "spect.nii.gz", force=True)
    assert not any("spect" in note for note in notes)
