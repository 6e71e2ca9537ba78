"""Body and lungs of a CT by HU, on a torso of cylinders."""

import numpy as np
import pytest

from sirtjax import segmentation
from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.volume import Geometry, Volume, reorient

# 250 x 200 x 120 mm, tilted like an oblique grid and with k from head to feet reversed.
SPACING_MM = (2.5, 2.5, 4.0)
SHAPE = (120, 100, 30)


def torso(*, seed=0, lungs=True, gas=True, table=True, shift_hu=0.0, factor=1.0):
    """Soft tissue with two lungs open to the upper end, gas in the bowel that touches one of them, and a table."""
    i, j, k = np.indices(SHAPE).astype(np.float32)
    x, y, z = (i - 59.5) * SPACING_MM[0], (j - 45) * SPACING_MM[1], k * SPACING_MM[2]
    hu = np.full(SHAPE, -1000.0, np.float32)
    body = (x / 125) ** 2 + (y / 85) ** 2 < 1
    hu[body] = 40
    inside = np.zeros(SHAPE, bool)
    if lungs:
        for side in (-1, 1):
            lung = ((x - side * 58) / 45) ** 2 + (y / 60) ** 2 < 1
            inside |= lung & (z > 60)
        vessel = ((x - 58) ** 2 + (y - 10) ** 2 < 4**2) & (z > 70)
        hu[inside] = -820
        hu[vessel & inside] = 30
    if gas:
        hu[((x - 58) ** 2 + y**2 < 25**2) & (z > 25) & (z < 58)] = -995
    if table:
        hu[(np.abs(x) < 140) & (y > 95) & (y < 102)] = 100
    noise = np.random.default_rng(seed).normal(0, 15, SHAPE)
    image = ((hu + noise) * factor + shift_hu).astype(np.float32)
    tilt = np.radians(12)
    direction = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    geometry = Geometry.from_axes(SHAPE, spacing_mm=SPACING_MM, origin_mm=(30, -20, 400), direction=direction)
    return Volume(image, geometry, unit="HU"), body, inside


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("codes", ["LPS", "RAI", "SLP"])
def test_the_body_holds_its_lungs_and_not_the_table(codes):
    volume, body, _ = torso()
    found = segmentation.segment_body(reorient(volume, codes))
    mask = reorient(found.labels, "LPS").mask("body")
    assert dsc(mask, body) > 0.99
    assert found.volumes_ml["body"] == pytest.approx(body.sum() * 0.025, rel=0.02)
    assert found.labels.geometry == reorient(volume, codes).geometry


def test_lungs_with_their_vessels_and_without_gas():
    volume, _, lungs = torso()
    found = segmentation.segment_lungs(volume)
    mask = found.labels.mask("lungs")
    assert dsc(mask, lungs) > 0.97
    assert mask[lungs].mean() > 0.97  # the vessel is part of the lung
    assert not mask[:, :, :11].any()  # gas up to 44 mm
    (flag,) = found.flags
    assert flag.code == "truncated" and "upper" in flag.message and "lower" not in flag.message
    assert set(found.timings_s) == {"find", "back"}


def test_what_is_not_there_is_said():
    with pytest.raises(ImageFormatError, match="no lung in the image: no air-filled component of 40 mL"):
        segmentation.segment_lungs(torso(lungs=False)[0])
    volume, _, _ = torso()
    water = volume.replace(np.where(np.indices(SHAPE)[0] % 30 == 15, 0, -1000).astype(np.float32))
    with pytest.raises(ImageFormatError, match="no body in the image: nothing larger than a table"):
        segmentation.segment_body(water)


def test_only_ct_has_hu():
    volume, _, _ = torso()
    with pytest.raises(ConfigError, match="the image is in Bq/mL; organs are segmented on CT or MR"):
        segmentation.segment_body(volume.replace(volume.array, unit="Bq/mL"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shift_hu": 1024.0}, "above 800, expected almost none in a CT: the values are inverted or have an offset"),
        ({"factor": -1.0}, "are inverted or have an offset"),
        (
            {"factor": 0.01, "shift_hu": 11.0},
            "are below -20, expected fat, lung and air in a CT: the values are not in HU",
        ),
        ({"factor": 0.1, "shift_hu": -900.0}, "are soft tissue"),
    ],
)
def test_numbers_that_are_no_hu_are_refused(change, message):
    with pytest.raises(ImageFormatError, match=message):
        segmentation.segment_body(torso(**change)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda array: np.full_like(array, 3), "the image is 3 everywhere"),
        (lambda array: np.where(array > 0, np.nan, array), "NaN or infinite voxels"),
        (lambda array: np.where(array > 0, np.inf, array), "NaN or infinite voxels"),
    ],
)
def test_images_of_nothing_are_refused(make, message):
    volume, _, _ = torso()
    with pytest.raises(ImageFormatError, match=message):
        segmentation.segment_body(volume.replace(make(volume.array)))


def test_a_slice_is_no_volume():
    volume, _, _ = torso()
    geometry = Geometry.from_axes((120, 100, 1), spacing_mm=SPACING_MM)
    with pytest.raises(ImageFormatError, match="120x100x1 voxels over 4 mm at its thinnest"):
        segmentation.segment_body(Volume(volume.array[:, :, :1], geometry, unit="HU"))
