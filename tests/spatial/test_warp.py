import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sirtjax.spatial import (
    AffineTransform,
    DisplacementField,
    floating_coordinates,
    resample,
    rigid_matrix,
    warp,
)
from sirtjax.volume import Geometry, Volume

RNG = np.random.default_rng(2)
FLOATING = Geometry.from_axes(
    (9, 10, 8),
    spacing_mm=(2, 3, 2.5),
    origin_mm=(-8, -14, -9),
    direction=rigid_matrix((0.2, 0.3, -0.1), (0,) * 3, (0,) * 3)[:3, :3],
)
REFERENCE = Geometry.from_axes((6, 5, 7), spacing_mm=(2, 2, -2), origin_mm=(-5, -4, 6))
VALUES = RNG.normal(size=FLOATING.shape).astype(np.float32)
FIELD = DisplacementField(RNG.normal(size=(*REFERENCE.shape, 3)).astype(np.float32), REFERENCE)


@pytest.mark.parametrize("order", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("transform", [AffineTransform(rigid_matrix((0.1, 0, 0.2), (1, 0, 2), (0,) * 3)), FIELD])
def test_is_the_core_of_resample(order, transform):
    ijk = floating_coordinates(transform, REFERENCE, FLOATING)
    expected = resample(Volume(VALUES, FLOATING, unit="1"), REFERENCE, order=order, transform=transform).array
    found = warp(VALUES, ijk, order=order)
    assert (np.abs(found - expected) > 1e-3).mean() < 0.01
    jitted = jax.jit(warp, static_argnames="order")(VALUES, ijk.astype(np.float32), order=order)
    assert (np.abs(jitted - expected) > 1e-3).mean() < 0.01


@pytest.mark.slow
def test_gradients_in_the_image_and_the_field():
    def mean_square(values, displacement):
        ijk = floating_coordinates(DisplacementField(displacement, REFERENCE), REFERENCE, FLOATING)
        return (warp(values, ijk) ** 2).mean()

    # Small steps about points kept clear of the cell faces, where the slope of the interpolation jumps.
    image, u = jnp.asarray(VALUES), jnp.asarray(FIELD.array)
    check_grads(jax.jit(lambda v: mean_square(v, u)), (image,), order=1, modes=["rev"], rtol=1e-2)
    score = jax.jit(mean_square)
    slope = jax.jit(jax.grad(mean_square, argnums=1))(image, u)
    place = floating_coordinates(FIELD, REFERENCE, FLOATING)
    clear = np.abs(place - np.rint(place)).min(axis=-1) > 0.1
    inside = ((place > 0.1) & (place < np.asarray(FLOATING.shape) - 1.1)).all(axis=-1)
    checked = np.argwhere(clear & inside)[:8]
    assert len(checked) == 8
    for index in checked:
        at = (*index, 1)
        ends = [float(score(image, u.at[at].add(step))) for step in (0.05, -0.05)]
        assert float(slope[at]) == pytest.approx((ends[0] - ends[1]) / 0.1, rel=2e-2, abs=2e-5)


def test_unknown_order():
    with pytest.raises(ValueError, match="order must be 'linear', 'nearest' or 'cubic', got 'best'"):
        warp(VALUES, np.zeros((1, 3)), order="best")
