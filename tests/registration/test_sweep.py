from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import small_patient as patient

from sirtjax import metrics
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.registration import (
    Solution,
    Status,
    Weights,
    evaluate_weights,
    prepare_tuning_case,
    sweep_weights,
    weights_from_config,
)
from sirtjax.registration._affine import solve_affine
from sirtjax.registration._solve import solve_compiled
from sirtjax.registration._tuning import _measured, _trial
from sirtjax.spatial import AffineTransform
from sirtjax.volume import LabelMap

CONFIG = patient.preset(
    affine={"match": "masks", "steps": 40},
    deformable={"steps": 60},
    weights={"image": 10.0, "masks": 3.0},
)
IMAGE, MASKS = (0.0, 3.0, 30.0), (0.0, 1.0, 10.0)


def true_map(points):
    """Where the patient of the reference is: the dome is lifted and the lesion pushed, which no affine map follows."""
    lift = 9 * np.exp(-(((points - patient.LIVER_MM - [0, 0, 30]) / [30, 30, 22]) ** 2).sum(-1))
    push = 7 * np.exp(-(((points - patient.LESION_MM) / 20) ** 2).sum(-1))
    return points + lift[..., None] * [0, 0.3, 1] + push[..., None] * [-1, 0, 0]


def wrong_map(points):
    """The dome and the lesion the other way, and the rest of the liver too."""
    return 2 * points - true_map(points) + 4 * np.sin(points[..., [1, 2, 0]] / 25)


def bench(reference_image, reference_masks, judging=None):
    """The floating side is still and of another, oblique grid; the reference shows it through a map."""
    return prepare_tuning_case(
        patient.image(patient.STRAIGHT, reference_image),
        patient.image(patient.OBLIQUE),
        config=CONFIG,
        reference_masks=patient.masks(patient.STRAIGHT, reference_masks),
        floating_masks=patient.masks(patient.OBLIQUE),
        evaluation_masks=judging,
    )


def tables(pairs):
    return [CONFIG.weights.model_copy(update={"image": image, "masks": masks}) for image, masks in pairs]


def surface(made, pairs):
    trials = []
    for begin in range(0, len(pairs), 3):
        part = tables(pairs[begin : begin + 3])
        trials += evaluate_weights(made, part, config=CONFIG, swept=("image", "masks"), batch_size=3)
    return {pair: trial for pair, trial in zip(pairs, trials, strict=True)}


@pytest.fixture(scope="module")
def honest():
    return bench(true_map, true_map)


@pytest.mark.slow
def test_all_points_at_once_are_the_same_as_one_by_one(honest):
    pairs = [(0.0, 0.0), (3.0, 1.0), (30.0, 10.0)]
    trials = surface(honest, pairs)
    for pair, table in zip(pairs, tables(pairs), strict=True):
        config = CONFIG.model_copy(update={"weights": table})
        alone = solve_compiled(
            honest.ready.pair, weights_from_config(table), jax.random.key(0), config=CONFIG.structure()
        )
        result = honest.ready.judged(jax.tree.map(np.asarray, alone), config=config)
        trial = trials[pair]
        assert trial.status is result.status and trial.weights == table
        assert trial.figures["msd_mm"] == pytest.approx(result.quality["final"]["msd_mm liver"], abs=0.01)
        assert trial.figures["dsc"] == pytest.approx(result.quality["final"]["dsc liver"], abs=0.003)
        # on the images' own grids, the lesion that did not guide too
        masks = patient.masks(patient.STRAIGHT, true_map), patient.masks(patient.OBLIQUE)
        fine = metrics.evaluate_registration(result.transform, *masks)
        assert trial.figures["rmsd_mm"] == pytest.approx(fine.rmsd_mm, abs=0.25)
        assert trial.figures["mcd_mm"] == pytest.approx(fine.labels[1].mcd_mm, abs=0.25)


@pytest.mark.slow
def test_without_images_and_masks_the_affine_map_remains(honest):
    still, driven = surface(honest, [(0.0, 0.0), (30.0, 10.0)]).values()
    assert still.status is Status.SUCCESS
    assert still.figures["rmsd_mm"] == pytest.approx(still.figures["affine_rmsd_mm"], abs=1e-3)
    # the affine map itself, not its start: the masks that drive it count whole, whatever they weigh later
    assert still.figures["affine_rmsd_mm"] == pytest.approx(driven.figures["affine_rmsd_mm"], abs=1e-3)
    assert still.figures["dsc"] > _measured(honest, AffineTransform(honest.ready.pair.start))["dsc"] + 0.002


@pytest.mark.slow
def test_images_that_mislead_are_best_left_out():
    found = surface(bench(wrong_map, true_map), [(image, 10.0) for image in IMAGE])
    rmsd = [found[image, 10.0].figures["rmsd_mm"] for image in IMAGE]
    assert rmsd[0] == min(rmsd) and rmsd[0] < found[0.0, 10.0].figures["affine_rmsd_mm"] - 0.5
    deformed = [found[image, 10.0].figures["deformed_rmsd_mm"] for image in IMAGE]
    assert deformed == sorted(deformed) and deformed[-1] > deformed[0] + 0.5


@pytest.mark.slow
def test_masks_that_mislead_are_best_left_out():
    truth = patient.masks(patient.STRAIGHT, true_map), patient.masks(patient.OBLIQUE)
    found = surface(bench(true_map, wrong_map, judging=truth), [(30.0, masks) for masks in MASKS])
    rmsd = [found[30.0, masks].figures["deformed_rmsd_mm"] for masks in MASKS]
    assert rmsd == sorted(rmsd) and rmsd[-1] > rmsd[0] + 1


@pytest.mark.slow
def test_the_affine_stage_is_shared_by_all_points(honest):
    weights = Weights(**{name: np.float32(value) for name, value in CONFIG.weights})
    grid = Weights(**{**vars(weights), "image": np.array(IMAGE, np.float32)})
    found = jax.eval_shape(partial(sweep_weights, honest.ready.pair, config=CONFIG), grid, jax.random.key(0))
    assert found.affine.shape == (3, 4, 4) and found.displacement_mm.shape == (3, *CONFIG.lattice.shape, 3)
    # `vmap` refuses an output without an axis that depends on one with it
    axes = Weights(**dict.fromkeys(vars(weights)) | {"image": 0})

    def affine(weights):
        return solve_affine(honest.ready.pair, weights, jax.random.key(0), config=CONFIG)

    alone = jax.eval_shape(jax.vmap(affine, in_axes=(axes,), out_axes=None), grid)
    assert alone[0].shape == (4, 4)


def test_a_sweep_needs_an_axis(honest):
    weights = Weights(**{name: np.float32(value) for name, value in CONFIG.weights})
    with pytest.raises(ConfigError, match="weights with one axis of one length, got scalars only"):
        sweep_weights(honest.ready.pair, weights, jax.random.key(0), config=CONFIG)
    uneven = Weights(**{**vars(weights), "image": np.zeros(3, np.float32), "masks": np.zeros(2, np.float32)})
    with pytest.raises(ConfigError, match="one length, got"):
        sweep_weights(honest.ready.pair, uneven, jax.random.key(0), config=CONFIG)


def test_masks_to_judge_by_are_checked():
    liver = patient.masks(patient.STRAIGHT)["liver"]
    lesion = patient.masks(patient.OBLIQUE)["lesion1"]
    with pytest.raises(GeometryError, match='the reference evaluation masks have no "liver"'):
        bench(true_map, true_map, judging=({}, {}))
    empty = LabelMap.from_mask(np.zeros(lesion.geometry.shape, bool), lesion.geometry, name="lesion1")
    floating = {**patient.masks(patient.OBLIQUE), "lesion1": empty}
    with pytest.raises(GeometryError, match='floating mask "lesion1" for evaluation has 0 voxel'):
        bench(true_map, true_map, judging=({"liver": liver}, floating))
    far = np.zeros(liver.geometry.shape, bool)
    far[:4, :4, :4] = True
    reference = {"liver": liver, "lesion1": LabelMap.from_mask(far, liver.geometry, name="lesion1")}
    with pytest.raises(GeometryError, match='mask "lesion1" is on the lattice around the liver'):
        bench(true_map, true_map, judging=(reference, patient.masks(patient.OBLIQUE)))


@pytest.mark.slow
def test_the_affine_map_is_measured_where_register_returns_it_as_a_success():
    """Images of one pose leave a deformation nothing to gain: noise decides, and `register` returns the affine map."""
    own, contours = patient.image(patient.OBLIQUE), patient.masks(patient.OBLIQUE)
    made = prepare_tuning_case(own, own, config=CONFIG, reference_masks=contours, floating_masks=contours)
    shape = (*made.ready.lattice.shape, 3)
    solution = Solution(
        affine=np.eye(4, dtype="f4"),
        affine_improved=np.array(True),
        displacement_mm=np.full(shape, 2.0, "f4"),
        terms=np.array([[0.5, 0.5], [0.1, 0.1], [0.2, 0.2]], "f4"),
        overlap=np.float32(1),
        affine_history=np.ones((1, 4, 4), "f4"),
        deformable_history=np.ones((1, 5, 5), "f4"),
    )
    result = made.ready.judged(solution, config=CONFIG)
    assert result.status is Status.SUCCESS and result.transform is result.affine
    trial = _trial(made, solution, CONFIG.weights, CONFIG)
    assert trial.status is Status.SUCCESS
    assert trial.figures["rmsd_mm"] == trial.figures["affine_rmsd_mm"] < 0.1
    assert trial.figures["deformed_rmsd_mm"] > 0.5


@pytest.mark.slow
def test_a_case_starts_from_the_alignment_that_register_chooses(monkeypatch):
    from sirtjax.registration import _ready

    far, near = np.eye(4), np.eye(4)
    far[0, 3] = 45.0
    located = SimpleNamespace(start=AffineTransform(far), other_starts=(AffineTransform(near),), mirror_gain=-0.1)
    monkeypatch.setattr(_ready, "estimate_initial_transform", lambda *_, **__: located)
    made = prepare_tuning_case(
        patient.image(patient.STRAIGHT, patient.wave),
        patient.image(patient.OBLIQUE),
        config=patient.preset(guided="none"),
        evaluation_masks=(patient.masks(patient.STRAIGHT, patient.wave), patient.masks(patient.OBLIQUE)),
    )
    np.testing.assert_allclose(made.ready.start.floating_from_reference, near, atol=1e-9)
