from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pydicom.dataset import Dataset

from sirtjax.dicom.image._series_headers import read_headers
from sirtjax.dicom.inspect._headers import FileHeader, short_text
from sirtjax.dicom.inspect._referenced import series_named_by
from sirtjax.dicom.inspect._studies import ObjectFacts, SeriesFacts
from sirtjax.dicom.rtdose._read import read_rtdose
from sirtjax.errors import InputError
from sirtjax.io import unique_names
from sirtjax.spatial import overlap_fraction
from sirtjax.volume import Geometry

# Names listed in a message.
_MAX_NAMES = 6


def object_facts(
    header: FileHeader, *, number: int, study: int, patient: int, series: Sequence[SeriesFacts]
) -> ObjectFacts:
    """Returns the contents of an object that is not an image series, and the series that it refers to.

    Args:
      header: header of the object's file.
      number: number of the object for selection.
      study: number of its study.
      patient: number of its patient.
      series: the image series of the folder.
    """
    import pydicom

    dataset: Dataset = {}
    problems: list[str] = []
    try:
        dataset = pydicom.dcmread(header.path, stop_before_pixels=True, force=True)
        # As the readers number repeated names.
        uids, names = series_named_by(dataset), tuple(unique_names(_names(header.modality, dataset)))
        frames = tuple(_frames(header, dataset))
        problems += _problems(header.modality, dataset)
    except Exception as error:  # pydicom raises many types of exceptions for damaged bytes; reported as a problem
        uids, names, frames = (), (), ()
        problems.append(f"not readable ({type(error).__name__}); export it again")
    known: Mapping[str, list[SeriesFacts]] = {
        uid: [one for one in series if one.uid == uid] for uid in uids if any(one.uid == uid for one in series)
    }
    about = [one for found in known.values() for one in found]
    missing = len(uids) - len(known)
    if missing and not about:
        problems.append(f"refers to {missing} series that {'is' if missing == 1 else 'are'} not in this folder")
    problems += _misfits(patient, missing, frames, about, series)
    if header.modality == "RTDOSE" and not problems:
        problems += _dose_misfits(header, frames, series)
    return ObjectFacts(
        number=number,
        kind=header.modality,
        label=_label(header, dataset),
        series_uid=header.series_uid or None,
        study=study,
        patient=patient,
        path=header.path,
        time=header.time,
        refers_to=tuple(one.number for one in about),
        missing=missing,
        frame_of_reference_uids=frames,
        names=names,
        problems=tuple(problems),
    )


def _label(header: FileHeader, dataset: Dataset) -> str:
    for keyword in ("StructureSetLabel", "ContentLabel", "SeriesDescription", "DoseComment", "DocumentTitle"):
        text = short_text(dataset, keyword)
        if text:
            return text
    return header.description


def _names(kind: str, dataset: Dataset) -> Iterator[str]:
    if kind == "RTSTRUCT":
        for item in dataset.get("StructureSetROISequence") or []:
            yield short_text(item, "ROIName") or f"ROI {item.get('ROINumber')}"
    if kind == "SEG":
        for item in dataset.get("SegmentSequence") or []:
            yield short_text(item, "SegmentLabel") or f"segment {item.get('SegmentNumber')}"


def _frames(header: FileHeader, dataset: Dataset) -> Iterator[str]:
    found = [header.frame_of_reference_uid]
    if header.modality == "RTSTRUCT":
        items = dataset.get("StructureSetROISequence") or []
        found = [str(item.get("ReferencedFrameOfReferenceUID") or "") for item in items]
    for item in dataset.get("RegistrationSequence") or []:
        found.append(str(item.get("FrameOfReferenceUID") or ""))
    for item in dataset.get("DeformableRegistrationSequence") or []:
        found.append(str(item.get("SourceFrameOfReferenceUID") or ""))
    yield from dict.fromkeys(uid for uid in found if uid)


def _problems(kind: str, dataset: Dataset) -> Iterator[str]:
    if kind == "RTSTRUCT":
        drawn: Counter[int] = Counter()
        for item in dataset.get("ROIContourSequence") or []:
            closed = [c for c in item.get("ContourSequence") or [] if len(c.get("ContourData") or ()) >= 9]
            drawn[int(item.ReferencedROINumber)] += len(closed)
        listed = dataset.get("StructureSetROISequence") or []
        if len({int(item.ROINumber) for item in listed}) < len(listed):
            yield "several structures have one number, so it is unknown which contours belong to which"
        empty = [short_text(item, "ROIName") for item in listed if not drawn.get(int(item.ROINumber))]
        if not listed:
            yield "contains no structure"
        if empty:
            yield f"{len(empty)} of {len(listed)} structures are empty: {_some(empty)}"
    if kind == "SEG" and not dataset.get("SegmentSequence"):
        yield "has no segment"
    if kind == "RTDOSE":
        if short_text(dataset, "DoseUnits").upper() != "GY":
            yield f"its dose is in {short_text(dataset, 'DoseUnits') or 'unknown units'}, not in Gy"
        if dataset.get("DoseGridScaling") in (None, ""):
            yield "no DoseGridScaling, so its values are not doses"


def _misfits(
    patient: int, missing: int, frames: tuple[str, ...], about: Sequence[SeriesFacts], series: Sequence[SeriesFacts]
) -> Iterator[str]:
    others = [one.number for one in about if one.patient != patient]
    if others:
        yield f"is about patient {patient}, but series {_some(others)} of another"
    wrong = [
        one.number
        for one in about
        if frames and one.frame_of_reference_uid and one.frame_of_reference_uid not in frames
    ]
    if wrong:
        yield f"is contoured in another frame of reference than series {_some(wrong)}, which it refers to"
    elif frames and not about and not missing and not any(one.frame_of_reference_uid in frames for one in series):
        yield "no series of this folder is in its frame of reference"


def _dose_misfits(header: FileHeader, frames: tuple[str, ...], series: Sequence[SeriesFacts]) -> Iterator[str]:
    """Whether the dose can be read, and overlaps the series in its frame of reference."""
    try:
        grid = read_rtdose(header.path).geometry
    except InputError as error:
        yield str(error).removeprefix(f"{header.path}: ")
        return
    beside = [one for one in series if one.frame_of_reference_uid in frames and not one.problems]
    apart = [one.number for one in beside if overlap_fraction(grid, _grid(one)) == 0]
    if beside and len(apart) == len(beside):
        yield f"does not overlap series {_some(apart)}, although it uses the same frame of reference"


def _grid(one: SeriesFacts) -> Geometry:
    return read_headers(one.folder, series=one.uid, modality=one.modality).geometry


def _some(names: Sequence[object]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(str(name) for name in names[:_MAX_NAMES]) + more
