"""Simulating a patient and writing all images and the ground truth to a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sirtjax import io
from sirtjax.phantom._config import load_preset
from sirtjax.phantom._patient import SESSIONS, Patient
from sirtjax.phantom._simulate import simulate_patient
from sirtjax.phantom._write import write_patient


def simulate_folder(
    output: Path,
    *,
    seed: int = 0,
    preset: str = "default",
    sessions: Sequence[str] = SESSIONS,
    dicom: bool = False,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> Patient:
    """Simulates a patient and writes images, masks, ground truth and a case file to a folder.

    Args:
      output: folder to write; it appears when it is complete.
      seed: seed of the patient.
      preset: name of a preset, such as "small".
      sessions: imaging sessions to simulate.
      dicom: also write DICOM series to OUTPUT/dicom.
      force: overwrite an existing folder.
      on_step: called with the name of each step.

    Raises:
      ConfigError: the preset or a session is unknown.
      OutputError: the folder exists and `force` is not set.
    """
    config = load_preset(preset)
    # The folder is created first, so that a folder that cannot be written is reported before the simulation.
    with io.atomic_folder(output, force=force) as folder:
        patient = simulate_patient(seed, config, sessions=tuple(sessions), report=on_step)
        write_patient(patient, folder, dicom=dicom, report=on_step)
    return patient
