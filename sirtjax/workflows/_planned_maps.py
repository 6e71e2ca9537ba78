"""The dose and the masks of a plan, read from its folder and checked against its results.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from sirtjax import io
from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.volume import LabelMap, Volume
from sirtjax.workflows._dose_map import voxels_sha256
from sirtjax.workflows._plan_record import TreatmentPlan
from sirtjax.workflows._provenance_record import PlannedVoi
from sirtjax.workflows._written_masks import mask_files, mask_sha256

# VOIs with a mask of their own that a verification can take over. The lungs are not among them: the image after
# treatment rarely shows all of them.
TAKEN = ("liver", "lesion", "viable tumour", "territory")
# Without hashes a mask is compared with volume and mean dose of its row. They are of partial voxels, the mask is of
# whole ones: voxels at the contour can differ by this fraction of a voxel in one direction (more was not found for
# ellipsoids with radii of 3 to 40 mm and voxels of 2 to 4.8 mm).
EDGE_FRACTION = 0.25
RELATIVE, VOXELS = 0.01, 1.0
# Below this number of voxels a VOI may fill half of none.
FEWEST_VOXELS = 8.0


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
      ImageFormatError: a file is missing, or the dose or a mask is not the one of this results.json.
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
    files = mask_files(kinds)
    masks = {name: _mask(path.parent / files[name], name, dose, path) for name in names}
    for name, mask in masks.items():
        _check_mask(path.parent / files[name], name, mask, dose, plan, path)
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


def _check_mask(file: Path, name: str, mask: LabelMap, dose: Volume, plan: TreatmentPlan, path: Path) -> None:
    inside = np.asarray(mask.array) > 0
    if not plan.mask_sha256:
        difference = _difference(inside, dose, plan.vois[name])
    elif plan.mask_sha256.get(name) != mask_sha256(inside):
        difference = "SHA-256 of the voxels differs"
    else:
        return
    if difference is not None:
        raise ImageFormatError(
            f"{file}: not the mask of {name!r} in {path.name} ({difference}); use the folder that `sirtjax plan` or "
            "`sirtjax verify` wrote, unchanged, and correct contours with `sirtjax review`"
        )


def _difference(inside: Bool[np.ndarray, "i j k"], dose: Volume, row: PlannedVoi) -> str | None:
    """How volume or mean dose in a mask differ from the row of its VOI; None if voxels at its contour explain it."""
    voxel_ml, stated_ml = dose.geometry.voxel_volume_ml, row["volume_ml"]
    # A thin rim of viable tumour can be lost in whole voxels.
    if row["kind"] == "viable tumour" or stated_ml < FEWEST_VOXELS * voxel_ml:
        return None
    voxels = int(inside.sum())
    edge = ndimage.binary_dilation(inside) & ~ndimage.binary_erosion(inside)
    allowed_ml = RELATIVE * stated_ml + (VOXELS + EDGE_FRACTION * int(edge.sum())) * voxel_ml
    if abs(voxels * voxel_ml - stated_ml) > allowed_ml:
        return f"{voxels * voxel_ml:.4g} mL, stated are {stated_ml:.4g} mL"
    stated_gy = row.get("mean_gy")
    if stated_gy is None or voxels == 0:
        return None
    doses = np.asarray(dose.array, np.float64)
    mean_gy = float(doses[inside].mean())
    away_gy = np.abs(doses[edge] - mean_gy)
    allowed_gy = (
        RELATIVE * abs(stated_gy) + (VOXELS * float(away_gy.max()) + EDGE_FRACTION * float(away_gy.sum())) / voxels
    )
    if abs(mean_gy - stated_gy) > allowed_gy:
        return f"mean dose {mean_gy:.4g} Gy, stated are {stated_gy:.4g} Gy"
    return None
