"""The lung shunt fraction and the lung mass of a case, each with where it is from."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from sirtjax import dosimetry, io, spatial
from sirtjax.errors import ConfigError
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
    if table.planar is not None and table.planar_rois is not None:
        return _planar(case)
    if lungs is None:
        raise ConfigError('shunt.method = "spect" needs [masks.lungs]; or give the fraction (shunt.method = "given")')
    counts = {}
    for voi in (liver, lungs):
        pull = transform if voi.frame == "diagnostic" else None
        weight = spatial.occupancy(voi.labels, voi.name, images.activity.volume.geometry, transform=pull)
        counts[voi.name] = float(np.vdot(np.asarray(images.activity.volume.array, np.float32), weight))
    fraction = float(dosimetry.lung_shunt_fraction(counts["lungs"], counts["liver"]))
    return LungShunt(fraction, "spect", "counts of the activity image in the lungs and the liver")


def _planar(case: Case) -> LungShunt:
    views = io.read_planar(case.shunt.planar)
    rois = io.read_planar_rois(case.shunt.planar_rois, shape=views.anterior.shape)
    counts = {}
    for organ in ("lungs", "liver"):
        region = io.select_mask(rois, organ, source=case.shunt.planar_rois)
        counts[organ] = dosimetry.geometric_mean_counts(
            float(views.anterior[region].sum()), float(views.posterior[region].sum())
        )
    fraction = float(dosimetry.lung_shunt_fraction(counts["lungs"], counts["liver"]))
    source = "geometric mean of the anterior and posterior views, no attenuation correction"
    return LungShunt(fraction, "planar", source)


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


@jax.jit
def _lung_mass_g(hu: jax.Array, weight: jax.Array, voxel_volume_ml: jax.Array) -> jax.Array:
    mass: jax.Array = dosimetry.lung_mass_g(hu, weight, voxel_volume_ml=voxel_volume_ml)
    return mass
