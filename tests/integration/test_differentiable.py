"""The pipeline differentiated end to end: lesion dose as a function of where the mask comes to lie."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import dosimetry, spatial
from sirtjax.volume import Geometry

GRID = Geometry.from_axes((36, 30, 26), spacing_mm=(3.0, 3.5, 4.0), origin_mm=(-52.0, -50.0, -50.0))
MASK_GRID = Geometry.from_axes((54, 52, 50), spacing_mm=(2.0, 2.0, 2.0), origin_mm=(-53.0, -51.0, -49.0))
RADIUS = dosimetry.kernel_radius_voxels(
    GRID.spacing_mm, radial=dosimetry.get_radial_kernel("y90-graves2019-water"), medium_density_g_per_ml=1.05
)


def _soft_ball(geometry: Geometry, centre_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    points = spatial.voxel_centres_mm(geometry)
    distance = np.linalg.norm(points - np.asarray(centre_mm), axis=-1)
    return (1 / (1 + np.exp((distance - radius_mm) / 2.0))).astype(np.float32)


LESION = _soft_ball(MASK_GRID, (5.0, -4.0, 3.0), 14.0)
ACTIVITY = 1.0 + 4.0 * _soft_ball(GRID, (8.0, -2.0, 3.0), 16.0)
ACTIVITY = (ACTIVITY / ACTIVITY.sum() * 400.0).astype(np.float32)


def mean_lesion_dose_gy(shift_mm: jax.Array, activity_mbq: jax.Array, mask: jax.Array) -> jax.Array:
    """Mask carried by a displacement field, activity to dose by the kernel, mean dose in the warped mask."""
    field = jnp.broadcast_to(shift_mm, (*GRID.shape, 3))
    transform = spatial.DisplacementField(field, GRID)
    weight = spatial.warp(mask, spatial.floating_coordinates(transform, GRID, MASK_GRID))
    record = dosimetry.get_nuclide("y90-icrp107")
    dose = dosimetry.kernel_dose_gy(
        activity_mbq,
        jnp.full(GRID.shape, 1.05, jnp.float32),
        jnp.zeros(GRID.shape, jnp.float32),
        jnp.asarray(GRID.spacing_mm, jnp.float32),
        constant=jnp.float32(record.dose_constant_gy_kg_per_gbq),
        radial=dosimetry.get_radial_kernel("y90-graves2019-water"),
        medium_density_g_per_ml=jnp.float32(1.05),
        radius_voxels=RADIUS,
    )
    return jnp.sum(dose * weight) / jnp.sum(weight)


dose_of = jax.jit(mean_lesion_dose_gy)
slopes_of = jax.jit(jax.grad(mean_lesion_dose_gy, argnums=(0, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gradient_of_lesion_dose_by_displacement_is_the_finite_difference(axis: int) -> None:
    at = np.asarray([1.3, -0.7, 2.1], np.float32)
    gradient = np.asarray(slopes_of(at, ACTIVITY, LESION)[0])
    step = np.zeros(3, np.float32)
    step[axis] = 0.1  # short of the next kink of the linear interpolation
    difference = float(dose_of(at + step, ACTIVITY, LESION) - dose_of(at - step, ACTIVITY, LESION)) / 0.2
    assert abs(gradient).max() > 0.1
    assert gradient[axis] == pytest.approx(difference, rel=0.02, abs=0.01)


@pytest.mark.slow
def test_gradient_points_to_the_hot_spot() -> None:
    # A pull by +u shows the floating image at x + u: the mask moves by -u, so more dose means a shift away from the
    # vector from the mask to the hot spot.
    gradient, _ = slopes_of(np.zeros(3, np.float32), ACTIVITY, LESION)
    towards_hot_spot = np.asarray([3.0, 2.0, 0.0])
    assert float(np.dot(gradient, towards_hot_spot)) < 0


@pytest.mark.slow
def test_a_cohort_in_one_call_equals_patient_by_patient() -> None:
    shifts = np.asarray([[0.0, 0.0, 0.0], [4.0, -2.0, 1.0], [-3.0, 0.5, 2.0]], np.float32)
    activities = np.stack([ACTIVITY, ACTIVITY * 2, ACTIVITY[::-1]])
    together = jax.jit(jax.vmap(partial(mean_lesion_dose_gy, mask=LESION)))(shifts, activities)
    single = [dose_of(s, a, LESION) for s, a in zip(shifts, activities, strict=True)]
    np.testing.assert_allclose(together, single, rtol=2e-5)


@pytest.mark.slow
def test_dose_is_linear_in_activity_and_so_is_its_gradient() -> None:
    nowhere = np.zeros(3, np.float32)
    _, gradient = slopes_of(nowhere, ACTIVITY, LESION)
    by_gradient = float(np.vdot(gradient, ACTIVITY))
    assert by_gradient == pytest.approx(float(dose_of(nowhere, ACTIVITY, LESION)), rel=1e-4)
