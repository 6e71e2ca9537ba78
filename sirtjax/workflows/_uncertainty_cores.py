"""Lesions whose D70 and V have no interval: with a necrotic part by their masks, or with a cold core by the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sirtjax import uncertainty
from sirtjax.ops import weighted_sum
from sirtjax.workflows._partial_volume import activity_regions
from sirtjax.workflows._resampling import sphere_radius_mm
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._uncertainty_inputs import SimulationInputs
from sirtjax.workflows._uncertainty_record import SMALLEST_RADIUS_MM, UncertaintySource
from sirtjax.workflows._uncertainty_rows import LARGEST_NECROSIS, necrosis_reasons

# Uneven uptake that is not taken for a cold core, if the case does not state more.
SMALLEST_TEXTURE = 0.15


@dataclass(frozen=True, eq=False)
class Necrosis:
    """Lesions with a necrotic part.

    Attributes:
      reasons: why D70, V and histogram have no interval, by VOI.
      cold: uptake of the core of each lesion that has a cold one by the image, by lesion.
    """

    reasons: Mapping[str, str]
    cold: Mapping[str, uncertainty.CoreUptake]


def necrosis(
    setting: DosimetryContext, inputs: SimulationInputs, records: Sequence[UncertaintySource], *, fwhm_mm: float
) -> Necrosis:
    """Returns the lesions with a necrotic part, by their viable masks and by the activity image.

    The image is not examined in lesions that are necrotic by their viable mask.

    Args:
      setting: constants, territories and VOIs of the case.
      inputs: input of the simulations.
      records: sources as they are used.
      fwhm_mm: stated resolution of the activity image.
    """
    known = necrosis_reasons(setting.vois)
    cold = {name: core for name, core in _cores(setting, inputs, records, known, fwhm_mm).items() if core.cold}
    reasons = dict(known)
    for name, core in cold.items():
        part = round(100.0 * (1.0 + max(core.contrast, -1.0)))
        reasons[name] = (
            f"the activity image shows a core with about {part} % of the uptake of the rim, which the correction does "
            "not separate from the rest"
        )
    volume = {voi.name: float(voi.weight.sum(dtype=np.float64)) for voi in setting.vois if voi.kind == "lesion"}
    of_cores = sum(volume[name] * core.volume_fraction for name, core in cold.items())
    for voi in setting.vois:
        if voi.kind == "lesions" and voi.name not in reasons and of_cores > LARGEST_NECROSIS * sum(volume.values()):
            reasons[voi.name] = f"the activity image shows a cold core in {', '.join(cold)}"
    return Necrosis(reasons, cold)


def _cores(
    setting: DosimetryContext,
    inputs: SimulationInputs,
    records: Sequence[UncertaintySource],
    known: Mapping[str, str],
    fwhm_mm: float,
) -> dict[str, uncertainty.CoreUptake]:
    """The uptake in the core of each lesion that is not necrotic by its mask."""
    errors = _errors(setting, records)
    if errors is None:
        return {}
    regions = activity_regions(setting)
    parts = np.stack([inputs.grid.means(weight) for weight in regions.weights])
    weights = {voi.name: voi.weight for voi in setting.vois if voi.kind == "lesion"}
    voxel_ml = setting.mapped.geometry.voxel_volume_ml
    radius_mm = {
        name: sphere_radius_mm(float(weight.sum(dtype=np.float64)) * voxel_ml) for name, weight in weights.items()
    }
    liver = inputs.grid.means(np.maximum.reduce([setting.mapped.occupancy["liver"], *weights.values()]))
    liver_mean = weighted_sum(inputs.image, liver) / max(float(liver.sum(dtype=np.float64)), 1e-6)
    # Below, a core is lost in the blur of the rim. No core was found there on digital phantoms, but noise can be.
    smallest_mm = max(SMALLEST_RADIUS_MM, fwhm_mm)
    found = {}
    for row, name in enumerate(inputs.lesions):
        if name in known or name not in regions.names or radius_mm[name] < smallest_mm:
            continue
        core = uncertainty.core_uptake(
            inputs.image,
            parts,
            inputs.distance_mm[row],
            (inputs.grid.spacing_mm,) * 3,
            np.asarray(inputs.data.fwhm_mm, np.float64).tolist(),
            errors,
            lesion=regions.names.index(name),
            liver_mean=liver_mean,
        )
        if core is not None:
            found[name] = core
    return found


def _errors(setting: DosimetryContext, records: Sequence[UncertaintySource]) -> uncertainty.CoreErrors | None:
    """The sizes of the errors from the sources of the case; None if the noise is not known."""
    by_name = {record.name: record for record in records}
    counts, contours = by_name.get("counts"), by_name.get("contours")
    if counts is None or contours is None:
        return None
    squares = np.zeros(3)
    for name in ("registration", "lesion_shift"):
        if name in by_name:
            squares += np.square(by_name[name].sizes)
    # Along the axes of the grid.
    x, y, z = np.sqrt(np.asarray(setting.mapped.geometry.direction).T ** 2 @ squares).tolist()
    resolution = by_name["resolution"].sizes[0] if "resolution" in by_name else 0.0
    uptake = by_name["uptake"].sizes[0] if "uptake" in by_name else 0.0
    return uncertainty.CoreErrors(
        noise_fraction=counts.sizes[0],
        noise_fwhm_mm=counts.correlation_mm or 0.0,
        shift_mm=(x, y, z),
        contour_mm=contours.sizes[0],
        contour_correlation_mm=contours.correlation_mm or 0.0,
        resolution=resolution,
        texture=max(uptake, SMALLEST_TEXTURE),
    )
