import jax
import numpy as np
import pytest

from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry, LabelMap, Volume

SHEARED = np.array([[2.0, 0.0, 0.5, 10.0], [0.0, 0.0, -3.0, 20.0], [0.0, 1.5, 1.0, 30.0], [0, 0, 0, 1.0]])


def test_world_and_voxel_by_hand():
    geometry = Geometry.from_affine((4, 5, 6), SHEARED)
    np.testing.assert_allclose(geometry.to_world((1, 2, 3)), [10 + 2 + 1.5, 20 - 9, 30 + 3 + 3])
    np.testing.assert_allclose(geometry.to_voxel([[13.5, 11.0, 36.0]]), [[1, 2, 3]], atol=1e-12)
    np.testing.assert_allclose(geometry.spacing_mm, [2, 1.5, np.sqrt(0.25 + 9 + 1)])
    assert geometry.voxel_volume_ml == pytest.approx(2 * 1.5 * 3 / 1000)
    assert geometry.origin_mm == (10, 20, 30)
    np.testing.assert_allclose(geometry.centre_mm, geometry.to_world((1.5, 2, 2.5)))


def test_from_axes_and_direction_agree():
    direction = np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]])
    geometry = Geometry.from_axes((2, 3, 4), spacing_mm=(1, 2, 3), origin_mm=(5, 6, 7), direction=direction)
    np.testing.assert_allclose(geometry.direction, direction)
    np.testing.assert_allclose(geometry.to_world((1, 1, 1)), [5 + 3, 6 + 1, 7 - 2])


def test_corners_are_the_outer_faces():
    corners = Geometry.from_axes((2, 3, 4), spacing_mm=(1, 2, 3)).corners_mm()
    np.testing.assert_allclose(corners.min(axis=0), [-0.5, -1, -1.5])
    np.testing.assert_allclose(corners.max(axis=0), [1.5, 5, 10.5])


def test_matches_is_about_place_not_numbers():
    first = Geometry.from_affine((4, 5, 6), SHEARED)
    moved = SHEARED.copy()
    moved[0, 3] += 0.02
    assert not first.matches(Geometry.from_affine((4, 5, 6), moved))
    assert first.matches(Geometry.from_affine((4, 5, 6), moved), tolerance_mm=0.05)
    assert not first.matches(Geometry.from_affine((4, 5, 7), SHEARED))


def test_volume_is_a_pytree_with_static_geometry():
    geometry = Geometry.from_affine((4, 5, 6), SHEARED)
    volume = Volume(np.ones((4, 5, 6), np.float32), geometry, unit="HU")
    doubled = jax.jit(lambda v: v.replace(v.array * 2, unit="1"))(volume)
    assert doubled.geometry == geometry
    assert doubled.unit == "1"
    assert float(doubled.array.sum()) == 240


def test_labels_by_name():
    geometry = Geometry.from_axes((2, 2, 2), spacing_mm=(10, 10, 5))
    labels = LabelMap(
        np.array([0, 1, 2, 2, 1, 1, 0, 0]).reshape(2, 2, 2), geometry, names=((1, "liver"), (2, "tumour"))
    )
    assert labels.volume_ml("liver") == pytest.approx(1.5)
    assert labels.mask("tumour").sum() == 2
    with pytest.raises(GeometryError, match="no label is named 'lung'; the map has: liver, tumour"):
        labels.mask("lung")


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((0, 1, 1), np.eye(4), "three positive numbers"),
        ((1, 1), np.eye(4), "three positive numbers"),
        ((1, 1, 1), np.eye(3), "finite 4x4"),
        ((1, 1, 1), np.full((4, 4), np.nan), "finite 4x4"),
        ((1, 1, 1), np.diag([1.0, 1.0, 1.0, 2.0]), "last row"),
        ((1, 1, 1), np.diag([1.0, 0.0, 1.0, 1.0]), "singular"),
    ],
)
def test_unusable_grids(shape, affine, message):
    with pytest.raises(GeometryError, match=message):
        Geometry.from_affine(shape, affine)


def test_wrong_arrays_and_names():
    geometry = Geometry.from_affine((4, 5, 6), SHEARED)
    with pytest.raises(GeometryError, match=r"Volume: array of shape \(5, 4, 6\)"):
        Volume(np.zeros((5, 4, 6)), geometry, unit="HU")
    with pytest.raises(GeometryError, match="distinct and not 0"):
        LabelMap(np.zeros((4, 5, 6), int), geometry, names=((0, "a"), (1, "b")))
