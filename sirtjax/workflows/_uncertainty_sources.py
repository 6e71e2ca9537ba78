"""The sources of uncertainty of a case: from its table and preset to records and to sources of the simulations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sirtjax import config, uncertainty
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_uncertainty import (
    CountsTable,
    LesionShiftTable,
    OutsideTable,
    RegistrationSourceTable,
    RelativeSourceTable,
    SourcesTable,
    SourceTable,
    SurfaceSourceTable,
    UncertaintyPreset,
    UncertaintyTable,
    UptakeTable,
)
from sirtjax.workflows._partial_volume_record import ActivityAlignment
from sirtjax.workflows._record_result import PlanarBlurRecord
from sirtjax.workflows._uncertainty_grid import ENGINE_SHAPE
from sirtjax.workflows._uncertainty_record import UncertaintySource
from sirtjax.workflows._uncertainty_registration import RegistrationSpread, posterior_method

FOLDER = "uncertainty"
# The lattices of displacements have places for voxels of up to this size (a box of 300 x 240 x 280 mm), so that livers
# of other sizes share a program.
LATTICE_MM = 5.0
# Names of the sources in a case, and of the same sources in the simulations.
SIMULATED = {
    "counts": "noise",
    "calibration": "calibration",
    "residual": "residual",
    "lung_shunt": "shunt",
    "resolution": "resolution",
    "registration": "shift_mm",
    "contours": "boundary_mm",
    "territories": "territory_mm",
    "kernel": "kernel",
    "density": "density",
    "half_life": "half_life",
    "lesion_shift": "lesion_shift_mm",
    "lung_mass": "lung_mass",
    "uptake": "uptake",
    "outside": "outside",
}
# Standard deviations up to which every simulated value must be possible.
REACH = 3.0
# A case may omit these: the result then says that they are not included.
OPTIONAL = ("lesion_shift", "lung_mass", "uptake", "outside")
# What the intervals of no case contain.
NEVER_INCLUDED = (
    "Differences between the planned and the delivered distribution of the microspheres are not included.",
    "Uneven perfusion within a region is corrected only as far as the image shows it: "
    "if a lesion has a cold core that check SJ619 does not find, its doses are too low and their intervals too narrow.",
    "Rotation and deformation between image and contours are not included.",
    "Motion during the acquisition is included only as far as the stated resolution contains it.",
    "Attenuation, scatter and truncation of the image are not included.",
    "The part of the lung dose from betas of the liver is taken as exact.",
)


@dataclass(frozen=True)
class StatedSources:
    """The sources of a case, complete.

    Attributes:
      tables: table of each source, by name; None for one that is not included.
      presets: name of the preset that states a source, by name of the source.
    """

    tables: dict[str, SourceTable | None]
    presets: dict[str, str]

    def names(self) -> tuple[str, ...]:
        """Returns the names of the sources that are stated."""
        # The posterior of a registration states the shift of lesions as well.
        posterior = posterior_method(registration_table(self)) is not None
        return tuple(
            name for name, table in self.tables.items() if table is not None or (posterior and name == "lesion_shift")
        )

    def not_included(self) -> tuple[str, ...]:
        """Returns a sentence for each source that is not included."""
        missing = [name for name in self.tables if name not in self.names()]
        return tuple(f"The case states no uncertainty of `{name}`." for name in missing) + NEVER_INCLUDED


def stated_sources(case: Case, table: UncertaintyTable) -> StatedSources:
    """Returns the sources of a case and its preset.

    Raises:
      ConfigError: a source that applies to the case is stated by neither, or there is no such preset.
    """
    preset = None if table.preset is None else config.load_preset(UncertaintyPreset, FOLDER, table.preset)
    own = _by_name(table)
    shared = {} if preset is None else _by_name(preset)
    tables, presets, missing = {}, {}, []
    for name in SIMULATED:
        found = own[name] or shared.get(name)
        if own[name] is None and found is not None and table.preset is not None:
            presets[name] = table.preset
        if found is None and name not in OPTIONAL and not _without_effect(name, case):
            missing.append(name)
        tables[name] = found
    if missing:
        hint = "" if preset is None else f" (the preset {preset.name!r} has none of them)"
        raise ConfigError(
            f"[uncertainty] does not state {', '.join(missing)}{hint}; add a table for each, such as "
            f"[uncertainty.{missing[0]}], with size, origin and evidence; a size of 0 omits a source"
        )
    return StatedSources(tables, presets)


def _by_name(table: SourcesTable) -> dict[str, SourceTable | None]:
    return {name: getattr(table, name) for name in SIMULATED}


def _without_effect(name: str, case: Case) -> bool:
    return name == "territories" and case.territories is None and case.plan_registration is None


def registration_table(stated: StatedSources) -> RegistrationSourceTable | None:
    """Returns the table of the registration, if the case or its preset has one."""
    table = stated.tables["registration"]
    return table if isinstance(table, RegistrationSourceTable) else None


def source_records(
    stated: StatedSources,
    alignment: ActivityAlignment | None,
    spread: RegistrationSpread | None = None,
    noise: uncertainty.ImageNoise | None = None,
    blur: PlanarBlurRecord | None = None,
) -> tuple[UncertaintySource, ...]:
    """Returns the sources as the result shows them.

    Args:
      stated: sources of the case.
      alignment: proposed translation, whose standard error "alignment" takes.
      spread: uncertainty of the registration, which "laplace" and "ensemble" take; None leaves them out.
      noise: noise of the activity image, which "image" takes; None leaves it out.
      blur: correction of a planar lung shunt, whose uncertainty is added to the stated one; None adds nothing.

    Raises:
      ConfigError: "alignment" without a proposed translation.
    """
    found = []
    registered = stated.tables["registration"]
    for name, table in stated.tables.items():
        if name == "lesion_shift" and table is None and spread is not None:
            table = registered  # the posterior of the registration states it as well
        if table is None:
            continue
        if spread is None and isinstance(table, RegistrationSourceTable) and posterior_method(table) is not None:
            continue
        if noise is None and isinstance(table, CountsTable) and table.noise_fraction == "image":
            continue
        sizes: tuple[float, ...]
        correlation: float | None = None
        origin = table.origin
        if isinstance(table, RelativeSourceTable | OutsideTable):
            sizes = (table.size,)
            if name == "lung_shunt" and blur is not None:
                sizes = (math.hypot(table.size, blur.relative_size),)
                origin += (
                    f"; {blur.relative_size:.2g} is added in quadrature for the resolution of the planar views, "
                    f"{blur.fwhm_mm:g} mm ± {100 * blur.fwhm_uncertainty:.3g} %"
                )
        elif isinstance(table, UptakeTable):
            sizes, correlation = (table.size,), table.correlation_fwhm_mm
        elif isinstance(table, SurfaceSourceTable):
            sizes, correlation = (table.size_mm,), table.correlation_mm
        elif isinstance(table, RegistrationSourceTable) and spread is not None:
            sizes = spread.lesion_shift_mm if name == "lesion_shift" else spread.shift_mm
        elif isinstance(table, RegistrationSourceTable):
            sizes = registration_mm(table, alignment)
        elif isinstance(table, LesionShiftTable):
            sizes = table.size_mm
        elif noise is not None and isinstance(table, CountsTable) and table.noise_fraction == "image":
            sizes, correlation = (noise.fraction,), noise.correlation_fwhm_mm
            origin += f"; {noise.volume_ml:.0f} mL of normal tissue, standard error {noise.fraction_error:.2g}"
        else:
            sizes, correlation = (table.noise_fraction,), table.correlation_fwhm_mm  # type: ignore[attr-defined]
        if name == "registration" and aligned_floor_mm(stated, alignment) is not None:
            origin += "; each simulation repeats the alignment"
        relative = isinstance(table, RelativeSourceTable | OutsideTable) or name in _NUMBERS
        found.append(
            UncertaintySource(
                name=name,
                sizes=sizes,
                unit="1" if relative else "mm",
                correlation_mm=correlation,
                origin=origin,
                evidence=table.evidence,
                preset=stated.presets.get(name),
                expected=table.fraction if isinstance(table, OutsideTable) else None,
            )
        )
    return tuple(found)


def registration_mm(table: RegistrationSourceTable, alignment: ActivityAlignment | None) -> tuple[float, float, float]:
    """Returns the standard deviation of the translation along x, y and z (LPS).

    Args:
      table: source of the case.
      alignment: proposed translation.

    Raises:
      ConfigError: "alignment" without a proposed translation.
    """
    if not isinstance(table.size_mm, str):
        return table.size_mm
    if alignment is None or table.floor_mm is None:
        raise ConfigError('uncertainty.registration.size_mm = "alignment" requires partial_volume.propose_shift = true')
    x, y, z = (
        math.hypot(error, floor) for error, floor in zip(alignment.standard_error_mm, table.floor_mm, strict=True)
    )
    return x, y, z


def aligned_floor_mm(stated: StatedSources, alignment: ActivityAlignment | None) -> tuple[float, float, float] | None:
    """Returns the displacement that remains after an alignment, if the case applies one and relies on it.

    If the image contradicts the applied translation or does not determine one, the simulations do not repeat the
    alignment. They displace the image by the standard error of the proposal instead.

    Args:
      stated: sources of the case.
      alignment: proposed translation, in addition to the applied one.
    """
    table = registration_table(stated)
    if table is None or table.size_mm != "alignment" or alignment is None or alignment.applied_mm is None:
        return None
    return table.floor_mm if alignment.determined and not alignment.significant else None


def simulated_sources(
    records: tuple[UncertaintySource, ...],
    *,
    spacing_mm: float,
    direction: Float[np.ndarray, "3 3"],
    lesions: int,
    injections: int,
    floor_mm: tuple[float, float, float] | None = None,
    common_shunt: bool = True,
) -> tuple[uncertainty.Source, ...]:
    """Returns every source of the simulations; those that the case does not state have the size 0.

    Only the uneven uptake, whose samples take memory, and the activity outside are absent if they are not stated.

    Args:
      records: sources of the case.
      spacing_mm: voxel size of the simulations.
      direction: (3, 3) axes of the grid in the patient (LPS), as columns.
      lesions: number of lesions, with padding.
      injections: number of injections, with padding.
      floor_mm: displacement that an alignment cannot find, if the simulations repeat it.
      common_shunt: whether all injections have one measurement of the lung shunt, and its error.
    """
    by_name = {record.name: record for record in records}
    largest_mm = max(spacing_mm, LATTICE_MM)
    shapes = {
        "counts": ENGINE_SHAPE,
        "uptake": ENGINE_SHAPE,
        "residual": (injections,),
        "lung_shunt": () if common_shunt else (injections,),
        "registration": (3,),
        "lesion_shift": (lesions, 3),
        "contours": (lesions + 1, *_nodes(by_name.get("contours"), largest_mm)),
        "territories": (3, *_nodes(by_name.get("territories"), largest_mm)),
    }
    found = []
    for name, simulated in SIMULATED.items():
        record, shape = by_name.get(name), shapes.get(name, ())
        if (name == "uptake" and stated_uptake(records) is None) or (name == "outside" and record is None):
            continue
        sizes = (0.0,) if record is None else record.sizes
        if name == "registration" and floor_mm is not None:
            sizes = floor_mm
        size = np.asarray(sizes if len(sizes) > 1 else sizes[0], np.float32)
        if name in _NUMBERS:  # the simulations scale standard normal numbers themselves
            size = np.asarray(float(size > 0), np.float32)
        elif len(sizes) > 1:
            # Standard deviations along the axes of the patient, on those of the grid.
            size = np.sqrt((np.asarray(direction).T ** 2) @ size.astype(np.float64) ** 2).astype(np.float32)
        factor = record is not None and record.unit == "1" and name not in _NUMBERS
        centre = np.full(shape, float(name not in _ABOUT_ZERO), np.float32)
        if record is not None and record.expected is not None:
            # The plan distributes all of the activity: its doses are too high by 1 / (1 - fraction).
            centre, size = centre / (1.0 - record.expected), size / (1.0 - record.expected)
        found.append(
            uncertainty.Source(
                name=simulated,
                centre=centre,
                size=np.broadcast_to(size, shape).astype(np.float32),
                origin="not stated" if record is None else record.origin,
                evidence="assumed" if record is None else record.evidence,
                distribution="lognormal" if factor or (record is None and name not in _ABOUT_ZERO) else "normal",
            )
        )
    return tuple(found)


def impossible_size(records: tuple[UncertaintySource, ...], lung_shunts: Sequence[float], *, relative: bool) -> str:
    """Returns which size would simulate impossible values; empty if none would.

    Values within three standard deviations must be possible.

    Args:
      records: sources of the case.
      lung_shunts: lung shunt fraction of each injection.
      relative: whether the calibration distributes the activity that the lungs leave.
    """
    by_name = {record.name: record for record in records}
    shunt, outside = by_name.get("lung_shunt"), by_name.get("outside")
    largest = max(lung_shunts, default=0.0)
    if relative and shunt is not None and largest * math.exp(REACH * shunt.sizes[0]) >= 1:
        return (
            f"uncertainty.lung_shunt.size = {shunt.sizes[0]:g} with a lung shunt of {100 * largest:.3g} % simulates "
            "fractions above 100 %; state a smaller size"
        )
    if outside is not None and REACH * outside.sizes[0] >= 1:
        return f"uncertainty.outside.size = {outside.sizes[0]:g} simulates activities below 0; state a smaller size"
    return ""


# Sources of one standard normal number per voxel.
_NUMBERS = ("counts", "uptake")
_ABOUT_ZERO = (*_NUMBERS, "registration", "lesion_shift", "contours", "territories")


def stated_uptake(records: tuple[UncertaintySource, ...]) -> UncertaintySource | None:
    """Returns the uneven uptake; None if the case does not state it. A size of 0 states an even uptake.

    Args:
      records: sources of the case.
    """
    return next((record for record in records if record.name == "uptake"), None)


def lattice_nodes(records: tuple[UncertaintySource, ...], spacing_mm: float) -> Float[np.ndarray, "2 3"]:
    """Returns the nodes along each axis, a correlation length apart, for contours and dividing surfaces.

    Args:
      records: sources of the case.
      spacing_mm: voxel size of the simulations.
    """
    by_name = {record.name: record for record in records}
    found = [_nodes(by_name.get(name), spacing_mm) for name in ("contours", "territories")]
    return np.asarray(found, np.float32)


def _nodes(record: UncertaintySource | None, spacing_mm: float) -> tuple[int, int, int]:
    if record is None or record.correlation_mm is None:
        return (2, 2, 2)
    i, j, k = (max(2, round(n * spacing_mm / record.correlation_mm) + 1) for n in ENGINE_SHAPE)
    return i, j, k
