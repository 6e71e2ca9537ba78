import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_patient as small
from scipy import linalg
from scipy.spatial.transform import Rotation

from sirtjax.registration import Status
from sirtjax.registration._affine import (
    LEVER_MM,
    PARAMETERS,
    affine_matrix,
    columns,
    landmark_distance,
    through,
    turn_matrix,
)
from sirtjax.spatial import AffineTransform, identity

CENTRE = np.array([12.0, -8.0, 40.0], np.float32)
START = small.about(small.turn(5, 3, -8), [30.0, 4.0, -9.0]).astype(np.float32)


def matrix_of(parameters, model):
    pair = types.SimpleNamespace(start=jnp.asarray(START), centre_mm=jnp.asarray(CENTRE))
    return np.asarray(jax.jit(lambda p: affine_matrix(p, pair, model=model))(jnp.float32(parameters)), np.float64)


@pytest.mark.parametrize("model", ["rigid", "similarity", "affine"])
def test_zero_is_the_start(model):
    np.testing.assert_allclose(matrix_of(np.zeros(PARAMETERS[model]), model), START, atol=1e-4)


@pytest.mark.parametrize("model", ["rigid", "similarity", "affine"])
def test_the_first_three_shift_before_the_start(model):
    parameters = np.zeros(PARAMETERS[model])
    parameters[:3] = 4.0, -2.0, 7.0
    shift = np.eye(4)
    shift[:3, 3] = parameters[:3]
    np.testing.assert_allclose(matrix_of(parameters, model), START @ shift, atol=1e-4)


def inner(matrix):
    """What stands before the start, and the linear part of it."""
    found = np.linalg.inv(START.astype(np.float64)) @ matrix
    return found, found[:3, :3]


def test_turns_are_rotations_about_the_centre():
    parameters = np.array([0, 0, 0, 20.0, -35.0, 50.0])
    found, linear = inner(matrix_of(parameters, "rigid"))
    x, y, z = parameters[3:] / LEVER_MM
    np.testing.assert_allclose(linear, linalg.expm(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])), atol=1e-5)
    np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(linear) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found @ [*CENTRE, 1], [*CENTRE, 1], atol=1e-3)


def test_a_similarity_stretches_alike_in_all_directions():
    _, linear = inner(matrix_of([1, 2, 3, 10.0, 5.0, -20.0, 12.0], "similarity"))
    scale = np.exp(12.0 / LEVER_MM)
    np.testing.assert_allclose(linear @ linear.T, scale**2 * np.eye(3), atol=1e-4)


def test_an_affine_map_has_its_entries_and_keeps_the_centre():
    entries = np.array([[3.0, -2, 1], [0, 5, 4], [-6, 2, -1]])
    found, linear = inner(matrix_of([0, 0, 0, *entries.ravel()], "affine"))
    np.testing.assert_allclose(linear, np.eye(3) + entries / LEVER_MM, atol=1e-5)
    np.testing.assert_allclose(found @ [*CENTRE, 1], [*CENTRE, 1], atol=1e-3)


def test_no_affine_stage_is_the_start():
    np.testing.assert_array_equal(matrix_of(np.zeros(0), "none"), START)


def test_points_through_a_matrix():
    points = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32) * 50
    found = np.stack(through(jnp.asarray(START), columns(jnp.asarray(points))), axis=-1)
    np.testing.assert_allclose(found, points @ START[:3, :3].T + START[:3, 3], atol=1e-3)


def test_the_distance_of_landmarks_is_the_mean_square_of_those_there_are():
    moved, target = np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32)
    moved[0], moved[1], moved[3] = [3, 4, 0], [0, 0, 1], [1e3, 0, 0]
    weight = np.float32([1, 1, 0, 0])
    pair = types.SimpleNamespace(landmarks_floating_mm=target, landmarks_weight=weight)
    assert float(landmark_distance(columns(moved), pair)) == pytest.approx((25 + 1) / 2)
    pair.landmarks_weight = np.zeros(4, np.float32)
    assert float(landmark_distance(columns(moved), pair)) == 0


@pytest.mark.slow
def test_masks_alone_find_an_affine_map():
    """Oblique against straight voxels of 3 to 5 mm; 13 mm apart.

    Surfaces and centres meet. A liver is round enough that points inside it are known less well.
    """
    case = small.case(small.through(small.MATRIX))
    config = small.preset(guided="liver and landmarks", affine={"match": "masks"}, deformable={"model": "none"})
    result = case.register(config)
    assert result.status is Status.SUCCESS and isinstance(result.transform, AffineTransform)
    final = result.quality["final"]
    assert final["dsc liver"] > 0.96 and final["msd_mm liver"] < 0.6 and final["mcd_mm lesion1"] < 0.6
    assert case.missed_mm(result.transform).mean() < 2.5


NO_MASKS = {"reference_masks": {}, "floating_masks": {}}
TURNED = small.about(small.turn(3, -5, 7), [9.0, -7.0, 12.0])


def by_images(*, model="rigid", kind="ssd", **affine):
    return small.preset(
        guided="none", affine={"model": model, **affine}, similarity={"kind": kind}, deformable={"model": "none"}
    )


@pytest.mark.slow
def test_images_alone_find_a_turn_and_a_shift():
    case = small.case(small.through(TURNED))
    result = case.register(by_images(), start=identity(), **NO_MASKS)
    missed = case.missed_mm(result.transform)
    assert case.missed_mm(identity()).mean() > 12
    assert result.status is Status.SUCCESS and missed.mean() < 0.5 and missed.max() < 1
    matrix = result.transform.floating_from_reference
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-5)
    assert result.quality["final"] == result.quality["affine"] and set(result.quality["final"]) == {"similarity"}
    assert result.folding_fraction == 0


@pytest.mark.slow
def test_frames_a_metre_apart_have_nothing_to_compare():
    away = AffineTransform(small.about(np.eye(3), [1000.0, 0.0, 0.0]))
    assert small.case().register(by_images(), start=away, **NO_MASKS).status is Status.NO_OVERLAP


def strain(matrix):
    """The size of Green's strain of an affine map."""
    return np.linalg.norm(matrix[:3, :3].T @ matrix[:3, :3] - np.eye(3)) / 2


@pytest.mark.slow
def test_images_alone_stretch_with_reserve():
    """Strain has its price where no mask says how large the liver is: the truth is come close to, never overdone."""
    case = small.case(small.through(small.MATRIX))
    stiff = by_images(model="affine", kind="mutual_information", stiffness=10.0)
    result = case.register(stiff, start=identity(), **NO_MASKS)
    assert result.status is Status.SUCCESS and case.missed_mm(result.transform).mean() < 2.5
    assert 0.1 * strain(small.MATRIX) < strain(result.affine.floating_from_reference) < strain(small.MATRIX)


@pytest.mark.slow
def test_images_alone_find_a_stretch_without_stiffness():
    case = small.case(small.through(small.MATRIX))
    result = case.register(by_images(model="affine"), start=identity(), **NO_MASKS)
    assert result.status is Status.SUCCESS and case.missed_mm(result.transform).mean() < 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mutual_information", "ssd"])
def test_steps_that_lead_away_leave_the_start(kind):
    """From the truth, with steps of 100 mm, which end far from it: for squared differences, out of sight."""
    case = small.case(small.through(TURNED))
    wild = by_images(kind=kind, levels=[{"blur_mm": 6.0, "step_mm": 100.0}])
    result = case.register(wild, start=AffineTransform(TURNED), **NO_MASKS)
    if kind == "mutual_information":
        assert result.stages[0].losses["total"][-1] > result.stages[0].losses["total"][0] + 0.3
    # The start is the truth, which the images confirm.
    assert result.status is Status.SUCCESS
    np.testing.assert_allclose(result.affine.floating_from_reference, TURNED, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (1e-4, -2e-4, 1e-4), (0.02, 0.3, -0.1), (1.0, -2.0, 0.5)])
def test_turns_are_those_of_scipy(angles):
    angles = np.array(angles, np.float32)
    np.testing.assert_allclose(turn_matrix(angles), Rotation.from_rotvec(angles).as_matrix(), atol=1e-6)
    slope = jax.jacfwd(turn_matrix)(angles)
    step = 1e-3
    for axis in range(3):
        ends = [Rotation.from_rotvec(angles + side * step * np.eye(3)[axis]).as_matrix() for side in (1, -1)]
        np.testing.assert_allclose(slope[..., axis], (ends[0] - ends[1]) / (2 * step), atol=1e-4)
