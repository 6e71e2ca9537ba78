from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._time import dicom_date, dicom_datetime, dicom_moment, latest_before, utc_offset
from sirtjax.dicom.dataset._values import optional, text_of
from sirtjax.dicom.image._radionuclide import known_half_life_s, radionuclides_of
from sirtjax.dicom.image._stacks import Stack, modality_of
from sirtjax.io import Source

# Nuclides with a longer half-life are also imaged a day or more after the injection.
_SAME_DAY_S = 12 * 3600.0


def stack_source(path: Path, stack: Stack, *, sha256: str | None, notes: tuple[str, ...]) -> Source:
    """Returns the origin of a stack, with the values that its calibration needs."""
    file = stack.files[0]
    header = file.header
    with parsing(file.path, "image"):
        series_time = series_moment(header)
        starts = [moment for moment in map(acquisition_moment, stack.files) if moment is not None]
        acquired = min(starts, default=None)
        tracer = (header.get("RadiopharmaceuticalInformationSequence") or [{}])[0]
        injection, injection_remarks = _injection(header, tracer, acquired or series_time)
        activity_bq, doubts = _activity_bq(tracer)
        correction, reference, remarks = _decay(stack, starts, injection)
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
            notes=(*notes, *_missing_slices(stack), *remarks, *injection_remarks, *doubts),
        )


def series_moment(header: Dataset) -> datetime | None:
    """Returns SeriesDate and SeriesTime, or the study's date and time if the series has none."""
    return dicom_datetime(header.get("SeriesDate"), header.get("SeriesTime")) or dicom_datetime(
        header.get("StudyDate"), header.get("StudyTime")
    )


def acquisition_moment(file: DicomFile) -> datetime | None:
    """Returns the start of the acquisition of a file's data."""
    header = file.header
    return _moment(header, header.get("AcquisitionDateTime")) or dicom_datetime(
        header.get("AcquisitionDate"), header.get("AcquisitionTime")
    )


def _decay(
    stack: Stack, starts: list[datetime], injection: datetime | None
) -> tuple[str | None, datetime | None, tuple[str, ...]]:
    """The decay correction of the activity, its reference time, and remarks.

    START: the start of the scan, which is SeriesTime unless it is missing or the series was derived later, when it is
    the earliest acquisition. It is never StudyTime, because a study begins before its scans. ADMIN: the injection.
    NONE: as measured, to first order the middle of a PET frame; with several bed positions there is no one moment.
    Not stated: not known, and not guessed.
    """
    header = stack.files[0].header
    correction = text_of(header, "DecayCorrection").upper() or None
    first = min(starts, default=None)
    if correction is None and text_of(header, "DecayCorrected").upper() == "YES":
        # Enhanced PET states the moment itself.
        moment = _moment(header, header.get("DecayCorrectionDateTime"))
        if moment is not None:
            return ("ADMIN" if moment == injection else "START"), moment, ()
    if correction == "ADMIN":
        return correction, injection, ()
    if correction == "START":
        began = dicom_datetime(header.get("SeriesDate"), header.get("SeriesTime"))
        if began is not None and (first is None or began <= first):
            return correction, began, ()
        why = "SeriesDate or SeriesTime is missing" if began is None else "SeriesTime is after the acquisition"
        return correction, first, () if first is None else (f"{why}: the decay reference is the earliest acquisition",)
    if correction == "NONE" and first is not None and max(starts) == first:
        duration_ms = _positive(header, "ActualFrameDuration")
        if duration_ms is not None and modality_of(stack.files[0]) == "PT":
            return correction, first + timedelta(milliseconds=duration_ms / 2), ()
    return correction, None, ()


def _injection(header: Dataset, tracer: Dataset, scan: datetime | None) -> tuple[datetime | None, tuple[str, ...]]:
    """The start of the injection, and remarks.

    A time of day without a date is completed to the last one before the scan, but only for nuclides that are imaged
    on the day of the injection.
    """
    stated, clock = tracer.get("RadiopharmaceuticalStartDateTime"), tracer.get("RadiopharmaceuticalStartTime")
    moment = _moment(header, stated)
    if moment is not None:
        ignored = utc_offset(stated) is not None and _zone(header) is None
        remark = "the UTC offset of the injection time was ignored, because the other times of the file have none"
        return moment, (remark,) if ignored else ()
    moment = dicom_datetime(dicom_date(stated), clock)
    if moment is not None or scan is None:
        return moment, ()
    moment, nuclides = latest_before(clock, scan), radionuclides_of(header)
    known_s, stated_s = known_half_life_s(nuclides), _positive(tracer, "RadionuclideHalfLife")
    # Some scanners image 90Y under the code of another nuclide: then only the stated half-life shows it.
    half_life_s = max((each for each in (known_s, stated_s) if each is not None), default=None)
    if moment is None or (half_life_s is not None and half_life_s <= _SAME_DAY_S):
        return moment, ()
    if half_life_s is None:
        why = "its half-life is unknown"
    elif known_s is not None and known_s <= _SAME_DAY_S:
        why = f"with its stated half-life of {half_life_s / 3600:.3g} h it is also imaged on later days"
    else:
        why = f"{'/'.join(nuclides) or 'its nuclide'} is also imaged on later days"
    return None, (f"the injection has a time of day but no date, and {why}: the injection time was not used",)


def _moment(header: Dataset, value: object) -> datetime | None:
    return dicom_moment(value, zone=_zone(header))


def _zone(header: Dataset) -> timedelta | None:
    """The offset of the file's dates and times from UTC; None if not stated."""
    stated = utc_offset(header.get("TimezoneOffsetFromUTC"))
    return utc_offset(header.get("AcquisitionDateTime")) if stated is None else stated


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


def _missing_slices(stack: Stack) -> tuple[str, ...]:
    """A remark on a PET with fewer slices than its header states, such as a transfer that ended early.

    Slices that are missing at an end, or all second ones, leave an even grid.
    """
    stated, found = _positive(stack.files[0].header, "NumberOfSlices"), len(stack.frames)
    if stated is None or modality_of(stack.files[0]) != "PT" or found >= stated:
        return ()
    return (f"the PET has {found} slices, but its header states {stated:.0f}: slices are missing, or it was cropped",)


def _text(header: Dataset, keyword: str) -> str | None:
    return text_of(header, keyword) or None
