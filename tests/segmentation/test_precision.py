"""The bundled liver model in half precision, on the CT of a phantom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import inference, phantom, segmentation
from sirtjax.segmentation._fixed_model import prepare

DSC_LIMIT = 1e-3


@pytest.fixture(scope="module")
def model_and_input():
    model = segmentation.load_model("liver")
    scan = phantom.simulate_patient(900, phantom.load_preset("small"), sessions=("diagnostic_ct",))
    return model, prepare(scan.images["diagnostic_ct"], model.spec.preprocessing, modality="CT")


def liver_mask(model, ready, variables, **precision):
    logits = inference.predict_tiles(
        segmentation.network_function(model.spec.network, **precision),
        ready.image,
        patch_shape=model.spec.tiles.shape,
        variables=variables,
        overlap=model.spec.tiles.overlap,
        fill=ready.fill,
    )
    return logits, np.argmax(logits, axis=-1) == model.spec.labels["liver"]


def dsc(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_functions_of_two_precisions_differ():
    config = segmentation.load_model("liver").spec.network
    half = segmentation.network_function(config, precision="bfloat16")
    assert half is segmentation.network_function(config, precision="bfloat16")
    assert half is not segmentation.network_function(config)


@pytest.mark.slow
def test_half_precision_changes_the_liver_by_less_than_a_thousandth(model_and_input):
    model, ready = model_and_input
    logits, single = liver_mask(model, ready, model.folds[0])
    again, _ = liver_mask(model, ready, model.folds[0], precision="float32")
    np.testing.assert_array_equal(again, logits)
    half_logits, half = liver_mask(model, ready, model.folds[0], precision="bfloat16")
    assert np.abs(half_logits - logits).max() > 1e-3  # it is another precision
    assert single.sum() > 2000 and 1 - dsc(single, half) < DSC_LIMIT
    assert np.mean(single == half) > 0.999
    # Weights of 3 bits are too coarse: the comparison can fail.
    coarse = jax.tree.map(lambda w: w.astype(jnp.float8_e4m3fn).astype(jnp.float32), model.folds[0])
    assert 1 - dsc(single, liver_mask(model, ready, coarse)[1]) > DSC_LIMIT
