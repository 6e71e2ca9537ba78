"""The harder cases of the robustness benchmark, and how its trials are counted, with registrations made up."""

import numpy as np
import pytest
import registration_robustness as robustness
from registration_score import on_grid, score

from sirtjax.spatial import AffineTransform, DisplacementField, identity, voxel_centres_mm


def perfect(case, trial):
    """Knows the truth."""
    geometry = case.reference.geometry
    points = voxel_centres_mm(geometry).reshape(-1, 3)
    array = (case.truth_at(points) - points).astype(np.float32).reshape(*geometry.shape, 3)
    return DisplacementField(array, geometry), "SUCCESS"


@pytest.mark.slow
def test_moved_truth_still_brings_the_masks_together(coarse_case):
    case, drawn = robustness.hard_case(coarse_case, 5, robustness.Difficulty(missing_fraction=0.0))
    assert drawn["translation_mm"] <= 60 and drawn["rotation_deg"] <= 15
    found = score(case, perfect(case, 5)[0])
    assert found["tre_mean_mm"] < 1e-3 and found["dsc"] > 0.93
    moved_mm = np.abs(on_grid(perfect(case, 5)[0], case).array - on_grid(perfect(coarse_case, 5)[0], coarse_case).array)
    assert moved_mm.max() > 5


def test_chunk_is_the_share_asked_for(coarse_case):
    liver = coarse_case.reference_masks["liver"]
    cut = robustness.without_chunk(liver, np.random.default_rng(1), 0.1)
    before, after = liver.mask("liver"), cut.mask("liver")
    assert not (after & ~before).any()
    np.testing.assert_allclose(after.sum() / before.sum(), 0.9, atol=0.01)


def test_noise_has_the_size_asked_for(coarse_case):
    noisy = robustness.with_noise(
        coarse_case.reference, np.random.default_rng(1), robustness.Difficulty(noise_hu=30.0), share=0.5
    )
    np.testing.assert_allclose((noisy.array - coarse_case.reference.array).std(), 15.0, rtol=0.02)


@pytest.mark.slow
def test_trials_that_fail_are_counted_with_and_without_their_status(coarse_case):
    def stand_in(case, trial):
        if trial == 1:
            return identity(), "AFFINE_REJECTED"
        if trial == 2:
            return AffineTransform(np.diag([1.5, 1.5, 1.5, 1.0])), "SUCCESS"
        return perfect(case, trial)

    rows = robustness.run_trials([coarse_case], stand_in, trials=6, limits=robustness.Difficulty())
    found = robustness.summary(rows)
    assert found["trials"] == 6 and found["others"] == 2
    assert found["others_with_status"] == 1 and found["near_with_status"] == 0
    np.testing.assert_allclose(found["within_limit"], 4 / 6)


def test_lost_label_counts_as_far_off():
    rows = [{"rmsd_mm": x, "status": "SUCCESS"} for x in (1.0, 1.1, 1.2, float("nan"))]
    found = robustness.summary(rows)
    assert found["others"] == 1 and found["rmsd_mm"]["p100"] == float("inf")
