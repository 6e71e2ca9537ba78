"""The input of the simulated measurements, from a plan or verification on its dose grid."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from sirtjax import dosimetry, uncertainty
from sirtjax.workflows._biology import NORMAL_KINDS, TUMOUR_KINDS, Biology
from sirtjax.workflows._case import Case
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._partial_volume_regions import width_on_grid_mm
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._results import ObjectiveResult
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._uncertainty_grid import (
    FAR_MM,
    PARTS,
    EngineGrid,
    engine_grid,
    extended_fraction,
    signed_distance_mm,
)

Array = NDArray[np.float32]

# Numbers of lesions and of injections, so that patients with few more or fewer share a program.
LESION_COUNTS = (2, 4, 8, 16, 32)
INJECTION_COUNTS = (1, 2, 4, 8)
# Distance between liver and the faces of the grid, at least.
MARGIN_MM = 12.0
# Volumes of the histogram, in %; D70 is one of them.
VOLUME_PERCENT = (2, 5, *range(10, 100, 5), 98)
# Voxels of the histogram of each VOI: a larger one is represented by evenly chosen ones.
HISTOGRAM_VOXELS = 4096
KINDS = ("liver", "normal liver", "territory", "normal territory", "lesions", "lesion")


@dataclass(frozen=True, eq=False)
class SimulationInputs:
    """The input of `uncertainty.treatment_intervals`.

    Attributes:
      grid: grid of the simulations.
      image: (i, j, k) measured concentration.
      distance_mm: (m, i, j, k) signed distances of lesions, territories and liver.
      lung_shunt_fraction: (t,) lung shunt of each injection, with padding.
      data: constants of the patient.
      vois: VOIs in the order of the doses, without padding.
      lesions: names of the lesions in the order of the regions, without padding.
      injected: names of the injected territories in the order of the regions, without padding.
      thresholds_gy: dose of V of each VOI; 0 without one.
    """

    grid: EngineGrid
    image: Float32[np.ndarray, "i j k"]
    distance_mm: Float32[np.ndarray, "m i j k"]
    lung_shunt_fraction: Float32[np.ndarray, " t"]
    data: uncertainty.TreatmentData
    vois: tuple[PlacedVoi, ...]
    lesions: tuple[str, ...]
    injected: tuple[str, ...]
    thresholds_gy: tuple[float, ...]


def simulation_inputs(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    objectives: Sequence[ObjectiveResult],
    activity_mbq: Sequence[float],
    biology: Biology | None,
    *,
    fwhm_mm: float,
) -> SimulationInputs:
    """Returns image, signed distances and constants of a case on the grid of the simulations.

    Args:
      case: the case.
      products: results of the steps, with the activity image.
      setting: constants, territories and VOIs of the case.
      deposit: activity and dose without correction.
      objectives: targets and limits, for the dose of V.
      activity_mbq: activity of each injection that reaches the patient.
      biology: parameter sets of the case, or None.
      fwhm_mm: resolution of the activity image.
    """
    mapped = setting.mapped
    spacing = np.asarray(mapped.geometry.spacing_mm, np.float64)
    lesions = [voi for voi in setting.vois if voi.kind == "lesion"]
    treated = setting.treated()
    whole = mapped.occupancy["liver"]
    for voi in lesions:
        whole = np.maximum(whole, voi.weight)
    grid = engine_grid(whole > 0, spacing, margin_mm=max(fwhm_mm, MARGIN_MM))
    absolute = case.calibration.method == "absolute"
    n, t = _padded(len(lesions), LESION_COUNTS), _padded(len(treated) + absolute, INJECTION_COUNTS)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    fine = grid.means(whole, parts=PARTS)
    liver = signed_distance_mm(fine, grid.spacing_mm, volume_ml=_volume_ml(whole, voxel_ml))
    outlines = [
        signed_distance_mm(
            grid.means(voi.weight, parts=PARTS), grid.spacing_mm, volume_ml=_volume_ml(voi.weight, voxel_ml)
        )
        for voi in lesions
    ]
    territories = [
        signed_distance_mm(extended_fraction(grid.means(weight, parts=PARTS), fine), grid.spacing_mm)
        for weight in treated.values()
    ]
    if absolute:  # an absolute image has activity in the whole liver, which no injection scales
        territories.append(-np.min(territories, axis=0))
    empty = np.full(liver.shape, FAR_MM, np.float32)
    outlines += [empty] * (n - len(outlines))
    territories += [empty] * (t - len(territories))
    vois = tuple(voi for voi in setting.vois if voi.kind in KINDS)
    data = _data(
        case, products, setting, grid, vois, [voi.name for voi in lesions], list(treated), objectives, biology,
        activity_mbq, np.stack([*outlines, *territories, liver]), lesion_count=n, injection_count=t, fwhm_mm=fwhm_mm,
    )  # fmt: skip
    image = deposit.activity_mbq / np.float32(voxel_ml) if absolute else np.asarray(mapped.activity.array, np.float32)
    concentration = grid.means(np.asarray(image, np.float32))
    if not absolute:  # any unit will do: numbers near 1 keep single precision
        inside = grid.means(whole) > 0.5
        concentration = concentration / np.float32(max(float(concentration[inside].mean()), 1e-30))
    shunts = np.zeros(t, np.float32)
    shunts[: len(setting.shunts)] = setting.shunts
    return SimulationInputs(
        grid=grid,
        image=np.maximum(concentration, 0.0),
        distance_mm=np.stack([*outlines, *territories, liver]),
        lung_shunt_fraction=shunts,
        data=data,
        vois=vois,
        lesions=tuple(voi.name for voi in lesions),
        injected=tuple(treated),
        thresholds_gy=tuple(_threshold_gy(voi, objectives) for voi in vois),
    )


def in_histogram(percent: float) -> bool:
    """Returns whether the simulations have the dose of a volume.

    D_x near 0 and 100 % is that of single voxels.

    Args:
      percent: volume x of D_x, in %.
    """
    return bool(VOLUME_PERCENT[0] - 1e-6 <= percent <= VOLUME_PERCENT[-1] + 1e-6)


def _padded(count: int, steps: Sequence[int]) -> int:
    return next((step for step in steps if step >= count), count)


def _volume_ml(weight: Array, voxel_ml: float) -> float:
    return float(weight.sum(dtype=np.float64)) * voxel_ml


def _threshold_gy(voi: PlacedVoi, objectives: Sequence[ObjectiveResult]) -> float:
    """The dose of the first target of a lesion, or of the first limit of liver tissue."""
    wanted = "at least" if voi.kind in TUMOUR_KINDS else "at most"
    return next((row.dose_gy for row in objectives if row.voi == voi.name and row.direction == wanted), 0.0)


def _data(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    grid: EngineGrid,
    vois: Sequence[PlacedVoi],
    lesions: list[str],
    treated: list[str],
    objectives: Sequence[ObjectiveResult],
    biology: Biology | None,
    activity_mbq: Sequence[float],
    distance_mm: Float32[np.ndarray, "m i j k"],
    *,
    lesion_count: int,
    injection_count: int,
    fwhm_mm: float,
) -> uncertainty.TreatmentData:
    n, t = lesion_count, injection_count
    rows = 3 + 2 * t + n
    members = np.zeros((rows, n + t + 1), np.float32)
    near = np.full((rows, HISTOGRAM_VOXELS), -1, np.int32)
    thresholds, bed = np.zeros(rows, np.float32), np.zeros(rows, np.float32)
    for row, voi in enumerate(vois):
        members[row] = _members(voi, setting, lesions, treated, n, t)
        surface = _near_mm(voi, lesions, treated, distance_mm, n)
        near[row] = uncertainty.near_voxels(surface[None], capacity=HISTOGRAM_VOXELS)[0]
        thresholds[row] = _threshold_gy(voi, objectives)
        bed[row] = bed_per_gy(voi, biology, half_life_h=setting.nuclide.half_life_h)
    injected = np.zeros(t, np.float32)
    injected[: len(activity_mbq)] = activity_mbq
    position = {voi.name: row for row, voi in enumerate(vois)}
    normal_of = np.zeros(n, np.int32)
    for index, voi in enumerate(voi for voi in setting.vois if voi.kind == "lesion"):
        if voi.territories:
            normal_of[index] = position.get(f"normal {voi.territories[0]}", 0)
    mapped = setting.mapped
    copied = mapped.sampling.copied is not None
    width_mm = width_on_grid_mm(fwhm_mm, products.images.activity.volume.geometry, mapped.geometry, copied=copied)
    octant, slope = dose_octant(setting, grid.spacing_mm)
    shell_mm, shell_part = dose_shells(setting)
    return uncertainty.TreatmentData(
        spacing_mm=np.full(3, grid.spacing_mm, np.float32),
        fwhm_mm=np.asarray(width_mm, np.float32),
        activity_mbq=injected,
        image_mbq_per_unit=np.float32(case.calibration.method == "absolute"),
        gy_ml_per_mbq=np.float32(setting.constant_gy_g_per_mbq / setting.protocol.liver_density.value),
        lung_gy_per_mbq=np.float32(setting.constant_gy_g_per_mbq / setting.lungs.mass_g),
        octant=octant,
        octant_slope=slope,
        shell_mm=shell_mm,
        shell_part=shell_part,
        members=members,
        near=near,
        fractions=np.asarray(VOLUME_PERCENT, np.float32) / np.float32(100.0),
        threshold_gy=thresholds,
        bed_per_gy=bed,
        normal_of=normal_of,
    )


def _members(
    voi: PlacedVoi, setting: DosimetryContext, lesions: list[str], treated: list[str], n: int, t: int
) -> Float64[np.ndarray, " regions"]:
    """Regions of a VOI; a lesion belongs to the territory that contains most of it."""
    row = np.zeros(n + t + 1)
    fed = {other.name: other.territories[:1] for other in setting.vois if other.kind == "lesion"}
    if voi.kind == "lesion":
        row[lesions.index(voi.name)] = 1
    elif voi.kind == "lesions":
        row[: len(lesions)] = 1
    elif voi.kind in ("liver", "normal liver"):
        row[n:] = 1
        row[: len(lesions)] = voi.kind == "liver"
    else:
        name = voi.territories[0]
        row[n + treated.index(name)] = 1
        if voi.kind == "territory":
            for index, lesion in enumerate(lesions):
                row[index] = fed[lesion] == (name,)
    return row


def _near_mm(
    voi: PlacedVoi, lesions: list[str], treated: list[str], distance_mm: Float32[np.ndarray, "m i j k"], n: int
) -> Float32[np.ndarray, "i j k"]:
    """Distance to the outer surface of a VOI."""
    if voi.kind == "lesion":
        own: Array = distance_mm[lesions.index(voi.name)]
        return own
    if voi.kind == "lesions":
        found: Array = distance_mm[: len(lesions)].min(axis=0)
        return found
    if voi.kind in ("liver", "normal liver"):
        whole: Array = distance_mm[-1]
        return whole
    outer: Array = np.maximum(distance_mm[-1], distance_mm[n + treated.index(voi.territories[0])])
    return outer


def bed_per_gy(voi: PlacedVoi, biology: Biology | None, *, half_life_h: float) -> float:
    """Returns the factor of the squared dose in the BED of a VOI, 1/Gy; 0 without parameters.

    Args:
      voi: the VOI.
      biology: parameter sets of the case.
      half_life_h: physical half-life of the nuclide.
    """
    tissue = None
    if biology is not None and voi.kind in TUMOUR_KINDS:
        tissue = biology.tumour
    elif biology is not None and voi.kind in NORMAL_KINDS:
        tissue = biology.normal_liver
    if tissue is None or tissue.alpha_beta_gy is None or tissue.repair_half_time_h is None:
        return 0.0
    repair_h = tissue.repair_half_time_h
    return repair_h / (repair_h + half_life_h) / tissue.alpha_beta_gy


def dose_octant(
    setting: DosimetryContext, spacing_mm: float
) -> tuple[Float32[np.ndarray, "a b c"], Float32[np.ndarray, "a b c"]]:
    """Returns the first octant of the dose kernel and its derivative by a factor on the range.

    Args:
      setting: nuclide, density and dose method of the case; local deposition is one element of 1.
      spacing_mm: voxel size of the simulations.
    """
    if setting.method == "local" or setting.nuclide.radial_kernel is None:
        return np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)
    radial = dosimetry.get_radial_kernel(setting.nuclide.radial_kernel)
    octant, slope = _octant_program(radial)(
        np.full(3, spacing_mm, np.float32), np.float32(setting.protocol.liver_density.value)
    )
    return np.asarray(octant), np.asarray(slope)


def dose_shells(setting: DosimetryContext) -> tuple[Float32[np.ndarray, " s"], Float32[np.ndarray, " s"]]:
    """Returns radii and energies of the shells of the dose kernel, one of 0 mm for local deposition.

    Args:
      setting: nuclide, density and dose method of the case.
    """
    local = setting.method == "local" or setting.nuclide.radial_kernel is None
    radial = None if local else dosimetry.get_radial_kernel(setting.nuclide.radial_kernel or "")
    return uncertainty.kernel_shells(radial, setting.protocol.liver_density.value)


@functools.cache
def _octant_program(radial: dosimetry.RadialKernel):  # type: ignore[no-untyped-def]
    radius = dosimetry.kernel_radius_voxels((4.0, 4.0, 4.0), radial=radial, medium_density_g_per_ml=0.9)

    @jax.jit
    def program(spacing_mm: jax.Array, density: jax.Array) -> tuple[jax.Array, jax.Array]:
        def octant(scale: jax.Array) -> jax.Array:
            # A longer range is the same kernel on smaller voxels.
            return dosimetry.octant_kernel(
                spacing_mm / scale, radial=radial, medium_density_g_per_ml=density, radius_voxels=radius
            )

        return jax.jvp(octant, (jnp.float32(1.0),), (jnp.float32(1.0),))

    return program
