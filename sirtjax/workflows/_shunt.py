"""The lung shunt fraction and the lung mass of a case, each with where it is from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from numpy.typing import NDArray

from sirtjax import dosimetry, io, spatial
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.programs import kept
from sirtjax.workflows._case import Case
from sirtjax.workflows._images import CaseImages
from sirtjax.workflows._mapping import MappedCase
from sirtjax.workflows._vois import Voi


@dataclass(frozen=True)
class LungShunt:
    """The lung shunt fraction, and how it was found."""

    fraction: float
    method: str
    source: str


@dataclass(frozen=True)
class LungMass:
    """The mass of both lungs, and how it was found."""

    mass_g: float
    source: str


def lung_shunt(
    case: Case, images: CaseImages, liver: Voi, lungs: Voi | None, transform: spatial.Transform
) -> LungShunt:
    """The lung shunt fraction by the method the case names.

    Raises:
      ConfigError: the counts of the SPECT are asked for and there is no lung mask.
    """
    table = case.shunt
    if table.fraction is not None:
        return LungShunt(table.fraction, "given", table.source or "given in the case")
    if table.planar_rois is not None:
        return _planar(table.planar, table.planar_rois, corrected=table.attenuation_corrected)
    if lungs is None:
        raise ConfigError('shunt.method = "spect" needs [masks.lungs]; or give the fraction (shunt.method = "given")')
    counts = {}
    for voi in (liver, lungs):
        pull = transform if voi.frame == "diagnostic" else None
        weight = spatial.occupancy(voi.labels, voi.name, images.activity.volume.geometry, transform=pull)
        counts[voi.name] = float(np.vdot(np.asarray(images.activity.volume.array, np.float32), weight))
    fraction = dosimetry.counted_lung_shunt_fraction(counts["lungs"], counts["liver"])
    return LungShunt(fraction, "spect", "counts of the activity image in the lungs and the liver")


def _planar(views: tuple[Path, ...], rois: Path, *, corrected: bool) -> LungShunt:
    anterior, posterior = _planar_views(views)
    masks = io.read_masks(rois, only=("lungs", "liver"))
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
    return LungShunt(fraction, "planar, corrected" if corrected else "planar", source)


def lung_mass(case: Case, mapped: MappedCase, protocol: dosimetry.Protocol) -> LungMass:
    """The lung mass: given in the case, from the CT in the lung mask, or else the protocol's standard."""
    if case.dose.lung_mass_g is not None:
        return LungMass(case.dose.lung_mass_g, "given in the case")
    lungs = mapped.occupancy.get("lungs")
    if lungs is not None and mapped.ct_hu is not None:
        hu = np.asarray(mapped.ct_hu.array, np.float32)
        mass_g = float(_lung_mass_g(hu, lungs, np.float32(mapped.geometry.voxel_volume_ml)))
        return LungMass(mass_g, "CT numbers in the lung mask, sum of (HU/1000 + 1) g/mL")
    standard = protocol.standard_lung_mass
    return LungMass(standard.value, f"standard of the protocol: {standard.source}")


@kept
def _lung_mass_g(hu: jax.Array, weight: jax.Array, voxel_volume_ml: jax.Array) -> jax.Array:
    mass: jax.Array = dosimetry.lung_mass_g(hu, weight, voxel_volume_ml=voxel_volume_ml)
    return mass


def _planar_views(paths: tuple[Path, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The anterior and the posterior view as flat images, from one DICOM source or two NIfTI files."""
    if len(paths) == 1:
        planar = io.read_planar(paths[0])
        return planar.anterior, planar.posterior
    anterior, posterior = (np.asarray(io.read_image(path).volume.array, np.float32).squeeze() for path in paths)
    return anterior, posterior
