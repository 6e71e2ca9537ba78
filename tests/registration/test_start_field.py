"""Registrations that start from a displacement field: the fit of the splines, and what a few steps make of it."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
import small_patient as small

from sirtjax.errors import ConfigError
from sirtjax.registration import Status
from sirtjax.registration._deformable import displacement_mm
from sirtjax.registration._start_field import start_coefficients
from sirtjax.spatial import DisplacementField, identity, transform_points, voxel_centres_mm
from sirtjax.volume import Geometry

SHAPE, PITCH_MM = (32, 28, 24), (4.5, 5.0, 5.5)
BOX = Geometry.from_axes(SHAPE, spacing_mm=PITCH_MM, origin_mm=(-60.0, -70.0, -20.0))
PAIR = types.SimpleNamespace(reference=np.zeros(SHAPE), reference_pitch_mm=jnp.float32(PITCH_MM))
LEVELS = [{**small.DEFORMABLE_LEVEL, "control_points": controls} for controls in ([5, 5, 5], [9, 8, 7])]
FEW = {"steps": 4}


def spline_sum(own, config):
    return np.asarray(displacement_mm(tuple(jnp.asarray(c) for c in own), PAIR, config, stride=1, phase=None))


def test_a_sum_of_splines_is_found_again():
    config = small.preset(deformable={"levels": LEVELS})
    rng = np.random.default_rng(0)
    true = spline_sum([rng.normal(0, 4, (*level["control_points"], 3)).astype(np.float32) for level in LEVELS], config)
    found, rest = start_coefficients(DisplacementField(true, BOX), BOX, config)
    assert [c.shape for c in found] == [(5, 5, 5, 3), (9, 8, 7, 3)]
    size = np.sqrt(np.mean(true**2))
    assert np.sqrt(np.mean(rest**2)) < 0.05 * size
    np.testing.assert_allclose(spline_sum(found, config) + rest, true, atol=2e-3)


def test_what_the_splines_cannot_represent_is_returned():
    config = small.preset(deformable={"levels": LEVELS})
    rough = np.random.default_rng(1).normal(0, 3, (*SHAPE, 3)).astype(np.float32)
    found, rest = start_coefficients(DisplacementField(rough, BOX), BOX, config)
    np.testing.assert_allclose(spline_sum(found, config) + rest, rough, atol=2e-3)
    assert np.sqrt(np.mean(rest**2)) > 0.8 * np.sqrt(np.mean(rough**2))


@pytest.fixture(scope="module")
def bent():
    return small.case(small.wave, lesion=False)


def true_field(case, part=1.0):
    points = voxel_centres_mm(small.STRAIGHT)
    return DisplacementField((part * (case.true(points) - points)).astype(np.float32), small.STRAIGHT)


@pytest.mark.slow
def test_a_few_steps_from_a_good_field_are_better_than_from_nothing(bent):
    config = small.preset(affine={"model": "none"}, deformable=FEW)
    near = bent.register(config, start=true_field(bent, 0.8))
    far = bent.register(config, start=identity())
    started = bent.missed_mm(true_field(bent, 0.8)).mean()
    assert bent.missed_mm(near.transform).mean() < 0.7 * bent.missed_mm(far.transform).mean()
    assert bent.missed_mm(near.transform).mean() < started + 0.3
    assert any("started from a displacement field" in note for note in near.notes)
    assert not any("started from" in note for note in far.notes)
    # Regularisation counts the start as well.
    # Minus the squared differences: those of the start are those with its field.
    assert near.quality["start"]["similarity"] > 0.5 * near.quality["affine"]["similarity"]
    assert far.quality["start"]["similarity"] == pytest.approx(far.quality["affine"]["similarity"])
    losses = [np.asarray(one.stages[-1].losses["regularisation"])[0] for one in (near, far)]
    assert losses[0] > 10 * losses[1]


@pytest.mark.slow
def test_the_affine_part_of_the_start_stays(bent):
    """The affine stage of the preset is omitted, and the field is in front of the affine map."""
    shift = np.eye(4)
    shift[:3, 3] = (2.0, -3.0, 4.0)
    inner = true_field(bent, 0.8)
    found = bent.register(
        small.preset(deformable={"steps": 1}), start=DisplacementField(inner.array, inner.geometry, shift)
    )
    points = small.liver_points_mm()
    moved = transform_points(found.transform, points)
    np.testing.assert_allclose(
        moved - transform_points(inner, points), np.tile(shift[:3, 3], (len(points), 1)), atol=3.0
    )
    assert len(found.stages) == 1


@pytest.mark.slow
def test_a_start_that_folds_is_no_success(bent):
    points = voxel_centres_mm(small.STRAIGHT)
    folded = (
        25.0 * np.sin(points / 8.0)[..., [1, 2, 0]] * small.rounded((small.liver_radius(points) - 1) * 40)[..., None]
    )
    found = bent.register(
        small.preset(deformable={"steps": 1}), start=DisplacementField(folded.astype(np.float32), small.STRAIGHT)
    )
    assert found.status is not Status.SUCCESS


def test_a_preset_without_such_splines_is_refused(bent):
    for model in ("velocity", "none"):
        with pytest.raises(ConfigError, match="cannot start from a displacement field"):
            bent.register(small.preset(deformable={"model": model}), start=true_field(bent))


@pytest.mark.slow
def test_all_splines_take_part_from_the_first_level_on(bent):
    """A start that only the finer splines represent counts before their own level begins."""
    points = voxel_centres_mm(small.STRAIGHT)
    inside = small.rounded((small.liver_radius(points) - 1) * 40)[..., None]
    fine = (3.0 * np.sin(points / 7.0)[..., [1, 2, 0]] * inside).astype(np.float32)
    first = []
    for levels in (LEVELS[:1], LEVELS):
        config = small.preset(deformable={"levels": levels, "steps": 1})
        found = bent.register(config, start=DisplacementField(fine, small.STRAIGHT))
        first.append(float(np.asarray(found.stages[0].losses["regularisation"])[0]))
    assert first[1] > 3 * first[0]
