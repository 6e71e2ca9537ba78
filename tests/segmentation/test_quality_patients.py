"""The estimated quality on digital patients, as they are and with a mask that takes in a mass beside the liver."""

import numpy as np
import pytest

from sirtjax import metrics, phantom, segmentation, spatial
from sirtjax.segmentation._fixed_model import prepare, run
from sirtjax.segmentation._quality import mask_quality


def patient(seed):
    config = phantom.load_preset("default")
    grid = config.diagnostic_ct.model_copy(update={"shape": (120, 100, 120), "spacing_mm": (3.2, 3.2, 3.2)})
    config = config.model_copy(update={"diagnostic_ct": grid})
    made = phantom.simulate_patient(seed, config, sessions=("diagnostic_ct",))
    return made.images["diagnostic_ct"], made.labels["diagnostic_ct"]["liver"]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "origin"), [(71, "bowel"), (72, "gastric"), (73, "bowel")])
def test_a_patient_passes_and_a_mask_with_a_mass_in_it_does_not(seed, origin):
    model = segmentation.load_model("liver")
    image, liver = patient(seed)
    plain = segmentation.segment(image, model, structure="liver")
    assert metrics.dice(plain.labels.mask("liver"), liver.mask("liver")) > 0.93
    assert not plain.quality.doubtful
    assert "quality" not in {flag.code for flag in plain.flags}

    made = phantom.add_neighbour_mass(image, liver, phantom.NeighbourMass(origin=origin, volume_ml=600.0), seed=seed)
    prepared = prepare(made.image, model.spec.preprocessing, modality="CT")
    answer = run(model, prepared)
    both = liver.mask("liver") | made.extent.mask("mass")
    assert metrics.dice(both, liver.mask("liver")) < 0.9
    wrong = spatial.mask_occupancy(both, image.geometry, prepared.grid) >= 0.5
    likely = np.maximum(answer.probabilities[..., 1], 0.98 * wrong)
    quality = mask_quality(model, prepared, likely, wrong, parts=("liver",))
    assert quality.doubtful
    assert quality.dsc < plain.quality.dsc
