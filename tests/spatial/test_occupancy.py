import numpy as np
import pytest

from sirtjax.errors import GeometryError
from sirtjax.spatial import AffineTransform, DisplacementField, occupancy, resample_labels, rigid_matrix
from sirtjax.volume import Geometry, LabelMap


def sphere(rng, spacing_mm, volume_ml, *, oblique) -> LabelMap:
    turn = rigid_matrix(rng.uniform(-0.6, 0.6, 3) * oblique, (0, 0, 0), (0, 0, 0))[:3, :3]
    shape = [int(36 / s) + 1 for s in spacing_mm]
    geometry = Geometry.from_axes(
        shape, spacing_mm=spacing_mm, origin_mm=turn @ rng.uniform(-20, -16, 3), direction=turn
    )
    radius = (volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    ijk = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    away = np.linalg.norm(geometry.to_world(ijk) - geometry.centre_mm - rng.uniform(-1, 1, 3), axis=-1)
    return LabelMap.from_mask(away < radius, geometry, name="lesion")


def around(labels, spacing_mm) -> Geometry:
    shape = (18, 16, 17)
    origin = labels.geometry.centre_mm - spacing_mm * np.asarray(shape) / 2
    return Geometry.from_axes(shape, spacing_mm=(spacing_mm,) * 3, origin_mm=origin)


def total_ml(shares, geometry) -> float:
    return float(shares.sum(dtype=np.float64)) * geometry.voxel_volume_ml


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("grid_mm", [3.0, 4.8])
@pytest.mark.parametrize("spacing_mm", [(1, 1, 1), (0.8, 0.8, 2.5), (3, 3, 3)])
def test_volume_of_a_sphere_of_0_3_ml_is_kept(spacing_mm, grid_mm, oblique):
    rng = np.random.default_rng(int(10 * grid_mm + 100 * spacing_mm[2]))
    for _ in range(4):
        labels = sphere(rng, spacing_mm, 0.3, oblique=oblique)
        geometry = around(labels, grid_mm)
        shares = occupancy(labels, "lesion", geometry)
        assert shares.dtype == np.float32
        assert shares.min() >= 0
        assert shares.max() <= 1
        expected = labels.volume_ml("lesion")
        assert total_ml(shares, geometry) == pytest.approx(expected, rel=0.01 if oblique else 1e-5)


def test_shares_by_hand_on_aligned_grids():
    # One label voxel of 3 mm over i from 1.5 to 4.5 mm, on voxels of 2 mm: [1, 3) holds 1.5 mm, [3, 5) 1.5 mm.
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    labels = LabelMap.from_mask(mask, Geometry.from_axes((3, 3, 3), spacing_mm=(3, 3, 3)), name="a")
    geometry = Geometry.from_axes((5, 5, 5), spacing_mm=(2, 2, 2))
    line = np.array([0, 0.75, 0.75, 0, 0])
    expected = line[:, None, None] * line[:, None] * line
    np.testing.assert_allclose(occupancy(labels, "a", geometry), expected, atol=1e-5)


def test_many_times_finer_and_coarser_maps_are_exact_when_aligned():
    mask = np.zeros((40, 40, 40), bool)
    mask[3:29, 10:11, 5:33] = True
    labels = LabelMap.from_mask(mask, Geometry.from_axes((40, 40, 40), spacing_mm=(0.25,) * 3), name="a")
    coarse = Geometry.from_axes((2, 2, 2), spacing_mm=(5, 5, 5), origin_mm=(2.375, 2.375, 2.375))
    brute = mask.reshape(2, 20, 2, 20, 2, 20).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(occupancy(labels, "a", coarse), brute, atol=2e-3)
    one = np.zeros((2, 2, 2), bool)
    one[1, 0, 1] = True
    large = LabelMap.from_mask(one, coarse, name="a")
    fine = occupancy(large, "a", labels.geometry)
    np.testing.assert_allclose(fine, np.kron(one, np.ones((20, 20, 20))), atol=1e-5)
    assert (fine > 0).sum() == 20**3


def test_through_an_affine_transform_and_a_field():
    labels = sphere(np.random.default_rng(1), (1, 1, 1), 0.5, oblique=True)
    geometry = around(labels, 3.0)
    centre = labels.geometry.centre_mm
    turned = AffineTransform(rigid_matrix((0.5, -0.2, 0.9), (4, -3, 5), centre))
    shares = occupancy(labels, "lesion", geometry, transform=turned)
    assert total_ml(shares, geometry) == pytest.approx(labels.volume_ml("lesion"), rel=0.01)
    grid = Geometry.from_axes((12, 12, 12), spacing_mm=(6, 6, 6), origin_mm=centre - 33)
    shift = np.broadcast_to(np.float32([4.0, -3.0, 5.0]), (12, 12, 12, 3))
    moved = occupancy(labels, "lesion", geometry, transform=DisplacementField(shift, grid))
    expected = occupancy(
        labels, "lesion", geometry, transform=AffineTransform(rigid_matrix((0, 0, 0), (4, -3, 5), centre))
    )
    np.testing.assert_allclose(moved, expected, atol=2e-3)
    weights = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    place = geometry.to_world((weights * expected[..., None]).sum(axis=(0, 1, 2)) / expected.sum())
    middle = labels.geometry.to_world(np.argwhere(labels.mask("lesion")).mean(axis=0))
    np.testing.assert_allclose(place, middle - [4, -3, 5], atol=0.05)


def test_rounded_shares_are_the_nearest_neighbour_of_a_large_label():
    labels = sphere(np.random.default_rng(2), (1, 1, 1), 12.0, oblique=True)
    geometry = around(labels, 2.0)
    nearest = resample_labels(labels, geometry).array == 1
    shares = occupancy(labels, "lesion", geometry)
    assert ((shares > 0.5) != nearest).mean() < 0.03
    assert (shares[nearest] > 0).all()


def test_cut_by_the_grid_outside_it_and_empty():
    mask = np.ones((4, 4, 4), bool)
    labels = LabelMap.from_mask(mask, Geometry.from_axes((4, 4, 4), spacing_mm=(2, 2, 2)), name="a")
    half = Geometry.from_axes((2, 8, 8), spacing_mm=(2, 1, 1), origin_mm=(4, -0.5, -0.5))
    np.testing.assert_allclose(occupancy(labels, "a", half), 1.0, atol=1e-6)
    far = Geometry.from_axes((3, 3, 3), spacing_mm=(1, 1, 1), origin_mm=(99, 0, 0))
    assert not occupancy(labels, "a", far).any()
    assert not occupancy(LabelMap.from_mask(~mask, labels.geometry, name="a"), "a", half).any()
    with pytest.raises(GeometryError, match="no label is named 'b'"):
        occupancy(labels, "b", half)
