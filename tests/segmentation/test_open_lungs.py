"""Lungs that a circular field of view or a face of the image opens to the outside."""

import numpy as np
import pytest

from sirtjax import segmentation
from sirtjax.errors import ImageFormatError
from sirtjax.volume import Geometry, Volume, crop_geometry, reorient

SHAPE, SPACING_MM = (90, 76, 62), (4.0, 4.0, 4.0)
GRID = Geometry.from_axes(SHAPE, spacing_mm=SPACING_MM, origin_mm=(-178.0, -130.0, -122.0))
TILT = np.radians(15)


def chest(*, lung_hu=-850.0, grid=GRID, sides=(-1, 1), height_mm=100.0, noise_hu=20.0):
    """A body with two lungs, a vessel in each, a trachea up to the upper end, and a foam cushion below."""
    i, j, k = np.indices(grid.shape).astype(np.float32)
    x, y, z = (i - 44.5) * 4.0, (j - 32.5) * 4.0, (k - 30.5) * 4.0
    hu = np.full(grid.shape, -1000.0, np.float32)
    hu[(np.abs(x) < 130) & (y > 100) & (y < 150)] = -880  # a cushion, which touches the back
    hu[(np.abs(x) < 140) & (y > 156) & (y < 164)] = 100  # the table
    body = (x / 165) ** 2 + (y / 118) ** 2 < 1
    hu[body] = 40
    lungs = np.zeros(grid.shape, bool)
    for side in sides:
        lungs |= ((x - side * 76) / 62) ** 2 + (y / 85) ** 2 + (z / height_mm) ** 2 < 1
    hu[lungs] = lung_hu
    hu[lungs & (((np.abs(x) - 100) ** 2 + (y - 10) ** 2) < 4.5**2)] = 30
    hu[(x**2 + (y - 5) ** 2 < 9**2) & (z > 60)] = -1000
    noise = np.random.default_rng(0).normal(0, noise_hu, grid.shape)
    return (hu + noise).astype(np.float32), lungs, x, y


def padded(image, x, y, *, radius_mm=122.0, padding=-3024.0):
    """The image with padding outside a circle."""
    seen = x**2 + y**2 < radius_mm**2
    return np.where(seen, image, np.float32(padding)), seen


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(("padding", "codes"), [(-3024.0, "LPS"), (-2000.0, "IRA"), (-1100.0, "LPS")])
def test_a_circular_field_of_view_loses_no_lung(padding, codes):
    image, lungs, x, y = chest()
    image, seen = padded(image, x, y, padding=padding)
    volume = reorient(Volume(image, GRID, unit="HU"), codes)
    found = segmentation.segment_lungs(volume)
    mask = reorient(found.labels, "LPS").mask("lungs")
    truth = lungs & seen
    assert dsc(mask, truth) > 0.98
    assert found.volumes_ml["lungs"] == pytest.approx(truth.sum() * 0.064, rel=0.02)
    assert not mask[~seen].any() and not mask[y > 100].any()
    (flag,) = found.flags
    assert flag.code == "truncated" and "the field of view ends at the lungs" in flag.message
    assert "may be lung" not in flag.message and "not in the mask" not in flag.message


def test_a_face_of_the_image_loses_no_lung():
    image, lungs, _, y = chest()
    part = (slice(14, None), slice(None), slice(None))
    found = segmentation.segment_lungs(Volume(image[part], crop_geometry(GRID, (14, 0, 0), SHAPE), unit="HU"))
    mask = found.labels.mask("lungs")
    assert dsc(mask, lungs[part]) > 0.98
    assert not mask[y[part] > 100].any()
    (flag,) = found.flags
    assert flag.message.startswith("the image truncates the lungs at its right (")
    assert "may be lung" not in flag.message


@pytest.mark.slow
def test_a_circular_field_of_view_of_a_sheared_image_loses_no_lung():
    shear = np.array([[1, 0, 0], [0, 1, np.sin(TILT)], [0, 0, np.cos(TILT)]])
    grid = Geometry.from_axes(SHAPE, spacing_mm=SPACING_MM, direction=shear)
    image, lungs, x, y = chest()
    image, seen = padded(image, x, y)
    mask = segmentation.segment_lungs(Volume(image, grid, unit="HU")).labels.mask("lungs")
    assert dsc(mask, lungs & seen) > 0.98


def test_the_body_holds_lungs_that_are_open():
    image, lungs, x, y = chest()
    image, seen = padded(image, x, y)
    body = ((x / 165) ** 2 + (y / 118) ** 2 < 1) & seen
    mask = segmentation.segment_body(Volume(image, GRID, unit="HU")).labels.mask("body")
    assert dsc(mask, body) > 0.98 and mask[lungs & seen].mean() > 0.98
    assert not mask[~seen].any() and not mask[y > 122].any()


def test_a_lung_without_an_enclosed_slice_is_flagged():
    # The left lung reaches both ends of the image, and the field of view ends in it in every slice.
    image, lungs, x, y = chest(height_mm=1000.0)
    image, seen = padded(np.where(lungs & (x < -100), 40, image), x + 40, y, radius_mm=115.0, padding=-2000.0)
    found = segmentation.segment_lungs(Volume(image, GRID, unit="HU"))
    mask = found.labels.mask("lungs")
    assert mask[lungs & seen & (x < 0) & (x > -100)].mean() > 0.95 and not mask[x > 0].any()
    (flag,) = found.flags
    assert flag.code == "truncated" and "mL at the edge of the field of view have the density of lung" in flag.message


def test_open_lung_that_is_destroyed_is_flagged():
    image, lungs, x, y = chest()
    wide = np.abs(np.arange(SHAPE[2]) - 30.5) * 4 < 60
    image[lungs & wide[None, None, :]] -= 125  # -975 HU where it is open
    image, seen = padded(image, x, y)
    found = segmentation.segment_lungs(Volume(image, GRID, unit="HU"))
    assert found.volumes_ml["lungs"] < 0.8 * (lungs & seen).sum() * 0.064
    (flag,) = found.flags
    assert flag.code == "truncated" and "open to the edge of the field of view" in flag.message


def test_lungs_that_are_open_in_all_slices_are_named():
    image, _, x, y = chest(height_mm=1000.0)
    image, _ = padded(image, x, y)
    with pytest.raises(ImageFormatError, match=r"no lung in the image: .* but [0-9]+ mL that may be lung, open to"):
        segmentation.segment_lungs(Volume(image, GRID, unit="HU"))


@pytest.mark.parametrize("noise_hu", [0.0, 60.0])
def test_intact_lungs_have_nothing_open(noise_hu):
    image, lungs, x, y = chest(noise_hu=noise_hu)
    for one in (image, padded(image, x, y, radius_mm=172.0)[0]):
        found = segmentation.segment_lungs(Volume(one, GRID, unit="HU"))
        assert dsc(found.labels.mask("lungs"), lungs) > 0.97 and found.flags == ()
