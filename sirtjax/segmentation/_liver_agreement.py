from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from sirtjax import ops, spatial
from sirtjax.segmentation._atlas_warp import atlas_grid
from sirtjax.segmentation._result import Flag
from sirtjax.volume import Geometry, LabelMap, bounding_box

# Two masks of one liver are compared on voxels of at least this size.
GRID_MM = 4.0
# Two contours of one liver differ by a few millimetres. A piece with a ball of this radius is an error of one of them.
PIECE_RADIUS_MM = 10.0


@dataclass(frozen=True, kw_only=True)
class LiverAgreement:
    """The agreement of a liver mask with the liver that a model found on the same image.

    Attributes:
      dsc: Dice similarity of the two masks.
      lacking: largest piece of the found liver outside the mask, divided by the volume of the found liver.
      excess: largest piece of the mask outside the found liver, divided by the volume of the mask.
    """

    dsc: float
    lacking: float
    excess: float


@dataclass(frozen=True, kw_only=True)
class AgreementLimits:
    """The agreement below which a mask is flagged.

    Chosen on the tuning pairs of `benchmarks/diagnostic_liver.py`.

    Attributes:
      dsc: smallest Dice similarity.
      piece: largest fraction of the volume in one piece of the found liver outside the mask, or in one of the mask
        outside the found liver.
    """

    dsc: float
    piece: float


# The model is less accurate on a low-dose CT without contrast medium than on a diagnostic image.
LOW_DOSE = AgreementLimits(dsc=0.8, piece=0.12)
DIAGNOSTIC = AgreementLimits(dsc=0.85, piece=0.1)
# From here on the livers confirm a registration that the images do not confirm. A liver shifted by 15 mm has less.
CONFIRMING = AgreementLimits(dsc=0.88, piece=0.12)


def liver_agreement(mask: LabelMap, found: LabelMap) -> LiverAgreement:
    """Compares a liver mask with the liver that a model found; both are the first labels of their maps.

    Pieces are those that contain a ball of 10 mm radius, because two contours of one liver differ everywhere by a few
    millimetres.

    Args:
      mask: mask to assess, in the space of `found`.
      found: liver found by a model.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import segmentation
      >>> from sirtjax.volume import Geometry, LabelMap, bounding_box
      >>> grid = Geometry.from_axes((20, 20, 20), spacing_mm=(5.0, 5.0, 5.0))
      >>> whole = np.zeros(grid.shape, bool)
      >>> whole[2:18, 2:18, 2:18] = True
      >>> half = whole & (np.arange(20) < 10)[:, None, None]
      >>> maps = [LabelMap.from_mask(one, grid, name="liver") for one in (half, whole)]
      >>> agreement = segmentation.liver_agreement(*maps)
      >>> round(agreement.dsc, 3), agreement.excess
      (0.667, 0.0)
      >>> round(agreement.lacking, 2)  # half of the liver, but the ball does not reach the edges
      0.4
    """
    grid = atlas_grid(found.geometry, spacing_mm=GRID_MM)
    one, other = (_on_grid(labels, grid) for labels in (mask, found))
    total = int(one.sum()) + int(other.sum())
    return LiverAgreement(
        dsc=2 * int((one & other).sum()) / max(total, 1),
        lacking=_piece_voxels(other & ~one, grid) / max(int(other.sum()), 1),
        excess=_piece_voxels(one & ~other, grid) / max(int(one.sum()), 1),
    )


def confirms(agreement: LiverAgreement) -> bool:
    """Returns whether a warped liver confirms a registration that the images do not confirm."""
    largest = max(agreement.lacking, agreement.excess)
    return agreement.dsc >= CONFIRMING.dsc and largest <= CONFIRMING.piece


def agreement_flags(agreement: LiverAgreement, limits: AgreementLimits, *, code: str, what: str) -> tuple[Flag, ...]:
    """Returns a flag if a mask disagrees with the liver that the model found.

    Args:
      agreement: result of `liver_agreement`.
      limits: smallest agreement without a flag.
      code: code of the flag.
      what: mask and image in words, such as "the warped liver disagrees with the liver found on the CT".
    """
    findings = []
    if agreement.dsc < limits.dsc:
        findings.append(f"DSC {agreement.dsc:.2f}, expected at least {limits.dsc:g}")
    for share, where in ((agreement.lacking, "lacks"), (agreement.excess, "adds")):
        if share > limits.piece:
            findings.append(f"it {where} one piece of {100 * share:.0f} % of the volume")
    return (Flag(code=code, message=f"{what}: {', '.join(findings)}"),) if findings else ()


def _on_grid(labels: LabelMap, grid: Geometry) -> Bool[np.ndarray, "i j k"]:
    mask = labels.mask(labels.names[0][1])
    return np.asarray(spatial.mask_occupancy(mask, labels.geometry, grid)) > 0.5


def _piece_voxels(difference: NDArray[np.bool_], grid: Geometry) -> int:
    """The voxels of the largest piece that contains the ball."""
    if not difference.any():
        return 0
    start, stop = bounding_box(difference)
    # One voxel around, so that the faces of the box are not taken for the inside.
    apart = np.pad(difference[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))], 1)
    core = ops.distance_mm(~apart, grid.spacing_mm) > PIECE_RADIUS_MM
    if not core.any():
        return 0
    pieces = apart & (ops.distance_mm(core, grid.spacing_mm) <= PIECE_RADIUS_MM)
    return int((ops.components(pieces) == 1).sum())
