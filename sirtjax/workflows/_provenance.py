"""The origin of a result: inputs with UIDs and hashes, versions, configuration, time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from sirtjax import __version__
from sirtjax.io import Image, file_sha256
from sirtjax.volume import Geometry
from sirtjax.workflows._case import Case, RegistrationTable
from sirtjax.workflows._case_file import PATH_KEYS
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._mask_records import used_inputs
from sirtjax.workflows._products import StepResults
from sirtjax.workflows._provenance_record import InputFile, Provenance

PACKAGES = ("jax", "numpy", "scipy", "SimpleITK", "pydicom", "highdicom", "nibabel")


def provenance(case: Case, images: CaseImages, *, registration: str, products: StepResults | None = None) -> Provenance:
    """Returns the values needed to repeat the result.

    The case's pseudonym is the only patient identifier.

    Args:
      case: the case as used, every default filled in.
      images: the images read for it.
      registration: sentence on the registration of the diagnostic image.
      products: the steps; reviewed masks replace those of the case among the inputs.
    """
    import jax

    table = without_folders(case.model_dump(mode="json", by_alias=True))
    inputs: dict[str, InputFile] = {}
    for role in ("activity", "ct", "diagnostic"):
        image: Image | None = getattr(images, role)
        if image is not None:
            inputs[role] = _image_entry(image)
    for role, path in _other_files(case).items():
        inputs[role] = {
            "file": path.name,
            "modality": None,
            "grid": None,
            "series_uid": None,
            "sha256": file_sha256(path),
        }
    device = jax.devices()[0]
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "sirtjax": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
        },
        "device": device.device_kind,
        "inputs": inputs if products is None else used_inputs(inputs, products),
        "patient": _patient_entry(images),
        "registration": registration,
        "case": table,
        "case_sha256": hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest(),
    }


def _patient_entry(images: CaseImages) -> dict[str, str | None] | None:
    """Keyed hashes of the patient's identifiers; None without a lasting key or if no image names its patient."""
    mark = images.activity.source.patient
    return dataclasses.asdict(mark) if mark.key is not None and (mark.number or mark.name or mark.born) else None


def _image_entry(image: Image) -> InputFile:
    source = image.source
    geometry: Geometry = image.volume.geometry
    return {
        "file": Path(source.path).name,
        "modality": source.modality,
        "grid": str(geometry),
        "unit": image.volume.unit,
        "series_uid": source.series_uid,
        "study_uid": source.study_uid,
        "frame_of_reference_uid": source.frame_of_reference_uid,
        "sha256": source.sha256,
    }


def _other_files(case: Case) -> dict[str, Path]:
    files = {f"{name} mask": table.path for name, table in case.masks.drawn().items()}
    if case.territories is not None:
        if case.territories.path is not None:
            files["territories"] = case.territories.path
        files |= {f"dividing lines {n}": path for n, path in enumerate(case.territories.dividing_lines, start=1)}
    if case.registration is not None and case.registration.path is not None:
        files["transform"] = case.registration.path
    if case.registration is not None:
        files |= _guide_files(case.registration)
    files |= {f"planar {n}": path for n, path in enumerate(case.lung_shunt.planar, start=1)}
    if case.lung_shunt.planar_rois is not None:
        files["planar ROIs"] = case.lung_shunt.planar_rois
    if case.plan is not None:
        files["plan"] = case.plan
    if case.plan_registration is not None and case.plan_registration.path is not None:
        files["plan transform"] = case.plan_registration.path
    return files


def _guide_files(table: RegistrationTable) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for side, guides in (("reference", table.reference_masks), ("floating", table.floating_masks)):
        files |= {f"{side} {role}": guide.path for role, guide in guides.given().items()}
    points = {"reference points": table.reference_points, "floating points": table.floating_points}
    return files | {role: path for role, path in points.items() if path is not None}


def without_folders(table: Mapping[str, object]) -> dict[str, object]:
    """Returns a table with file names only: folders are often named after patients."""
    return {name: _file_names(item, name) for name, item in table.items()}


def _file_names(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _file_names(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_file_names(item, key) for item in value]
    if isinstance(value, str) and key in PATH_KEYS:
        return Path(value).name
    return value
