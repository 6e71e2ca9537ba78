from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sirtjax.metrics._jacobian import JacobianSummary
from sirtjax.metrics._target_error import TargetRegistrationError


@dataclass(frozen=True, kw_only=True)
class LabelQuality:
    """Agreement of one warped floating label with the same label of the reference.

    Attributes:
      name: the label.
      kind: an organ counts by its surface, a landmark (lesions among them) by its centroid.
      out_of_view: whether the warped label is not in the reference image, or its centroid is outside it; all distances
        and the overlap are then NaN.
      dsc: Dice similarity coefficient.
      msd_mm, hd_mm, hd95_mm: surface distances; NaN if the warped label fills no voxel by half.
      mcd_mm: distance of the centroids.
      reference_ml: volume of the label in the reference.
      floating_ml: volume as drawn in the floating image.
      warped_ml: volume of the floating label after warping to the reference.
    """

    name: str
    kind: Literal["organ", "landmark"]
    out_of_view: bool
    dsc: float
    msd_mm: float
    hd_mm: float
    hd95_mm: float
    mcd_mm: float
    reference_ml: float
    floating_ml: float
    warped_ml: float

    @property
    def volume_change(self) -> float:
        """The fraction by which warping changed the label's volume: 0.1 for 10 % larger than drawn."""
        return self.warped_ml / self.floating_ml - 1


@dataclass(frozen=True, kw_only=True)
class RegistrationQuality:
    """The quality of a registration of a floating image to a reference image.

    Attributes:
      labels: organs first, then landmarks, each in the order of the reference masks.
      rmsd_mm: root mean square of the organs' mean surface distances and the landmarks' centroid distances;
        NaN if a label is out of view.
      jacobian: volume change and folding over the whole transform.
      organ_jacobian: volume change and folding within the organs of the reference; None without organs.
      target: target registration error of the points; None without points.
      notes: items that were excluded or could not be measured, one sentence each.
    """

    labels: tuple[LabelQuality, ...]
    rmsd_mm: float
    jacobian: JacobianSummary
    organ_jacobian: JacobianSummary | None
    target: TargetRegistrationError | None
    notes: tuple[str, ...]

    @property
    def out_of_view(self) -> tuple[str, ...]:
        """Names of the labels that are out of view."""
        return tuple(label.name for label in self.labels if label.out_of_view)

    def figures(self) -> dict[str, float]:
        """Returns all metrics by name and label, e.g. "rmsd_mm", "dsc liver"; NaN if undefined."""
        found = {"rmsd_mm": self.rmsd_mm}
        for label in self.labels:
            found[f"dsc {label.name}"] = label.dsc
            found[f"msd_mm {label.name}"] = label.msd_mm
            found[f"hd_mm {label.name}"] = label.hd_mm
            found[f"hd95_mm {label.name}"] = label.hd95_mm
            found[f"mcd_mm {label.name}"] = label.mcd_mm
            found[f"volume_change {label.name}"] = label.volume_change
        if self.target is not None:
            found |= {
                "tre_mean_mm": self.target.mean_mm,
                "tre_p95_mm": self.target.p95_mm,
                "tre_max_mm": self.target.max_mm,
            }
        found |= _jacobian_figures("", self.jacobian)
        if self.organ_jacobian is not None:
            found |= _jacobian_figures("organ_", self.organ_jacobian)
        return found


def _jacobian_figures(prefix: str, summary: JacobianSummary) -> dict[str, float]:
    return {
        f"{prefix}folding_fraction": summary.folding_fraction,
        f"{prefix}corner_folding_fraction": summary.corner_folding_fraction,
        f"{prefix}jacobian_min": summary.minimum,
        f"{prefix}jacobian_max": summary.maximum,
        f"{prefix}log_jacobian_std": summary.log_std,
    }
