"""The lung shunt fraction and the lung mass of a case, each with where it is from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import dicom, dosimetry, formats, spatial
from sirtjax.dosimetry import Check
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._imaged_nuclide import allowed_nuclides, imaged_nuclide_checks, treated_nuclide
from sirtjax.workflows._lung_reassignment_record import Reassigned
from sirtjax.workflows._organ_counts import OrganImage
from sirtjax.workflows._record_result import LungShuntRecord, RegionCounts
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
        return _planar(case, table.planar, table.planar_rois)
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
    counts = {name: float(np.vdot(image, weight)) for name, weight in weights.items()}
    fraction = dosimetry.spect_lung_shunt_fraction(counts["lungs"] / seen_fraction, counts["liver"])
    rows = (RegionCounts("lungs", counts["lungs"]), RegionCounts("liver", counts["liver"]))
    source = "counts of the activity image in the lungs and the liver"
    if seen_fraction < 1.0:
        source += f"; lungs extended by volume from the {100 * seen_fraction:.3g} % that it shows"
    return LungShunt(fraction, "spect", source, counts=rows)


def lung_shunt_record(case: Case, images: CaseImages, shunt: LungShunt) -> LungShuntRecord:
    """Returns the lung shunt fraction with the counts and the file names of the images that it comes from."""
    files: tuple[str, ...] = ()
    if shunt.method == "spect":
        files = (Path(images.activity.source.path).name,)
    elif shunt.method != "value":
        files = tuple(path.name for path in case.lung_shunt.planar)
    return LungShuntRecord(shunt.fraction, shunt.method, shunt.source, files, shunt.counts)


def _planar(case: Case, views: tuple[Path, ...], rois: Path) -> LungShunt:
    anterior, posterior, named = _planar_views(views)
    corrected = case.lung_shunt.attenuation_corrected
    # The lungs are measured before the treatment, also where a verification uses the result.
    allowed = allowed_nuclides("plan", treated_nuclide(case).symbol)
    checks = imaged_nuclide_checks(views[0], "planar image of the lung shunt", named, case.lung_shunt.nuclide, allowed)
    masks = formats.read_masks(rois, only=("lungs", "liver"))
    counts = {}
    for organ, labels in masks.items():
        region = np.asarray(labels.array).squeeze() > 0
        if not region.shape == anterior.shape == posterior.shape:
            raise GeometryError(
                f"{rois}: ROIs of {region.shape} pixels on views of {anterior.shape} and {posterior.shape}; "
                "draw them on the views"
            )
        counts[organ] = dosimetry.ConjugateCounts(
            anterior=float(anterior[region].sum()), posterior=float(posterior[region].sum())
        )
    fraction = dosimetry.planar_lung_shunt_fraction(counts["lungs"], counts["liver"])
    how = "transmission-corrected" if corrected else "no attenuation correction"
    source = f"geometric mean of the anterior and posterior views, {how}"
    rows = (_of_views("lungs", counts["lungs"]), _of_views("liver", counts["liver"]))
    return LungShunt(fraction, "planar, corrected" if corrected else "planar", source, checks, rows)


def _of_views(region: Literal["lungs", "liver"], views: dosimetry.ConjugateCounts) -> RegionCounts:
    mean = float(dosimetry.geometric_mean_counts(views.anterior, views.posterior))
    return RegionCounts(region, mean, views.anterior, views.posterior)


def lung_mass(case: Case, mapped: ResampledCase, protocol: dosimetry.Protocol) -> LungMass:
    """Returns the lung mass: from the case, from the CT in the lung mask, or the protocol's standard."""
    if case.dose.lung_mass_g is not None:
        return LungMass(case.dose.lung_mass_g, "given in the case")
    if mapped.lungs is not None and mapped.lungs.ct_mass_g is not None:
        return LungMass(mapped.lungs.ct_mass_g, "CT numbers in the lung mask, sum of (HU/1000 + 1) g/mL")
    standard = protocol.standard_lung_mass
    return LungMass(standard.value, f"standard of the protocol: {standard.source}")


def _planar_views(paths: tuple[Path, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[str, ...]]:
    """Reads the flat anterior and posterior view and the nuclides they name: one DICOM source or two NIfTI files."""
    if len(paths) == 1:
        planar = dicom.read_planar(paths[0])
        return planar.anterior, planar.posterior, planar.radionuclides
    images = [formats.read_image(path) for path in paths]
    anterior, posterior = (np.asarray(image.volume.array, np.float32).squeeze() for image in images)
    named = dict.fromkeys(name for image in images for name in image.source.radionuclides)
    return anterior, posterior, tuple(named)
