"""A finished plan or verification as DICOM objects, to store with the images it was computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

import sirtjax
from sirtjax import dicom, io, ops, spatial
from sirtjax.reports._dicom_measurements import measurement_groups
from sirtjax.reports._report_pdf import report_pdf
from sirtjax.volume import Geometry, LabelMap, Volume

if TYPE_CHECKING:
    from sirtjax.workflows import Case, Result, ResultVolumes, StepResults, Voi

_MAX_NAME = 64


@dataclass(frozen=True, kw_only=True)
class DicomResults:
    """The DICOM objects that were written.

    Attributes:
      files: written files in the folder, by their type.
      left_out: one sentence per item without a DICOM object, or with values that DICOM cannot store.
    """

    files: Mapping[str, Path]
    left_out: tuple[str, ...]


def case_references(case: Case) -> dict[str, dicom.Reference]:
    """Returns the DICOM series of a case's images by role: "activity", "ct" and "diagnostic".

    Raises:
      InputError: an image is not a DICOM series, or objects cannot refer to it.
    """
    images = case.images
    found = {
        "activity": dicom.read_reference(images.activity.path, series=images.activity.series, modality=("NM", "PT"))
    }
    if images.ct is not None:
        found["ct"] = dicom.read_reference(images.ct.path, series=images.ct.series, modality="CT")
    if images.diagnostic is not None:
        table = images.diagnostic
        found["diagnostic"] = dicom.read_reference(table.path, series=table.series, modality=table.modality)
    return found


def write_dicom_results(
    folder: Path,
    result: Result,
    maps: ResultVolumes,
    products: StepResults,
    references: Mapping[str, dicom.Reference],
    *,
    approval: dicom.Approval | None = None,
    identity: str | None = None,
    pdf: bytes | None = None,
) -> DicomResults:
    """Writes a result as DICOM objects into a folder.

    The objects are structure sets, segmentations, dose, registration, SR and PDF.

    The structures are written on the CT of the activity image (or the activity image itself), where those drawn on the
    diagnostic image are written warped and, again, as contoured on the diagnostic image.

    Args:
      folder: output folder; created if it does not exist.
      result: plan or verification.
      maps: images on the working grid.
      products: results of the steps.
      references: result of `case_references`.
      approval: the approval of all structures; unapproved if None.
      identity: text printed in the document instead of the pseudonym.
      pdf: result of `report_pdf`, if it already exists.

    Raises:
      InputError: an item cannot be written as DICOM; the message names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    left_out: list[str] = []
    anchor = references.get("ct", references["activity"])
    kinds: dict[str, str] = {}
    names = dicom_names([*(row.name for row in result.vois), *(name for name, *_ in _drawn(products))])
    for frame, reference in (("activity", anchor), ("diagnostic", references.get("diagnostic"))):
        grid = None if reference is None or frame == "diagnostic" else reference.geometry
        masks = {} if reference is None else _masks(products, maps, grid, names, kinds, left_out)
        if not masks or reference is None:
            continue
        drawn_by = _algorithms(products, names)
        files[f"structures {frame}"] = dicom.write_rtstruct(
            folder / f"rtstruct-{frame}.dcm",
            masks,
            reference,
            label="sirtjax",
            description=_what(result),
            algorithm=drawn_by,
            approved=approval,
        )
        files[f"segmentation {frame}"] = dicom.write_seg(
            folder / f"seg-{frame}.dcm",
            masks,
            reference,
            description=_what(result),
            algorithm=drawn_by,
            kinds={name: kinds[name] for name in masks},
        )
    dose = _unsigned(maps.dose_gy, left_out)
    files["dose"] = dicom.write_rtdose(folder / "rtdose.dcm", dose, anchor, comment=_what(result))
    _write_registration(folder, maps, anchor, references.get("diagnostic"), files, left_out)
    files["measurements"] = dicom.write_measurements(
        folder / "measurements.dcm",
        measurement_groups(result, names),
        anchor,
        segmentation=files.get("segmentation activity"),
        description=_what(result),
    )
    if pdf is None:
        pdf = report_pdf(result, maps, identity=identity)
    files["report"] = dicom.write_encapsulated_pdf(folder / "report.dcm", pdf, anchor, title=_what(result))
    return DicomResults(files=files, left_out=tuple(left_out))


def _unsigned(dose_gy: Volume, left_out: list[str]) -> Volume:
    """Returns the dose for an RT Dose, which has no negative values, and lists those that are set to 0."""
    dose = np.asarray(dose_gy.array)
    negative = int((dose < 0).sum())
    if negative == 0:
        return dose_gy
    left_out.append(
        f"{negative} of {dose.size} voxels have a dose below 0 Gy (down to {float(dose.min()):.3g} Gy): they are 0 in "
        "the RT Dose, whose values are unsigned, and means of it are too high; dose.nii.gz has all values"
    )
    return Volume(np.maximum(dose, np.float32(0)), dose_gy.geometry, unit=dose_gy.unit)


def _what(result: Result) -> str:
    draft = "DRAFT " if result.unreviewed_masks else ""
    return f"{draft}SIRT {'planned' if result.kind == 'plan' else 'delivered'} dose, {result.protocol}"[:_MAX_NAME]


def dicom_names(names: Sequence[str]) -> dict[str, str]:
    """Returns each name as DICOM can store it: no path, no control character, at most 64 letters, unique."""
    found: dict[str, str] = {}
    for name in names:
        plain = "".join(letter if letter.isprintable() and letter not in "/\\" else "-" for letter in name)
        plain = plain[: _MAX_NAME - 4].strip(" .") or "structure"
        candidate, number = plain, 1
        while name not in found and candidate.casefold() in {one.casefold() for one in found.values()}:
            number += 1
            candidate = f"{plain} {number}"
        found.setdefault(name, candidate)
    return found


def _masks(
    products: StepResults,
    maps: ResultVolumes,
    grid: Geometry | None,
    names: Mapping[str, str],
    kinds: dict[str, str],
    left_out: list[str],
) -> dict[str, LabelMap]:
    """Returns the structures of the activity image, with those warped to `grid`, or those of the diagnostic image."""
    found: dict[str, LabelMap] = {}
    for name, kind, labels, contoured_on in _drawn(products):
        plain = names[name]
        kinds[plain] = kind
        if (contoured_on == "diagnostic") == (grid is None):
            found[plain] = LabelMap.from_mask(np.asarray(labels.array) > 0, labels.geometry, name=plain)
        elif grid is not None:
            # From the fractions: a mask of whole voxels would be rounded twice.
            whole = maps.lungs if name == "lungs" else None
            weight, own = (maps.occupancy[name], maps.geometry) if whole is None else (whole.array, whole.geometry)
            fractions = spatial.mask_occupancy(np.asarray(weight), own, grid)
            mask = ops.fullest_voxels(np.asarray(fractions))
            if mask.any():
                found[plain] = LabelMap.from_mask(mask, grid, name=plain)
            else:
                left_out.append(
                    f"{name} has less than half of the volume of a voxel: it is not in a structure set there"
                )
    return found


def _drawn(products: StepResults) -> Iterator[tuple[str, str, LabelMap, str]]:
    """Name, kind, mask and frame of every structure in the results of the steps."""
    vois: list[tuple[Voi | None, str]] = [(products.liver, "liver")]
    vois += [(voi, "lesion") for voi in (*(products.lesions or ()), *(products.viable or ()))]
    vois += [(products.lungs, "lungs")]
    for voi, kind in vois:
        if voi is not None:
            yield voi.name, kind, voi.labels, voi.frame
    divided = products.territories
    if divided is not None and divided.labels is not None:
        for value, name in divided.labels.names:
            one = np.asarray(divided.labels.array) == value
            yield name, "territory", LabelMap.from_mask(one, divided.labels.geometry, name=name), divided.frame


def _algorithms(products: StepResults, names: Mapping[str, str]) -> dict[str, dicom.Algorithm]:
    """The algorithm of each structure, by its name in the objects: a person or a program."""
    from sirtjax.workflows import BY_CT_NUMBERS

    by_hand = dicom.Algorithm(name="drawn by hand", version="1", family="manual")
    found = dict.fromkeys(names.values(), by_hand)
    for voi in (products.liver, *(products.lesions or ()), products.lungs):
        if voi is not None and voi.automatic is not None:
            method = voi.automatic.replace("\\", "/")[:_MAX_NAME]
            family: Literal["AI", "threshold"] = "threshold" if voi.automatic == BY_CT_NUMBERS else "AI"
            found[names[voi.name]] = dicom.Algorithm(name=method, version=sirtjax.__version__, family=family)
    return found


def _write_registration(
    folder: Path,
    maps: ResultVolumes,
    fixed: dicom.Reference,
    moving: dicom.Reference | None,
    files: dict[str, Path],
    left_out: list[str],
) -> None:
    if moving is None or moving.frame_of_reference_uid == fixed.frame_of_reference_uid:
        return
    # A case can accept that (accept = ["PATIENT_IDS"]), but an object of two patients has no place in an archive.
    one, other = (io.patient_fingerprint(side.headers[0]) for side in (fixed, moving))
    if fixed.headers[0].get("PatientID") != moving.headers[0].get("PatientID") or one.contradicts(other):
        left_out.append("the two images have different patient IDs or names: no registration object is written")
        return
    transform = maps.transform
    if not isinstance(transform, spatial.AffineTransform | spatial.DisplacementField):
        transform = spatial.to_displacement_field(transform, fixed.geometry)
    files["registration"] = dicom.write_registration(folder / "registration.dcm", transform, fixed, moving)
