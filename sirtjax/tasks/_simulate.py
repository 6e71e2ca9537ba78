"""Digital phantoms with known ground truth."""

from __future__ import annotations

from collections.abc import Sequence

from sirtjax import phantom


def simulate(*, seed: int = 0, preset: str = "default", sessions: Sequence[str] = phantom.SESSIONS) -> phantom.Patient:
    """Simulates a patient: CT, MR, SPECT/CT and PET images with their ground truth.

    Args:
      seed: seed of the patient, 0 or larger; the same seed gives the same patient.
      preset: name of a preset (`phantom.list_presets()`), such as "small".
      sessions: imaging sessions to simulate: "diagnostic_ct", "mr", "spect", "y90_pet", "fdg_pet".

    Returns:
      Images by name, true label maps, activities (MBq/mL) and displacements (mm) by session. Save them with
      `phantom.write_patient`.

    Raises:
      ConfigError: the preset or a session is unknown, or the seed is negative.

    Examples:
      >>> import sirtjax as sj
      >>> patient = sj.simulate(seed=1, preset="small", sessions=["spect"])
      >>> sorted(patient.images)
      ['planar_anterior', 'planar_posterior', 'spect', 'spect_ct']
    """
    return phantom.simulate_patient(seed, phantom.load_preset(preset), sessions=tuple(sessions))
