"""The flag of a truncated liver: faces of the image, and the edge of the field of view inside the image."""

import numpy as np
import pytest

from sirtjax import spatial
from sirtjax.segmentation._flags import edge_flags
from sirtjax.volume import Geometry, LabelMap, Volume

# Slices of a tilted gantry are 4 mm apart along k, and less across them.
TILT = np.deg2rad(20)
SHEARED = np.array([[1, 0, 0], [0, 1, np.sin(TILT)], [0, 0, np.cos(TILT)]])
GRIDS = {
    "straight": Geometry.from_axes((80, 80, 40), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(-158.0, -158.0, -78.0)),
    "fine": Geometry.from_axes((320, 320, 8), spacing_mm=(1.0, 1.0, 20.0), origin_mm=(-159.5, -159.5, -70.0)),
}
RADIUS_MM = 50.0


def patient(grid, *, padding, field_mm, unit="HU", skin_mm=120.0):
    """A ball of liver around (60, 0, 0) in a cylinder of tissue, imaged up to a distance from the middle."""
    points = spatial.voxel_centres_mm(grid)
    axis = np.linalg.norm(points[..., :2], axis=-1)
    rng = np.random.default_rng(0)
    values = np.where(axis < skin_mm, 40.0 if unit == "HU" else 300.0, -1000.0 if unit == "HU" else 0.0)
    values += np.abs(rng.normal(0, 20, grid.shape)) * (axis < skin_mm)
    seen = axis < field_mm
    liver = (np.linalg.norm(points - np.array([60.0, 0, 0]), axis=-1) < RADIUS_MM) & seen
    image = Volume(np.where(seen, values, padding).astype(np.float32), grid, unit=unit)
    return image, LabelMap.from_mask(liver, grid, name="liver")


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(("padding", "unit"), [(-3024.0, "HU"), (-2000.0, "HU"), (-1024.0, "HU"), (0.0, "1")])
def test_a_circular_field_of_view_that_truncates_the_liver_is_flagged(grid, padding, unit):
    image, labels = patient(grid, padding=padding, field_mm=80.0, unit=unit)
    (flag,) = edge_flags(labels, "liver", image)
    assert flag.code == "truncated" and "the field of view ends at the liver" in flag.message
    # The cylinder of 80 mm cuts a ball of 50 mm; its area from a fine set of angles. Voxels have steps.
    angle = np.linspace(-np.pi, np.pi, 100_001)
    height = np.sqrt(np.maximum(RADIUS_MM**2 - (80 * np.cos(angle) - 60) ** 2 - (80 * np.sin(angle)) ** 2, 0))
    area_cm2 = float(np.mean(2 * height)) * 2 * np.pi * 80 / 100
    found_cm2 = float(flag.message.split(": ")[1].split(" cm2")[0])
    assert 0.8 * area_cm2 < found_cm2 < 1.5 * area_cm2


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(("padding", "field_mm"), [(-3024.0, 140.0), (-1000.0, 140.0)])
def test_a_liver_inside_the_field_of_view_is_not_flagged(grid, padding, field_mm):
    # The skin is 10 mm from the liver, and the air outside it has one value.
    image, labels = patient(grid, padding=padding, field_mm=field_mm)
    assert edge_flags(labels, "liver", image) == ()


def test_gas_at_the_liver_is_not_the_edge_of_the_field_of_view():
    grid = GRIDS["straight"]
    image, labels = patient(grid, padding=-1000.0, field_mm=140.0)
    values = np.array(image.array)
    gas = np.linalg.norm(spatial.voxel_centres_mm(grid) - np.array([0.0, 0, 0]), axis=-1) < 20
    values[gas & ~labels.mask("liver")] = -1000
    assert edge_flags(labels, "liver", Volume(values, grid, unit="HU")) == ()


def test_areas_at_the_faces_of_a_sheared_image():
    grid = Geometry.from_axes((20, 20, 20), spacing_mm=(4.0, 4.0, 4.0), direction=SHEARED)
    mask = np.zeros(grid.shape, bool)
    mask[0, 5:15, 5:15] = True  # 16 cm2, times the cosine of the tilt
    image = Volume(np.random.default_rng(0).normal(40, 10, grid.shape).astype(np.float32), grid, unit="HU")
    (flag,) = edge_flags(LabelMap.from_mask(mask, grid, name="liver"), "liver", image)
    assert flag.message == f"the image truncates the liver at its right ({16 * np.cos(TILT):.0f} cm2) side"
