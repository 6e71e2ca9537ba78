"""A PET under another nuclide's label, against decays that are counted by numerical integration."""

import numpy as np
import pytest
from scipy.integrate import quad

from sirtjax import workflows as d
from sirtjax.errors import ConfigError

Y90_S = 64.1 * 3600
TRUE_BQ, Y90_POSITRONS = 4.2e5, 31.86e-6


def scanned(label_half_life_s, label_positrons, *, start_s, duration_s, correction, in_frame):
    """Bq/mL that a scanner displays: positrons counted in the frame, turned into activity of its label."""
    positrons, _ = quad(lambda t: TRUE_BQ * Y90_POSITRONS * 2 ** (-t / Y90_S), 0, duration_s)
    displayed = positrons / duration_s / label_positrons
    if correction == "NONE":
        return displayed
    # The mean of the label over the frame per activity at the reference time, or at the start of the frame.
    mean, _ = quad(lambda t: 2 ** (-t / label_half_life_s), 0, duration_s)
    return displayed * 2 ** (start_s / label_half_life_s) / (mean / duration_s if in_frame else 1.0)


@pytest.mark.parametrize("correction", ["NONE", "START", "ADMIN"])
@pytest.mark.parametrize("in_frame", [True, False])
@pytest.mark.parametrize(
    ("half_life_s", "positrons"), [(4062.6, 0.89), (6586.2, 0.967), (8.2e7, 0.9), (53064.0, 0.319)]
)
def test_the_true_activity_at_the_start_of_the_frame_is_recovered(correction, in_frame, half_life_s, positrons):
    start_s = {"NONE": 0.0, "START": 300.0, "ADMIN": 5400.0}[correction]
    if correction == "NONE" and in_frame:
        return
    image = scanned(
        half_life_s, positrons, start_s=start_s, duration_s=1800.0, correction=correction, in_frame=in_frame
    )
    label = d.PetLabel(
        half_life_s=half_life_s,
        positron_fraction=positrons,
        decay_correction=correction,
        in_frame_corrected=in_frame,
        reference_to_start_s=start_s,
        frame_duration_s=1800.0,
    )
    factor = d.relabelling_factor(label, half_life_s=Y90_S, positron_fraction=Y90_POSITRONS)
    assert image * factor == pytest.approx(TRUE_BQ, rel=1e-9)
    # Nothing but the complete correction gives it.
    wrong = d.relabelling_factor(label, half_life_s=half_life_s, positron_fraction=Y90_POSITRONS)
    assert abs(image * wrong / TRUE_BQ - 1) > 1e-3


def test_a_frame_needs_a_duration_and_positrons():
    with pytest.raises(ConfigError, match=r"frame of 0\.0 s"):
        d.frame_decay_factor(0.0, half_life_s=4062.6)
    label = d.PetLabel(
        half_life_s=1.0,
        positron_fraction=0.0,
        decay_correction="NONE",
        in_frame_corrected=False,
        reference_to_start_s=0.0,
        frame_duration_s=1.0,
    )
    with pytest.raises(ConfigError, match="positron fractions 0"):
        d.relabelling_factor(label, half_life_s=1.0, positron_fraction=1.0)


def test_the_decay_during_a_frame_by_its_mean():
    mean, _ = quad(lambda t: np.exp(-np.log(2) * t / 4062.6), 0, 900.0)
    assert d.frame_decay_factor(900.0, half_life_s=4062.6) == pytest.approx(900.0 / mean, rel=1e-10)
