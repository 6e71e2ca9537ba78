"""Registrations without the masks: which mask contradicts the images, and rotated frames."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import small_patient as small

from sirtjax.registration import (
    ImageWithMasks,
    RegistrationResult,
    Status,
    apply_overrides,
    match_landmarks,
    register,
    register_batch,
)
from sirtjax.registration._judge import OTHER_START
from sirtjax.registration._landmark_doubt import check_landmarks
from sirtjax.registration._mask_doubt import register_unguided
from sirtjax.registration._ready import RESTARTED, make_ready
from sirtjax.spatial import AffineTransform, identity, voxel_centres_mm
from sirtjax.volume import LabelMap

WIDE = small.grid((64, 52, 56), (3.5, 3.5, 4.0))


def sides(change=None, *, which=0, floating=None):
    """The patient twice, one liver mask changed: `change` takes points and the true mask."""
    found = []
    for number, grid in enumerate((WIDE, WIDE)):
        mask = small.masks(grid, lesion=False)["liver"].mask("liver")
        if change is not None and number == which:
            mask = change(voxel_centres_mm(grid), mask)
        image = small.image(grid) if number == 0 or floating is None else floating
        found.append(ImageWithMasks(image=image, masks={"liver": LabelMap.from_mask(mask, grid, name="liver")}))
    return found[0], found[1]


def with_a_mass(points, mask):
    """A ball below the liver, in other tissue."""
    return mask | (np.linalg.norm(points - small.LIVER_MM - [-55, 0, -45], axis=-1) < 40)


def without_a_half(points, mask):
    return mask & (points[..., 0] > small.LIVER_MM[0])


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("change", [with_a_mass, without_a_half])
def test_the_mask_that_was_changed_is_named(change, which):
    found = register_unguided(sides(change, which=which), small.FULL)
    assert found is not None
    assert found.sentence.startswith(f"the {('reference', 'floating')[which]} liver mask is in doubt")


@pytest.mark.slow
def test_masks_in_different_places():
    away = register_unguided(
        sides(lambda p, _: np.linalg.norm(p - small.LIVER_MM - [-75, 0, 0], axis=-1) < 25, which=1), small.FULL
    )
    assert away is not None and "are at different positions" in away.sentence


@pytest.mark.slow
def test_images_of_different_content_name_no_mask():
    other = small.image(WIDE, lambda points: points[..., [1, 2, 0]] * 1.3 + 40.0)
    assert register_unguided(sides(floating=other), small.FULL) is None


@pytest.mark.slow
def test_a_mirrored_image_names_no_mask():
    found = register_unguided(sides(floating=small.image(WIDE, lambda points: points * [-1, 1, 1])), small.FULL)
    assert found is not None and found.mirrored and found.sentence is None


@pytest.mark.slow
def test_masks_that_agree_with_the_images_name_no_mask():
    found = register_unguided(sides(), small.FULL)
    assert found is not None and not found.mirrored and found.sentence is None
    np.testing.assert_allclose(found.start.floating_from_reference, np.eye(4), atol=0.5)


def lesion(name, grid, centre_mm, moved=small.still):
    inside = np.linalg.norm(moved(voxel_centres_mm(grid)) - centre_mm, axis=-1) <= 12.0
    return LabelMap.from_mask(inside, grid, name=name)


@pytest.mark.slow
def test_swapped_lesions_are_named():
    second = small.LESION_MM + np.array([-40.0, 10.0, -15.0])
    case = small.case(small.bent_and_moved)
    swapped = {
        "lesion1": lesion("lesion1", small.OBLIQUE, second),
        "lesion2": lesion("lesion2", small.OBLIQUE, small.LESION_MM),
    }
    guided = apply_overrides(small.FULL, ["weights.landmarks=0.01"])
    result = case.register(
        guided,
        reference_masks={**case.reference_masks, "lesion2": lesion("lesion2", small.STRAIGHT, second, case.true)},
        floating_masks={**case.floating_masks, **swapped},
    )
    assert result.status is Status.MASK_IN_DOUBT and result.restart is None
    assert re.search(r"different positions .* lesion1 \(\d\d mm\), lesion2 \(\d\d mm\)", result.notes[-1])


@pytest.mark.slow
def test_points_are_named_only_if_they_guide():
    points = small.LIVER_MM + np.array([[0.0, 0, 0], [20.0, 0, 0]])
    found = match_landmarks({}, {}, reference_points_mm=points, floating_points_mm=points + [[0], [25]] * np.eye(3)[1])
    guided = apply_overrides(small.FULL, ["weights.landmarks=0.01"])
    sentence = register_unguided(sides(), guided, found).sentence
    assert "landmark point 2 (25 mm)" in sentence and "point 1" not in sentence
    assert register_unguided(sides(), small.FULL, found).sentence is None


@pytest.fixture(scope="module")
def rotated():
    """The patient in a frame rotated by 90 degrees and shifted, with a lesion."""
    return small.case(
        small.through(small.about(small.turn(0, 0, 90), [5.0, -4.0, 6.0])), reference=WIDE, floating=WIDE
    )  # fmt: skip


@pytest.mark.slow
def test_a_rotated_frame_is_registered_from_the_start_that_the_images_give(rotated):
    result = rotated.register(small.FULL)
    assert result.status is Status.SUCCESS and RESTARTED in result.notes
    assert rotated.missed_mm(result.transform).mean() < 2.0


def with_landmark_off(case, off_mm):
    """The floating masks, with the lesion at a wrong place along the body."""
    lesion = case.floating_masks["lesion1"]
    steps = round(off_mm / lesion.geometry.spacing_mm[2])
    wrong = LabelMap.from_mask(np.roll(lesion.mask("lesion1"), -steps, axis=2), lesion.geometry, name="lesion1")
    return {**case.floating_masks, "lesion1": wrong}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("off_mm", "weight", "status"),
    [(0, 0, Status.SUCCESS), (16, 0, Status.SUCCESS), (24, 0, Status.MASK_IN_DOUBT), (24, 0.01, None)],
)
def test_a_restart_names_a_landmark_at_a_wrong_place(rotated, off_mm, weight, status):
    """It is at the limit of what is refused at once; the restart would follow it, 12 mm from the true map."""
    preset = apply_overrides(small.FULL, [f"weights.landmarks={weight}"])
    result = rotated.register(preset, floating_masks=with_landmark_off(rotated, off_mm))
    named = [note for note in result.notes if "these landmarks are more than 10 mm from their positions" in note]
    assert len(named) == (off_mm > 0) and all(re.search(r"lesion1 \(\d\d mm\)", note) for note in named)
    if status is None:  # the restart fails too, and the first result names the landmark
        assert result.status not in (Status.SUCCESS, Status.MASK_IN_DOUBT) and OTHER_START in result.notes
    else:
        assert result.status is status and RESTARTED in result.notes and result.restart is None
    assert (result.status is Status.SUCCESS) == (rotated.missed_mm(result.transform).mean() < 8.0)


@pytest.mark.slow
def test_a_batch_names_the_same_landmark(rotated):
    (found,) = register_batch(
        [rotated.reference], [rotated.floating], config=small.FULL, reference_masks=[rotated.reference_masks],
        floating_masks=[with_landmark_off(rotated, 24)],
    )  # fmt: skip
    assert found.status is Status.MASK_IN_DOUBT and "lesion1 (20 mm)" in found.notes[-1]


@pytest.mark.parametrize(
    ("free_status", "coarse_mm", "pulled_mm", "status"),
    [
        (Status.SUCCESS, 0.0, 25.0, Status.MASK_IN_DOUBT),
        (Status.SUCCESS, 16.0, 25.0, Status.MASK_IN_DOUBT),
        (Status.SUCCESS, 0.0, 5.0, Status.SUCCESS),
        (Status.POOR_AGREEMENT, 0.0, 25.0, Status.SUCCESS),
        (None, 18.0, 25.0, Status.SUCCESS),
    ],
)
def test_a_success_is_compared_with_one_without_the_landmarks(monkeypatch, free_status, coarse_mm, pulled_mm, status):
    """The landmark is 25 mm off; the first result moves it by `pulled_mm`, the one without it by nothing.

    Its affine stage moves it by `coarse_mm`; with a status of None no deformation without it is computed.
    """
    both, points = sides(), small.LESION_MM[None]
    guided = apply_overrides(small.FULL, ["weights.landmarks=0.01"])
    given = {
        "reference_masks": both[0].masks, "floating_masks": both[1].masks, "reference_points_mm": points,
        "floating_points_mm": points + np.array([25.0, 0.0, 0.0]),
    }  # fmt: skip

    def ended(mm, status):
        return RegistrationResult(
            transform=shift([mm, 0.0, 0.0]), affine=identity(), status=status, notes=(), stages=(),
            folding_fraction=0.0, quality={}, config=guided,
        )  # fmt: skip

    def solved(ready):
        free = not ready.landmarks.weight.any()
        assert not free or free_status is not None
        assert free == (not ready.pair.landmarks_weight.any()) and ready.sides[0].landmark_names() == ()
        return ended(0.0, free_status) if free else ended(pulled_mm, Status.SUCCESS)

    monkeypatch.setattr("sirtjax.registration._register._solved", lambda ready, **given: solved(ready))

    def coarse(ready, config, **given):
        assert not ready.landmarks.weight.any() and config.deformable.model == "none"
        return SimpleNamespace(affine=shift([coarse_mm, 0.0, 0.0]).floating_from_reference)

    monkeypatch.setattr("sirtjax.registration._register.solved_host", coarse)
    monkeypatch.setattr("sirtjax.registration._batch._start", lambda batch, size, config, seed, mesh: config)
    monkeypatch.setattr(
        "sirtjax.registration._batch._solutions",
        lambda batch, config: {number: coarse(ready, config) for number, ready in batch},
    )
    monkeypatch.setattr(
        "sirtjax.registration._batch._judged",
        lambda batch, solution, config: {number: solved(ready) for number, ready in batch},
    )
    images = both[0].image, both[1].image
    one = register(*images, config=guided, **given)
    lists = {name: [value] for name, value in given.items()}
    (batched,) = register_batch([images[0]], [images[1]], config=guided, **lists)
    for found in (one, batched):
        assert found.status is status
        named = any("registered without the landmarks" in note and "(25 mm)" in note for note in found.notes)
        assert named == (free_status is Status.SUCCESS)
    # Without guidance by the point there is nothing to compare.
    ready = make_ready(*images, config=small.FULL, **given)
    assert ready.without_landmarks(one, config=small.FULL) is None
    assert ready.without_landmarks(ended(0.0, Status.FOLDED), config=guided) is None


def shift(mm):
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return AffineTransform(matrix)


@pytest.mark.parametrize(
    ("off_mm", "noted", "followed"), [(0, False, False), (9, False, False), (12, True, False), (25, True, True)]
)
def test_landmarks_that_move_with_the_liver_are_not_in_doubt(off_mm, noted, followed):
    """A breath of 18 mm moves liver and lesion; only the distance from that counts."""
    grid, breath, off = small.STRAIGHT, np.array([0.0, 0.0, 18.0]), np.array([off_mm, 0.0, 0.0])
    both = [
        ImageWithMasks(image=small.image(grid, moved), masks=small.masks(grid, moved, lesion=False))
        for moved in (small.still, lambda points: points - breath)
    ]
    points = small.LESION_MM[None]
    found = match_landmarks({}, {}, reference_points_mm=points, floating_points_mm=points + breath + off)
    guided = apply_overrides(small.FULL, ["weights.landmarks=0.01"])
    check = check_landmarks((both[0], both[1]), found, identity(), config=guided)
    assert (check.note is not None) == noted and (check.sentence is not None) == (off_mm >= 9)
    assert check.is_followed(shift(breath + off)) == followed
    assert not check.is_followed(shift(breath))
    without = check_landmarks((both[0], both[1]), found, identity(), config=small.FULL)
    assert without.note is None and not without.is_followed(shift(breath + off))


@pytest.mark.slow
def test_a_batch_starts_again_unless_the_start_is_given(rotated):
    both = {name: [getattr(rotated, name)] * 2 for name in ("reference_masks", "floating_masks")}
    again, given = register_batch(
        [rotated.reference] * 2, [rotated.floating] * 2, config=small.FULL, starts=[None, identity()], **both
    )
    assert again.status is Status.SUCCESS and RESTARTED in again.notes
    assert rotated.missed_mm(again.transform).mean() < 2.0
    assert given.status is not Status.SUCCESS and OTHER_START in given.notes and RESTARTED not in given.notes


@pytest.mark.slow
def test_a_start_that_the_user_gives_is_not_replaced(rotated):
    result = rotated.register(small.FULL, start=identity())
    assert result.status is not Status.SUCCESS and OTHER_START in result.notes and RESTARTED not in result.notes
    assert rotated.missed_mm(result.restart).mean() < 10.0
