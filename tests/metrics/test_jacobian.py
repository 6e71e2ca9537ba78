import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.metrics import folding_fraction, jacobian_summary, log_jacobian_std
from sirtjax.spatial import AffineTransform, DisplacementField, identity, rigid_matrix, voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap

OBLIQUE = Geometry.from_axes(
    (11, 9, 18),
    spacing_mm=(2.0, 3.0, 1.5),
    origin_mm=(-40.0, 7.0, 100.0),
    direction=rigid_matrix((0.2, -0.1, 0.3), (0, 0, 0), (0, 0, 0))[:3, :3],
)


def linear_field(matrix, geometry=OBLIQUE, **kwargs):
    points = voxel_centres_mm(geometry) - geometry.centre_mm
    return DisplacementField((points @ (np.asarray(matrix) - np.eye(3)).T).astype(np.float32), geometry, **kwargs)


def test_affine_and_linear_field_by_hand():
    grow = np.diag([1.2, 1.5, 0.5])
    matrix = np.eye(4)
    matrix[:3, :3] = grow
    for transform in (AffineTransform(matrix), linear_field(grow)):
        found = jacobian_summary(transform)
        assert (found.minimum, found.maximum) == pytest.approx((0.9, 0.9), rel=1e-5)
        assert found.log_std == pytest.approx(0, abs=1e-5)
        assert found.folding_fraction == found.corner_folding_fraction == 0
    # The affine map that follows counts too.
    assert jacobian_summary(linear_field(grow, floating_from_displaced=matrix)).minimum == pytest.approx(0.81, rel=1e-5)
    assert folding_fraction(linear_field(np.diag([1, -1, 1]))) == 1
    assert jacobian_summary(identity()).maximum == 1


def test_true_spread_of_the_logarithm():
    # Half of the grid compressed to 0.5 along k, the other half stretched to 2: log is -a, +a, so its spread is a.
    geometry = Geometry.from_axes((3, 3, 40), spacing_mm=(1.0, 1.0, 2.0))
    slope = np.where(np.arange(40) < 20, -0.5, 1.0)
    u = np.zeros((3, 3, 40, 3), np.float32)
    u[..., 2] = np.cumsum(slope) * 2
    found = log_jacobian_std(DisplacementField(u, geometry))
    assert found == pytest.approx(np.log(2), rel=0.05)
    learn2reg = np.log(np.where(np.arange(40) < 20, 0.5, 2) + 3).std()
    assert learn2reg < 0.3 * found


def test_folding_within_a_mask():
    geometry = Geometry.from_axes((20, 4, 4), spacing_mm=(2.0, 1.0, 1.0))
    u = np.zeros((20, 4, 4, 3), np.float32)
    u[10:13, ..., 0] = np.array([-5.0, -10.0, -15.0])[:, None, None]
    u[13:, ..., 0] = -15
    field = DisplacementField(u, geometry)
    # Slopes of -2.5 at 10, 11 and 12 (central: 9 to 13 by halves).
    central = 1 + np.gradient(u[:, 0, 0, 0], 2.0)
    assert folding_fraction(field) == pytest.approx((central <= 0).mean())
    assert jacobian_summary(field).minimum == pytest.approx(central.min())
    masks = np.zeros((2, 20, 4, 4), bool)
    masks[0, :8], masks[1, 10:12] = True, True
    calm, folded = (LabelMap.from_mask(m, geometry, name="liver") for m in masks)
    assert folding_fraction(field, within=calm) == 0
    assert folding_fraction(field, within=folded) == 1
    assert np.isnan(log_jacobian_std(field, within=folded))


def test_a_mask_on_another_grid_and_beyond_the_field():
    field = linear_field(np.diag([2.0, 1, 1]), Geometry.from_axes((6, 6, 6), spacing_mm=(2.0, 2, 2)))
    finer = Geometry.from_axes((20, 10, 10), spacing_mm=(1.0, 1.0, 1.0))
    labels = LabelMap.from_mask(np.ones(finer.shape), finer, name="body")
    found = jacobian_summary(field, within=labels)
    assert (found.minimum, found.maximum) == pytest.approx((1, 2))
    # 11 or so of 20 planes lie on the field: half its last voxel is the border.
    assert found.log_std == pytest.approx(np.log(2) * np.sqrt(0.55 * 0.45), rel=0.03)


def test_corners_see_what_central_differences_miss():
    geometry = Geometry.from_axes((12, 10, 9), spacing_mm=(2.0, 3.0, 1.0))
    u = np.zeros((*geometry.shape, 3), np.float32)
    u[1:-1:2, ..., 0] = 3.0  # out and back from voxel to voxel
    found = jacobian_summary(DisplacementField(u, geometry))
    assert found.folding_fraction == 0
    # Every step back, by 1.5 per mm, folds the two voxels between which it is: 1 and 2, to 9 and 10 of 12.
    assert found.corner_folding_fraction == pytest.approx(10 / 12)


def test_corner_determinants_by_brute_force():
    rng = np.random.default_rng(4)
    u = rng.normal(size=(*OBLIQUE.shape, 3)).astype(np.float32)
    matrix = rigid_matrix((0.1, 0.2, 0), (1, 2, 3), (0, 0, 0)) @ np.diag([1.1, 1, 1, 1])
    found = jacobian_summary(DisplacementField(u, OBLIQUE, floating_from_displaced=matrix))
    folded = 0
    for index in np.ndindex(*OBLIQUE.shape):
        dets = []
        for signs in np.ndindex(2, 2, 2):
            slopes = np.zeros((3, 3))
            for axis, sign in enumerate(signs):
                low = (
                    index[axis] - 1
                    if (sign == 0 and index[axis] > 0) or index[axis] == OBLIQUE.shape[axis] - 1
                    else index[axis]
                )
                a, b = list(index), list(index)
                a[axis], b[axis] = low, low + 1
                slopes[:, axis] = u[tuple(b)].astype(float) - u[tuple(a)]
            dets.append(np.linalg.det(matrix[:3, :3] @ (np.eye(3) + slopes @ OBLIQUE.voxel_from_world[:3, :3])))
        folded += min(dets) <= 0
    assert 0.02 < folded / np.prod(OBLIQUE.shape) < 0.98
    assert found.corner_folding_fraction == pytest.approx(folded / np.prod(OBLIQUE.shape), abs=1e-9)


def test_a_flat_grid_and_an_empty_mask():
    flat = Geometry.from_axes((5, 4, 1), spacing_mm=(1.0, 1.0, 1.0))
    assert jacobian_summary(DisplacementField(np.zeros((5, 4, 1, 3)), flat)).minimum == 1
    empty = LabelMap.from_mask(np.zeros((5, 4, 1)), flat, name="liver")
    for transform in (identity(), DisplacementField(np.zeros((5, 4, 1, 3)), flat)):
        with pytest.raises(InputError, match="the mask is empty, so the Jacobian cannot be measured"):
            jacobian_summary(transform, within=empty)
