import deformations
import jax
import numpy as np
import pytest

from sirtjax import losses
from sirtjax.spatial import DisplacementField, jacobian_determinant
from sirtjax.volume import Geometry

# Compiled: running every operation by itself would compile each of them.
jacobian_matrix, jacobian_on_grid = jax.jit(losses.jacobian_matrix), jax.jit(losses.jacobian_on_grid)
folding_penalty, volume_change_penalty = jax.jit(losses.folding_penalty), jax.jit(losses.volume_change_penalty)
folding_slope = jax.jit(jax.value_and_grad(losses.folding_penalty))
volume_change_slope = jax.jit(jax.value_and_grad(losses.volume_change_penalty))

SPACING_MM = deformations.SPACING_MM
ONES = np.ones(deformations.SHAPE, "f4")


def squeezed(ratio):
    """The field that squeezes the second axis to `ratio` of its length."""
    return deformations.linear(np.diag([1.0, ratio, 1.0]))


def test_matrix_of_an_affine_motion_is_its_matrix():
    found = np.asarray(jacobian_matrix(deformations.linear(deformations.SHEARING, shift_mm=(4, 5, 6)), SPACING_MM))
    assert found.shape == (*deformations.SHAPE, 3, 3)
    np.testing.assert_allclose(found, np.broadcast_to(deformations.SHEARING, found.shape), atol=1e-5)


def test_matrix_equals_numpys_gradient():
    u = deformations.rough()
    expected = np.stack(np.gradient(u, *SPACING_MM, axis=(0, 1, 2)), axis=-1) + np.eye(3, dtype="f4")
    np.testing.assert_allclose(jacobian_matrix(u, SPACING_MM), expected, atol=1e-5)
    np.testing.assert_allclose(jacobian_on_grid(u, SPACING_MM), np.linalg.det(expected), atol=1e-5)


def test_determinant_equals_that_of_a_field_in_space():
    u = deformations.rough()
    affine = np.diag([*SPACING_MM.astype(float), 1.0])
    affine[:3, 3] = -40, 12, 7
    field = DisplacementField(u, Geometry.from_affine(u.shape[:3], affine))
    np.testing.assert_allclose(jacobian_on_grid(u, SPACING_MM), jacobian_determinant(field), atol=1e-5)


def test_an_axis_of_one_voxel_is_constant():
    u = deformations.rough()[:, :, :1]
    found = jacobian_on_grid(u, SPACING_MM)
    np.testing.assert_allclose(found, jacobian_on_grid(np.repeat(u, 3, axis=2), SPACING_MM)[..., :1], atol=1e-6)


@pytest.mark.parametrize(
    ("ratio", "floor", "penalty"), [(1, 0.1, 0), (0.11, 0.1, 0), (0.05, 0.1, 0.25), (0, 0.2, 1), (-0.2, 0.1, 9)]
)
def test_folding_by_hand(ratio, floor, penalty):
    assert float(folding_penalty(squeezed(ratio), SPACING_MM, floor=floor)) == pytest.approx(penalty, abs=1e-4)


@pytest.mark.slow
def test_folding_is_free_for_rigid_motion_and_pushes_back_a_fold():
    rigid = deformations.linear(deformations.rotation(30), shift_mm=(20, -7, 3))
    value, slope = folding_slope(rigid, SPACING_MM)
    assert value == 0 and not np.asarray(slope).any()
    folded = squeezed(-0.2)
    slope = np.asarray(folding_slope(folded, SPACING_MM)[1])
    assert float(folding_penalty(folded - 1e-2 * slope, SPACING_MM)) < float(folding_penalty(folded, SPACING_MM))


@pytest.mark.parametrize("ratio", [0.5, 2.0, 1.0, 0.02])
def test_volume_change_by_hand(ratio):
    found = volume_change_penalty(squeezed(ratio), SPACING_MM, ONES)
    assert float(found) == pytest.approx(np.log(ratio) ** 2, rel=1e-3, abs=1e-9)


@pytest.mark.slow
def test_volume_change_of_a_fold_is_finite_and_larger():
    crushed, folded = (volume_change_penalty(squeezed(ratio), SPACING_MM, ONES) for ratio in (0.02, -0.2))
    assert float(folded) == pytest.approx((np.log(0.01) + (-0.2 - 0.01) / 0.01) ** 2, rel=1e-3)
    assert folded > crushed
    assert np.asarray(volume_change_slope(squeezed(-0.2), SPACING_MM, ONES)[1]).any()


@pytest.mark.slow
def test_volume_change_counts_the_label_only():
    u = deformations.rough()
    weights = np.random.default_rng(9).random(deformations.SHAPE).astype("f4")
    gentle = deformations.rough(size_mm=0.1)
    expected = np.average(np.log(np.asarray(jacobian_on_grid(gentle, SPACING_MM))) ** 2, weights=weights)
    np.testing.assert_allclose(volume_change_penalty(gentle, SPACING_MM, weights), expected, rtol=1e-5)
    weights[:] = 0
    value, slope = volume_change_slope(u, SPACING_MM, weights)
    assert value == 0 and not np.asarray(slope).any()


def test_volume_is_kept_by_rigid_motion_and_by_shear():
    for matrix in (deformations.rotation(30), [[1, 0.4, 0], [0, 1, 0], [0, -0.2, 1]]):
        assert float(volume_change_penalty(deformations.linear(matrix), SPACING_MM, ONES)) < 1e-9


def test_what_does_not_fit_is_refused():
    u = deformations.rough()
    for function in (jacobian_matrix, jacobian_on_grid, folding_penalty):
        with pytest.raises(ValueError, match=r"displacement_mm must have shape \(i, j, k, 3\), got \(7, 5, 6\)"):
            function(u[..., 0], SPACING_MM)
    with pytest.raises(ValueError, match=r"the grid and weights must have the same shape, got .* and \(7, 5, 5\)"):
        volume_change_penalty(u, SPACING_MM, ONES[..., 1:])
