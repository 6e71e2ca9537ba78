import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.metrics import field_error_mm, target_registration_error_mm
from sirtjax.spatial import AffineTransform, DisplacementField, identity, rigid_matrix
from sirtjax.volume import Geometry, LabelMap

OBLIQUE = Geometry.from_axes(
    (12, 10, 8),
    spacing_mm=(2.0, 3.0, 5.0),
    origin_mm=(-40.0, 7.0, 100.0),
    direction=rigid_matrix((0.2, -0.1, 0.3), (0, 0, 0), (0, 0, 0))[:3, :3],
)


def test_points_by_hand():
    reference = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]])
    shift = np.eye(4)
    shift[:3, 3] = 1, 2, 3
    floating = reference + np.array([[4.0, 6, 3], [1, 2, 3], [1, 2, 4]])
    found = target_registration_error_mm(AffineTransform(shift), reference, floating)
    assert found.each_mm == pytest.approx([5, 0, 1])
    assert (found.mean_mm, found.max_mm, found.count) == (pytest.approx(2), pytest.approx(5), 3)
    assert found.p95_mm == pytest.approx(1 + 0.9 * 4)  # between the second and the third of three


def test_direction_is_pull():
    turn = AffineTransform(rigid_matrix((0, 0, np.pi / 2), (0, 0, 0), (0, 0, 0)))
    assert target_registration_error_mm(turn, [[1.0, 0, 0]], [[0.0, 1, 0]]).max_mm == pytest.approx(0, abs=1e-12)
    assert target_registration_error_mm(turn, [[0.0, 1, 0]], [[1.0, 0, 0]]).max_mm == pytest.approx(2)


def test_field_against_a_true_field_within_a_mask():
    shape = OBLIQUE.shape
    true = np.zeros((*shape, 3), np.float32)
    true[..., 0] = 3
    true[6:, ..., 1] = 4
    mask = np.zeros(shape, bool)
    mask[4:8] = True
    labels = LabelMap.from_mask(mask, OBLIQUE, name="liver")
    found = field_error_mm(identity(), DisplacementField(true, OBLIQUE), labels, "liver")
    assert found.count == 4 * 80
    assert found.mean_mm == pytest.approx(4, abs=1e-4)  # 3 mm in one half, 5 in the other
    assert found.max_mm == pytest.approx(5, abs=1e-4)
    after = rigid_matrix((0, 0, 0), (0, 0, 7.0), (0, 0, 0))
    same = DisplacementField(true, OBLIQUE, floating_from_displaced=after)
    assert field_error_mm(DisplacementField(true, OBLIQUE), same, labels, "liver").mean_mm == pytest.approx(7, abs=1e-4)


def test_compiles_nothing(compilations):
    import jax.numpy as jnp

    field = DisplacementField(jnp.ones((5, 4, 3, 3)), Geometry.from_axes((5, 4, 3), spacing_mm=(2, 2, 2)))
    before = len(compilations)
    for count in (3, 7):
        points = np.full((count, 3), 2.0)
        assert target_registration_error_mm(field, points, points).mean_mm == pytest.approx(np.sqrt(3))
    assert len(compilations) == before


def test_refuses():
    with pytest.raises(InputError, match="2 reference points, but 1 floating"):
        target_registration_error_mm(identity(), np.zeros((2, 3)), np.zeros((1, 3)))
    with pytest.raises(InputError, match="reference points must be a list"):
        target_registration_error_mm(identity(), np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(InputError, match="floating points: one is not finite"):
        target_registration_error_mm(identity(), np.zeros((1, 3)), np.full((1, 3), np.nan))
    empty = LabelMap.from_mask(np.zeros((12, 10, 8)), OBLIQUE, name="liver")
    with pytest.raises(InputError, match="'liver' is empty"):
        field_error_mm(identity(), identity(), empty, "liver")
