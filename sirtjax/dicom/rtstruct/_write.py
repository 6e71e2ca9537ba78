from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from sirtjax.dicom.reference._algorithm import DrawnBy, algorithm_of_each
from sirtjax.dicom.reference._approval import Approval
from sirtjax.dicom.reference._object import new_object, save_object, short_text
from sirtjax.dicom.reference._series import Reference
from sirtjax.dicom.rtstruct._modules import add_approval, add_referenced_series, add_roi
from sirtjax.dicom.rtstruct._on_reference import on_reference
from sirtjax.dicom.rtstruct._slice_contours import slice_contours
from sirtjax.errors import InputError
from sirtjax.volume import LabelMap

_RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_MAX_LABEL, _MAX_DESCRIPTION = 16, 1024
Colour = tuple[int, int, int]
# Colours that people with colour blindness can distinguish. Okabe and Ito, Color Universal Design, 2008.
_COLOURS: tuple[Colour, ...] = (
    *((0, 158, 115), (213, 94, 0), (86, 180, 233), (240, 228, 66)),
    *((204, 121, 167), (0, 114, 178), (230, 159, 0)),
)


def write_rtstruct(
    path: str | Path,
    masks: Mapping[str, LabelMap],
    reference: Reference,
    *,
    label: str,
    description: str | None = None,
    algorithm: DrawnBy | None = None,
    colours: Mapping[str, Colour] | None = None,
    approved: Approval | None = None,
    created: datetime | None = None,
    force: bool = False,
) -> Path:
    """Writes masks as a DICOM RT Structure Set on the slices of a series.

    A mask on the grid of the series, whatever the order of its axes, is outlined voxel by voxel: the contours hold the
    centres of its voxels and no others, and its area. A mask on another grid is outlined by how much of each slice and
    pixel lies inside it, so that its volume stays. Holes are joined to their outer contours as keyholes.

    Args:
      path: the file to write.
      masks: masks by the name of the ROI; each a map with one label, or with a label of that name.
      reference: series on which the ROIs were drawn.
      label: label of the structure set, at most 16 characters.
      description: description of the structure set.
      algorithm: algorithm or person that contoured the masks, or one for each mask by its name; not stated if None.
      colours: red, green and blue from 0 to 255 by name; the other ROIs get one of seven colours.
      approved: person who reviewed the structure set; unapproved if None.
      created: time of the result. Default: now. The UIDs do not depend on it.
      force: replace an existing file.

    Returns:
      The file.

    Raises:
      InputError: no mask, an empty one, one that no algorithm is named for, or a name, label or colour that DICOM
        can't hold.
      GeometryError: a mask that is not on the series.
      OutputError: the file exists already.
    """
    names = _roi_names(masks)
    chosen = _colours(names, colours)
    label = short_text(label, what="structure set label", longest=_MAX_LABEL)
    drawn_by = None if algorithm is None else algorithm_of_each(masks, algorithm)
    digest = hashlib.sha256(repr((label, description, drawn_by, approved, chosen)).encode())
    drawn = []
    for name, labels in masks.items():
        fraction = on_reference(labels, reference, name=names[name])
        digest.update(names[name].encode() + b"\0" + np.ascontiguousarray(fraction).tobytes())
        by = None if drawn_by is None else drawn_by[name]
        drawn.append((names[name], slice_contours(fraction, reference), by))
    dataset = new_object(
        reference,
        sop_class_uid=_RTSTRUCT_CLASS,
        modality="RTSTRUCT",
        content=digest.hexdigest(),
        series_number=9001,
        description=f"RTSTRUCT {label}",
        created=created,
    )
    _add_structure_set(dataset, label, description)
    add_referenced_series(dataset, reference)
    add_approval(dataset, approved)
    for number, (name, contours, by) in enumerate(drawn, start=1):
        add_roi(dataset, number, name, contours, reference=reference, algorithm=by, colour=chosen[name])
    return save_object(dataset, path, force=force)


def _add_structure_set(dataset: Dataset, label: str, description: str | None) -> None:
    from pydicom.sequence import Sequence
    from pydicom.uid import ImplicitVRLittleEndian

    # The lengths of explicit decimal strings end at 64 KiB, which a long outline exceeds.
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.StructureSetLabel = label
    if description:
        text = " ".join(description.split())
        if len(text) > _MAX_DESCRIPTION or not text.isprintable():
            raise InputError(
                f"the structure set's description has {len(text)} characters; expected at most "
                f"{_MAX_DESCRIPTION} printable ones"
            )
        dataset.StructureSetDescription = text
    dataset.StructureSetDate, dataset.StructureSetTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
    for keyword in ("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"):
        setattr(dataset, keyword, Sequence())


def _roi_names(masks: Mapping[str, LabelMap]) -> dict[str, str]:
    if not masks:
        raise InputError("no mask to write; a structure set needs at least one")
    names = {}
    for name in masks:
        names[name] = short_text(name, what="ROI name")
        if "/" in name or name.strip(" .") == "":
            raise InputError(f"the ROI name {name!r} looks like a path; use a name without '/'")
        if list(names.values()).count(names[name]) > 1:
            raise InputError(f"two masks are named {names[name]!r} apart from surrounding spaces; rename one")
    return names


def _colours(names: Mapping[str, str], given: Mapping[str, Colour] | None) -> dict[str, Colour]:
    found = {}
    for number, (key, name) in enumerate(names.items()):
        colour = (given or {}).get(key, _COLOURS[number % len(_COLOURS)])
        if len(colour) != 3 or any(int(value) != value or not 0 <= value <= 255 for value in colour):
            raise InputError(f"the colour of {name!r} is {colour}; expected red, green and blue from 0 to 255")
        found[name] = colour
    unknown = sorted(set(given or {}) - set(names))
    if unknown:
        raise InputError(f"there is a colour for {unknown[0]!r}, which is not one of the masks: {', '.join(names)}")
    return found
