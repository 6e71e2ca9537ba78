"""The pipeline as a function: gradients against finite differences, batches, and one compilation for two patients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pipeline_case
import pytest

from sirtjax import pipeline
from sirtjax.errors import ConfigError, InputError

# Mean dose of a lesion per MBq, its D70 at the prescribed activities, and the prescribed activity.
OUTPUTS = ("mean", "D70", "activity")


def moved(inputs, name, change):
    """The inputs with a change of one of them."""
    if name == "counts":
        counts = dataclasses.replace(inputs.counts, values=inputs.counts.values + change)
        return dataclasses.replace(inputs, counts=counts)
    if name == "field":
        return dataclasses.replace(
            inputs, warp=dataclasses.replace(inputs.warp, field_mm=inputs.warp.field_mm + change)
        )
    if name == "logits":
        mask = inputs.masks["alpha"]
        alpha = dataclasses.replace(mask, values=mask.values + change)
        return dataclasses.replace(inputs, masks=inputs.masks | {"alpha": alpha})
    return dataclasses.replace(inputs, **{name: getattr(inputs, name) + change})


def directions(inputs):
    """For each input a smooth direction and a step that changes the outputs by about a percent."""
    at = pipeline_case.points(inputs.counts.values.shape, inputs.counts.world_from_voxel)
    nodes = pipeline_case.points(inputs.warp.field_mm.shape[:3], inputs.warp.world_from_node)
    drawn = pipeline_case.points(inputs.masks["alpha"].values.shape, inputs.masks["alpha"].world_from_voxel)
    return {
        "counts": (inputs.counts.values * (1 + np.sin(at[..., 0] / 9)), 0.02),
        "field": (np.cos(nodes / 30 + np.array([0.3, 1.0, 2.0])), 0.1),
        "logits": (1 + 0.3 * np.sin(drawn[..., 1] / 7), 0.05),
        "kernel_scale": (np.ones(()), 0.02),
        "lung_shunt_fraction": (np.ones(1), 0.01),
    }


@pytest.fixture(scope="module")
def compiled():
    """The outputs and their derivatives along every direction, each compiled once, for two patients."""
    _, config = pipeline_case.small_case()

    def outputs(inputs):
        result = pipeline.run(inputs, config)
        return jnp.stack([result.mean_gy_per_mbq[0, 0], result.d_gy[0, 0], result.activity_mbq[0]])

    def derivatives(inputs, along, output):
        def stepped(steps):
            changed = inputs
            for name, step in steps.items():
                changed = moved(changed, name, step * along[name])
            return outputs(changed)

        _, back = jax.vjp(stepped, {name: jnp.zeros(()) for name in along})
        return back(output)[0]

    return jax.jit(outputs), jax.jit(derivatives)


@pytest.mark.slow  # compiles for half a minute
@pytest.mark.parametrize("name", ["counts", "field", "logits", "kernel_scale", "lung_shunt_fraction"])
def test_gradients_are_those_of_central_differences(compiled, name):
    outputs, derivatives = compiled
    inputs, _ = pipeline_case.small_case()
    along = {key: np.asarray(direction, np.float32) for key, (direction, _) in directions(inputs).items()}
    found = np.asarray([derivatives(inputs, along, row)[name] for row in np.eye(3, dtype=np.float32)])
    step = np.float32(directions(inputs)[name][1])
    ahead, behind = (np.asarray(outputs(moved(inputs, name, s * along[name])), float) for s in (step, -step))
    expected = (ahead - behind) / (2 * step)
    value = np.asarray(outputs(inputs), float)
    # Relative to the outputs: the activity hardly depends on the mask of one lesion.
    np.testing.assert_allclose(found / value, expected / value, rtol=0.03, atol=2e-3)


@pytest.mark.slow
def test_a_second_patient_compiles_nothing(compiled, compilations):
    outputs, _ = compiled
    first = outputs(pipeline_case.small_case()[0])
    compilations.clear()
    second = outputs(pipeline_case.small_case(seed=1)[0])
    assert compilations == []
    assert not np.allclose(first, second, rtol=1e-4)


@pytest.mark.slow
def test_patients_are_mapped_in_a_batch():
    options = {"vois": (), "objectives": (), "strategy": "fixed"}
    patients = []
    for seed in (0, 1):
        inputs, config = pipeline_case.small_case(seed=seed, method="local", **options)
        patients.append(
            dataclasses.replace(inputs, limits_gy=np.zeros(0, np.float32), fixed_mbq=np.full(1, 100, np.float32))
        )
    config = dataclasses.replace(config, vois=(pipeline.VoiConfig(name="alpha"),))
    together = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *patients)
    mapped = jax.jit(jax.vmap(lambda one: pipeline.run(one, config).mean_gy))(together)
    for inputs, mean_gy in zip(patients, mapped, strict=True):
        np.testing.assert_allclose(mean_gy, pipeline.run(inputs, config).mean_gy, rtol=5e-5)


def test_inputs_that_do_not_fit_are_refused():
    inputs, config = pipeline_case.small_case()
    with pytest.raises(ConfigError, match=r"lung_shunt_fraction has shape \(3,\), expected one number per injection"):
        pipeline.run(dataclasses.replace(inputs, lung_shunt_fraction=np.zeros(3)), config)
    with pytest.raises(ConfigError, match=r"density_g_per_ml has shape \(2, 2, 2\), expected that of the dose grid"):
        pipeline.run(dataclasses.replace(inputs, density_g_per_ml=np.ones((2, 2, 2))), config)
    with pytest.raises(ConfigError, match="3 objectives"):
        pipeline.run(dataclasses.replace(inputs, limits_gy=np.ones(1)), config)
    with pytest.raises(ConfigError, match='strategy "fixed" needs fixed_mbq'):
        pipeline.run(inputs, dataclasses.replace(config, strategy="fixed"))
    with pytest.raises(ConfigError, match="no mask for alpha"):
        rest = {name: mask for name, mask in inputs.masks.items() if name != "alpha"}
        pipeline.run(dataclasses.replace(inputs, masks=rest), config)
    with pytest.raises(ConfigError, match="no mask is named 'gamma'"):
        dataclasses.replace(config, lesions=("gamma",))
    with pytest.raises(ConfigError, match="an objective names 'gamma'"):
        dataclasses.replace(config, objectives=(pipeline_case.limit("gamma"),))
    empty = dataclasses.replace(inputs.counts, values=np.zeros_like(inputs.counts.values))
    with pytest.raises(InputError, match="no counts in the territory 'whole liver'"):
        pipeline.run(dataclasses.replace(inputs, counts=empty), config)
