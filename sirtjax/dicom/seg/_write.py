"""Masks as DICOM Segmentation (SEG), written with highdicom."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

import sirtjax
from sirtjax.dicom.reference._algorithm import Algorithm, DrawnBy, algorithm_of_each
from sirtjax.dicom.reference._codes import Code, SegmentCode, segment_code
from sirtjax.dicom.reference._object import MANUFACTURER, content_uid, new_object, referenced, save_object, short_text
from sirtjax.dicom.reference._series import Reference
from sirtjax.dicom.seg._placed_mask import label_of, placed_mask
from sirtjax.errors import GeometryError, InputError
from sirtjax.volume import Geometry, LabelMap

SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
_SERIES_NUMBER = 9200
# CID 7162.
FAMILY_CODES = {
    "AI": Code("123110", "DCM", "Artificial Intelligence"),
    "atlas": Code("123111", "DCM", "Deformable Models"),
    "threshold": Code("123105", "DCM", "Histogram Analysis"),
    "rules": Code("123104", "DCM", "Morphological Operations"),
    "manual": Code("123109", "DCM", "Manual Processing"),
}
_HOW = {"automatic": "AUTOMATIC", "semi-automatic": "SEMIAUTOMATIC", "manual": "MANUAL"}
_CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


def write_seg(
    path: str | Path,
    masks: Mapping[str, LabelMap],
    reference: Reference,
    *,
    description: str,
    algorithm: DrawnBy,
    kinds: Mapping[str, str] | None = None,
    keep_grid: bool = False,
    force: bool = False,
) -> Path:
    """Writes masks as one binary DICOM Segmentation: one segment per mask; segments may overlap.

    By default every mask is put on the grid of the reference, frame by frame over its slices: web viewers overlay a
    segmentation pixel for pixel on the images it refers to and do not resample it. A mask of that grid, in whatever
    order of axes, keeps every voxel; one of another keeps its volume, to a voxel. With `keep_grid` the masks keep the
    grid that they share, in the same frame of reference, which DICOM allows and 3D Slicer and highdicom read: no voxel
    is changed, but frames then have no source image.

    Frames without a voxel of their segment are not stored.

    Args:
      path: the file to write.
      masks: masks by the label of the segment; of each map the label of that name, or its only one.
      reference: series on which the masks were drawn, or on which they are to be displayed.
      description: description of the object and its series.
      algorithm: algorithm or person that contoured the masks, or one for each mask by its name.
      kinds: type of a mask by its name, one of `segment_kinds`, if the name does not state it.
      keep_grid: keep the masks' own grid.
      force: replace an existing file.

    Returns:
      The file.

    Raises:
      InputError: no masks, an empty one, one whose code is not known, or one that no algorithm is named for.
      GeometryError: masks of several grids with `keep_grid`, or a grid with non-rectangular slices.
      OutputError: the file exists already, or its place refuses writing.
    """
    if not masks:
        raise InputError("no masks to write as a segmentation; provide at least one")
    kinds = kinds or {}
    unknown = set(kinds) - set(masks)
    if unknown:
        raise InputError(f"kinds names {min(unknown)!r}, which is not one of the masks: {', '.join(map(repr, masks))}")
    labels = [short_text(name, what="segment's label") for name in masks]
    codes = [segment_code(name, kind=kinds.get(name)) for name in masks]
    drawn_by = list(algorithm_of_each(masks, algorithm).values())
    geometry = _own_geometry(masks) if keep_grid else reference.geometry
    placed = [placed_mask(name, mask, geometry).transpose(2, 1, 0) for name, mask in masks.items()]
    used = np.flatnonzero(np.any([planes.any(axis=(1, 2)) for planes in placed], axis=0))
    stack = np.stack([planes[used] for planes in placed], axis=-1)
    base = _base(stack, geometry, reference, description, drawn_by, labels, codes)
    segmentation = _segmentation(stack, geometry, used, base, _segments(base, labels, codes, drawn_by))
    _refer(segmentation, reference, keep_grid=keep_grid)
    _settle(segmentation, base)
    return save_object(segmentation, path, force=force)


def _own_geometry(masks: Mapping[str, LabelMap]) -> Geometry:
    first, *others = masks.items()
    geometry = first[1].geometry
    label_of(*first)
    for name, mask in others:
        if not mask.geometry.matches(geometry):
            raise GeometryError(
                f"masks {first[0]!r} ({geometry}) and {name!r} ({mask.geometry}) are on different grids; a "
                "segmentation has one, so write them apart or on the grid of the reference"
            )
    i, j, _ = geometry.direction.T
    if abs(float(i @ j)) > 1e-4:
        raise GeometryError(
            f"mask {first[0]!r} has non-rectangular slices, which DICOM cannot store; "
            "write it on the grid of the reference"
        )
    return geometry


def _base(
    stack: NDArray[np.bool_],
    geometry: Geometry,
    reference: Reference,
    description: str,
    drawn_by: list[Algorithm],
    labels: list[str],
    codes: list[SegmentCode],
) -> Dataset:
    digest = hashlib.sha256(np.packbits(stack).tobytes())
    digest.update(repr((geometry, description, drawn_by, labels, codes)).encode())
    base = new_object(
        reference,
        sop_class_uid=SEG_CLASS,
        modality="SEG",
        content=digest.hexdigest(),
        series_number=_SERIES_NUMBER,
        description=description,
    )
    base.DeviceSerialNumber = sirtjax.__version__
    base.ContentDate, base.ContentTime = base.InstanceCreationDate, base.InstanceCreationTime
    return base


def _segments(base: Dataset, labels: list[str], codes: list[SegmentCode], drawn_by: list[Algorithm]) -> list[Dataset]:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    segments = []
    for number, (label, code, algorithm) in enumerate(zip(labels, codes, drawn_by, strict=True), start=1):
        identified = AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=_concept(FAMILY_CODES[algorithm.family]),
            version=algorithm.version,
            source=MANUFACTURER,
        )
        segment = SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=_concept(code.category),
            segmented_property_type=_concept(code.type),
            algorithm_type=_HOW[algorithm.how],
            # A person has no name in it: the standard forbids one there.
            algorithm_identification=None if algorithm.how == "manual" else identified,
            tracking_id=label,
            tracking_uid=content_uid("segment", str(base.SOPInstanceUID), label),
            anatomic_regions=None if code.region is None else [_concept(code.region)],
            display_color=CIELabColor.from_rgb(*code.colour_rgb),
        )
        if code.side is not None:
            segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
                _concept(code.side)
            ]
        segments.append(segment)
    return segments


def _concept(code: Code) -> Dataset:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def _segmentation(
    stack: NDArray[np.bool_], geometry: Geometry, used: NDArray[np.int64], base: Dataset, segments: list[Dataset]
) -> Dataset:
    """The segmentation, (slices used, rows, columns, segments), as highdicom writes it.

    It is shown one plain image per slice of the segmentation's own grid instead of the reference's headers: those may
    be multi-frame, of a class that highdicom does not know, or lack what it takes for granted. `_refer` names the
    true sources.
    """
    from highdicom import PixelMeasuresSequence
    from highdicom.seg import Segmentation

    spacing = geometry.spacing_mm
    normal = np.cross(*geometry.direction.T[:2])
    step_mm = abs(float(geometry.affine[:3, 2] @ normal))
    stand_ins = [_stand_in(geometry, int(k), base, step_mm) for k in used]
    segmentation = Segmentation(
        source_images=stand_ins,
        pixel_array=stack,
        segmentation_type="BINARY",
        segment_descriptions=segments,
        series_instance_uid=base.SeriesInstanceUID,
        series_number=int(base.SeriesNumber),
        sop_instance_uid=base.SOPInstanceUID,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=sirtjax.__version__,
        device_serial_number=str(base.DeviceSerialNumber),
        content_description=str(base.SeriesDescription),
        content_label="SEGMENTATION",
        omit_empty_frames=True,
    )
    measures = PixelMeasuresSequence((spacing[1], spacing[0]), step_mm, step_mm)
    segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = measures
    return segmentation


def _stand_in(geometry: Geometry, k: int, base: Dataset, step_mm: float) -> Dataset:
    from pydicom.valuerep import format_number_as_ds

    def exact(values: Any) -> list[str]:
        return [format_number_as_ds(float(value) + 0.0) for value in values]

    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = _CT_CLASS, f"2.25.{k + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID = base.StudyInstanceUID, "2.25.1"
    image.FrameOfReferenceUID, image.Modality = base.FrameOfReferenceUID, "CT"
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(image, keyword, "")
    image.StudyDate = image.StudyTime = None
    image.Columns, image.Rows = geometry.shape[:2]
    image.PixelSpacing = exact((geometry.spacing_mm[1], geometry.spacing_mm[0]))
    image.SliceThickness = exact([step_mm])[0]
    image.ImageOrientationPatient = exact(geometry.direction.T[:2].ravel())
    image.ImagePositionPatient = exact(geometry.to_world((0, 0, k)))
    return image


def _refer(segmentation: Dataset, reference: Reference, *, keep_grid: bool) -> None:
    """Name the reference's own objects, and for each frame the slice that it was drawn on, where it is one."""
    objects = [(str(header.SOPClassUID), str(header.SOPInstanceUID)) for header in reference.headers]
    segmentation.SourceImageSequence = [referenced(*each) for each in objects]
    series = Dataset()
    series.SeriesInstanceUID = reference.series_uid
    series.ReferencedInstanceSequence = [referenced(*each) for each in objects]
    segmentation.ReferencedSeriesSequence = [series]
    frames = list(segmentation.PerFrameFunctionalGroupsSequence)
    if keep_grid:
        for groups in frames:
            del groups.DerivationImageSequence
        return
    sources = [groups.DerivationImageSequence[0].SourceImageSequence[0] for groups in frames]
    # Before any is changed: highdicom shares the items between the segments.
    slices = [int(str(source.ReferencedSOPInstanceUID).rpartition(".")[2]) - 1 for source in sources]
    for source, k in zip(sources, slices, strict=True):
        sop_class, instance, frame = reference.instance(k)
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = sop_class, instance
        if frame is not None:
            source.ReferencedFrameNumber = frame


def _settle(segmentation: Dataset, base: Dataset) -> None:
    """Patient, study, series and maker as in every object of ours; UIDs that follow from the content."""
    for element in base:
        segmentation[element.tag] = element
    dimensions = content_uid("dimensions", str(base.SOPInstanceUID))
    segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimensions
    for index in segmentation.DimensionIndexSequence:
        index.DimensionOrganizationUID = dimensions
