import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.errors import GeometryError
from sirtjax.spatial import DisplacementField, jacobian_determinant, rigid_matrix, sample_displacement, voxel_centres_mm
from sirtjax.volume import Geometry

OBLIQUE = Geometry.from_axes(
    (7, 8, 6),
    spacing_mm=(3, 4, 5),
    origin_mm=(-10, 5, 20),
    direction=rigid_matrix((0.4, -0.8, 2.0), (0,) * 3, (0,) * 3)[:3, :3] @ np.diag([1, -1, 1]),
)


def linear_field(matrix, geometry=OBLIQUE) -> DisplacementField:
    """The displacement of x -> matrix @ x."""
    points = voxel_centres_mm(geometry)
    return DisplacementField((points @ (np.asarray(matrix) - np.eye(3)).T).astype(np.float32), geometry)


def test_voxel_centres_are_to_world_of_the_indices():
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in OBLIQUE.shape), indexing="ij"), axis=-1)
    np.testing.assert_allclose(voxel_centres_mm(OBLIQUE), OBLIQUE.to_world(ijk))


def test_displacement_between_voxels_by_hand_and_outside():
    field = linear_field(np.diag([1.1, 1.0, 0.9]))
    inside = OBLIQUE.to_world([[2.3, 4.6, 1.2]])
    np.testing.assert_allclose(sample_displacement(field, inside), inside * [0.1, 0, -0.1], atol=1e-5)
    outside = OBLIQUE.to_world([[-0.6, 2, 2], [3, 3, 5.51]])
    np.testing.assert_array_equal(sample_displacement(field, outside), np.zeros((2, 3)))


@pytest.mark.parametrize("library", [np, jnp])
def test_jacobian_of_a_linear_map_is_its_determinant_on_an_oblique_grid(library):
    matrix = np.array([[1.2, 0.1, 0.0], [-0.2, 0.9, 0.05], [0.1, 0.0, 0.8]])
    field = linear_field(matrix)
    found = jacobian_determinant(DisplacementField(library.asarray(field.array), OBLIQUE))
    assert found.shape == OBLIQUE.shape
    np.testing.assert_allclose(found, np.linalg.det(matrix), rtol=1e-4)


def test_jacobian_is_negative_where_the_field_folds():
    field = linear_field(np.diag([-0.5, 1.0, 1.0]))
    np.testing.assert_allclose(jacobian_determinant(field), -0.5, rtol=1e-4)


@pytest.mark.slow
def test_jacobian_of_a_single_slice_and_its_gradient():
    flat = Geometry.from_axes((5, 4, 1), spacing_mm=(2, 2, 2))
    array = jnp.asarray(linear_field(np.diag([1.5, 1.0, 1.0]), flat).array)
    np.testing.assert_allclose(jacobian_determinant(DisplacementField(array, flat)), 1.5, rtol=1e-5)
    slope = jax.grad(lambda u: jacobian_determinant(DisplacementField(u, flat)).mean())(array)
    assert np.isfinite(slope).all()
    # The mean of central and one-sided differences along i telescopes to the faces, (u_n - u_0) and its neighbours.
    assert float(slope[..., 0].sum()) == pytest.approx(0, abs=1e-6)
    assert float(jnp.abs(slope).max()) > 0


def test_shape_is_checked():
    with pytest.raises(GeometryError, match=r"needs an array of shape \(7, 8, 6, 3\), got \(7, 8, 6, 2\)"):
        DisplacementField(np.zeros((7, 8, 6, 2)), OBLIQUE)
