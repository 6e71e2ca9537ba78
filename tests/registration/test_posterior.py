"""The posterior of a registration: against closed forms, against known displacements, and what it must refuse."""

import functools

import numpy as np
import pytest
import small_patient as small
from scipy import stats

from sirtjax.errors import ComputationError, GeometryError, InputError
from sirtjax.registration import Status, registration_posterior
from sirtjax.registration._ensemble import second_moment
from sirtjax.spatial import transform_points
from sirtjax.volume import Volume

POINTS_MM = np.array([small.LIVER_MM, small.LESION_MM, [20.0, -20.0, 30.0]])
CONFIG = small.preset(
    guided="liver",
    similarity={"kind": "mutual_information"},
    weights={"image": 0.5, "masks": 3.0, "regularisation": 0.3},
)


@functools.cache
def bent():
    return small.case(small.bent_and_moved, lesion=False)


@functools.cache
def result():
    return bent().register(CONFIG)


def posterior(patient=None, **options):
    patient = patient or bent()
    given = {
        "config": CONFIG, "method": "laplace", "unseen_mm": 0.0, "reference_masks": patient.reference_masks,
        "floating_masks": patient.floating_masks,
    } | options  # fmt: skip
    points = given.pop("points_mm", POINTS_MM)
    return registration_posterior(patient.reference, patient.floating, points, **given)


def test_ensemble_contains_the_distance_of_its_mean_from_the_result():
    random = np.random.default_rng(1)
    members = random.multivariate_normal([1.0, -2.0, 3.0], np.diag([4.0, 1.0, 0.25]), 200_000)[:, None]
    found = second_moment(members, np.array([[0.0, -2.0, 3.0]]))[0, :, 0]
    np.testing.assert_allclose(found, np.diag([5.0, 1.0, 0.25]), atol=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["laplace", "ensemble"])
def test_error_is_within_the_stated_uncertainty(method):
    assert result().status is Status.SUCCESS
    found = posterior(method=method, result=result(), members=6)
    assert found.covariance_mm2.shape == (3, 3, 3, 3)
    joint = found.covariance_mm2.reshape(9, 9)
    np.testing.assert_allclose(joint, joint.T, atol=1e-6)
    assert np.linalg.eigvalsh(joint).min() > -1e-6
    truth = bent().true(POINTS_MM)
    moved = transform_points(result().transform, POINTS_MM)
    np.testing.assert_allclose(found.displacement_mm, moved - POINTS_MM, atol=1e-6)
    linear = np.asarray(result().affine.floating_from_reference)[:3, :3]
    error = np.linalg.solve(linear, (POINTS_MM + found.displacement_mm - truth).T).T
    away = [e @ np.linalg.solve(c, e) for e, c in zip(error, found.covariance_at_points_mm2, strict=True)]
    assert max(away) < stats.chi2.ppf(0.9999, 3)
    # No wider than the images allow: the lesion is 24 mm wide and lies in a textured liver.
    assert found.standard_deviation_mm.max() < 6


@pytest.mark.slow
def test_unseen_motion_is_added_to_every_point_and_pair():
    still, moving = (posterior(result=result(), unseen_mm=mm) for mm in (0.0, (1.0, 2.0, 5.0)))
    added = moving.covariance_mm2 - still.covariance_mm2
    expected = np.broadcast_to(np.diag([1.0, 4.0, 25.0])[None, :, None], added.shape)
    np.testing.assert_allclose(added, expected, atol=1e-9)
    assert (moving.standard_deviation_mm >= [1.0, 2.0, 5.0]).all()


@pytest.mark.slow
def test_noise_does_not_narrow_the_posterior():
    """Noise makes the residual look independent; that must not count as more information."""
    patient, random = bent(), np.random.default_rng(3)
    noisy = small.Case(
        reference=_with_noise(patient.reference, random), floating=_with_noise(patient.floating, random),
        reference_masks=patient.reference_masks, floating_masks=patient.floating_masks, true=patient.true,
    )  # fmt: skip
    clear = posterior(result=result())
    blurred = posterior(noisy, result=noisy.register(CONFIG))
    assert blurred.standard_deviation_mm.mean() > 0.97 * clear.standard_deviation_mm.mean()


def _with_noise(volume, random):
    values = np.asarray(volume.array) + 60 * random.standard_normal(volume.array.shape)
    return Volume(values.astype(np.float32), volume.geometry, unit=volume.unit)


@pytest.mark.slow
def test_failed_registration_has_no_posterior():
    """Masks of different places do not overlap once the images decide: the status is no success."""
    patient = bent()
    elsewhere = small.masks(small.OBLIQUE, lambda p: p * 2.2 + [40.0, 30.0, -50.0], lesion=False)
    with pytest.raises(ComputationError, match="registration status"):
        posterior(patient, floating_masks=elsewhere)


@pytest.mark.slow
def test_constant_image_is_refused():
    patient = bent()
    flat = Volume(np.full_like(np.asarray(patient.floating.array), 40.0), patient.floating.geometry, unit="HU")
    wrong = small.Case(
        reference=patient.reference, floating=flat, reference_masks=patient.reference_masks,
        floating_masks=patient.floating_masks, true=patient.true,
    )  # fmt: skip
    with pytest.raises(GeometryError, match="constant"):
        posterior(wrong)


@pytest.mark.slow
def test_points_outside_the_compared_region_are_refused():
    with pytest.raises(InputError, match="outside the region"):
        posterior(result=result(), points_mm=[[400.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_mm": [[0.0, np.nan, 0.0]]}, "points_mm"),
        ({"points_mm": np.zeros((0, 3))}, "points_mm"),
        ({"unseen_mm": -1.0}, "unseen_mm"),
        ({"unseen_mm": (1.0, 2.0)}, "unseen_mm"),
        ({"method": "guess"}, "method"),
        ({"method": "ensemble", "members": 2}, "members"),
        ({"config": small.preset(**small.ONLY_AFFINE)}, "deformable.model"),
        ({"config": small.preset(similarity={"kind": "normalised_mutual_information"})}, "log-likelihood"),
        ({"config": small.preset(weights={"image": 0.0})}, "log-likelihood"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_registering(options, message):
    with pytest.raises(InputError, match=message):
        posterior(**options)
