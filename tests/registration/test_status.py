"""Each way a registration can end, by a case that makes it end so."""

from types import SimpleNamespace

import numpy as np
import pytest
import small_patient as small

from sirtjax.registration import ImageWithMasks, Solution, Status, apply_overrides, match_landmarks, prepare_pair
from sirtjax.registration._confirm import MIRRORED
from sirtjax.registration._judge import STILL, assess_result
from sirtjax.spatial import AffineTransform, identity, voxel_centres_mm
from sirtjax.volume import LabelMap


def test_causes_and_remedies_are_sentences():
    for status in Status:
        assert len(status.cause) > 20 and len(status.remedy) > 20 and status.cause != status.remedy


@pytest.mark.slow
def test_success(registered):
    assert registered.status is Status.SUCCESS


@pytest.mark.slow
def test_nothing_to_go_by_keeps_the_start(patient):
    config = apply_overrides(small.FULL, ["weights.image=0", "weights.masks=0"])
    matrix = small.about(small.turn(0, 0, 5), [3.0, 2.0, 1.0])
    result = patient.register(config, start=AffineTransform(matrix))
    assert result.status is Status.AFFINE_REJECTED
    np.testing.assert_allclose(result.affine.floating_from_reference, matrix, atol=1e-5)
    assert patient.missed_mm(result.transform).mean() == pytest.approx(
        patient.missed_mm(AffineTransform(matrix)).mean(), abs=0.01
    )


@pytest.mark.slow
def test_a_deformation_that_loses_agreement_is_not_kept(patient):
    """Landmark points that contradict masks and images pull the livers apart."""
    points = small.liver_points_mm(24.0)[:20]
    wrong = patient.true(points) + np.where(np.arange(len(points)) % 2, 18.0, -18.0)[:, None]
    config = apply_overrides(small.FULL, ["weights.landmarks=100", "weights.image=1"])
    result = patient.register(config, reference_points_mm=points, floating_points_mm=wrong)
    assert result.status is Status.DEFORMATION_REJECTED
    assert result.transform is result.affine and result.folding_fraction == 0
    assert result.quality["final"] == result.quality["affine"]


@pytest.mark.slow
def test_numbers_out_of_range_are_told(patient):
    result = patient.register(apply_overrides(small.FULL, ["weights.landmarks=3e38", "weights.masks=100"]))
    assert result.status is Status.NOT_FINITE
    assert result.transform is result.affine
    assert np.isfinite(result.affine.floating_from_reference).all()


@pytest.mark.slow
def test_images_that_never_meet_are_told(patient):
    matrix = small.about(np.eye(3), [1000.0, 0.0, 0.0])
    assert patient.register(small.FULL, start=AffineTransform(matrix)).status is Status.NO_OVERLAP


@pytest.mark.slow
def test_masks_of_different_organs_are_told(patient):
    """Two separate balls do not become a liver."""
    points = voxel_centres_mm(small.OBLIQUE)
    balls = [np.linalg.norm(points - small.LIVER_MM - [x, 0, 0], axis=-1) <= 20 for x in (-38, 38)]
    masks = {"liver": LabelMap.from_mask(balls[0] | balls[1], small.OBLIQUE, name="liver")}
    result = patient.register(apply_overrides(small.FULL, ["weights.masks=0.1"]), floating_masks=masks)
    assert result.status is not Status.SUCCESS and result.quality["final"]["dsc liver"] < 0.85


@pytest.fixture(scope="module")
def judged():
    """A function that judges a made-up solution of a patient with itself."""
    return judged_with(small.image(small.OBLIQUE))


@pytest.fixture(scope="module")
def unrelated():
    """The same with a floating image that shows something else, under the same masks."""
    other = small.image(small.OBLIQUE, lambda points: points[..., [1, 2, 0]] * 1.3 + 40.0)
    return judged_with(other)


def judged_with(floating):
    config = small.FULL
    images = small.image(small.STRAIGHT), floating
    sides = tuple(ImageWithMasks(image=image, masks=small.masks(image.geometry)) for image in images)
    pair, lattice = prepare_pair(*sides, match_landmarks({}, {}), identity(), config=config)

    def of(*, weights=(), mirror_gain=None, **changes):
        solution = Solution(**{
            "affine": np.eye(4, dtype="f4"), "affine_improved": np.array(True),
            "displacement_mm": np.zeros((*lattice.shape, 3), "f4"),
            "terms": np.array([[0.5, 0.5], [0.2, 0.2], [0.1, 0.1]], "f4"), "overlap": np.float32(1),
            "affine_history": np.ones((1, 4, 4), "f4"), "deformable_history": np.ones((1, 5, 5), "f4"), **changes,
        })  # fmt: skip
        own = apply_overrides(config, list(weights))
        return assess_result(
            solution, pair, lattice, sides, identity(), config=own, notes=("seen before",), mirror_gain=mirror_gain
        )

    return SimpleNamespace(of=of, shape=lattice.shape, pitch_mm=np.asarray(lattice.spacing_mm))


def folded(judged):
    """Tissue turned over in a few nodes in the middle, to and fro, with no net effect on the masks."""
    u = np.zeros((*judged.shape, 3), "f4")
    i, j, k = (n // 2 for n in judged.shape)
    u[i, j - 1 : j + 2, k - 1 : k + 2, 0] = 3.0 * judged.pitch_mm[0]
    u[i + 1, j - 1 : j + 2, k - 1 : k + 2, 0] = -3.0 * judged.pitch_mm[0]
    return u


@pytest.mark.slow
def test_a_sound_solution_is_a_success(judged):
    result = judged.of()
    assert result.status is Status.SUCCESS and result.notes == ("seen before",)
    assert result.quality["final"]["dsc liver"] > 0.95 and result.quality["final"]["similarity"] == pytest.approx(-0.1)
    assert [len(stage.losses["total"]) for stage in result.stages] == [4, 5]


@pytest.mark.slow
def test_a_fold_is_told(judged):
    result = judged.of(displacement_mm=folded(judged))
    assert result.status is Status.FOLDED and 0 < result.folding_fraction < 0.01


@pytest.mark.slow
def test_worse_terms_keep_the_affine_map(judged):
    worse = np.array([[0.5, 0.5], [0.2, 0.2], [0.1, 0.9]], "f4")
    assert judged.of(terms=worse, weights=["weights.image=1"]).status is Status.DEFORMATION_REJECTED
    # Weighed otherwise the same terms are better.
    assert judged.of(terms=worse, weights=["weights.image=10"]).status is Status.SUCCESS
    assert judged.of(terms=np.full((3, 2), np.nan, "f4")).status is Status.DEFORMATION_REJECTED


@pytest.mark.slow
def test_lost_overlap_of_the_masks_keeps_the_affine_map(judged):
    u = np.zeros((*judged.shape, 3), "f4")
    u[..., 0] = 8.0
    result = judged.of(displacement_mm=u)
    assert result.status is Status.DEFORMATION_REJECTED and result.transform is result.affine


def test_a_start_that_is_already_right_is_a_success(judged):
    result = judged.of(affine_improved=np.array(False))
    assert result.status is Status.SUCCESS and result.notes == ("seen before", STILL)
    assert judged.of(affine_improved=np.array(False), weights=["affine.model=none"]).status is Status.SUCCESS


@pytest.mark.slow
def test_a_start_not_improved_on_is_a_failure_where_the_images_do_not_agree(judged, unrelated):
    assert unrelated.of(affine_improved=np.array(False)).status is Status.AFFINE_REJECTED
    # Nothing drove the registration: the start is all that there is.
    nothing = ["weights.image=0", "weights.masks=0"]
    assert judged.of(affine_improved=np.array(False), weights=nothing).status is Status.AFFINE_REJECTED


@pytest.mark.slow
def test_images_that_agree_nowhere_are_no_success(unrelated):
    result = unrelated.of()
    assert result.status is Status.UNCONFIRMED
    assert result.fit["blocks_in_place"] < 0.3 and result.fit["distance_ratio"] > 0.7
    assert any("blocks of the images agree best at their position" in note for note in result.notes)
    # A preset that only uses the masks is judged by them.
    assert unrelated.of(weights=["weights.image=0"]).status is Status.SUCCESS


@pytest.mark.slow
def test_an_image_that_agrees_better_mirrored_is_no_success(judged):
    result = judged.of(mirror_gain=0.02)
    assert result.status is Status.UNCONFIRMED and MIRRORED in result.notes and result.fit["mirror_gain"] == 0.02
    assert judged.of(mirror_gain=-0.02).status is Status.SUCCESS


@pytest.mark.slow
def test_stretches_that_no_patient_has_are_no_success(judged):
    matrix = np.eye(4, dtype="f4")
    matrix[2, 2] = 0.54
    result = judged.of(affine=matrix)
    assert result.status is Status.IMPLAUSIBLE
    assert any("stretches by 0.54 to 1.00" in note for note in result.notes)


@pytest.mark.slow
def test_livers_of_very_different_volume_are_no_success(patient):
    """268 against 1540 mL, as of a kidney drawn as the liver, even where the masks end up on one another."""
    small_liver = small.liver_radius(voxel_centres_mm(small.OBLIQUE)) <= 0.55
    masks = {"liver": LabelMap.from_mask(small_liver, small.OBLIQUE, name="liver")}
    result = patient.register(small.FULL, floating_masks=masks)
    assert result.status in (Status.IMPLAUSIBLE, Status.MASK_IN_DOUBT)
    assert any("the liver mask has" in note for note in result.notes)


@pytest.mark.parametrize("stage", ["affine_history", "deformable_history"])
def test_one_bad_step_does_not_discard_the_result(judged, stage):
    history = np.ones((1, 4, 5 if stage == "deformable_history" else 4), "f4")
    history[0, 2, 1] = np.nan
    result = judged.of(**{stage: history})
    assert result.status is Status.SUCCESS and result.transform is not result.affine
    steps = 9 if stage == "affine_history" else 8
    assert result.notes[-1] == f"1 of {steps} optimisation steps were not finite and were skipped"
    # Most steps of a level lost: nothing was optimised there.
    history[0, 1:, 1] = np.nan
    result = judged.of(**{stage: history})
    assert result.status is Status.NOT_FINITE and result.transform is result.affine


def test_a_result_that_is_not_finite_is_told(judged):
    u = np.zeros((*judged.shape, 3), "f4")
    u[4, 5, 6] = np.nan
    assert judged.of(displacement_mm=u).status is Status.NOT_FINITE


def test_little_overlap_is_told(judged):
    assert judged.of(overlap=np.float32(0.2)).status is Status.NO_OVERLAP
    assert judged.of(overlap=np.float32(np.nan)).status is not Status.SUCCESS


@pytest.mark.slow
def test_livers_that_hardly_overlap_are_told(judged):
    matrix = np.eye(4, dtype="f4")
    matrix[0, 3] = 25.0
    assert judged.of(affine=matrix).status is Status.POOR_AGREEMENT


def test_an_affine_result_alone(judged):
    result = judged.of(deformable_history=np.zeros((0, 5, 5), "f4"), displacement_mm=np.zeros((*judged.shape, 3), "f4"))
    assert result.status is Status.SUCCESS and isinstance(result.transform, AffineTransform)
    assert [stage.name for stage in result.stages] == ["affine 1"]
    assert result.quality["final"] == result.quality["affine"]
