from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._values import decimal
from sirtjax.dicom.image._write_modules import right_handed
from sirtjax.dicom.reference._object import new_object, referenced, save_object, short_text
from sirtjax.dicom.reference._series import Reference
from sirtjax.errors import GeometryError, InputError
from sirtjax.spatial import overlap_fraction
from sirtjax.volume import Geometry, Volume

RTDOSE_CLASS = "1.2.840.10008.5.1.4.1.1.481.2"
_OFFSET_VECTOR = 0x3004000C
_LARGEST = 2**16 - 1


def write_rtdose(
    path: str | Path,
    dose_gy: Volume,
    reference: Reference,
    *,
    comment: str | None = None,
    created: datetime | None = None,
    force: bool = False,
) -> Path:
    """Writes a dose as a DICOM RT Dose on its own grid, in the frame of reference of a series.

    Physical dose in Gy, 16 bits with a scaling: exact to 1/131070 of the highest dose. A radionuclide therapy has no
    RT Plan to refer to: the dose is that of a plan overview (DoseSummationType PLAN_OVERVIEW), which refers to the
    images instead.

    Args:
      path: the file to write.
      dose_gy: the dose; its axes at right angles.
      reference: a series of the same patient, in the same frame of reference.
      comment: comment on the dose, at most 64 characters.
      created: time of the dose computation. Default: now. The UIDs do not depend on it.
      force: replace a file that is there.

    Returns:
      The file.

    Raises:
      InputError: the dose is not in Gy, or contains NaN, infinite or negative values.
      GeometryError: axes not at right angles, or a grid that does not meet the series.
      OutputError: the file exists already.
    """
    stored, scaling, geometry = _stored(dose_gy)
    if overlap_fraction(geometry, reference.geometry) == 0:
        raise GeometryError(
            f"the dose on {geometry} does not overlap the {reference.modality} series on {reference.geometry}; "
            "provide the series it was computed on"
        )
    text = None if comment is None else short_text(comment, what="dose comment")
    digest = hashlib.sha256(repr((scaling, geometry.world_from_voxel, text)).encode() + stored.tobytes())
    dataset = new_object(
        reference,
        sop_class_uid=RTDOSE_CLASS,
        modality="RTDOSE",
        content=digest.hexdigest(),
        series_number=9002,
        description="RTDOSE",
        created=created,
    )
    dataset.ContentDate, dataset.ContentTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
    _add_grid(dataset, geometry)
    _add_dose(dataset, stored, scaling)
    _add_plan_overview(dataset, reference)
    if text is not None:
        dataset.DoseComment = text
    return save_object(dataset, path, force=force)


def _stored(dose_gy: Volume) -> tuple[NDArray[np.uint16], str, Geometry]:
    """The dose as whole numbers (k, j, i), the scaling to Gy as it will be written, and the right-handed grid."""
    if dose_gy.unit != "Gy":
        raise InputError(f"an RT Dose must be in Gy, the volume is in {dose_gy.unit}; compute the dose first")
    dose = np.asarray(dose_gy.array, np.float64)
    if not np.isfinite(dose).all() or dose.min() < 0:
        what = f"down to {dose.min():g} Gy" if np.isfinite(dose).all() else "NaN or infinite"
        raise InputError(f"the dose has invalid values: {what}; expected finite Gy from 0 on")
    geometry, dose = right_handed(dose_gy.geometry, dose)
    scaling = decimal(dose.max() / _LARGEST or 1.0)
    # By the scaling as written, so that its rounding does not add to that of the doses.
    stored = np.minimum(np.rint(dose / float(scaling)), _LARGEST).astype("<u2")
    return np.ascontiguousarray(stored.transpose(2, 1, 0)), scaling, geometry


def _add_grid(dataset: Dataset, geometry: Geometry) -> None:
    column_mm, row_mm, slice_mm = geometry.spacing_mm
    dataset.PixelSpacing = [decimal(row_mm), decimal(column_mm)]
    dataset.ImageOrientationPatient = [decimal(x) for x in geometry.direction.T[:2].ravel()]
    dataset.ImagePositionPatient = [decimal(x) for x in geometry.origin_mm]
    dataset.SliceThickness = decimal(slice_mm)
    dataset.NumberOfFrames = geometry.shape[2]
    dataset.FrameIncrementPointer = _OFFSET_VECTOR
    # Along row x column, from the first frame.
    dataset.GridFrameOffsetVector = [decimal(k * slice_mm) for k in range(geometry.shape[2])]


def _add_dose(dataset: Dataset, stored: NDArray[np.uint16], scaling: str) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape[1:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.DoseUnits, dataset.DoseType = "GY", "PHYSICAL"
    dataset.DoseGridScaling = scaling
    dataset.PixelData = stored.tobytes()


def _add_plan_overview(dataset: Dataset, reference: Reference) -> None:
    """The origin of the dose: all activity injected into the patient of these images, without an RT Plan.

    Every other type of summation needs an RT Plan or a treatment record to refer to.

    Reference:
      DICOM PS3.3, C.8.8.3 (RT Dose Module): Dose Summation Type and Plan Overview Sequence.
    """
    dataset.DoseSummationType = "PLAN_OVERVIEW"
    overview = Dataset()
    overview.PlanOverviewIndex = 1
    overview.RTPlanLabel = overview.TreatmentSite = None
    overview.TreatmentSiteCodeSequence = []
    overview.PrescriptionOverviewSequence = []
    overview.ReferencedImageSequence = [
        referenced(str(header.SOPClassUID), str(header.SOPInstanceUID)) for header in reference.headers
    ]
    dataset.PlanOverviewSequence = [overview]
