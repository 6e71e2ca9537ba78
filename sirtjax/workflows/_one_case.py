"""Checks that the images and masks of a case belong together: patient, frames of reference and drawn-on series."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from sirtjax import io
from sirtjax.dicom import referenced_series
from sirtjax.errors import GeometryError, InputError
from sirtjax.workflows._case import Case, Frame
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._planar_shunt import planar_patients


def check_one_case(case: Case, images: CaseImages) -> None:
    """Refuses images of two patients, a CT in another frame of reference, and masks of another series.

    What DICOM doesn't state, and NIfTI never does, is not checked; `accept` of the case lets each of the three pass.

    Raises:
      InputError: images of two patients.
      GeometryError: the CT has another frame of reference, or a mask belongs to another series.
    """
    if "PATIENT_IDS" not in case.accept:
        _check_patients(case, images)
    if "FRAME_OF_REFERENCE" not in case.accept:
        _check_frame(images)
    if "MASK_SERIES" not in case.accept:
        for name, table in case.masks.drawn().items():
            _check_mask(f"masks.{name}", table.path, table.image, images)
        if case.territories is not None and case.territories.path is not None:
            _check_mask("territories", case.territories.path, case.territories.image, images)


def _present(images: CaseImages) -> list[tuple[str, io.Image]]:
    named = (("activity", images.activity), ("CT", images.ct), ("diagnostic", images.diagnostic))
    return [(role, image) for role, image in named if image is not None]


def _check_patients(case: Case, images: CaseImages) -> None:
    marks = [(role, image.source.path, image.source.patient) for role, image in _present(images)]
    if case.lung_shunt.planar:
        marks += [("planar", path, mark) for path, mark in planar_patients(case.lung_shunt.planar)]
    # A CT without identifiers contradicts none, so all pairs are compared.
    for (role, first_path, first), (other_role, path, other) in combinations(marks, 2):
        # The reader has compared the two views of one source.
        if other.contradicts(first) and (role, first_path) != (other_role, path):
            raise InputError(
                f"{path}: the {other_role} image is of another patient (ID, name, date of birth) than the "
                f"{role} image ({first_path}); use images of one patient, or "
                'accept = ["PATIENT_IDS"] if a person has checked that they are'
            )


def _check_frame(images: CaseImages) -> None:
    activity, ct = images.activity.source, None if images.ct is None else images.ct.source
    if ct is None or activity.frame_of_reference_uid is None or ct.frame_of_reference_uid is None:
        return
    if activity.frame_of_reference_uid != ct.frame_of_reference_uid:
        raise GeometryError(
            f"{ct.path}: the CT is in frame of reference {ct.frame_of_reference_uid}, the activity image "
            f"({activity.path}) in {activity.frame_of_reference_uid}; use the CT of the same SPECT/CT or PET/CT, "
            'or accept = ["FRAME_OF_REFERENCE"] if a person has checked that they are aligned'
        )


def _check_mask(name: str, path: Path, frame: Frame, images: CaseImages) -> None:
    contoured_on = images.diagnostic if frame == "diagnostic" else None
    allowed = [contoured_on] if contoured_on is not None else [images.ct, images.activity]
    uids = {image.source.series_uid for image in allowed if image is not None}
    if None in uids or not uids:
        return
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        named = referenced_series(file)
        if named and not uids & set(named):
            raise GeometryError(
                f"{file}: {name} was contoured on another series ({named[0]}) than the {frame} image of the case; "
                'choose another file or image, or accept = ["MASK_SERIES"] where a person has checked that they fit'
            )
