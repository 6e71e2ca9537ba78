"""The dose and the masks of a plan, read from its folder and checked against its results.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sirtjax import io
from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.volume import LabelMap, Volume
from sirtjax.workflows._dose_map import voxels_sha256
from sirtjax.workflows._plan_record import TreatmentPlan

MASK_FOLDER = "masks"
# VOIs with a mask of their own that a verification can take over. The lungs are not among them: the image after
# treatment rarely shows all of them.
TAKEN = ("liver", "lesion", "viable tumour", "territory")


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedMaps:
    """The images of a plan, on its working grid, in the frame of its activity image.

    Attributes:
      dose_gy: (i, j, k) planned dose.
      masks: mask of each VOI by its name: liver, lesions, viable parts and territories.
      lesions: names of the lesions.
      viable: name of the lesion of each viable part, by the name of the part.
      territories: names of the territories; empty if the whole liver is the only one.
    """

    dose_gy: Volume
    masks: Mapping[str, LabelMap]
    lesions: tuple[str, ...]
    territories: tuple[str, ...]
    viable: Mapping[str, str] = field(default_factory=dict)


def read_planned_maps(path: Path, plan: TreatmentPlan) -> PlannedMaps:
    """Reads the dose and the masks next to the results.json of a plan.

    Args:
      path: the results.json.
      plan: content of the results.json.

    Raises:
      ImageFormatError: a file is missing, or the dose is not the one of this results.json.
      GeometryError: the dose or a mask is on another grid than the plan states.
    """
    record = plan.dose_map
    file = path.parent / record.file
    dose = _read(file, path).volume
    if voxels_sha256(dose) != record.sha256:
        raise ImageFormatError(
            f"{file}: not the dose of {path.name} (SHA-256 of the voxels differs); use the folder that "
            "`sirtjax plan` wrote, unchanged"
        )
    if not dose.geometry.matches(record.geometry):
        raise GeometryError(
            f"{file}: the dose is on the grid {dose.geometry}, {path.name} states {record.geometry}; use the folder "
            "that `sirtjax plan` wrote, unchanged"
        )
    kinds = {name: row["kind"] for name, row in plan.vois.items()}
    names = [name for name, kind in kinds.items() if kind in TAKEN]
    files = io.file_names(kinds)
    masks = {name: _mask(path.parent / MASK_FOLDER / f"{files[name]}.nii.gz", name, dose, path) for name in names}
    territories = tuple(name for name in names if kinds[name] == "territory")
    whole = len(territories) == 1 and np.array_equal(masks[territories[0]].array, masks["liver"].array)
    lesions = tuple(name for name in names if kinds[name] == "lesion")
    owner = {name: plan.vois[name].get("lesion") for name in names if kinds[name] == "viable tumour"}
    return PlannedMaps(
        dose_gy=Volume(dose.array, dose.geometry, unit="Gy"),
        masks=masks,
        lesions=lesions,
        territories=() if whole else territories,
        viable={name: lesion for name, lesion in owner.items() if lesion is not None and lesion in lesions},
    )


def _read(file: Path, path: Path) -> io.Image:
    if not file.is_file():
        raise ImageFormatError(
            f"{file}: missing; use the folder that `sirtjax plan` or `sirtjax verify` wrote, with {path.name}, "
            "its dose and masks"
        )
    return io.read_nifti(file)


def _mask(file: Path, name: str, dose: Volume, path: Path) -> LabelMap:
    image = _read(file, path).volume
    if not image.geometry.matches(dose.geometry):
        raise GeometryError(
            f"{file}: the mask is on the grid {image.geometry}, the dose on {dose.geometry}; use the folder that "
            "`sirtjax plan` wrote, unchanged"
        )
    return LabelMap.from_mask(np.asarray(image.array) > 0, dose.geometry, name=name)
