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

# A common grid may have so many voxels, or as many as the reference, or so many times those of the prediction. Only
# files that are far apart need more.
MAX_VOXELS, MAX_TIMES = 2**27, 2


def read_masks(case: SegmentationCase, rules: SegmentationRules) -> tuple[dict[str, LabelMap], dict[str, LabelMap]]:
    """Returns the masks of both files by name; a label map without any label has none.

    Upper and lower case of names are equal. A name is spelled as in the requested labels, otherwise as in the
    reference.

    Raises:
      ConfigError: two names of a file that are used differ only in upper and lower case.
    """
    from sirtjax.registration import parse_label_names, read_mask_files
    from sirtjax.studies._registration_cases import fill_organs, masks_by_name

    files = []
    for path, text in ((case.predicted, case.predicted_names), (case.reference, case.reference_names)):
        names = None if text is None else parse_label_names(text, where="names")
        files.append([] if _is_empty(path) else read_mask_files([str(path)], None, names=names))
    predicted, reference = (masks_by_name(side) for side in files)
    used = {name.casefold() for name in (*rules.labels, *rules.lesions, rules.liver)}
    for path, side in ((case.predicted, predicted), (case.reference, reference)):
        # Without requested labels, every name is used.
        _check_names(path, [name for name in side if not rules.labels or name.casefold() in used])
    if len(predicted) == len(reference) == 1 and not rules.labels:
        # One mask each: they are meant to be the same structure, whatever their files are called.
        (name,) = reference
        predicted = {name: next(iter(predicted.values()))}
    elif not rules.keep_holes:
        fill_organs((predicted, reference), files, (rules.liver,))
    known = [*rules.labels, *reference, *_reference_names(case)]
    return _spelled(predicted, known), _spelled(reference, known)


def chosen_labels(
    case: SegmentationCase, predicted: dict[str, LabelMap], reference: dict[str, LabelMap], rules: SegmentationRules
) -> list[str]:
    """Returns the requested labels, otherwise those of the reference and some that are only predicted.

    These are lesions, and names that the user stated for the reference: a false structure counts, also if the
    reference has none.

    Raises:
      ConfigError: no label can be compared.
    """
    named = {name.casefold() for name in (*rules.lesions, *_reference_names(case))}
    extra = [name for name in predicted if name.casefold() in named and name not in reference]
    wanted = list(rules.labels) or [*reference, *extra]
    wanted = [name for name in wanted if name in predicted or name in reference]
    if not wanted and not reference:
        if not predicted:
            raise ConfigError(f"{case.case}: the reference and the prediction are empty; there is nothing to compare")
        raise ConfigError(
            f"{case.case}: the reference is empty; name what to compare with --label or --label-names, of the "
            f"prediction's {', '.join(predicted)}"
        )
    if not wanted or (predicted and not any(name in predicted for name in wanted)):
        sides = "; ".join(", ".join(side) or "nothing" for side in (predicted, reference))
        raise ConfigError(f"{case.case}: no label is in both files ({sides}); use the same names with --label-names")
    return wanted


def _reference_names(case: SegmentationCase) -> list[str]:
    """Returns the names that the user stated for the values of the reference."""
    from sirtjax.registration import parse_label_names

    return [] if not case.reference_names else list(parse_label_names(case.reference_names, where="names").values())


def mask_pair(label: str, predicted: LabelMap | None, reference: LabelMap | None) -> tuple[Mask, Mask, Geometry]:
    """Returns both masks on the reference's grid, or on the prediction's where there is no reference.

    Where the prediction goes beyond the reference's grid, that is continued to a box around both masks, and the
    reference is empty there.

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
    from sirtjax.volume import crop_geometry

    known = reference if reference is not None else predicted
    if known is None:
        raise ConfigError("the label is in neither file")
    geometry = known.geometry
    drawn = np.zeros(geometry.shape, bool) if reference is None else np.asarray(reference.array) > 0
    if predicted is None:
        return np.zeros(geometry.shape, bool), drawn, geometry
    if predicted.geometry.matches(geometry):
        return np.asarray(predicted.array) > 0, drawn, geometry
    box = _box_beyond(label, predicted, drawn, geometry)
    if box is not None:
        geometry, drawn = crop_geometry(geometry, *box), _on_box(drawn, *box)
    found = spatial.resample_labels(predicted, geometry)
    return np.asarray(found.array) > 0, drawn, geometry


def _box_beyond(
    label: str, predicted: LabelMap, drawn: Mask, geometry: Geometry
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Returns a box of a grid's voxels around two masks; None if the prediction does not go beyond the grid."""
    import numpy as np

    from sirtjax.volume import bounding_box, crop_geometry

    mask = np.asarray(predicted.array) > 0
    if not mask.any():
        return None
    corners = geometry.to_voxel(crop_geometry(predicted.geometry, *bounding_box(mask)).corners_mm())
    # The corners are edges of voxels, half a voxel from the centres of those inside; the rest is rounding.
    low, high = np.ceil(corners.min(axis=0) - 1e-3), np.floor(corners.max(axis=0) + 1e-3) + 1
    if np.all(low >= 0) and np.all(high <= geometry.shape):
        return None
    if drawn.any():
        own = bounding_box(drawn)
        low, high = np.minimum(low, own[0]), np.maximum(high, own[1])
    size = high - low
    if np.any(size < 1):
        return None  # smaller than a voxel
    if float(np.prod(size)) > max(MAX_VOXELS, math.prod(geometry.shape), MAX_TIMES * mask.size):
        shape = "x".join(f"{n:.0f}" for n in size)
        raise InputError(
            f"{label}: the prediction is so far from the reference's grid that both need {shape} voxels; check that "
            "both files belong to one image, or remove what is far from the reference"
        )
    return tuple(int(n) for n in low), tuple(int(n) for n in high)


def _on_box(mask: Mask, start: Sequence[int], stop: Sequence[int]) -> Mask:
    """Returns a mask on a box of its grid's voxels, which may go beyond the grid and is empty there."""
    import numpy as np

    result = np.zeros([b - a for a, b in zip(start, stop, strict=True)], bool)
    inside = [(max(a, 0), min(b, n)) for a, b, n in zip(start, stop, mask.shape, strict=True)]
    if all(a < b for a, b in inside):
        there = tuple(slice(a - low, b - low) for (a, b), low in zip(inside, start, strict=True))
        result[there] = mask[tuple(slice(a, b) for a, b in inside)]
    return result


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
                "rename one of them"
            )


def _spelled(masks: dict[str, LabelMap], known: Sequence[str]) -> dict[str, LabelMap]:
    """Returns the masks under the first known name that is equal up to upper and lower case."""
    spellings: dict[str, str] = {}
    for name in known:
        spellings.setdefault(name.casefold(), name)
    return {spellings.get(name.casefold(), name): labels for name, labels in masks.items()}
