"""The truth of the registration cases against the images, and the score against what is known of it."""

import numpy as np
import pytest
import registration_cases as cases
from registration_score import best_affine, score
from scipy import optimize

from sirtjax.formats import read_masks
from sirtjax.io import read_transform
from sirtjax.phantom import displacement_mm
from sirtjax.spatial import AffineTransform, identity, transform_points


def test_seeds_to_tune_on_and_to_report_are_different():
    assert not set(cases.TUNING_SEEDS) & set(cases.BENCHMARK_SEEDS)
    assert len(cases.BENCHMARK_SEEDS) >= 3


def test_truth_takes_both_images_to_the_same_point_of_the_patient():
    reference, floating = cases.reference_pose(3), cases.floating_pose(3)
    points = np.random.default_rng(0).uniform([-120, -80, -180], [60, 60, 10], (5, 3))
    moved = cases.true_points(reference, floating, points)

    def patient(pose, point):
        return point + displacement_mm(pose, point[:, None], xp=np)[:, 0]

    for point, found in zip(points, moved, strict=True):
        target = patient(reference, point)
        # Searched for, where the case inverts in closed form.
        solution = optimize.root(lambda at, goal=target: patient(floating, at) - goal, point)
        np.testing.assert_allclose(found, solution.x, atol=1e-3)


def test_poses_stay_within_what_the_benchmark_says():
    for seed in (*cases.TUNING_SEEDS, *cases.BENCHMARK_SEEDS):
        pose = cases.floating_pose(seed)
        assert 15 <= np.linalg.norm(pose.translation_mm) <= 25
        angle_deg = np.rad2deg(np.arccos((np.trace(pose.rotation) - 1) / 2))
        assert 2 <= angle_deg <= 6
        assert 10 <= cases.reference_pose(seed).breathing_shift_mm <= 15


@pytest.mark.slow
def test_truth_scores_best_and_the_images_lie_apart(coarse_case):
    apart, affine, truth = (score(coarse_case, t) for t in (identity(), best_affine(coarse_case), coarse_case.truth()))
    assert truth["tre_mean_mm"] < 1e-3
    # A third of the 9 mm voxels, for the masks are as coarse.
    assert truth["msd_mm"] < 3 and truth["dsc"] > 0.93
    assert truth["tre_mean_mm"] < affine["tre_mean_mm"] < 6 < apart["tre_mean_mm"]
    assert truth["rmsd_mm"] < apart["rmsd_mm"]
    assert truth["folding_percent"] == 0


def test_folding_is_seen(coarse_case):
    mirrored = AffineTransform(np.diag([-1.0, 1.0, 1.0, 1.0]))
    assert score(coarse_case, mirrored)["folding_percent"] == 100


def test_files_hold_the_case(tmp_path, coarse_case):
    cases.write_case(tmp_path, coarse_case)
    masks = read_masks(tmp_path / "reference_masks")
    assert masks.keys() == coarse_case.reference_masks.keys()
    labels = read_masks(tmp_path / "reference_labels.nii.gz")
    assert labels.keys() == masks.keys()
    union = np.any([labels[name].mask(name) for name in labels], axis=0)
    np.testing.assert_array_equal(union, masks["liver"].mask("liver"))
    truth = read_transform(tmp_path / "truth.nii.gz", reference=coarse_case.reference.geometry)
    points = coarse_case.reference.geometry.to_world(np.argwhere(union)[::50])
    np.testing.assert_allclose(transform_points(truth, points), coarse_case.truth_at(points), atol=1e-3)


@pytest.mark.slow
def test_tasks_of_a_seed_show_the_same_patient():
    maps = [cases.make_case(task, 2, spacing_mm=12.0) for task in cases.TASKS]
    livers = [case.reference_masks["liver"].mask("liver") for case in maps]
    np.testing.assert_array_equal(livers[0], livers[1])
    np.testing.assert_array_equal(livers[0], livers[2])
