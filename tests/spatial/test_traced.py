"""Resampling and occupancy of traced arrays: equal to the host's, differentiable, smooth where that is promised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.spatial import (
    AffineTransform,
    DisplacementField,
    mask_occupancy,
    occupancy,
    resample,
    rigid_matrix,
)
from sirtjax.volume import Geometry, LabelMap, Volume

TURN = rigid_matrix((0.1, -0.05, 0.2), (0, 0, 0), (0, 0, 0))[:3, :3]
FLOATING = Geometry.from_axes((13, 11, 12), spacing_mm=(2.0, 2.5, 3.0), origin_mm=(-12, -13, -16), direction=TURN)
REFERENCE = Geometry.from_axes((7, 6, 8), spacing_mm=(4.0, 4.5, 4.1), origin_mm=(-11, -12, -15))
LATTICE = Geometry.from_axes((4, 4, 4), spacing_mm=(11.0, 11.0, 12.0), origin_mm=(-16, -16, -17))


def transform(rng):
    matrix = rigid_matrix((0.05, 0.0, -0.04), (0.7, -0.4, 0.9), (0, 0, 0))
    return DisplacementField(rng.normal(0, 1.0, (4, 4, 4, 3)).astype(np.float32), LATTICE, matrix)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"order": "linear"}, {"order": "nearest"}, {"order": "cubic"}, {"antialias": True}]
)
def test_a_traced_image_is_resampled_as_on_the_host(options):
    rng = np.random.default_rng(3)
    image = Volume(rng.random(FLOATING.shape, np.float32), FLOATING, unit="HU")
    pull = transform(rng)
    expected = resample(image, REFERENCE, transform=pull, **options).array
    found = jax.jit(lambda image, pull: resample(image, REFERENCE, transform=pull, **options))(image, pull)
    assert found.unit == "HU"
    np.testing.assert_allclose(found.array, expected, atol=2e-4)


@pytest.mark.slow
def test_a_traced_label_map_has_the_occupancy_of_the_host():
    rng = np.random.default_rng(4)
    mask = np.zeros(FLOATING.shape, bool)
    mask[3:10, 2:8, 3:9] = True
    labels, pull = LabelMap.from_mask(mask, FLOATING, name="a"), transform(rng)
    expected = occupancy(labels, "a", REFERENCE, transform=pull)
    found = jax.jit(lambda labels, pull: occupancy(labels, "a", REFERENCE, transform=pull))(labels, pull)
    # The host cuts voxels of small masks into more parts.
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert float(found.sum()) == pytest.approx(float(expected.sum()), rel=2e-3)


@pytest.mark.slow
def test_the_gradient_of_an_occupancy_in_the_mask_is_its_weight():
    rng = np.random.default_rng(5)
    share = rng.uniform(0.2, 0.8, FLOATING.shape).astype(np.float32)
    along = rng.random(FLOATING.shape).astype(np.float32)

    def total(step):
        return jnp.sum(mask_occupancy(share + step * along, FLOATING, REFERENCE)[2:5, 2:4, 2:6])

    slope = jax.grad(total)(0.0)
    assert slope == pytest.approx((float(total(jnp.float32(0.2))) - float(total(0.0))) / 0.2, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("order", "one_sided"), [("linear", True), ("cubic", False)])
def test_only_the_cubic_occupancy_has_one_derivative_on_a_node(order, one_sided):
    """A grid that coincides with that of the mask samples it on its voxel centres and half way."""
    grid = Geometry.from_axes((9, 3, 3), spacing_mm=(2, 2, 2))
    share = np.zeros((9, 3, 3), np.float32)
    share[4] = 1.0

    def value(shift_mm):
        matrix = jnp.eye(4).at[0, 3].set(shift_mm)
        return mask_occupancy(share, grid, grid, transform=AffineTransform(matrix), order=order)[4, 1, 1]

    slope = jax.jit(jax.grad(value))
    before, after = float(slope(-1e-3)), float(slope(1e-3))
    assert (abs(before - after) > 0.05) == one_sided


def test_a_cubic_occupancy_is_refused_on_the_host():
    with pytest.raises(InputError, match="order 'cubic' of an occupancy is for arrays that JAX traces"):
        mask_occupancy(np.ones(FLOATING.shape, bool), FLOATING, REFERENCE, order="cubic")
