import jax
import numpy as np
import pytest

from sirtjax.errors import GeometryError
from sirtjax.spatial import AffineTransform, identity, rigid_matrix, transform_points


def test_rigid_matrix_by_hand():
    quarter = rigid_matrix((0, 0, np.pi / 2), (1, 2, 3), (10, 0, 0))
    # (11, 0, 5) is 1 right of the centre along x; a quarter turn about z puts it 1 along y.
    np.testing.assert_allclose(quarter @ [11, 0, 5, 1], [11, 3, 8, 1], atol=1e-12)
    np.testing.assert_allclose(rigid_matrix((np.pi / 2, 0, 0), (0,) * 3, (0,) * 3)[:3, 1], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rigid_matrix((0, np.pi / 2, 0), (0,) * 3, (0,) * 3)[:3, 2], [1, 0, 0], atol=1e-12)


def test_rotations_follow_x_then_y_then_z():
    one, two, three = ((0.3, 0, 0), (0, -0.7, 0), (0, 0, 1.1))
    zero = (0.0, 0.0, 0.0)
    expected = rigid_matrix(three, zero, zero) @ rigid_matrix(two, zero, zero) @ rigid_matrix(one, zero, zero)
    np.testing.assert_allclose(rigid_matrix((0.3, -0.7, 1.1), zero, zero), expected, atol=1e-12)
    assert np.linalg.det(expected) == pytest.approx(1)


def test_identity_and_points():
    points = np.random.default_rng(0).normal(size=(4, 2, 3))
    np.testing.assert_array_equal(transform_points(identity(), points), points)


def test_is_a_pytree():
    doubled = jax.tree.map(lambda x: 2 * x, identity())
    assert isinstance(doubled, AffineTransform)
    assert doubled.floating_from_reference[3, 3] == 2


def test_shape_is_checked():
    with pytest.raises(GeometryError, match=r"must be a 4x4 matrix, got shape \(3, 4\)"):
        AffineTransform(np.zeros((3, 4)))
