"""The masks of a segmentation and its reference: matched by name, on one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ConfigError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sirtjax.studies._segmentation_rules import SegmentationCase, SegmentationRules
    from sirtjax.volume import Geometry, LabelMap

    Mask = NDArray[np.bool_]

# More voxels than one image has; only files that are far apart need them.
MAX_VOXELS = 2**27


def read_masks(case: SegmentationCase, rules: SegmentationRules) -> tuple[dict[str, LabelMap], dict[str, LabelMap]]:
    """Returns the masks of both files by name; a label map without any label has none.

    Upper and lower case of names are equal. A name is spelled as in the requested labels, otherwise as in the
    reference.

    Raises:
      ConfigError: two names of a file differ only in upper and lower case.
    """
    from sirtjax.registration import parse_label_names, read_mask_files
    from sirtjax.studies._registration_cases import fill_organs, masks_by_name

    files = []
    for path, text in ((case.predicted, case.predicted_names), (case.reference, case.reference_names)):
        names = None if text is None else parse_label_names(text, where="names")
        files.append([] if _is_empty(path) else read_mask_files([str(path)], None, names=names))
    predicted, reference = (masks_by_name(side) for side in files)
    for path, side in ((case.predicted, predicted), (case.reference, reference)):
        _check_names(path, list(side))
    if len(predicted) == len(reference) == 1 and not rules.labels:
        # One mask each: they are meant to be the same structure, whatever their files are called.
        (name,) = reference
        predicted = {name: next(iter(predicted.values()))}
    elif not rules.keep_holes:
        fill_organs((predicted, reference), files, (rules.liver,))
    known = [*rules.labels, *reference]
    return _spelled(predicted, known), _spelled(reference, known)


def chosen_labels(
    case: SegmentationCase, predicted: dict[str, LabelMap], reference: dict[str, LabelMap], rules: SegmentationRules
) -> list[str]:
    """Returns the requested labels, otherwise those of the reference and lesions that are only predicted."""
    lesions = {name.casefold() for name in rules.lesions}
    extra = [name for name in predicted if name.casefold() in lesions and name not in reference]
    wanted = list(rules.labels) or [*reference, *extra]
    wanted = [name for name in wanted if name in predicted or name in reference]
    if not wanted or (predicted and not any(name in predicted for name in wanted)):
        sides = "; ".join(", ".join(side) or "nothing" for side in (predicted, reference))
        raise ConfigError(f"{case.case}: no label is in both files ({sides}); use the same names with --label-names")
    return wanted


def mask_pair(label: str, predicted: LabelMap | None, reference: LabelMap | None) -> tuple[Mask, Mask, Geometry]:
    """Returns both masks on the reference's grid, or on the prediction's where there is no reference.

    The reference's grid is extended where the prediction goes beyond it, and the reference is empty there.

    Args:
      label: name of the label.
      predicted: mask of the prediction; None for an empty one.
      reference: mask of the reference; None for an empty one.

    Raises:
      ConfigError: neither of the masks is given.
      InputError: the prediction is so far from the reference that the common grid is too large.
    """
    import numpy as np

    from sirtjax import spatial

    known = reference if reference is not None else predicted
    if known is None:
        raise ConfigError("the label is in neither file")
    geometry = known.geometry
    drawn = np.zeros(geometry.shape, bool) if reference is None else np.asarray(reference.array) > 0
    if predicted is None:
        return np.zeros(geometry.shape, bool), drawn, geometry
    if predicted.geometry.matches(geometry):
        return np.asarray(predicted.array) > 0, drawn, geometry
    before, after = _missing(label, predicted, geometry)
    if any((*before, *after)):
        geometry = _extended(geometry, before, after)
        drawn = np.pad(drawn, list(zip(before, after, strict=True)))
    found = spatial.resample_labels(predicted, geometry)
    return np.asarray(found.array) > 0, drawn, geometry


def _missing(label: str, predicted: LabelMap, geometry: Geometry) -> tuple[list[int], list[int]]:
    """Returns the voxels to add before and after each axis of a grid so that it contains a mask."""
    import numpy as np

    from sirtjax.volume import bounding_box, crop_geometry

    mask = np.asarray(predicted.array) > 0
    if not mask.any():
        return [0, 0, 0], [0, 0, 0]
    corners = geometry.to_voxel(crop_geometry(predicted.geometry, *bounding_box(mask)).corners_mm())
    # The corners are edges of voxels, half a voxel from the centres of those inside; the rest is rounding.
    low = np.minimum(np.ceil(corners.min(axis=0) - 1e-3), 0)
    high = np.maximum(np.floor(corners.max(axis=0) + 1e-3) + 1, geometry.shape)
    size = high - low
    if float(np.prod(size)) > max(MAX_VOXELS, math.prod(geometry.shape)):
        shape = "x".join(f"{n:.0f}" for n in size)
        raise InputError(
            f"{label}: the prediction is so far from the reference's grid that both need {shape} voxels; check that "
            "both files belong to one image, or remove what is far from the reference"
        )
    return [int(-n) for n in low], [int(n) for n in high - geometry.shape]


def _extended(geometry: Geometry, before: Sequence[int], after: Sequence[int]) -> Geometry:
    from sirtjax.volume import crop_geometry

    return crop_geometry(
        geometry, [-n for n in before], [n + more for n, more in zip(geometry.shape, after, strict=True)]
    )


def _is_empty(path: Path) -> bool:
    """Returns whether every voxel of a NIfTI or NRRD label file is zero: nothing was found, which is a valid result."""
    from sirtjax import io

    return io.is_label_file(path) and not io.read_label_array(path)[0].any()


def _check_names(path: Path, names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise ConfigError(
                f"{path}: the names {other!r} and {name!r} differ only in upper and lower case, which are equal; "
                "name one otherwise"
            )


def _spelled(masks: dict[str, LabelMap], known: Sequence[str]) -> dict[str, LabelMap]:
    """Returns the masks under the first known name that is equal up to upper and lower case."""
    spellings: dict[str, str] = {}
    for name in known:
        spellings.setdefault(name.casefold(), name)
    return {spellings.get(name.casefold(), name): labels for name, labels in masks.items()}
