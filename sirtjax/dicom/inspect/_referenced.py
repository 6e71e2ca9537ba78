from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._claims import check_decompressed_size
from sirtjax.dicom.dataset._parse import parsing

# Where RTSTRUCT, SEG and REG name the series they are about.
REFERENCES = (
    "ReferencedFrameOfReferenceSequence",
    "ReferencedSeriesSequence",
    "StudiesContainingOtherReferencedInstancesSequence",
)


def referenced_series(path: Path | str) -> tuple[str, ...]:
    """Returns the UIDs of the series on which an RTSTRUCT or SEG states that it was contoured.

    () for other files and if it states none.

    Raises:
      ImageFormatError: the file is DICOM, and damaged.
    """
    import pydicom

    path = Path(path)
    if not path.is_file() or not pydicom.misc.is_dicom(path):
        return ()
    with parsing(path, "mask"):
        check_decompressed_size(path)
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality", *REFERENCES])
        return series_named_by(header) if str(header.get("Modality", "")) in ("RTSTRUCT", "SEG") else ()


def series_named_by(dataset: Dataset) -> tuple[str, ...]:
    """UIDs of the series that a data set refers to, in its order, each once."""
    return tuple(dict.fromkeys(uid for uid in _series_uids(dataset) if uid))


def _series_uids(dataset: Dataset) -> Iterator[str]:
    for item in dataset.get("ReferencedSeriesSequence") or []:
        yield str(item.get("SeriesInstanceUID") or "")
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []:
        for study in frame.get("RTReferencedStudySequence") or []:
            for item in study.get("RTReferencedSeriesSequence") or []:
                yield str(item.get("SeriesInstanceUID") or "")
    for study in dataset.get("StudiesContainingOtherReferencedInstancesSequence") or []:
        yield from _series_uids(study)
