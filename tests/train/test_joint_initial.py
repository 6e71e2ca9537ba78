"""The weights that the training of a registration network begins with."""

import json
from dataclasses import replace
from unittest import mock

import jax
import joint_toy as toy
import numpy as np
import pytest

from sirtjax import networks, registration_networks, train
from sirtjax.errors import ImageFormatError, ModelError
from sirtjax.train import _joint_run


def other_weights(made, seed=5):
    """Variables in which every number, also of the output layers, differs from sampled ones."""
    rng = np.random.default_rng(seed)
    first = train.first_progress(made).state.variables
    return jax.tree.map(lambda x: rng.uniform(1, 2, x.shape).astype(np.float32), first)


def saved_model(made, path):
    variables = other_weights(made)
    spec = registration_networks.RegistrationModelSpec(
        name="other", network=made.network, preprocessing=made.preprocessing, shape=toy.SHAPE, source="", licence=""
    )
    registration_networks.save_registration_model(
        path, registration_networks.RegistrationModel(spec=spec, variables=variables)
    )
    return variables


def assert_same(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_it_begins_with_the_weights_of_a_model(tmp_path):
    made = toy.config()
    variables = saved_model(made, tmp_path / "model")
    state = train.initial_progress(toy.config(weights=str(tmp_path / "model"))).state
    assert_same(state.variables, variables)
    assert_same(state.average, variables["params"])
    assert int(state.step) == 0
    assert_same(state.optimiser, train.first_progress(made).state.optimiser)
    # Without weights they are sampled from the seed.
    assert_same(train.initial_progress(made).state.variables, train.first_progress(made).state.variables)


def test_it_begins_with_the_best_weights_of_a_run(tmp_path):
    made = toy.config()
    variables = other_weights(made)
    train.save_tree(tmp_path / "best.npz", variables, {"step": 3})
    table = toy.table()
    table["data"]["synthesis"]["shape"] = (16, 16, 16)
    (tmp_path / "config.json").write_text(json.dumps({"config": table}))
    state = train.initial_progress(toy.config(weights=str(tmp_path))).state
    assert_same(state.variables, variables)


def test_further_cascades_begin_with_the_identity(tmp_path):
    one = toy.config(network={"cascades": 1}, course={"stages": toy.table()["course"]["stages"][:1]})
    variables = saved_model(one, tmp_path / "model")
    made = toy.config(weights=str(tmp_path / "model"))
    found = train.initial_progress(made).state.variables["params"]
    assert_same(networks.cascade_of(found, 0), networks.cascade_of(variables["params"], 0))
    drawn = train.first_progress(made).state.variables["params"]
    assert_same(networks.cascade_of(found, 1), networks.cascade_of(drawn, 1))


@pytest.mark.slow
def test_the_first_stage_can_begin_with_the_weights_of_the_cascade_before(tmp_path):
    """As when a cascade is added to a trained network: with a rate of nearly zero, its features remain a copy."""
    one = toy.config(network={"cascades": 1}, course={"stages": toy.table()["course"]["stages"][:1]})
    saved_model(one, tmp_path / "model")
    stage = {"cascade": 1, "steps": 1, "learning_rate": 1e-12, "begin_from_previous": True}
    made = toy.config(
        weights=str(tmp_path / "model"), course={"stages": [stage]}, optimiser={"warmup_steps": 0, "ema_decay": 0.9}
    )
    params = toy.run(tmp_path / "run", made).progress.state.variables["params"]
    jax.tree.map(lambda x: np.testing.assert_allclose(x[1], x[0], atol=1e-6), params["encoder"])
    assert all(np.abs(x[1]).max() < 1e-6 for x in jax.tree.leaves(params["decoder"]["heads"]))


@pytest.mark.parametrize(
    "network",
    [{"cascades": 1}, {"unit_mm": 5.0}, {"network": toy.table()["network"]["network"] | {"features": [4, 8]}}],
)
def test_weights_of_another_network_are_refused(network, tmp_path):
    saved_model(toy.config(), tmp_path / "model")
    stages = toy.table()["course"]["stages"][:1]
    with pytest.raises(ModelError, match="holds the weights of another network"):
        train.initial_progress(toy.config(network=network, course={"stages": stages}, weights=str(tmp_path / "model")))


def test_weights_of_a_run_before_its_first_validation_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"config": toy.table()}))
    with pytest.raises(ModelError, match=r"is a run without best\.npz, which its first validation writes; continue it"):
        train.initial_progress(toy.config(weights=str(tmp_path)))


@pytest.mark.slow
def test_a_run_without_masks_for_its_validation_says_why_it_has_no_best_weights(tmp_path):
    made, notes = toy.config(course={"stages": toy.table()["course"]["stages"][:1]}), []
    found = toy.source(made)
    empty = {
        name: pair._replace(floating_liver=0 * pair.floating_liver, reference_liver=0 * pair.reference_liver)
        for name, pair in found.validation.items()
    }
    run = tmp_path / "run"
    toy.run(run, made, pairs=replace(found, validation=empty), on_note=notes.append)
    assert notes == ["no validation pair has both liver masks, so no weights are the best; export with --last"]
    (run / "config.json").write_text(json.dumps({"config": toy.table()}))
    with pytest.raises(ModelError, match=r"is a run without best\.npz, because no validation has a DSC"):
        train.initial_progress(toy.config(weights=str(run)))
    config = mock.patch.object(_joint_run, "joint_run_config", lambda run: made)
    with config, pytest.raises(ImageFormatError, match=r"no validation has a DSC.*; --last exports the last weights"):
        train.model_of_joint_run(run, name="mine")
    with config:
        assert train.model_of_joint_run(run, name="mine", last=True)[1] == {"step": 3}


def test_a_folder_is_not_in_the_way_of_the_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "velocity").mkdir()
    (tmp_path / "velocity" / "config.json").write_text(json.dumps({"config": toy.table()}))
    with pytest.raises(ModelError, match="velocity: holds the weights of another network"):
        train.initial_progress(toy.config(weights="velocity"))
    with pytest.raises(ModelError, match=r"velocity: is a run without best\.npz"):
        train.initial_progress(toy.config(weights="./velocity"))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"is not a sirtjax checkpoint: there is no checkpoint\.json in it"):
        registration_networks.load_registration_model(tmp_path)
    with pytest.raises(ModelError, match=r"is not a sirtjax checkpoint: there is no checkpoint\.json in it"):
        train.initial_progress(toy.config(weights=str(tmp_path)))


def test_missing_weights_are_refused_before_anything_is_written(tmp_path):
    made = toy.config(weights=str(tmp_path / "none"))
    with pytest.raises(ModelError, match="no registration network found"):
        toy.run(tmp_path / "run", made)
    assert not any((tmp_path / "run").iterdir())
