"""The lung shunt fraction of a case from an anterior and a posterior planar view."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from sirtjax import dicom, dosimetry, formats
from sirtjax.dosimetry import Check, make_check
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.io import PatientFingerprint
from sirtjax.workflows._case import Case
from sirtjax.workflows._imaged_nuclide import allowed_nuclides, imaged_nuclide_checks, treated_nuclide
from sirtjax.workflows._planar_blur import planar_blur
from sirtjax.workflows._record_result import PlanarBlurRecord, RegionCounts

View = NDArray[np.float32]


@dataclass(frozen=True)
class PlanarShunt:
    """The lung shunt fraction of planar views, its source, checks and counts, and its value without blur."""

    fraction: float
    source: str
    checks: tuple[Check, ...]
    counts: tuple[RegionCounts, ...]
    blur: PlanarBlurRecord | None = None


def planar_lung_shunt(case: Case, views: tuple[Path, ...], rois: Path) -> PlanarShunt:
    """Returns the lung shunt fraction of two planar views.

    The ROI "background" is optional. Its mean per pixel is subtracted from each pixel of both organs, per view. If the
    case states the resolution of the views, the fraction without their blur is computed too.

    Args:
      case: the case.
      views: one DICOM source with both views, or two NIfTI files, anterior first.
      rois: mask file with the ROIs "lungs" and "liver", and perhaps "background".

    Raises:
      GeometryError: the ROIs do not have the pixels of the views, or the size of the pixels is not known.
      ConfigError: the image is of another nuclide, the background overlaps an organ, or the ROIs do not allow the
        correction of the blur.
      InputError: an organ has no ROI, the liver has no counts above the background, or the blur explains all counts of
        the lungs and the case applies the correction.
    """
    planar = _planar_views(views)
    anterior, posterior = planar.anterior, planar.posterior
    # The lungs are measured before the treatment, also where a verification uses the result.
    allowed = allowed_nuclides("plan", treated_nuclide(case).symbol)
    checks = imaged_nuclide_checks(
        views[0], "planar image of the lung shunt", planar.named, case.lung_shunt.nuclide, allowed
    )
    regions = _regions(rois, anterior, posterior)
    background = regions.pop("background", None)
    counts = {organ: _counts(region, background, anterior, posterior) for organ, region in regions.items()}
    fraction = dosimetry.planar_lung_shunt_fraction(counts["lungs"], counts["liver"])
    if background is not None:
        checks = (*checks, make_check("SJ207"))
    if fraction == 0.0:
        checks = (*checks, make_check("SJ206"))
    corrected = "transmission-corrected" if case.lung_shunt.attenuation_corrected else "no attenuation correction"
    subtracted = "no background subtracted" if background is None else "background subtracted"
    source = f"geometric mean of the anterior and posterior views, {corrected}, {subtracted}"
    rows = (_row("lungs", counts["lungs"]), _row("liver", counts["liver"]))
    if case.lung_shunt.planar_fwhm_mm is None:
        return PlanarShunt(fraction, source, checks, rows)
    if background is not None:
        raise ConfigError(
            f'{rois}: the ROI "background" cannot be combined with lung_shunt.planar_fwhm_mm, which takes all pixels '
            "outside lungs and liver as a region; remove one of them"
        )
    blur, found = planar_blur(case.lung_shunt, (anterior, posterior), regions, planar.spacing_mm, rois)
    if blur.applied:
        source += (
            f"; counts moved by the blur of {blur.fwhm_mm:g} mm FWHM (± {100 * blur.fwhm_uncertainty:.3g} %) moved "
            f"back. Measured without it: {100 * fraction:.3g} %"
        )
        fraction = blur.corrected
    return PlanarShunt(fraction, source, (*checks, *found), rows, blur)


def _regions(rois: Path, anterior: View, posterior: View) -> dict[str, Bool[np.ndarray, "x z"]]:
    masks = formats.read_masks(rois)
    found = {organ: formats.select_mask(masks, organ) for organ in ("lungs", "liver")}
    if "background" in map(str.lower, masks):
        found["background"] = formats.select_mask(masks, "background")
    regions = {}
    for name, labels in found.items():
        region = np.asarray(labels.array).squeeze() > 0
        if not region.shape == anterior.shape == posterior.shape:
            raise GeometryError(
                f"{rois}: ROIs of {region.shape} pixels on views of {anterior.shape} and {posterior.shape}; "
                "draw them on the views"
            )
        regions[name] = region
    for organ in ("lungs", "liver"):
        if "background" in regions and (regions["background"] & regions[organ]).any():
            raise ConfigError(f'{rois}: the ROI "background" overlaps "{organ}"; draw it outside both organs')
    return regions


def _counts(
    region: Bool[np.ndarray, "x z"], background: Bool[np.ndarray, "x z"] | None, anterior: View, posterior: View
) -> dosimetry.ConjugateCounts:
    under = [0.0, 0.0]
    if background is not None:
        under = [float(view[background].mean(dtype=np.float64)) * int(region.sum()) for view in (anterior, posterior)]
    return dosimetry.ConjugateCounts(
        anterior=float(anterior[region].sum(dtype=np.float64)),
        posterior=float(posterior[region].sum(dtype=np.float64)),
        anterior_background=under[0],
        posterior_background=under[1],
    )


def _row(region: Literal["lungs", "liver"], views: dosimetry.ConjugateCounts) -> RegionCounts:
    mean = float(
        dosimetry.geometric_mean_counts(
            views.anterior,
            views.posterior,
            anterior_background_counts=views.anterior_background,
            posterior_background_counts=views.posterior_background,
        )
    )
    return RegionCounts(
        region, mean, views.anterior, views.posterior, views.anterior_background, views.posterior_background
    )


def planar_patients(views: tuple[Path, ...]) -> tuple[tuple[Path, PatientFingerprint], ...]:
    """Returns the files of two planar views with the marks of their patients.

    Raises:
      ImageFormatError: the views cannot be read, or one DICOM source has views of two patients.
    """
    return _planar_views(views).patients


@dataclass(frozen=True, eq=False)
class _PlanarViews:
    """The flat anterior and posterior view, the nuclides that they name, and the marks of their patients.

    The pixel spacing is known for two flat views of the same spacing. Otherwise it has another number of values than 2.
    """

    anterior: View
    posterior: View
    spacing_mm: tuple[float, ...]
    named: tuple[str, ...]
    patients: tuple[tuple[Path, PatientFingerprint], ...]


def _planar_views(paths: tuple[Path, ...]) -> _PlanarViews:
    """Reads one DICOM source or two NIfTI files."""
    if len(paths) == 1:
        planar = dicom.read_planar(paths[0])
        patients = tuple((paths[0], mark) for mark in planar.patients)
        return _PlanarViews(planar.anterior, planar.posterior, planar.pixel_spacing_mm, planar.radionuclides, patients)
    images = [formats.read_image(path) for path in paths]
    anterior, posterior = (np.asarray(image.volume.array, np.float32).squeeze() for image in images)
    named = dict.fromkeys(name for image in images for name in image.source.radionuclides)
    patients = tuple((path, image.source.patient) for path, image in zip(paths, images, strict=True))
    spacings = {
        tuple(
            step
            for step, length in zip(image.volume.geometry.spacing_mm, image.volume.geometry.shape, strict=True)
            if length > 1
        )
        for image in images
    }
    spacing = spacings.pop() if len(spacings) == 1 else ()
    return _PlanarViews(anterior, posterior, spacing, tuple(named), patients)
