"""How images are scaled before they are compared: windows with tails, the shading of MR, the body."""

import numpy as np
import pytest
import SimpleITK as sitk
import small_patient as small

from sirtjax.registration._intensity import body_mask, on_lattice, scaled_image, shading
from sirtjax.spatial import voxel_centres_mm
from sirtjax.volume import Geometry, Volume

LATTICE = Geometry.from_axes((48, 40, 36), spacing_mm=(5.0, 5.0, 5.0), origin_mm=(-108.0, -106.0, -48.0))
TAILS = small.preset(intensity={"window_hu": [-100.0, 200.0], "tails": [0.4, 0.2]})


def test_tails_keep_apart_what_is_outside_the_window():
    hu = np.array([-1200, -1000, -550, -100, 50, 200, 700, 1200, 3000], np.float32)
    geometry = Geometry.from_axes((9, 4, 4), spacing_mm=(4.0, 4.0, 4.0))
    image = Volume(np.tile(hu[:, None, None], (1, 4, 4)), geometry, unit="HU")
    values = scaled_image(on_lattice(image, geometry, TAILS), TAILS)
    np.testing.assert_allclose(values[:, 1, 1], [0, 0, 0.2, 0.4, 0.6, 0.8, 0.9, 1, 1], atol=1e-6)


def test_without_tails_the_window_is_all():
    plain = small.preset(intensity={"window_hu": [-100.0, 200.0]})
    hu = np.array([-1000, -100, 50, 200, 900], np.float32)
    geometry = Geometry.from_axes((5, 4, 4), spacing_mm=(4.0, 4.0, 4.0))
    image = Volume(np.tile(hu[:, None, None], (1, 4, 4)), geometry, unit="HU")
    values = scaled_image(on_lattice(image, geometry, plain), plain)
    np.testing.assert_allclose(values[:, 1, 1], [0, 0, 0.5, 1, 1], atol=1e-6)


def shaded():
    """An MR-like image of the patient and the shade that was put on it."""
    points = voxel_centres_mm(LATTICE)
    x, y, z = np.moveaxis((points - small.LIVER_MM) / 100, -1, 0)
    shade = np.exp(0.3 * np.sin(1.2 * z + 0.5 * x) - 0.2 * y)
    bright = np.clip(small.density(points) + 400, 0, None)
    return (bright * shade).astype(np.float32), shade, bright > 200


def test_most_of_the_shading_is_found():
    """In a body whose own tissues differ by more than its shade does."""
    image, shade, body = shaded()
    found = shading(image, np.ones_like(image))
    ratio = (found / shade)[body]
    assert np.std(np.log(shade[body])) > 0.15
    assert np.std(np.log(ratio)) < 0.5 * np.std(np.log(shade[body]))


def test_shading_of_an_empty_image_is_one():
    np.testing.assert_array_equal(shading(np.zeros((24, 24, 24), np.float32), np.ones((24, 24, 24), np.float32)), 1)


def test_only_images_without_unit_are_flattened():
    image, _, body = shaded()
    config = small.preset()
    spread = {}
    for unit, bias_correction in (("1", False), ("1", True), ("Bq/mL", False), ("Bq/mL", True)):
        values = scaled_image(
            on_lattice(Volume(image, LATTICE, unit=unit), LATTICE, config), config, bias_correction=bias_correction
        )
        spread[unit, bias_correction] = values[body].std() / values[body].mean()
    assert spread["1", True] < 0.8 * spread["1", False]
    assert spread["Bq/mL", True] == spread["Bq/mL", False]


@pytest.mark.parametrize("unit", ["HU", "1"])
def test_the_body_is_filled_and_grown_by_a_centimetre(unit):
    points = voxel_centres_mm(LATTICE)
    x, y, _ = np.moveaxis(points, -1, 0)
    radius = np.sqrt(((x - 5) / 90) ** 2 + ((y + 2) / 70) ** 2)
    lungs = np.hypot(x - 45, y) < 22
    inside = (radius < 1) & ~lungs
    table = (np.abs(y - 88) < 3) & (np.abs(x) < 60)  # under the patient, not the largest piece
    image = np.where(inside | table, 40.0, -1000.0) if unit == "HU" else np.where(inside, 300.0, 10.0)
    found = body_mask(on_lattice(Volume(image.astype(np.float32), LATTICE, unit=unit), LATTICE, TAILS), LATTICE) > 0
    assert found[(radius < 1) | lungs].all()
    assert not found[radius > 1.35].any()


def test_without_a_body_everything_counts():
    empty = Volume(np.full(LATTICE.shape, -1000, np.float32), LATTICE, unit="HU")
    assert body_mask(on_lattice(empty, LATTICE, TAILS), LATTICE).all()


def test_the_threshold_of_other_images_is_otsus():
    from sirtjax.registration._intensity import otsu_threshold

    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(20, 8, 6000), rng.normal(200, 40, 3000)]).astype(np.float32)
    image = sitk.GetImageFromArray(values.reshape(90, 100))
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.SetNumberOfHistogramBins(128)
    otsu.Execute(image)
    assert otsu_threshold(values) == pytest.approx(otsu.GetThreshold(), abs=4)
