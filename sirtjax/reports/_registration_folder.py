"""The folder of a registration: transform, warped images, numbers and the report page."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sirtjax.registration import ChosenConfig, RegistrationInput, RegistrationResult
    from sirtjax.volume import LabelMap

# A thousandth of a voxel compresses better than random last digits.
FIELD_STEP_MM = 1 / 1024
PACKAGES = ("jax", "numpy", "scipy", "SimpleITK", "nibabel", "pydicom")


def write_registration_images(
    folder: Path,
    result: RegistrationResult,
    reference: RegistrationInput,
    floating: RegistrationInput,
    *,
    field_grid: str | None,
) -> None:
    """Writes transform.h5, warped.nii.gz, warped_labels.nii.gz and, optionally, displacement.nii.gz.

    Args:
      folder: output folder.
      result: result of the registration.
      reference: the reference image and its masks.
      floating: the floating image and its masks.
      field_grid: "lattice" or "reference", the grid of displacement.nii.gz; None for no such file.
    """
    from sirtjax import io, spatial

    grid, volume = reference.image.volume.geometry, floating.image.volume
    io.write_transform(folder / "transform.h5", result.transform)
    warped = spatial.resample(volume, grid, transform=result.transform)
    if warped.unit == "HU":
        warped = warped.replace(np.round(np.asarray(warped.array)).astype(np.int16))
    io.write_nifti(folder / "warped.nii.gz", warped)
    if floating.masks:
        labels = spatial.resample_labels(one_map(floating.masks), grid, transform=result.transform)
        io.write_nifti(folder / "warped_labels.nii.gz", labels)
    if field_grid is not None:
        nodes = io.covering_lattice(result.transform, grid) if field_grid == "lattice" else grid
        io.write_transform(folder / "displacement.nii.gz", result.transform, reference=nodes, step_mm=FIELD_STEP_MM)


def one_map(masks: Mapping[str, LabelMap]) -> LabelMap:
    """Returns all masks of one grid in one label map.

    The liver is first and the largest next, so that small ones stay on top.
    """
    from sirtjax.volume import LabelMap

    names = sorted(masks, key=lambda name: (name != "liver", -masks[name].volume_ml(name)))
    geometry = masks[names[0]].geometry
    array = np.zeros(geometry.shape, np.uint8 if len(names) < 256 else np.uint16)
    for value, name in enumerate(names, start=1):
        array[masks[name].mask(name)] = value
    return LabelMap(array, geometry, names=tuple(enumerate(names, start=1)))


def registration_provenance(
    *,
    choice: ChosenConfig,
    sides: Mapping[str, RegistrationInput],
    initial_transform: Path | None,
    seed: int,
    seconds: Mapping[str, float],
) -> dict[str, object]:
    """Returns the values needed to repeat the result; no folders and no patient identifier.

    Args:
      choice: the configuration.
      sides: both images, as "reference" and "floating".
      initial_transform: file of the start, or None.
      seed: seed of the random sampling.
      seconds: wall time of each part.
    """
    import jax

    from sirtjax import __version__, io

    inputs: dict[str, dict[str, Any]] = {}
    for role, side in sides.items():
        source, volume = side.image.source, side.image.volume
        inputs[role] = {
            "file": Path(source.path).name,
            "modality": source.modality,
            "unit": volume.unit,
            "grid": str(volume.geometry),
            "series_uid": source.series_uid,
            "frame_of_reference_uid": source.frame_of_reference_uid,
            "sha256": source.sha256,
        }
        for name, path in side.files.items():
            inputs[f"{role} {name}"] = {"file": path.name, "sha256": io.file_sha256(path)}
    if initial_transform is not None:
        inputs["initial_transform"] = {
            "file": initial_transform.name,
            "sha256": io.file_sha256(initial_transform),
        }
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "sirtjax": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
        },
        "device": jax.devices()[0].device_kind,
        "preset": choice.name,
        "preset_chosen_because": choice.why,
        "seed": seed,
        "inputs": inputs,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def json_text(record: Mapping[str, object]) -> str:
    """Returns a record as the text of result.json."""
    return json.dumps(record, indent=1, allow_nan=False) + "\n"
