import numpy as np
import pytest

from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry, LabelMap, Volume, bounding_box, crop, crop_geometry, pad

AFFINE = np.array([[0.5, -1.0, 0.2, 3.0], [1.0, 0.8, 0.0, -4.0], [0.1, 0.0, -3.0, 50.0], [0, 0, 0, 1.0]])


def volume() -> Volume:
    return Volume(np.arange(4 * 5 * 6.0).reshape(4, 5, 6), Geometry.from_affine((4, 5, 6), AFFINE), unit="Gy")


def test_crop_keeps_values_in_place():
    part = crop(volume(), (1, 0, 2), (3, 5, 4))
    np.testing.assert_array_equal(part.array, volume().array[1:3, 0:5, 2:4])
    np.testing.assert_allclose(part.geometry.to_world((0, 0, 0)), volume().geometry.to_world((1, 0, 2)))
    assert part.geometry.shape == (2, 5, 2)
    assert part.unit == "Gy"


def test_pad_undoes_crop_and_fills():
    padded = pad(crop(volume(), (1, 0, 2), (3, 5, 4)), (1, 0, 2), (1, 0, 2), fill=-1)
    assert padded.geometry.matches(volume().geometry, tolerance_mm=1e-9)
    assert padded.array[0].max() == -1
    np.testing.assert_array_equal(padded.array[1:3, :, 2:4], volume().array[1:3, :, 2:4])


def test_crop_and_pad_keep_the_names_of_labels():
    labels = LabelMap.from_mask(volume().array > 3, volume().geometry, name="liver")
    assert pad(crop(labels, (0, 0, 0), (2, 2, 2)), (0, 0, 1), (0, 0, 0)).names == ((1, "liver"),)


def test_crop_geometry_may_reach_beyond_the_grid():
    grown = crop_geometry(volume().geometry, (-1, 0, 0), (5, 5, 6))
    assert grown.shape == (6, 5, 6)
    np.testing.assert_allclose(grown.to_world((1, 0, 0)), volume().geometry.to_world((0, 0, 0)))


def test_bounding_box_by_hand():
    mask = np.zeros((5, 6, 7), bool)
    mask[2, 1, 6] = mask[3, 4, 5] = True
    assert bounding_box(mask) == ((2, 1, 5), (4, 5, 7))
    assert bounding_box(mask, margin=2) == ((0, 0, 3), (5, 6, 7))


def test_errors():
    with pytest.raises(GeometryError, match=r"from \(1, 1, 1\) to \(1, 2, 2\) leaves no voxel"):
        crop(volume(), (1, 1, 1), (1, 2, 2))
    with pytest.raises(GeometryError, match="leaves the grid of"):
        crop(volume(), (0, 0, 0), (4, 5, 7))
    with pytest.raises(GeometryError, match="padding must not be negative"):
        pad(volume(), (0, 0, -1), (0, 0, 0))
    with pytest.raises(GeometryError, match="the mask is empty"):
        bounding_box(np.zeros((2, 2, 2), bool))
