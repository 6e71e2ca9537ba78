"""The lung shunt of the SPECT and the dose next to the lung, without the counts that the blur exchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import dosimetry, spatial
from sirtjax.compilation_cache import cached_jit
from sirtjax.dosimetry import Check, ConeExtent, RadialKernel, make_check
from sirtjax.errors import ConfigError
from sirtjax.ops import weighted_sum
from sirtjax.workflows._case import Case
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._doses import medium
from sirtjax.workflows._lung_reassignment_record import BASAL_MM, RESOLUTION_ERROR, LungReassignment, Reassigned
from sirtjax.workflows._organ_counts import (
    OrganImage,
    Placed,
    effective_fwhm_mm,
    organ_image,
    reassigned_counts,
    shunt_fraction,
    whole_voxels,
)
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._shunt import LungShunt, ReassignedShunt
from sirtjax.workflows._voi import Voi

Array = NDArray[np.float32]


def reassign_shunt(case: Case, products: AllStepResults, shunt: LungShunt, *, device: str) -> LungShunt:
    """Returns the lung shunt with its value after reassignment, which it has if the case says "apply".

    Args:
      case: the case.
      products: results of the steps.
      shunt: lung shunt without correction.
      device: "resin", "glass" or "holmium", for the limit of the shunt.

    Raises:
      ConfigError: there is no lung mask.
    """
    table, fwhm_mm = case.partial_volume, case.images.activity.resolution_fwhm_mm
    if table.lungs == "off" or fwhm_mm is None:  # a case with the correction states the resolution
        return shunt
    if products.lungs is None:
        raise ConfigError(f'partial_volume.lungs = "{table.lungs}" requires [masks.lungs]')
    organs = _organs(products, products.lungs)
    width_mm = effective_fwhm_mm(fwhm_mm, table.breathing_mm)
    scales = (1.0, 1.0 - RESOLUTION_ERROR, 1.0 + RESOLUTION_ERROR)
    counts = tuple(reassigned_counts(organs, width_mm * np.float32(scale)) for scale in scales)
    # On its own voxels, as the plan has it without the correction.
    seen = 1.0 if products.resampling.lungs is None else products.resampling.lungs.seen_fraction
    measured = (
        shunt.fraction if shunt.method == "spect" else shunt_fraction(organs, *organs.measured, seen_fraction=seen)
    )
    fractions = Reassigned(measured, *(shunt_fraction(organs, *pair, seen_fraction=seen) for pair in counts))
    found = replace(shunt, reassigned=ReassignedShunt(organs, counts, fractions))
    checks = _checks(case, fractions, device=device)
    if table.lungs == "show":
        return replace(found, checks=(*shunt.checks, *checks))
    source = (
        f"{shunt.source}; counts that the blur exchanged between liver, lungs and other tissue moved back "
        f"({fwhm_mm:g} mm FWHM). Measured without it: {100 * measured:.3g} %"
    )
    checks = (make_check("SJ566", value=fractions.corrected, limit=measured), *checks)
    return replace(found, fraction=fractions.corrected, source=source, checks=(*shunt.checks, *checks))


def lung_reassignment(
    case: Case, products: AllStepResults, setting: DosimetryContext, deposit: ActivityAndDose
) -> LungReassignment | None:
    """Returns the record for the result, with the dose next to the lung; None if it is off.

    Args:
      case: the case.
      products: results of the steps, with the CT.
      setting: constants, territories and shunt of the case.
      deposit: activity and dose of all injections.
    """
    found, fwhm_mm = setting.shunt.reassigned, case.images.activity.resolution_fwhm_mm
    if found is None or fwhm_mm is None:
        return None
    organs = found.organs
    spacing = [float(step) for step in organs.geometry.spacing_mm]
    near = ndimage.distance_transform_edt(organs.liver < 0.5, sampling=spacing) <= BASAL_MM
    lung = (organs.lungs >= 0.5).astype(np.float32)
    basal = lung * near.astype(np.float32)
    basal_ml = float(basal.sum(dtype=np.float64)) * organs.geometry.voxel_volume_ml
    dose: Reassigned | None = None
    if setting.method == "cone" and basal_ml > 0:
        gy_per_mbq = _basal_gy_per_mbq(case, products, setting, organs, lung, basal)
        amounts = _amounts(case, setting, deposit, organs)
        pairs = (organs.measured, *found.counts)
        fractions = (found.fraction.uncorrected, found.fraction.corrected, found.fraction.narrow, found.fraction.wide)
        values = []
        for (liver, lungs), fraction in zip(pairs, fractions, strict=True):
            mbq = amounts(whole_voxels(liver, organs.liver), whole_voxels(lungs, organs.lungs), fraction)
            values.append(weighted_sum(gy_per_mbq, mbq))
        dose = Reassigned(*values)
    return LungReassignment(
        applied=case.partial_volume.lungs == "apply",
        fwhm_mm=fwhm_mm,
        breathing_mm=case.partial_volume.breathing_mm,
        shunt_fraction=found.fraction,
        basal_volume_ml=basal_ml,
        basal_gy=dose,
    )


def _checks(case: Case, fractions: Reassigned, *, device: str) -> tuple[Check, ...]:
    found: list[Check] = []
    limit = next(rule.limit for rule in dosimetry.CHECKS if rule.code == "SJ567")
    if isinstance(limit, float) and fractions.range_fraction > limit:
        found.append(make_check("SJ567", value=fractions.range_fraction))
    if case.partial_volume.breathing_mm is None:
        found.append(make_check("SJ568"))
    highest = next(rule.limit for rule in dosimetry.CHECKS if rule.code == "SJ302")
    applied = case.partial_volume.lungs == "apply" and device == "resin"
    if applied and isinstance(highest, float) and fractions.uncorrected > highest >= fractions.corrected:
        found.append(make_check("SJ569", value=fractions.uncorrected, limit=highest))
    return tuple(found)


def _organs(products: AllStepResults, lungs: Voi) -> OrganImage:
    transform = products.registration.transform

    def placed(voi: Voi) -> Placed:
        return voi.name, voi.labels, transform if voi.frame == "diagnostic" else None

    divided = products.territories
    pull = transform if divided.frame == "diagnostic" else None
    names = [] if divided.labels is None else [name for _, name in divided.labels.names]
    return organ_image(
        products.images.activity.volume,
        placed(products.liver),
        placed(lungs),
        [placed(voi) for voi in products.lesions],
        [(name, divided.labels, pull) for name in names if divided.labels is not None],
    )


def _amounts(
    case: Case, setting: DosimetryContext, deposit: ActivityAndDose, organs: OrganImage
) -> Callable[[Array, Array, float], Array]:
    """The activity per voxel (MBq) for counts of liver and lungs and the lung shunt fraction that belongs to them."""
    if case.calibration.method == "absolute":
        in_liver = weighted_sum(deposit.activity_mbq, setting.liver)
        per_count = in_liver / float(organs.measured[0].sum(dtype=np.float64))
        return lambda liver, lungs, _: np.float32(per_count) * (liver + lungs)
    treated = list(setting.treated().items())
    together = np.maximum(np.sum([weight for _, weight in treated], axis=0, dtype=np.float32), np.float32(1e-6))
    injected = {name: weighted_sum(deposit.activity_mbq, weight / together) for name, weight in treated}
    # The shunt of planar views or of an injection does not change with the counts of the SPECT.
    own = [table.lung_shunt_fraction is not None for table in setting.injections]
    follows = setting.shunt.method == "spect" and not any(own)
    used = deposit.lung_shunt_fraction

    def amounts(liver: Array, lungs: Array, fraction: float) -> Array:
        shunted = fraction if follows else used
        total = deposit.injected_mbq * shunted * lungs / max(float(lungs.sum(dtype=np.float64)), 1e-30)
        for name, mbq in injected.items():
            # The counts fill whole voxels, so a voxel at the surface has the territory's part of its liver.
            part = np.divide(
                organs.territories.get(name, organs.liver),
                organs.liver,
                out=np.zeros_like(organs.liver),
                where=organs.liver > 0,
            )
            inside = liver * np.minimum(part, 1)
            share = mbq * (1 - shunted) / (1 - used) / max(float(inside.sum(dtype=np.float64)), 1e-30)
            total = total + inside * np.float32(share)
        return np.asarray(total, np.float32)

    return amounts


def _basal_gy_per_mbq(
    case: Case, products: AllStepResults, setting: DosimetryContext, organs: OrganImage, lung: Array, basal: Array
) -> Array:
    """The mean dose of the basal lung per MBq in each voxel: the gradient of the cone method, one run for all."""
    ct = products.images.ct
    if ct is None or setting.nuclide.radial_kernel is None:  # the cone method requires both
        raise ConfigError('dose.method: "cone" requires a CT and a nuclide with a kernel')
    grid = organs.geometry
    hu = spatial.resample(ct.volume, grid, order="linear", fill=-1000.0, antialias=True)
    mapped = replace(setting.mapped, geometry=grid, ct_hu=hu, occupancy={"lungs": lung})
    liver_density = setting.protocol.liver_density.value
    tissue = medium(mapped, case.dose, liver_density_g_per_ml=liver_density, lung_mass_g=setting.lungs.mass_g)
    # At its surface the CT shows a mixture of lung and other tissue: the density of the nearest voxel inside.
    inside = ndimage.binary_erosion(lung > 0)
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    density = np.where(lung > 0, tissue.density_g_per_ml[tuple(nearest)], tissue.density_g_per_ml)
    radial = dosimetry.get_radial_kernel(setting.nuclide.radial_kernel)
    spacing = [float(step) for step in grid.spacing_mm]
    extent = dosimetry.cone_extent(
        spacing,
        radial=radial,
        medium_density_g_per_ml=liver_density,
        lightest_g_per_ml=dosimetry.lightest_lung_g_per_ml(density),
    )
    weight = basal * density
    gradient = _gradient(
        (weight / np.float32(weight.sum(dtype=np.float64))).astype(np.float32),
        density,
        np.asarray(spacing, np.float32),
        np.float32(setting.constant_gy_g_per_mbq),
        np.float32(liver_density),
        radial=radial,
        extent=extent,
    )
    return np.asarray(gradient)


@partial(cached_jit, static_argnames=("radial", "extent"))
def _gradient(
    weight: jax.Array,
    density: jax.Array,
    spacing: jax.Array,
    constant: jax.Array,
    medium_density: jax.Array,
    *,
    radial: RadialKernel,
    extent: ConeExtent,
) -> jax.Array:
    def mean(activity: jax.Array) -> jax.Array:
        dose = dosimetry.cone_dose_gy(
            activity,
            density,
            spacing,
            constant=constant,
            radial=radial,
            medium_density_g_per_ml=medium_density,
            extent=extent,
        )
        return jnp.sum(weight * dose)

    found: jax.Array = jax.grad(mean)(jnp.zeros_like(weight))
    return found
