"""The gradient of the error along each weight: against re-solved minima, and zero where a weight has no influence."""

from dataclasses import fields
from functools import cache

import jax
import numpy as np
import pytest
import small_gradients as small
import small_patient as patient

from sirtjax import registration, studies
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.registration import ImplicitOptions, Weights, evaluate_error_gradient, prepare_smooth_judge, smooth_rmsd_mm
from sirtjax.registration._error_gradient import _spline_coefficients, error_gradient_compiled
from sirtjax.registration._lattice import sample_smooth
from sirtjax.registration._mask_figures import MaskEvaluator
from sirtjax.registration._smooth_judge import smooth_judge
from sirtjax.registration._tuning import _measured
from sirtjax.spatial import DisplacementField

# The affine map follows the masks and knows no weight.
CONFIG = patient.preset(
    **small.COMMON,
    affine={"match": "masks", "sample_stride": 2, "samples": 512, "steps": 20},
    deformable={"sample_stride": 3, "samples": 512, "steps": 40, "levels": [small.ONE_LEVEL]},
)
EXACT = ImplicitOptions(newton_steps=8, cg_steps=80, damping=0.0, sublattices=2)


@cache
def case():
    """The images differ by another map than the masks for evaluation, so that the weights matter."""
    return registration.prepare_tuning_case(
        patient.image(small.REFERENCE, small.bend),
        patient.image(small.FLOATING),
        config=CONFIG,
        reference_masks=patient.masks(small.REFERENCE, small.bend, lesion=False),
        floating_masks=patient.masks(small.FLOATING, lesion=False),
        evaluation_masks=(patient.masks(small.REFERENCE, opposite), patient.masks(small.FLOATING)),
    )


def opposite(points_mm):
    return points_mm + 0.3 * (small.bend(points_mm) - points_mm)


def waves(pair, size_mm):
    """A smooth displacement (i, j, k, 3) of the reference's lattice."""
    nodes = np.stack(np.indices(pair.reference.shape), axis=-1)
    return (size_mm * np.sin(nodes[..., [1, 2, 0]] / 7 + np.array([0, 1, 2]))).astype(np.float32)


@pytest.mark.slow
def test_the_smooth_error_is_close_to_that_of_the_masks():
    made, judge = case(), prepare_smooth_judge(case())
    pair, found = made.ready.pair, []
    measure = jax.jit(smooth_rmsd_mm)
    assert judge.landmarks_weight.sum() == 1
    for size_mm, shift_mm in ((0.0, 0.0), (2.0, 0.0), (4.0, 0.0), (3.0, 6.0)):
        affine = np.array(pair.start, np.float32)
        affine[0, 3] += shift_mm
        u = waves(pair, size_mm)
        found.append(float(measure(affine, u, pair, judge)))
        true = _measured(made, DisplacementField(u, made.ready.lattice, affine.astype(np.float64)))
        assert found[-1] == pytest.approx(true["rmsd_mm"], abs=0.35)
    assert max(found) > 2 * min(found)  # it is not close because all are alike


def test_the_floating_side_is_interpolated_and_not_blurred():
    pair = case().ready.pair
    values = np.asarray(pair.floating)[..., None]
    nodes = tuple(np.indices(pair.floating.shape).reshape(3, -1).astype(np.float32))
    read = jax.jit(sample_smooth)
    kept = read(np.asarray(_spline_coefficients(pair).floating)[..., None], nodes)
    np.testing.assert_allclose(kept, values.reshape(-1, 1), atol=2e-5)
    assert np.abs(read(values, nodes) - values.reshape(-1, 1)).max() > 0.05  # without the filter


@pytest.mark.slow
def test_the_gradient_of_the_smooth_error_is_that_of_differences():
    made, judge = case(), prepare_smooth_judge(case())
    pair = made.ready.pair

    # The pair is an argument: XLA would compute at length what depends on constants only.
    @jax.jit
    @jax.value_and_grad
    def error(scale, u, pair, judge):
        return smooth_rmsd_mm(pair.start, scale * u, pair, judge)

    (low, _), (_, gradient), (high, _) = (error(scale, waves(pair, 1.0), pair, judge) for scale in (2.9, 3.0, 3.1))
    assert gradient == pytest.approx((float(high) - float(low)) / 0.2, rel=0.03)
    assert abs(gradient) > 0.1


def weighted(**factors):
    values = {name: getattr(CONFIG.weights, name) * factors.get(name, 1.0) for name in factors}
    return CONFIG.weights.model_copy(update=values)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "tolerance"), [("ssd", 0.05), ("mutual_information", 0.15)])
def test_gradients_against_differences_of_solved_again_minima(kind, tolerance):
    similarity = CONFIG.similarity.model_copy(update={"kind": kind})
    weights = CONFIG.weights.model_copy(update={} if kind == "ssd" else {"image": 3.0})
    config = CONFIG.model_copy(update={"similarity": similarity})
    judge = prepare_smooth_judge(case())

    def at(**factors):
        values = {name: getattr(weights, name) * factor for name, factor in factors.items()}
        trial = evaluate_error_gradient(case(), judge, weights.model_copy(update=values), config=config, options=EXACT)
        assert trial.residual_mm < 0.02
        return trial

    found = at().gradient_mm
    h = 0.1
    for name in ("image", "masks", "regularisation"):
        low, high = (at(**{name: float(np.exp(sign * h))}).rmsd_mm for sign in (-1, 1))
        assert found[name] == pytest.approx((high - low) / (2 * h), rel=tolerance, abs=2e-3), name
        assert abs(found[name]) > 0.01
    # No landmark guides, and a volume term is not in this preset.
    assert found["landmarks"] == 0 and found["volume"] == 0


@pytest.mark.slow
def test_steps_along_the_gradients_reduce_the_error():
    judge, names = prepare_smooth_judge(case()), ("image", "masks")
    start = np.log([getattr(CONFIG.weights, name) for name in names])
    visited = []
    logs = start
    for _ in range(4):
        values = dict(zip(names, (float(one) for one in np.exp(logs)), strict=True))
        weights = CONFIG.weights.model_copy(update=values)
        trial = evaluate_error_gradient(case(), judge, weights, config=CONFIG, options=EXACT)
        gradient = 2 * trial.rmsd_mm * np.array([trial.gradient_mm[name] for name in names])
        visited.append(studies.Visited(logs=logs, value=trial.rmsd_mm**2, gradient=gradient))
        logs = studies.propose(visited, low=start - 5, high=start + 5)
        assert logs is not None
    errors = [np.sqrt(one.value) for one in visited]
    assert errors[1] < errors[0] and min(errors) < 0.97 * errors[0]


@pytest.mark.slow
def test_weights_have_no_gradient_without_a_deformation():
    config = CONFIG.model_copy(update={"deformable": CONFIG.deformable.model_copy(update={"model": "none"})})
    trial = evaluate_error_gradient(case(), prepare_smooth_judge(case()), CONFIG.weights, config=config, options=EXACT)
    assert trial.rmsd_mm > 0.3 and trial.residual_mm == 0
    assert set(trial.gradient_mm) == {one.name for one in fields(Weights)} and set(trial.gradient_mm.values()) == {0.0}


@pytest.mark.slow
def test_another_patient_and_other_weights_compile_nothing():
    judge = prepare_smooth_judge(case())
    evaluate_error_gradient(case(), judge, CONFIG.weights, config=CONFIG, options=EXACT)
    before = error_gradient_compiled._cache_size()
    other = registration.prepare_tuning_case(
        patient.image(small.FLOATING),
        patient.image(small.REFERENCE, small.bend),
        config=CONFIG,
        reference_masks=patient.masks(small.FLOATING),
        floating_masks=patient.masks(small.REFERENCE, small.bend),
    )
    trial = evaluate_error_gradient(
        other, prepare_smooth_judge(other), weighted(image=2.0), config=CONFIG, options=EXACT
    )
    assert error_gradient_compiled._cache_size() == before and np.isfinite(trial.rmsd_mm)


def test_linear_interpolation_and_missing_livers_are_refused():
    linear = CONFIG.model_copy(update={"similarity": CONFIG.similarity.model_copy(update={"interpolation": "linear"})})
    weights = registration.weights_from_config(CONFIG.weights)
    judge = prepare_smooth_judge(case())
    with pytest.raises(ConfigError, match=r'needs similarity\.interpolation = "cubic"'):
        registration.error_gradient(case().ready.pair, judge, weights, jax.random.key(0), config=linear)
    with pytest.raises(GeometryError, match="needs the liver masks of both images"):
        smooth_judge(MaskEvaluator(grid=case().evaluation.grid, occupancy={}, floating_liver=None, floating={}))
