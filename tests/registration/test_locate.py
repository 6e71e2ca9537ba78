"""The start of registrations by images alone: scans of other length and frame."""

import numpy as np
import pytest
import small_patient as small

from sirtjax.registration._confirm import MIRROR_GAIN
from sirtjax.registration._locate import estimate_initial_transform
from sirtjax.spatial import transform_points
from sirtjax.volume import Geometry, Volume

FREE = small.preset(guided="none")


def scan(low_mm, high_mm, *, spacing_mm=(5.0, 5.0, 5.0), shift_mm=(0.0, 0.0, 0.0), turn=None):
    """The patient between two heights, its frame shifted and turned afterwards, and the map from old to new frame."""
    shape = (44, 36, round((high_mm - low_mm) / spacing_mm[2]))
    geometry = small.grid(shape, spacing_mm, centre_mm=(8.0, -4.0, (low_mm + high_mm) / 2))
    matrix = small.about(np.eye(3) if turn is None else turn, shift_mm)
    moved = Geometry.from_affine(shape, matrix @ geometry.affine)
    return Volume(np.asarray(small.image(geometry).array), moved, unit="HU"), small.through(matrix)


def missed_mm(start, true):
    points = small.liver_points_mm(20.0)
    return np.linalg.norm(transform_points(start, points) - true(points), axis=-1).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "floating", "options"),
    [
        ((-60, 140), (-60, 140), {"shift_mm": (30.0, -20.0, 25.0)}),
        ((-60, 140), (-60, 140), {"shift_mm": (0.0, 0.0, 230.0), "turn": small.turn(4, -3, 6)}),
        ((-40, 160), (-300, 500), {"shift_mm": (-900.0, 400.0, 1500.0), "spacing_mm": (5.0, 5.0, 8.0)}),
        ((-300, 500), (-20, 130), {"shift_mm": (10.0, 5.0, -150.0)}),
    ],
    ids=["near", "23 cm along the body", "20 cm in 80 cm, another world", "80 cm onto 15 cm"],
)
def test_scans_of_other_length_and_place_are_found(reference, floating, options):
    """To within a quarter of the liver's radius, from where the next stages go on."""
    one, _ = scan(*reference)
    two, true = scan(*floating, **options)
    located = estimate_initial_transform(one, two, config=FREE)
    assert missed_mm(located.start, true) < 10 and located.mirror_gain < 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "turn",
    [small.turn(0, 0, 180), small.turn(0, 0, 90), small.turn(180, 0, 0), small.turn(0, 90, 0), small.turn(50, 0, 0)],
    ids=["half a turn", "a quarter turn", "upside down", "lying on a side", "50 degrees"],
)
def test_a_frame_that_is_rotated_is_found(turn):
    one, _ = scan(-60, 140)
    two, true = scan(-60, 140, shift_mm=(15.0, -10.0, 20.0), turn=turn)
    located = estimate_initial_transform(one, two, config=FREE)
    assert missed_mm(located.start, true) < 10 and located.mirror_gain < 0


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_voxels_are_noticed(axis):
    """No rotation undoes a reflection: the start stays rigid, and the mirrored image agrees better."""
    one, _ = scan(-60, 140)
    two, _ = scan(-60, 140, turn=np.diag(np.where(np.arange(3) == axis, -1.0, 1.0)))
    located = estimate_initial_transform(one, two, config=FREE)
    assert located.mirror_gain > MIRROR_GAIN
    assert np.linalg.det(located.start.floating_from_reference[:3, :3]) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.slow
def test_the_start_is_rigid():
    one, _ = scan(-60, 140)
    two, _ = scan(-60, 140, shift_mm=(20.0, 0.0, 10.0), turn=small.turn(5, 5, -5))
    linear = np.asarray(estimate_initial_transform(one, two, config=FREE).start.floating_from_reference)[:3, :3]
    np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(linear) > 0.99
