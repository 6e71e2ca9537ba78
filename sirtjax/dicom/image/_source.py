from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._time import dicom_datetime, dicom_moment, latest_before
from sirtjax.dicom.dataset._values import optional, text_of
from sirtjax.dicom.image._radionuclide import radionuclides_of
from sirtjax.dicom.image._stacks import Stack, modality_of
from sirtjax.io import Source


def stack_source(path: Path, stack: Stack, *, sha256: str | None, notes: tuple[str, ...]) -> Source:
    """Returns the origin of a stack, with the values that its calibration needs."""
    file = stack.files[0]
    header = file.header
    with parsing(file.path, "image"):
        series_time = series_moment(header)
        starts = [moment for moment in map(acquisition_moment, stack.files) if moment is not None]
        acquired = min(starts, default=None)
        tracer = (header.get("RadiopharmaceuticalInformationSequence") or [{}])[0]
        injection = _injection(tracer, acquired or series_time)
        activity_bq, doubts = _activity_bq(tracer)
        correction, reference, remarks = _decay(stack, series_time, starts, injection)
        return Source(
            path=path,
            format="dicom",
            modality=modality_of(file) or None,
            series_uid=_text(header, "SeriesInstanceUID"),
            study_uid=_text(header, "StudyInstanceUID"),
            frame_of_reference_uid=_text(header, "FrameOfReferenceUID"),
            sop_instance_uids=tuple(_text(f.header, "SOPInstanceUID") or "" for f in stack.files),
            sop_class_uid=_text(header, "SOPClassUID"),
            description=_text(header, "SeriesDescription"),
            patient_position=_text(header, "PatientPosition"),
            acquired=acquired,
            series_time=series_time,
            reference_time=reference,
            decay_correction=correction,
            radionuclides=radionuclides_of(header),
            half_life_s=_positive(tracer, "RadionuclideHalfLife"),
            positron_fraction=_positive(tracer, "RadionuclidePositronFraction"),
            frame_duration_s=_seconds(_positive(header, "ActualFrameDuration")),
            decay_factor=_positive(header, "DecayFactor"),
            last_acquired=max(starts, default=None),
            injected_activity_bq=activity_bq,
            injection_time=injection,
            patient_weight_kg=_positive(header, "PatientWeight"),
            patient_height_m=_positive(header, "PatientSize"),
            patient=file.patient,
            sha256=sha256,
            notes=(*notes, *remarks, *doubts),
        )


def series_moment(header: Dataset) -> datetime | None:
    """Returns SeriesDate and SeriesTime, or the study's date and time if the series has none."""
    return dicom_datetime(header.get("SeriesDate"), header.get("SeriesTime")) or dicom_datetime(
        header.get("StudyDate"), header.get("StudyTime")
    )


def acquisition_moment(file: DicomFile) -> datetime | None:
    """Returns the start of the acquisition of a file's data."""
    header = file.header
    return dicom_moment(header.get("AcquisitionDateTime")) or dicom_datetime(
        header.get("AcquisitionDate"), header.get("AcquisitionTime")
    )


def _decay(
    stack: Stack, series_time: datetime | None, starts: list[datetime], injection: datetime | None
) -> tuple[str | None, datetime | None, tuple[str, ...]]:
    """The decay correction of the activity, its reference time, and remarks.

    START: the start of the scan, which is SeriesTime unless the series was derived later, when it is the
    earliest acquisition. ADMIN: the injection. NONE: as measured, to first order the middle of a PET frame;
    with several bed positions there is no one moment. Not stated: not known, and not guessed.
    """
    header = stack.files[0].header
    correction = text_of(header, "DecayCorrection").upper() or None
    first = min(starts, default=None)
    if correction is None and text_of(header, "DecayCorrected").upper() == "YES":
        # Enhanced PET states the moment itself.
        moment = dicom_moment(header.get("DecayCorrectionDateTime"))
        if moment is not None:
            return ("ADMIN" if moment == injection else "START"), moment, ()
    if correction == "ADMIN":
        return correction, injection, ()
    if correction == "START":
        if series_time is not None and (first is None or series_time <= first):
            return correction, series_time, ()
        remark = "SeriesTime is after the acquisition: the decay reference is the earliest acquisition"
        return correction, first, () if first is None else (remark,)
    if correction == "NONE" and first is not None and max(starts) == first:
        duration_ms = _positive(header, "ActualFrameDuration")
        if duration_ms is not None and modality_of(stack.files[0]) == "PT":
            return correction, first + timedelta(milliseconds=duration_ms / 2), ()
    return correction, None, ()


def _injection(tracer: Dataset, scan: datetime | None) -> datetime | None:
    moment = dicom_moment(tracer.get("RadiopharmaceuticalStartDateTime"))
    if moment is None and scan is not None:
        moment = latest_before(tracer.get("RadiopharmaceuticalStartTime"), scan)
    return moment


def _activity_bq(tracer: Dataset) -> tuple[float | None, tuple[str, ...]]:
    activity = _positive(tracer, "RadionuclideTotalDose")
    # Some scanners state MBq instead of Bq: no injected activity is below a hundred thousand Bq.
    if activity is not None and activity < 1e5:
        return activity * 1e6, (f"RadionuclideTotalDose {activity:g} was treated as MBq",)
    return activity, ()


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000.0


def _positive(holder: Dataset, keyword: str) -> float | None:
    found = optional(holder.get(keyword))
    return found if found is not None and found > 0 else None


def _text(header: Dataset, keyword: str) -> str | None:
    return text_of(header, keyword) or None
