"""Resampling against SimpleITK, an independent program, on random grids and transforms."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from sirtjax.errors import GeometryError, InputError
from sirtjax.spatial import AffineTransform, DisplacementField, resample, resample_labels, rigid_matrix
from sirtjax.volume import Geometry, LabelMap, Volume

ORDERS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "cubic": sitk.sitkBSpline}


def random_geometry(rng, shape, *, extent_mm=60.0, shear=0.0) -> Geometry:
    """An oblique, anisotropic, sometimes flipped grid around the origin, of given shape."""
    spacing = extent_mm / np.asarray(shape) * rng.uniform(0.7, 1.3, 3)
    turn = rigid_matrix(rng.uniform(-np.pi, np.pi, 3), (0, 0, 0), (0, 0, 0))[:3, :3]
    direction = turn @ np.diag(rng.choice([-1, 1], 3)) + shear * rng.uniform(-1, 1, (3, 3))
    direction /= np.linalg.norm(direction, axis=0)
    middle = direction * spacing @ (np.asarray(shape) - 1) / 2
    return Geometry.from_axes(shape, spacing_mm=spacing, origin_mm=rng.uniform(-8, 8, 3) - middle, direction=direction)


def smooth_image(rng, geometry) -> Volume:
    values = ndimage.gaussian_filter(rng.normal(size=geometry.shape), 1.0) * 100
    return Volume(values.astype(np.float32), geometry, unit="HU")


def random_transform(rng, kind):
    matrix = rigid_matrix(rng.uniform(-0.4, 0.4, 3), rng.uniform(-6, 6, 3), rng.uniform(-10, 10, 3))
    if kind == "affine":
        matrix[:3, :3] @= np.diag(rng.uniform(0.8, 1.2, 3)) + rng.uniform(-0.1, 0.1, (3, 3))
    if kind in ("rigid", "affine"):
        return AffineTransform(matrix)
    if kind == "field":
        geometry = random_geometry(rng, (9, 7, 8), extent_mm=70.0)
        values = ndimage.gaussian_filter(rng.normal(size=(9, 7, 8, 3)), (1, 1, 1, 0)) * 15
        return DisplacementField(values.astype(np.float32), geometry)
    return None


def to_sitk(array, geometry):
    vector = array.ndim == 4
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.swapaxes(array, 0, 2)), isVector=vector)
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction.ravel().tolist())
    return image


def sitk_transform(transform):
    if isinstance(transform, DisplacementField):
        return sitk.DisplacementFieldTransform(to_sitk(transform.array.astype(np.float64), transform.geometry))
    result = sitk.AffineTransform(3)
    if transform is not None:
        result.SetMatrix(transform.floating_from_reference[:3, :3].ravel().tolist())
        result.SetTranslation(transform.floating_from_reference[:3, 3].tolist())
    return result


def by_sitk(array, geometry, reference, transform, order, fill):
    result = sitk.Resample(
        to_sitk(array, geometry),
        reference.shape,
        sitk_transform(transform),
        ORDERS[order],
        reference.origin_mm,
        reference.spacing_mm,
        reference.direction.ravel().tolist(),
        fill,
    )
    return np.swapaxes(sitk.GetArrayFromImage(result), 0, 2)


def assert_close(found, expected, order):
    """Equal to 1e-3 of the range, but for points that rounding moves over a face or a half-way point."""
    limit = 1e-3 * (expected.max() - expected.min())
    if order == "nearest":
        limit = 1e-4
    assert (np.abs(found - expected) > limit).mean() < 1e-3
    assert (expected != -1024).mean() > 0.02


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize("kind", ["identity", "rigid", "affine", "field"])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.slow
def test_equals_simpleitk(order, kind, seed):
    rng = np.random.default_rng(100 * seed + len(kind))
    volume = smooth_image(rng, random_geometry(rng, tuple(rng.integers(8, 26, 3))))
    reference = random_geometry(rng, tuple(rng.integers(6, 30, 3)))
    transform = random_transform(rng, kind)
    found = resample(volume, reference, order=order, transform=transform)
    assert found.geometry == reference
    assert found.unit == "HU"
    expected = by_sitk(volume.array, volume.geometry, reference, transform, order, -1024.0)
    assert_close(found.array, expected, order)


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize("seed", range(3))
def test_sheared_grids_sample_the_right_places(order, seed):
    # SimpleITK takes no sheared grid; the shear is undone by an affine transform between straight ones.
    rng = np.random.default_rng(seed)
    source, target = (random_geometry(rng, shape, shear=0.25) for shape in ((12, 17, 9), (14, 8, 16)))
    volume = smooth_image(rng, source)
    straight_source = Geometry.from_axes(source.shape, spacing_mm=(1, 1, 1))
    straight_target = Geometry.from_axes(target.shape, spacing_mm=(1, 1, 1))
    matrix = source.voxel_from_world @ target.affine
    expected = by_sitk(volume.array, straight_source, straight_target, AffineTransform(matrix), order, -1024.0)
    assert_close(resample(volume, target, order=order).array, expected, order)


@pytest.mark.parametrize("shape", [(1, 12, 9), (2, 1, 7), (1, 1, 1)])
@pytest.mark.parametrize("order", ["linear", "nearest", "cubic"])
def test_single_slices(shape, order):
    rng = np.random.default_rng(0)
    volume = Volume(
        rng.normal(size=shape).astype(np.float32), Geometry.from_axes(shape, spacing_mm=(3, 2, 1)), unit="1"
    )
    found = resample(volume, volume.geometry, order=order)
    np.testing.assert_allclose(found.array, volume.array, atol=1e-5)


def test_a_point_by_hand():
    # Voxel (i, j, k) holds 100 i + 10 j + k; the reference's only voxel is at (1.5, 1, 2.25) mm = (1.5, 0.5, 0.75).
    i, j, k = np.ogrid[:4, :3, :2]
    volume = Volume(100.0 * i + 10.0 * j + k, Geometry.from_axes((4, 3, 2), spacing_mm=(1, 2, 3)), unit="1")
    reference = Geometry.from_axes((1, 1, 1), spacing_mm=(1, 1, 1), origin_mm=(1.5, 1, 2.25))
    np.testing.assert_allclose(resample(volume, reference).array, [[[155.75]]], rtol=1e-6)
    shift = AffineTransform(rigid_matrix((0, 0, 0), (1, 0, 0), (0, 0, 0)))
    np.testing.assert_allclose(resample(volume, reference, transform=shift).array, [[[255.75]]], rtol=1e-6)


def test_larger_than_one_chunk_and_back():
    geometry = Geometry.from_axes((70, 80, 90), spacing_mm=(1, 1, 1))
    values = np.random.default_rng(0).normal(size=geometry.shape).astype(np.float32)
    np.testing.assert_array_equal(resample(Volume(values, geometry, unit="1"), geometry, order="nearest").array, values)


def test_fill_by_unit_and_by_choice():
    far = Geometry.from_axes((2, 2, 2), spacing_mm=(1, 1, 1), origin_mm=(900, 0, 0))
    here = Geometry.from_axes((3, 3, 3), spacing_mm=(1, 1, 1))
    values = np.ones((3, 3, 3), np.float32)
    assert (resample(Volume(values, here, unit="HU"), far).array == -1024).all()
    assert (resample(Volume(values, here, unit="Gy"), far).array == 0).all()
    assert (resample(Volume(values, here, unit="Gy"), far, fill=7.0, antialias=True).array == 7).all()


def test_labels_equal_simpleitk_and_keep_type_and_names():
    rng = np.random.default_rng(8)
    geometry, reference = random_geometry(rng, (15, 12, 10)), random_geometry(rng, (9, 21, 14))
    array = (rng.integers(0, 4, geometry.shape) * 16_000).astype(np.uint16)
    labels = LabelMap(array, geometry, names=((16_000, "a"), (32_000, "b"), (48_000, "c")))
    transform = random_transform(rng, "field")
    found = resample_labels(labels, reference, transform=transform)
    assert found.array.dtype == np.uint16
    assert found.names == labels.names
    expected = by_sitk(array, geometry, reference, transform, "nearest", 0.0)
    assert (found.array != expected).mean() < 1e-3
    assert set(np.unique(found.array)) <= {0, 16_000, 32_000, 48_000}


@pytest.mark.parametrize("ratio", [2.0, 3.7, 6.0])
def test_antialias_is_the_mean_over_the_voxel(ratio):
    rng = np.random.default_rng(4)
    geometry = Geometry.from_axes((48, 48, 48), spacing_mm=(1, 1, 1))
    noise = Volume(rng.normal(size=geometry.shape).astype(np.float32), geometry, unit="1")
    reference = Geometry.from_axes((5, 5, 5), spacing_mm=(ratio,) * 3, origin_mm=(12.0, 12.0, 12.0))
    found = resample(noise, reference, antialias=True).array
    # The mean of white noise over a voxel has a spread of ratio ** -1.5; a point sample has at least 0.35.
    assert found.std() < 1.4 * ratio**-1.5
    ramp = Volume(np.broadcast_to(np.arange(48.0)[:, None, None], (48,) * 3), geometry, unit="1")
    places = reference.to_world((2, 2, 2))[0]
    assert resample(ramp, reference, antialias=True).array[2, 2, 2] == pytest.approx(places, abs=1e-4)


@pytest.mark.parametrize(("spacing_mm", "error"), [(3.4, 0.06), (9.1, 0.35)])
def test_antialias_equals_the_mean_of_many_samples(spacing_mm, error):
    # Blocks are averaged first for the coarser grid, which blurs by half a block more.
    rng = np.random.default_rng(5)
    volume = smooth_image(rng, random_geometry(rng, (40, 36, 44)))
    shape = (4, 3, 4) if spacing_mm > 5 else (10, 8, 9)
    reference = random_geometry(rng, shape, extent_mm=spacing_mm * 4 if spacing_mm > 5 else spacing_mm * 9)
    found = resample(volume, reference, antialias=True).array
    parts = (np.arange(8) + 0.5) / 8 - 0.5
    total = np.zeros(shape)
    for offset in np.stack(np.meshgrid(parts, parts, parts, indexing="ij"), axis=-1).reshape(-1, 3):
        affine = reference.affine
        affine[:3, 3] = reference.to_world(offset)
        total += by_sitk(volume.array, volume.geometry, Geometry.from_affine(shape, affine), None, "linear", -1024.0)
    expected = total / 512
    inside = expected > -500
    assert inside.mean() > 0.9
    assert (found - expected)[inside].std() < error * expected[inside].std()
    at_centres = resample(volume, reference).array
    assert (at_centres - expected)[inside].std() > 2 * (found - expected)[inside].std()


def test_errors():
    volume = Volume(np.zeros((2, 2, 2)), Geometry.from_axes((2, 2, 2), spacing_mm=(1, 1, 1)), unit="1")
    with pytest.raises(InputError, match="order must be 'linear', 'nearest' or 'cubic', got 'quintic'"):
        resample(volume, volume.geometry, order="quintic")
    with pytest.raises(InputError, match="antialias averages"):
        resample(volume, volume.geometry, order="cubic", antialias=True)
    with pytest.raises(GeometryError, match="singular"):
        resample(volume, volume.geometry, transform=AffineTransform(np.diag([1.0, 0.0, 1.0, 1.0])))
    labels = LabelMap(np.full((2, 2, 2), 2**40), volume.geometry, names=((2**40, "x"),))
    with pytest.raises(InputError, match="label values must fit in 32 bits"):
        resample_labels(labels, volume.geometry)
    two = Volume(np.zeros((2, 2, 2, 2)), volume.geometry, unit="1")
    huge = Geometry.from_axes((2**11, 2**10, 2**10), spacing_mm=(1, 1, 1))
    coarse = Geometry.from_axes((3, 3, 3), spacing_mm=(1000, 500, 500))
    with pytest.raises(GeometryError, match="an image of 2147483648 voxels is too large to resample; crop it first"):
        resample(Volume(np.broadcast_to(np.float32(0), huge.shape), huge, unit="1"), coarse)
    with pytest.raises(GeometryError, match="one image at a time"):
        resample(two, volume.geometry)
