from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from sirtjax import ops
from sirtjax.segmentation._quality_calibration import QualityEstimate
from sirtjax.segmentation._quality_evidence import EVIDENCE_WORDS
from sirtjax.segmentation._restored import Restored
from sirtjax.segmentation._result import Flag
from sirtjax.segmentation._unmeasured import NEAR_MM, face_areas_cm2, unmeasured_contact_cm2
from sirtjax.volume import LabelMap, Volume, axis_codes

# Livers outside this range are rare and need a review.
LIVER_ML = (500.0, 4500.0)
# A second component larger than this fraction of the first is not a small fragment.
LARGE_PIECE = 0.1
# A structure with a larger area at a face of the image is truncated there.
EDGE_CM2 = 2.0
# Inside, further from the contour than a voxel, a network is expected to be surer than 95 %: entropy of 0.95 and 0.05.
SURE_ENTROPY = 0.2
# More lesions than this in one liver are noise or vessels more often than disease.
MANY_LESIONS = 15
_SIDES = {"L": "left", "R": "right", "P": "back", "A": "front", "S": "upper", "I": "lower"}
_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}


def flags_of(labels: LabelMap, found: Restored, volume: Volume, *, lesions: bool) -> tuple[Flag, ...]:
    """Returns the quality flags of a result, each a reason to review it before use.

    Args:
      labels: labels of the result on the image's grid.
      found: output of the model.
      volume: the image.
      lesions: whether only lesions were requested.
    """
    flags: tuple[Flag, ...] = ()
    if "liver" in (name for _, name in labels.names):
        flags += piece_flags("liver", found.pieces_ml)
        if found.liver is not None and found.uncertainty is not None:
            flags += entropy_flags("liver", found.liver, np.asarray(found.uncertainty.array))
        flags += () if found.quality is None else quality_flags("liver", found.quality)
        flags += volume_flags("liver", labels.volume_ml("liver"), LIVER_ML)
        flags += edge_flags(labels, "liver", volume)
    if lesions:
        count = int(ops.components(np.asarray(labels.array) > 0, connectivity=26).max(initial=0))
        flags += count_flags("lesions", count)
    return flags


def volume_flags(name: str, volume_ml: float, range_ml: tuple[float, float]) -> tuple[Flag, ...]:
    """Returns a flag if a volume is out of the usual range."""
    low, high = range_ml
    if low <= volume_ml <= high:
        return ()
    return (Flag(code="volume", message=f"{name} of {volume_ml:.0f} mL, usual range {low:g} to {high:g} mL"),)


def piece_flags(name: str, pieces_ml: Sequence[float]) -> tuple[Flag, ...]:
    """Returns a flag if the network found several large components of one organ, largest first."""
    large = [one for one in pieces_ml if one > LARGE_PIECE * pieces_ml[0]]
    if len(large) < 2:
        return ()
    sizes = ", ".join(f"{one:.0f}" for one in large)
    return (Flag(code="fragmented", message=f"{len(large)} large components of {name} ({sizes} mL), expected one"),)


def count_flags(name: str, count: int) -> tuple[Flag, ...]:
    """Returns a flag if so many lesions were found that most can be noise."""
    if count <= MANY_LESIONS:
        return ()
    message = f"{count} parts of {name}, more than {MANY_LESIONS}: on a noisy or low-dose image most are noise"
    return (Flag(code="many_lesions", message=message),)


def entropy_flags(name: str, mask: Bool[np.ndarray, "i j k"], entropy: Float[np.ndarray, "i j k"]) -> tuple[Flag, ...]:
    """Returns a flag if the network is unsure inside the mask, away from its contour; both on its grid."""
    inside = ndimage.binary_erosion(mask)
    inside = inside if inside.any() else mask
    if not inside.any():
        return ()
    mean = float(entropy[inside].mean())
    if mean <= SURE_ENTROPY:
        return ()
    message = f"the network is unsure inside the {name}: mean entropy {mean:.2f}, expected at most {SURE_ENTROPY:g}"
    return (Flag(code="uncertain", message=message),)


def edge_flags(labels: LabelMap, name: str, volume: Volume) -> tuple[Flag, ...]:
    """Returns a flag if the faces of the image or the edge of its field of view truncate a structure.

    Args:
      labels: label map.
      name: structure.
      volume: the image, on the same grid.
    """
    mask = labels.mask(name)
    areas_cm2 = face_areas_cm2(labels.geometry)
    found = []
    for axis, letter in enumerate(axis_codes(labels.geometry)):
        for end, side in ((0, _OPPOSITE[letter]), (-1, letter)):
            area_cm2 = float(np.take(mask, end, axis=axis).sum()) * areas_cm2[axis]
            if area_cm2 > EDGE_CM2:
                found.append(f"{_SIDES[side]} ({area_cm2:.0f} cm2)")
    messages = [f"the image truncates the {name} at its {', '.join(found)} side"] if found else []
    inner_cm2 = unmeasured_contact_cm2(labels, name, volume)
    if inner_cm2 > EDGE_CM2:
        messages.append(
            f"the field of view ends at the {name}: {inner_cm2:.0f} cm2 are within {NEAR_MM:g} mm of "
            "voxels without data"
        )
    return (Flag(code="truncated", message="; ".join(messages)),) if messages else ()


def quality_flags(name: str, quality: QualityEstimate) -> tuple[Flag, ...]:
    """Returns a flag if the mask's estimated DSC is below a limit of the calibration."""
    if not quality.doubtful:
        return ()
    reasons = "; ".join(EVIDENCE_WORDS[one] for one in quality.reasons[:2] if one in EVIDENCE_WORDS)
    interval = f"90 % interval {quality.low:.2f} to {quality.high:.2f}"
    below = "below" if quality.dsc < quality.limit else "and masks with such an estimate are often below"
    message = f"the estimated DSC of the {name} is {quality.dsc:.2f} ({interval}), {below} {quality.limit:.2f}"
    return (Flag(code="quality", message=f"{message}: {reasons}" if reasons else message),)
