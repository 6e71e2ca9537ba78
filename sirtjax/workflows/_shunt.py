"""The lung shunt fraction and the lung mass of a case, each with where it is from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from sirtjax import dosimetry, spatial
from sirtjax.dosimetry import Check
from sirtjax.errors import ConfigError
from sirtjax.ops import weighted_sum
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._lung_extension import FAR_MM, whole_lung_counts
from sirtjax.workflows._lung_reassignment_record import Reassigned
from sirtjax.workflows._organ_counts import OrganImage
from sirtjax.workflows._planar_shunt import planar_lung_shunt
from sirtjax.workflows._record_result import LungShuntRecord, PlanarBlurRecord, RegionCounts
from sirtjax.workflows._resampled_case import ResampledCase
from sirtjax.workflows._voi import Voi


@dataclass(frozen=True, eq=False)
class ReassignedShunt:
    """Counts of liver and lungs after reassignment, and the lung shunt fraction that they give.

    Attributes:
      organs: activity image around both organs.
      counts: (i, j, k) counts of liver and lungs with the resolution of the case, a smaller and a larger one.
      fraction: lung shunt fraction without and with the correction.
    """

    organs: OrganImage
    counts: tuple[tuple[Float32[np.ndarray, "i j k"], Float32[np.ndarray, "i j k"]], ...]
    fraction: Reassigned


@dataclass(frozen=True, eq=False)
class LungShunt:
    """The lung shunt fraction, how it was found, its counts, and its value without blur."""

    fraction: float
    method: str
    source: str
    checks: tuple[Check, ...] = ()
    counts: tuple[RegionCounts, ...] = ()
    reassigned: ReassignedShunt | None = None
    blur: PlanarBlurRecord | None = None


@dataclass(frozen=True)
class LungMass:
    """The mass of both lungs, and how it was found."""

    mass_g: float
    source: str


def lung_shunt(
    case: Case,
    images: CaseImages,
    liver: Voi,
    lungs: Voi | None,
    transform: spatial.Transform,
    *,
    seen_fraction: float = 1.0,
) -> LungShunt:
    """Returns the lung shunt fraction by the method of the case.

    Args:
      case: the case.
      images: images of the case.
      liver: the liver.
      lungs: both lungs; None without a mask.
      transform: pull, from the frame of the activity image to that of the diagnostic image.
      seen_fraction: fraction of the lungs that the activity image shows. Counts of a SPECT are extended to the rest.

    Raises:
      ConfigError: the counts of the SPECT are asked for and there is no lung mask.
    """
    table = case.lung_shunt
    if table.fraction is not None:
        return LungShunt(table.fraction, "value", table.source or "given in the case")
    if table.planar_rois is not None:
        found = planar_lung_shunt(case, table.planar, table.planar_rois)
        method = "planar, corrected" if table.attenuation_corrected else "planar"
        return LungShunt(found.fraction, method, found.source, found.checks, found.counts, blur=found.blur)
    if lungs is None:
        raise ConfigError(
            'lung_shunt.method = "spect" requires [masks.lungs]; or set the fraction (lung_shunt.method = "value")'
        )
    weights = {}
    for voi in (liver, lungs):
        pull = transform if voi.frame == "diagnostic" else None
        weight = spatial.occupancy(voi.labels, voi.name, images.activity.volume.geometry, transform=pull)
        weights[voi.name] = np.asarray(weight, np.float32)
    # Masks may overlap at the diaphragm: a voxel of both is liver.
    weights["lungs"] = np.minimum(weights["lungs"], 1 - weights["liver"])
    image = np.asarray(images.activity.volume.array, np.float32)
    counts = {name: weighted_sum(image, weight) for name, weight in weights.items()}
    whole = whole_lung_counts(
        image * weights["lungs"],
        weights["lungs"],
        weights["liver"],
        images.activity.volume.geometry.spacing_mm,
        seen_fraction=seen_fraction,
    )
    fraction = dosimetry.spect_lung_shunt_fraction(whole, counts["liver"])
    rows = (RegionCounts("lungs", counts["lungs"]), RegionCounts("liver", counts["liver"]))
    source = "counts of the activity image in the lungs and the liver"
    if seen_fraction < 1.0:
        source += (
            f"; it shows {100 * seen_fraction:.3g} % of the lungs, the rest has the mean of lung farther than "
            f"{FAR_MM:g} mm from the liver"
        )
    return LungShunt(fraction, "spect", source, counts=rows)


def lung_shunt_record(case: Case, images: CaseImages, shunt: LungShunt) -> LungShuntRecord:
    """Returns the lung shunt fraction with the counts and the file names of the images that it comes from."""
    files: tuple[str, ...] = ()
    if shunt.method == "spect":
        files = (Path(images.activity.source.path).name,)
    elif shunt.method != "value":
        files = tuple(path.name for path in case.lung_shunt.planar)
    return LungShuntRecord(shunt.fraction, shunt.method, shunt.source, files, shunt.counts, shunt.blur)


def lung_mass(case: Case, mapped: ResampledCase, protocol: dosimetry.Protocol) -> LungMass:
    """Returns the lung mass: from the case, from the CT in the lung mask, or the protocol's standard."""
    if case.dose.lung_mass_g is not None:
        return LungMass(case.dose.lung_mass_g, "given in the case")
    if mapped.lungs is not None and mapped.lungs.ct_mass_g is not None:
        source = "CT numbers in the lung mask, sum of (HU/1000 + 1) g/mL"
        shown = mapped.lungs.ct_seen_fraction
        if shown < 1.0:
            source += f"; extended by volume from the {100 * shown:.3g} % of the lungs that the CT shows"
        return LungMass(mapped.lungs.ct_mass_g, source)
    standard = protocol.standard_lung_mass
    return LungMass(standard.value, f"standard of the protocol: {standard.source}")
