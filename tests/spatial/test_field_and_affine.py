"""A displacement followed by an affine map, T(x) = A (x + u(x)), through every function that takes a transform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax.errors import ComputationError, GeometryError
from sirtjax.spatial import (
    AffineTransform,
    DisplacementField,
    compose,
    floating_coordinates,
    invert,
    invert_field,
    jacobian_determinant,
    occupancy,
    resample,
    resample_activity,
    resample_labels,
    rigid_matrix,
    sample_displacement,
    to_displacement_field,
    transform_points,
    voxel_centres_mm,
)
from sirtjax.spatial._overlap import interior_mask
from sirtjax.volume import Geometry, LabelMap, Volume

BOX = Geometry.from_axes(
    (20, 16, 18),
    spacing_mm=(4, 5, 4.5),
    origin_mm=(-36, -30, -40),
    direction=rigid_matrix((0.2, 0.1, -0.3), (0,) * 3, (0,) * 3)[:3, :3],
)
A = rigid_matrix((0.15, -0.1, 0.2), (14, -9, 22), (5, 5, 5)) @ np.array(
    [[1.1, 0.05, 0, 0], [0, 0.9, 0.1, 0], [0, 0, 1.15, 0], [0, 0, 0, 1]]
)
B = rigid_matrix((-0.2, 0.1, 0.1), (-6, 12, 3), (0, 8, 0)) @ np.diag([0.9, 1.05, 1.1, 1.0])
REFERENCE = Geometry.from_axes(
    (22, 19, 17),
    spacing_mm=(4, 4.5, 5),
    origin_mm=(-40, -38, -36),
    direction=rigid_matrix((0, -0.1, 0.2), (0,) * 3, (0,) * 3)[:3, :3],
)
FLOATING = Geometry.from_axes(
    (40, 38, 36),
    spacing_mm=(3, 3, 4),
    origin_mm=(-50, -66, -60),
    direction=rigid_matrix((0.3, 0, 0.1), (0,) * 3, (0,) * 3)[:3, :3],
)


def fading(size_mm, *, seed, geometry=BOX):
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(*geometry.shape, 3)), (3, 3, 3, 0))
    ramps = [np.minimum(np.arange(n), np.arange(n)[::-1]) for n in geometry.shape]
    window = np.minimum(np.minimum.reduce(np.meshgrid(*ramps, indexing="ij")) / 4, 1)
    values *= size_mm / np.abs(values).max()
    return (values * window[..., None]).astype(np.float32)


FIELD = DisplacementField(fading(9.0, seed=0), BOX, A)
PLAIN = DisplacementField(FIELD.array, BOX)
POINTS = np.random.default_rng(1).uniform(-60, 60, (400, 3))


def apply(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def blurred_noise(geometry, *, seed=3):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=geometry.shape), 2).astype(np.float32)


def test_points_by_hand_inside_and_outside():
    grid = Geometry.from_axes((3, 3, 3), spacing_mm=(2, 2, 2))
    field = DisplacementField(np.full((3, 3, 3, 3), [1.0, 2.0, 3.0], np.float32), grid, np.diag([2.0, 3.0, 4.0, 1.0]))
    # (1, 1, 1) + (1, 2, 3) = (2, 3, 4), then scaled; (9, 1, 1) lies outside the grid and is scaled alone.
    np.testing.assert_allclose(transform_points(field, np.array([[1.0, 1, 1], [9, 1, 1]])), [[4, 9, 16], [18, 3, 4]])
    np.testing.assert_allclose(sample_displacement(field, np.array([[1.0, 1, 1]])), [[1, 2, 3]])


def test_is_the_displacement_then_the_affine_map():
    expected = apply(A, POINTS + sample_displacement(FIELD, POINTS))
    np.testing.assert_allclose(transform_points(FIELD, POINTS), expected, atol=1e-9)


def test_jacobian_is_multiplied_by_the_determinant():
    plain = jacobian_determinant(PLAIN)
    np.testing.assert_allclose(jacobian_determinant(FIELD), np.linalg.det(A[:3, :3]) * plain, rtol=1e-5)
    mirror = DisplacementField(FIELD.array, BOX, np.diag([-1.0, 1, 1, 1]))
    np.testing.assert_allclose(jacobian_determinant(mirror), -plain, rtol=1e-5)
    traced = DisplacementField(jnp.asarray(FIELD.array), BOX, jnp.asarray(A, jnp.float32))
    np.testing.assert_allclose(jax.jit(jacobian_determinant)(traced), jacobian_determinant(FIELD), atol=1e-5)


AFFINE = AffineTransform(B)


def test_an_affine_after_a_field_is_exact_everywhere():
    for field in (FIELD, PLAIN):
        found = compose(AFFINE, field)
        assert found.geometry == BOX and found.array is field.array
        np.testing.assert_allclose(
            transform_points(found, POINTS), transform_points(AFFINE, transform_points(field, POINTS)), atol=1e-9
        )


def test_a_field_after_an_affine_is_exact_everywhere():
    for field in (FIELD, PLAIN):
        found = compose(field, AFFINE)
        expected = transform_points(field, transform_points(AFFINE, POINTS))
        np.testing.assert_allclose(transform_points(found, POINTS), expected, atol=1e-4)


def test_two_fields():
    inner = DisplacementField(fading(6.0, seed=4), BOX, rigid_matrix((0.02, 0, 0.01), (2, 1, -3), (0, 0, 0)))
    found = compose(FIELD, inner)
    np.testing.assert_allclose(found.floating_from_displaced, A @ inner.floating_from_displaced)
    centres = voxel_centres_mm(BOX)
    expected = transform_points(FIELD, transform_points(inner, centres))
    np.testing.assert_allclose(transform_points(found, centres), expected, atol=1e-4)


@pytest.mark.parametrize(
    "pair", [(AFFINE, FIELD), (FIELD, AFFINE), (FIELD, PLAIN), (PLAIN, FIELD)], ids=["aF", "Fa", "Ff", "fF"]
)
def test_composed_on_a_chosen_grid_is_exact_at_its_voxels(pair):
    outer, inner = pair
    found = compose(outer, inner, geometry=REFERENCE)
    assert found.geometry == REFERENCE
    centres = voxel_centres_mm(REFERENCE)
    expected = transform_points(outer, transform_points(inner, centres))
    np.testing.assert_allclose(transform_points(found, centres), expected, atol=1e-4)


@pytest.mark.slow
def test_the_inverse_is_one_of_the_same_kind_and_exact_at_the_carried_voxels():
    found = invert_field(FIELD)
    np.testing.assert_allclose(found.field.floating_from_displaced, np.linalg.inv(A))
    centres = voxel_centres_mm(found.field.geometry)
    np.testing.assert_allclose(centres, apply(A, voxel_centres_mm(BOX)), atol=1e-9)
    missed = np.linalg.norm(transform_points(FIELD, transform_points(found.field, centres)) - centres, axis=-1)
    assert missed.max() < 2e-3
    far = POINTS * 20
    np.testing.assert_allclose(transform_points(invert(FIELD), far), apply(np.linalg.inv(A), far), atol=1e-9)


@pytest.mark.slow
def test_the_inverse_on_a_chosen_grid():
    finer = Geometry.from_axes((60, 60, 60), spacing_mm=(3, 3, 3), origin_mm=apply(A, BOX.centre_mm) - 88)
    back = invert(FIELD, geometry=finer)
    assert back.geometry == finer
    points = np.random.default_rng(1).uniform(-20, 20, (200, 3)) + BOX.centre_mm
    assert np.abs(transform_points(back, transform_points(FIELD, points)) - points).max() < 0.15


@pytest.mark.slow
def test_the_residual_is_a_distance_in_the_floating_space():
    folding = fading(150.0, seed=0)
    scale = np.diag([3.0, 3.0, 3.0, 1.0])
    plain = invert_field(DisplacementField(folding, BOX), iterations=20).residual_mm
    assert invert_field(DisplacementField(folding, BOX, scale), iterations=20).residual_mm == pytest.approx(
        3 * plain, rel=1e-2
    )
    with pytest.raises(ComputationError, match="could not be inverted"):
        invert(DisplacementField(folding, BOX, scale), iterations=20)


@pytest.mark.slow
def test_resampling_equals_sampling_where_the_points_go():
    values = blurred_noise(FLOATING)
    place = FLOATING.to_voxel(transform_points(FIELD, voxel_centres_mm(REFERENCE)))
    np.testing.assert_allclose(floating_coordinates(FIELD, REFERENCE, FLOATING), place, atol=1e-9)
    for order, degree in (("linear", 1), ("cubic", 3)):
        expected = ndimage.map_coordinates(values, np.moveaxis(place, -1, 0), order=degree, mode="mirror")
        found = resample(Volume(values, FLOATING, unit="1"), REFERENCE, order=order, transform=FIELD, fill=0.0).array
        inside = ((place > 0) & (place < np.asarray(FLOATING.shape) - 1)).all(axis=-1)
        assert inside.mean() > 0.7
        np.testing.assert_allclose(found[inside], expected[inside], atol=2e-4)
    labels = LabelMap.from_mask(values > 0, FLOATING, name="a")
    near = np.rint(place[inside]).astype(int)
    agree = resample_labels(labels, REFERENCE, transform=FIELD).array[inside] == labels.array[tuple(near.T)]
    assert agree.mean() > 0.999


def test_occupancy_keeps_a_lesion_that_the_affine_map_has_carried_far():
    """Volume in the reference is that in the floating image over the determinant; its centre comes back to it."""
    distance = np.linalg.norm(voxel_centres_mm(FLOATING) - transform_points(FIELD, np.array([4.0, 2, -3])), axis=-1)
    labels = LabelMap.from_mask(distance < 9, FLOATING, name="lesion")
    shares = occupancy(labels, "lesion", REFERENCE, transform=FIELD)
    local = np.linalg.det(A[:3, :3]) * jacobian_determinant(to_displacement_field(PLAIN, REFERENCE))
    found_ml = float((shares * local).sum()) * REFERENCE.voxel_volume_ml
    assert found_ml == pytest.approx(labels.volume_ml("lesion"), rel=0.02)
    centre = (voxel_centres_mm(REFERENCE) * shares[..., None]).sum(axis=(0, 1, 2)) / shares.sum()
    np.testing.assert_allclose(centre, [4, 2, -3], atol=1.0)
    far = np.eye(4)
    far[:3, 3] = 500
    moved = DisplacementField(FIELD.array, BOX, far @ A)
    elsewhere = Geometry.from_affine(FLOATING.shape, far @ FLOATING.affine)
    same = occupancy(LabelMap(labels.array, elsewhere, names=labels.names), "lesion", REFERENCE, transform=moved)
    np.testing.assert_allclose(same, shares, atol=2e-3)


@pytest.mark.slow
def test_activity_is_kept_and_concentrates_by_both_volume_ratios():
    uniform = Volume(np.full(FLOATING.shape, 7.0, np.float32), FLOATING, unit="Bq/mL")
    inner = Geometry.from_axes((6, 6, 6), spacing_mm=(4, 4, 4), origin_mm=BOX.centre_mm - 10)
    points = voxel_centres_mm(BOX) - BOX.centre_mm
    stretching = DisplacementField((points * [0.2, 0.0, -0.1]).astype(np.float32), BOX, A)
    found = resample_activity(uniform, inner, transform=stretching)
    np.testing.assert_allclose(found.array, 7.0 * 1.2 * 0.9 * np.linalg.det(A[:3, :3]), rtol=2e-3)
    spot = np.zeros(FLOATING.shape, np.float32)
    spot[14:26, 12:24, 12:22] = np.random.default_rng(5).gamma(1.0, 100.0, (12, 12, 10))
    source = Volume(spot, FLOATING, unit="Bq/mL")
    whole = Geometry.from_axes((44, 44, 44), spacing_mm=(4, 4, 4), origin_mm=(-88, -88, -88))
    kept = resample_activity(source, whole, transform=FIELD)
    total = float(kept.array.sum(dtype=np.float64)) * whole.voxel_volume_ml
    assert total == pytest.approx(float(spot.sum(dtype=np.float64)) * FLOATING.voxel_volume_ml, rel=1e-4)


@pytest.mark.slow
def test_interior_of_the_reference_by_brute_force():
    inside = interior_mask(FLOATING, REFERENCE, FIELD)
    place = REFERENCE.to_voxel(transform_points(invert(FIELD, tolerance_mm=0.5), voxel_centres_mm(FLOATING)))
    deep = ((place > 4) & (place < np.asarray(REFERENCE.shape) - 5)).all(axis=-1)
    outside = ((place < -0.5) | (place > np.asarray(REFERENCE.shape) - 0.5)).any(axis=-1)
    assert deep.sum() > 500 and inside[deep].all()
    assert outside.sum() > 500 and not inside[outside].any()


def test_as_field_is_exact_at_its_voxels():
    centres = voxel_centres_mm(REFERENCE)
    for transform in (FIELD, AFFINE):
        found = to_displacement_field(transform, REFERENCE)
        assert found.floating_from_displaced is None and found.array.dtype == np.float32
        expected = transform_points(transform, centres)
        np.testing.assert_allclose(transform_points(found, centres), expected, atol=1e-4)


@pytest.mark.slow
def test_is_differentiable_in_the_displacement_and_the_affine_map():
    points = jnp.asarray(POINTS[:50] / 3, jnp.float32)

    def score(array, matrix):
        return (transform_points(DisplacementField(array, BOX, matrix), points) ** 2).mean()

    arguments = jnp.asarray(FIELD.array), jnp.asarray(A, jnp.float32)
    by_array, by_matrix = jax.jit(jax.grad(score, argnums=(0, 1)))(*arguments)
    for index in ((0, 1), (2, 3), (1, 1)):
        step = 1e-2
        ends = [score(arguments[0], arguments[1].at[index].add(s)) for s in (step, -step)]
        assert float(by_matrix[index]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-2)
    index = tuple(np.unravel_index(int(np.abs(by_array).argmax()), by_array.shape))
    ends = [score(arguments[0].at[index].add(s), arguments[1]) for s in (0.5, -0.5)]
    assert float(by_array[index]) == pytest.approx(float(ends[0] - ends[1]), rel=1e-2)


@pytest.mark.slow
def test_composition_is_differentiable_and_equals_the_host():
    def total(array, matrix):
        return compose(DisplacementField(array, BOX, matrix), PLAIN).array.sum()

    slope = jax.jit(jax.grad(total))(jnp.asarray(FIELD.array), jnp.asarray(A, jnp.float32))
    assert np.isfinite(slope).all() and float(jnp.abs(slope).max()) > 0
    traced = DisplacementField(jnp.asarray(FIELD.array), BOX, jnp.asarray(A, jnp.float32))
    np.testing.assert_allclose(compose(traced, FIELD).array, compose(FIELD, FIELD).array, atol=1e-3)


def test_shape_and_value_are_checked():
    with pytest.raises(GeometryError, match=r"floating_from_displaced must be a 4x4 matrix, got shape \(3, 3\)"):
        DisplacementField(FIELD.array, BOX, np.eye(3))
    image = Volume(blurred_noise(FLOATING), FLOATING, unit="1")
    with pytest.raises(GeometryError, match="singular"):
        resample(image, REFERENCE, transform=DisplacementField(FIELD.array, BOX, np.diag([1.0, 1, 0, 1])))
    with pytest.raises(GeometryError, match="singular"):
        invert(DisplacementField(FIELD.array, BOX, np.diag([1.0, 1, 0, 1])))
