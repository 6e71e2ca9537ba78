"""Measurements as a structured report of template TID 1500, written with highdicom."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

import sirtjax
from sirtjax.dicom.dataset._parse import parsing, read_dataset
from sirtjax.dicom.dataset._time import date_time
from sirtjax.dicom.reference._approval import Approval
from sirtjax.dicom.reference._codes import Code, SegmentCode, segment_code
from sirtjax.dicom.reference._object import MANUFACTURER, content_uid, new_object, save_object, short_text
from sirtjax.dicom.reference._series import Reference
from sirtjax.dicom.report._measurement import OWN_SCHEME, MeasurementGroup
from sirtjax.dicom.seg._write import SEG_CLASS
from sirtjax.errors import InputError

SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.33"
_SERIES_NUMBER = 9600
_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")


def write_measurements(
    path: str | Path,
    groups: Sequence[MeasurementGroup],
    reference: Reference,
    *,
    segmentation: str | Path | None = None,
    description: str = "Measurements",
    approval: Approval | None = None,
    force: bool = False,
) -> Path:
    """Writes measurements of structures as an Imaging Measurement Report (TID 1500, Comprehensive SR).

    A structure that is a segment of the segmentation is reported as a volume of interest that refers to the segment
    (TID 1411), any other as a group that refers to the images (TID 1501).

    Args:
      path: file to write.
      groups: one group per structure.
      reference: series that the measurements refer to; the report is stored in its study.
      segmentation: SEG with the structures, matched by their names.
      description: description of the report's series.
      approval: person who verified the numbers; if it is missing, or if the numbers were rejected, the report is
        unverified.
      force: replace an existing file.

    Returns:
      The file.

    Raises:
      InputError: no groups, two of one name, a structure whose code is not known, or a segmentation that is of another
        frame of reference or no SEG.
      OutputError: the file exists already, or its place refuses writing.
    """
    names = [group.name for group in groups]
    repeated = sorted(name for name in set(names) if names.count(name) > 1)
    if not names or repeated:
        found = f"{repeated[0]!r} twice" if repeated else "none"
        raise InputError(f"a report needs groups of measurements with different names, got {found}")
    codes = [segment_code(group.name, kind=group.kind) for group in groups]
    seg = None if segmentation is None else _segmentation(Path(segmentation), reference)
    digest = hashlib.sha256(repr((groups, description, approval, seg and str(seg.SOPInstanceUID))).encode())
    base = new_object(
        reference,
        sop_class_uid=SR_CLASS,
        modality="SR",
        content=digest.hexdigest(),
        series_number=_SERIES_NUMBER,
        description=description,
    )
    items = [_group(base, group, code, reference, seg) for group, code in zip(groups, codes, strict=True)]
    report = _report(base, items, reference, seg, approval)
    _settle(report, base, approval)
    return save_object(report, path, force=force)


def _segmentation(path: Path, reference: Reference) -> Dataset:
    seg = read_dataset(path, "SEG")
    with parsing(path, "SEG"):
        if str(seg.get("SOPClassUID") or "") != SEG_CLASS:
            raise InputError(f"{path}: expected a SEG, found modality {seg.get('Modality') or 'unknown'}")
        if str(seg.get("FrameOfReferenceUID") or "") != reference.frame_of_reference_uid:
            raise InputError(
                f"{path}: the segmentation is in another frame of reference than the series of the measurements; "
                "provide the one contoured on it"
            )
        # What the report needs of it; the frames may be many.
        for keyword in ("PixelData", "PerFrameFunctionalGroupsSequence"):
            seg.pop(keyword, None)
        return seg


def _group(
    base: Dataset, group: MeasurementGroup, code: SegmentCode, reference: Reference, seg: Dataset | None
) -> Dataset:
    from highdicom import sr

    label = short_text(group.name, what="structure's name")
    segment = _segment(seg, label)
    tracking_uid = None if segment is None else segment.get("TrackingUID")
    options: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=str(tracking_uid or content_uid("structure", str(base.SOPInstanceUID), label)), identifier=label
        ),
        "finding_category": _concept(code.category),
        "finding_type": _concept(code.type),
        "measurements": [
            sr.Measurement(
                name=_concept(one.concept),
                value=float(one.value),
                unit=_concept(one.unit_code),
                method=None if one.method_code is None else _concept(one.method_code),
            )
            for one in group.measurements
        ],
    }
    if group.evaluations:
        options["qualitative_evaluations"] = [
            sr.QualitativeEvaluation(name=_concept(one.concept), value=_concept(one.answer))
            for one in group.evaluations
        ]
    site = code.region or (code.type if code.side is not None else None)
    if site is not None:
        side = None if code.side is None else _concept(code.side)
        options["finding_sites"] = [sr.FindingSite(anatomic_location=_concept(site), laterality=side)]
    if segment is None or seg is None:
        return sr.MeasurementsAndQualitativeEvaluations(
            source_images=[
                sr.SourceImageForMeasurementGroup(str(header.SOPClassUID), str(header.SOPInstanceUID))
                for header in reference.headers
            ],
            **options,
        )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=str(seg.SOPClassUID),
            sop_instance_uid=str(seg.SOPInstanceUID),
            segment_number=int(segment.SegmentNumber),
            source_series=sr.SourceSeriesForSegmentation(_source_series(seg, reference)),
        ),
        **options,
    )


def _segment(seg: Dataset | None, label: str) -> Dataset | None:
    if seg is None:
        return None
    found = [segment for segment in seg.SegmentSequence if str(segment.get("SegmentLabel") or "") == label]
    return found[0] if len(found) == 1 else None


def _source_series(seg: Dataset, reference: Reference) -> str:
    series = seg.get("ReferencedSeriesSequence") or []
    return str(series[0].SeriesInstanceUID) if series else reference.series_uid


def _report(
    base: Dataset, items: list[Dataset], reference: Reference, seg: Dataset | None, approval: Approval | None
) -> Dataset:
    from highdicom import sr

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=content_uid("device"), name=MANUFACTURER, manufacturer_name=MANUFACTURER, model_name=sirtjax.__version__
    )
    observers = sr.ObservationContext(
        observer_device_context=sr.ObserverContext(_concept(Code("121007", "DCM", "Device")), device)
    )
    content = sr.MeasurementReport(
        observation_context=observers, procedure_reported=_concept(_PROCEDURE), imaging_measurements=items
    )
    verified = approval is not None and approval.verified
    return sr.ComprehensiveSR(
        evidence=_evidence(base, reference, seg),
        content=content[0],
        series_instance_uid=base.SeriesInstanceUID,
        series_number=int(base.SeriesNumber),
        sop_instance_uid=base.SOPInstanceUID,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=verified,
        is_verified=verified,
        verifying_observer_name=approval.reviewer.strip() if approval is not None and verified else None,
        verifying_organization=str(reference.headers[0].get("InstitutionName") or "not stated") if verified else None,
    )


def _evidence(base: Dataset, reference: Reference, seg: Dataset | None) -> list[Dataset]:
    """The objects that the report refers to, as plain data sets; patient and study come from elsewhere."""
    found = [(reference.study_uid, reference.series_uid, header) for header in reference.headers]
    if seg is not None:
        found.append((str(seg.StudyInstanceUID), str(seg.SeriesInstanceUID), seg))
    evidence = []
    for study_uid, series_uid, header in found:
        item = Dataset()
        item.SOPClassUID, item.SOPInstanceUID = str(header.SOPClassUID), str(header.SOPInstanceUID)
        item.StudyInstanceUID, item.SeriesInstanceUID = study_uid, series_uid
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(item, keyword, "")
        item.StudyDate = item.StudyTime = None
        evidence.append(item)
    return evidence


def _settle(report: Dataset, base: Dataset, approval: Approval | None) -> None:
    """Patient, study, series and maker as in every object of ours; when it was verified; whose own codes it has."""
    # A report has no place in space.
    del base.FrameOfReferenceUID, base.PositionReferenceIndicator, base.OperatorsName
    for element in base:
        report[element.tag] = element
    report.ContentDate, report.ContentTime = base.InstanceCreationDate, base.InstanceCreationTime
    if approval is not None and approval.verified:
        report.VerifyingObserverSequence[0].VerificationDateTime = "".join(date_time(approval.at))
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = OWN_SCHEME, "Concepts of sirtjax's dose reports"
    scheme.CodingSchemeVersion, scheme.CodingSchemeResponsibleOrganization = sirtjax.__version__, MANUFACTURER
    report.CodingSchemeIdentificationSequence = [scheme]


def _concept(code: Code) -> Dataset:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)
