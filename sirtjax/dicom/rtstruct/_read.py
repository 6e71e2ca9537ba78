from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._parse import parsing, read_dataset
from sirtjax.dicom.rtstruct._raster import rasterise
from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.io import choose_names, unique_names
from sirtjax.volume import Geometry, LabelMap

_LOG = logging.getLogger(__name__)
_RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
# No scanner bore reaches that far from its origin: such a number is damage.
_FARTHEST_MM = 1e5


@dataclass(frozen=True, kw_only=True)
class _Roi:
    name: str
    stated_name: str
    contours: tuple[NDArray[np.float64], ...]
    exclusive_or: bool
    frame_of_reference_uid: str | None
    ignored: int


def read_rtstruct(
    path: str | Path,
    reference: Geometry,
    *,
    only: Collection[str] | None = None,
    frame_of_reference_uid: str | None = None,
) -> dict[str, LabelMap]:
    """Returns the ROIs of a DICOM RT Structure Set as masks on the grid of a reference image.

    A voxel belongs to an ROI when its centre lies inside the contours: filled by the even-odd rule with
    holes, keyholes, XOR contours, several pieces and islands; interpolated where contour planes and slices do
    not coincide, across gaps of up to 2.5 times the ROI's median plane distance; ending half a plane distance
    beyond the last contour; in any orientation. Contours of fewer than three points, points and open lines
    enclose nothing and are left out with a note in the log, as are ROIs without any contour, outside the grid
    or too small to hold a voxel centre.

    Args:
      path: RTSTRUCT file.
      reference: grid of the masks, usually that of the image on which the ROIs were drawn.
      only: names of the ROIs to read; None for all. A named ROI that gives no mask is an error.
      frame_of_reference_uid: frame of reference of the reference image; an ROI drawn in another frame is an error. Not
        checked if None.

    Returns:
      A map with the one label 1 per ROI, by name, in the file's order; repeated names are numbered.

    Raises:
      ImageFormatError: the file is not an RTSTRUCT, is damaged, or has two ROIs with one number.
      GeometryError: the frame of reference differs, or no ROI is inside the grid.
      InputError: a name that is not there or that several ROIs have, or an ROI that cannot be used.
    """
    path = Path(path)
    rois = _read_rois(path)
    if only is not None:
        empty = {roi.name for roi in rois if not roi.contours}
        wanted = choose_names([roi.stated_name for roi in rois], only, where=str(path), empty=empty)
        rois = [roi for roi in rois if roi.name in wanted]
    masks: dict[str, LabelMap] = {}
    left_out: dict[str, list[str]] = {}
    for roi in rois:
        _check_frame(path, roi, frame_of_reference_uid)
        reason, mask = _fill(path, roi, reference)
        if mask is not None:
            masks[roi.name] = LabelMap.from_mask(mask, reference, name=roi.name)
        elif only is not None:
            raise GeometryError(f"{path}: ROI {roi.name!r} {reason}; check that it was contoured on this image")
        else:
            left_out.setdefault(reason, []).append(roi.name)
    for reason, names in left_out.items():
        _LOG.warning("%d of %d ROIs omitted: each %s: %s", len(names), len(rois), reason, ", ".join(names))
    if not masks:
        reasons = "; ".join(f"{len(names)}: each {reason}" for reason, names in left_out.items())
        raise GeometryError(
            f"{path}: none of its {len(rois)} ROIs yields a mask ({reasons or 'it has none'}); "
            "check that the structure set belongs to the reference image"
        )
    return masks


def _fill(path: Path, roi: _Roi, reference: Geometry) -> tuple[str, NDArray[np.bool_] | None]:
    if roi.ignored:
        _LOG.warning("ROI %s: %d contours that enclose nothing (points, open lines) ignored", roi.name, roi.ignored)
    if not roi.contours:
        return "has no closed contour", None
    voxels = reference.to_voxel(np.concatenate(roi.contours))
    size = np.asarray(reference.shape)
    if (voxels.max(axis=0) < -0.5).any() or (voxels.min(axis=0) > size - 0.5).any():
        return "is outside the grid of the reference image", None
    try:
        mask = rasterise(roi.contours, reference, exclusive_or=roi.exclusive_or, name=roi.name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    beyond = np.maximum(-0.5 - voxels.min(axis=0), voxels.max(axis=0) - (size - 0.5)) * reference.spacing_mm
    if beyond.max() > 0.5 * max(reference.spacing_mm):
        _LOG.warning("ROI %s extends %.1f mm beyond the reference image: cropped to it", roi.name, beyond.max())
    if not mask.any():
        return "contains no voxel centre (smaller than a voxel, or outside the grid)", None
    return "", mask


def _check_frame(path: Path, roi: _Roi, expected: str | None) -> None:
    if expected and roi.frame_of_reference_uid and roi.frame_of_reference_uid != expected:
        raise GeometryError(
            f"{path}: ROI {roi.name!r} is contoured in frame of reference {roi.frame_of_reference_uid}, but the "
            f"reference image is in {expected}; give the image it was drawn on as reference"
        )


def _read_rois(path: Path) -> list[_Roi]:
    dataset = read_dataset(path, "RTSTRUCT")
    with parsing(path, "RTSTRUCT"):
        sop_class = str(dataset.get("SOPClassUID", ""))
        if sop_class != _RTSTRUCT_CLASS:
            found = str(dataset.get("Modality", "")) or sop_class or "unknown"
            raise ImageFormatError(f"{path}: expected an RTSTRUCT, found {found}; choose another file")
        listed = list(dataset.get("StructureSetROISequence") or [])
        _check_numbers(path, listed)
        drawn: dict[int, list[Dataset]] = defaultdict(list)
        for item in dataset.get("ROIContourSequence") or []:
            drawn[int(item.ReferencedROINumber)] += item.get("ContourSequence") or []
        stated = [str(item.get("ROIName") or "") or f"ROI {item.ROINumber}" for item in listed]
        frame = _only_frame(dataset)
        return [
            _read_roi(path, (name, raw), item, drawn[int(item.ROINumber)], frame)
            for name, raw, item in zip(unique_names(stated), stated, listed, strict=True)
        ]


def _check_numbers(path: Path, listed: list[Dataset]) -> None:
    """Refuses ROIs that share a number, because contours belong to a number."""
    number, count = Counter(int(item.ROINumber) for item in listed).most_common(1)[0] if listed else (0, 0)
    if count > 1:
        raise ImageFormatError(
            f"{path}: {count} ROIs have the number {number}, so it is unknown which contours belong to which; "
            "export the structure set again"
        )


def _only_frame(dataset: Dataset) -> str | None:
    """The frame of reference of the structure set, for ROIs that state none; None if it lists several or none."""
    items = dataset.get("ReferencedFrameOfReferenceSequence") or []
    frames = {str(item.get("FrameOfReferenceUID") or "") for item in items}
    return (frames.pop() or None) if len(frames) == 1 else None


def _read_roi(path: Path, names: tuple[str, str], listed: Dataset, contours: list[Dataset], frame: str | None) -> _Roi:
    name, stated_name = names
    kept, kinds = [], set()
    for contour in contours:
        kind = str(contour.get("ContourGeometricType") or "")
        points = _points(path, name, contour)
        if kind in _CLOSED and len(points) >= 3:
            kept.append(points)
            kinds.add(kind)
    return _Roi(
        name=name,
        stated_name=stated_name,
        contours=tuple(kept),
        exclusive_or="CLOSEDPLANAR_XOR" in kinds,
        frame_of_reference_uid=str(listed.get("ReferencedFrameOfReferenceUID") or "") or frame,
        ignored=len(contours) - len(kept),
    )


def _points(path: Path, name: str, contour: Dataset) -> NDArray[np.float64]:
    data = contour.get("ContourData")
    values = np.atleast_1d(np.asarray([] if data is None else data, np.float64))
    if values.size % 3:
        raise ImageFormatError(
            f"{path}: ROI {name!r} has a contour of {values.size} numbers, not a multiple of three; "
            "export the structure set again"
        )
    if not (np.abs(values) < _FARTHEST_MM).all():
        raise ImageFormatError(
            f"{path}: ROI {name!r} has a contour point that is not a position in mm; export it again"
        )
    points = values.reshape(-1, 3)
    if len(points) > 1 and np.array_equal(points[0], points[-1]):
        points = points[:-1]
    return points
