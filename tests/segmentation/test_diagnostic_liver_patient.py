"""The liver of a digital phantom's low-dose CT by its diagnostic CT, with the bundled model and the registration."""

import numpy as np
import pytest

import sirtjax as sj
from sirtjax import metrics, registration, segmentation, spatial
from sirtjax.volume import LabelMap


@pytest.mark.slow
def test_the_corrected_liver_is_the_best_and_a_shifted_mask_is_flagged():
    patient = sj.simulate(seed=1, preset="small", sessions=["diagnostic_ct", "spect"])
    image, diagnostic = patient.images["spect_ct"], patient.images["diagnostic_ct"]
    liver, drawn = patient.labels["diagnostic_ct"]["liver"], patient.labels["spect"]["liver"]
    truth = np.asarray(spatial.mask_occupancy(drawn.mask("liver"), drawn.geometry, image.geometry)) > 0.5
    model, config = segmentation.load_model("liver"), registration.load_preset("image")

    done = segmentation.segment_liver_by_diagnostic(image, diagnostic, model, config=config, liver=liver)
    found, warped, corrected = (
        metrics.dice(labels.mask("liver"), truth) for labels in (done.check.labels, done.warped, done.found.labels)
    )
    assert done.registration.status is registration.Status.SUCCESS and done.found.flags == ()
    assert corrected > 0.975 and corrected >= warped > found

    shift = round(25 / liver.geometry.spacing_mm[0])
    wrong = LabelMap.from_mask(np.roll(liver.mask("liver"), shift, axis=0), liver.geometry, name="liver")
    again = segmentation.segment_liver_by_diagnostic(
        image, diagnostic, model, config=config, liver=wrong, register=lambda *images, config: done.registration
    )
    assert {"disagreement", "diagnostic_mask"} <= {flag.code for flag in again.found.flags}
    assert metrics.dice(again.found.labels.mask("liver"), truth) < 0.85
