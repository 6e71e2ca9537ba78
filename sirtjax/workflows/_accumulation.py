"""The dose of several treatments of one patient, added voxel by voxel on the grid of a reference."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import __version__, dosimetry, io, spatial
from sirtjax.compilation_cache import cached_jit
from sirtjax.ops import weighted_sum
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows._accumulation_case import Accumulation, SumBiologyTable, SumTissueTable
from sirtjax.workflows._accumulation_record import (
    AccumulatedMaps,
    AccumulatedResult,
    AccumulatedVoi,
    DoseStatistics,
    SumVoiKind,
    TreatmentDose,
    TreatmentResult,
)
from sirtjax.workflows._alignment_record import Register
from sirtjax.workflows._evaluation import DOSE_PERCENTS, curve_points
from sirtjax.workflows._provenance import PACKAGES, without_folders
from sirtjax.workflows._results import MethodEntry
from sirtjax.workflows._sum_alignment import AlignedTreatment, align_treatment, transform_record
from sirtjax.workflows._sum_checks import sum_checks, sum_limits
from sirtjax.workflows._sum_reference import LIVER, SumReference, sum_reference
from sirtjax.workflows._treatments import Treatment, check_patients, read_treatments

Array = NDArray[np.float32]
RESAMPLING = (
    "mean over each voxel of the reference of the linearly interpolated dose; BED on the grid of each treatment, then "
    "in the same way; 0 Gy outside its dose map"
)


def accumulate_case(
    case: Accumulation, *, register: Register | None = None, on_step: Callable[[str], None] = lambda step: None
) -> tuple[AccumulatedResult, AccumulatedMaps]:
    """Adds the doses and BEDs of several treatments on the grid of the reference.

    Args:
      case: treatments, transforms, limits and tissue parameters, of `load_accumulation`.
      register: function that replaces the registration by the images.
      on_step: called with the name of each step when it begins.

    Returns:
      The result and its images.

    Raises:
      ConfigError: a value is missing or contradictory.
      InputError: treatments do not belong together, or a transform does not fit.
      ImageFormatError: a folder lacks a file or was changed.
      GeometryError: images are in different frames, or a mask is outside its image.
      ComputationError: a registration did not succeed, and the file does not accept how it ended.
    """
    on_step("treatments")
    treatments = read_treatments(case)
    evidence, patient_checks = check_patients(treatments, case)
    limits_of = sum_limits(case, treatments)
    reference = sum_reference(case, treatments)
    aligned: dict[str, AlignedTreatment] = {}
    for one in treatments:
        if one.table.transform is not None:
            on_step(f"transform of {one.name}")
        aligned[one.name] = align_treatment(one, reference, register=register)
    on_step("dose")
    maps = accumulate_maps(treatments, aligned, reference, case.biology)
    on_step("dose-volume histograms")
    vois = _vois(treatments, reference, maps, case)
    rows = _rows(treatments, aligned, reference)
    limits = limits_of({voi.name: voi for voi in vois})
    checks = (
        *patient_checks,
        *(check for one in treatments for check in aligned[one.name].checks),
        *sum_checks(case, treatments, reference, rows, limits),
    )
    source = reference.treatment or treatments[0]
    table = without_folders(case.model_dump(mode="json", by_alias=True))
    result = AccumulatedResult(
        patient_id=source.plan.patient_id,
        patient_evidence=evidence,
        reference=reference.name,
        treatments=rows,
        vois=vois,
        previous_lung_gy=case.previous_lung_gy,
        limits=limits,
        checks=checks,
        methods=_methods(case, treatments),
        unreviewed_masks=tuple(f"{one.name}: {text}" for one in treatments for text in one.plan.unreviewed_masks),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={
            "sirtjax": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
        },
        case=table,
        case_sha256=hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest(),
    )
    return result, maps


def accumulate_maps(
    treatments: Sequence[Treatment],
    aligned: Mapping[str, AlignedTreatment],
    reference: SumReference,
    biology: SumBiologyTable,
) -> AccumulatedMaps:
    """Moves the dose and the BED of each treatment to the grid of the reference and adds them.

    Args:
      treatments: treatments with their doses.
      aligned: transform of each, by name.
      reference: grid and VOIs.
      biology: tissue parameters.
    """
    grid = reference.grid
    doses: dict[str, Volume] = {}
    beds: dict[str, Array] = {}
    mean_bed_gy: dict[str, dict[str, float]] = {one.name: {} for one in treatments}
    for one in treatments:
        alignment = aligned[one.name].alignment
        doses[one.name] = on_grid(one.maps.dose_gy, grid, alignment.transform)
        for tissue, table in tissues(biology).items():
            bed = _bed(one, table)
            moved = np.asarray(on_grid(bed, grid, alignment.transform).array)
            beds[tissue] = beds[tissue] + moved if tissue in beds else moved
            mean_bed_gy[one.name] |= {
                name: weighted_sum(moved, weight) / float(weight.sum(dtype=np.float64))
                for name, weight in reference.occupancy.items()
                if tissue_of(reference.kinds[name]) == tissue
            }
    total = np.sum([np.asarray(dose.array, np.float64) for dose in doses.values()], axis=0).astype(np.float32)
    image = reference.image
    ct = None
    if image is not None and image.volume.unit == "HU":
        ct = spatial.resample(image.volume, grid, antialias=True)
    moved_ones = [one for one in treatments if aligned[one.name].position is not None]
    return AccumulatedMaps(
        dose_gy=Volume(total, grid, unit="Gy"),
        bed_gy={tissue: Volume(bed, grid, unit="Gy") for tissue, bed in beds.items()},
        mean_bed_gy=mean_bed_gy,
        doses_gy=doses,
        alignments={one.name: aligned[one.name].alignment for one in moved_ones},
        floating={name: one.floating for name, one in aligned.items() if one.floating is not None},
        image=None if image is None else image.volume,
        occupancy=reference.occupancy,
        ct_hu=ct,
    )


def on_grid(dose_gy: Volume, grid: Geometry, transform: spatial.Transform) -> Volume:
    """Moves a dose map to another grid: the mean of the interpolated dose over each voxel, 0 Gy outside.

    The mean over a voxel, not the value at its centre, so that a coarse grid neither skips voxels nor changes the mean
    dose. The dose of a point of tissue is kept by the transform, also where it changes volumes.

    Args:
      dose_gy: (i, j, k) dose or BED.
      grid: grid of the reference.
      transform: pull, from points of the reference to points of the dose map.
    """
    return spatial.resample(dose_gy, grid, order="linear", fill=0.0, transform=transform, antialias=True)


def tissues(biology: SumBiologyTable) -> dict[str, SumTissueTable]:
    """Returns the tissues with parameters, by name."""
    named = {"tumour": biology.tumour, "normal liver": biology.normal_liver}
    return {name: table for name, table in named.items() if table is not None}


def tissue_of(kind: SumVoiKind) -> Literal["tumour", "normal liver"] | None:
    """Returns the tissue whose parameters apply to a kind of VOI; None for mixtures and the lungs."""
    if kind in ("lesion", "lesions"):
        return "tumour"
    return "normal liver" if kind == "normal liver" else None


def _bed(one: Treatment, table: SumTissueTable) -> Volume:
    """The BED on the grid of the treatment: a mean of doses over larger voxels would lower their squares."""
    dose = one.maps.dose_gy
    numbers = np.asarray([table.alpha_beta_gy, table.repair_half_time_h, one.half_life_h], np.float32)
    return Volume(np.asarray(_bed_map(np.asarray(dose.array, np.float32), numbers)), dose.geometry, unit="Gy")


@cached_jit
def _bed_map(dose: jax.Array, numbers: jax.Array) -> jax.Array:
    return dosimetry.bed_gy(dose, alpha_beta_gy=numbers[0], repair_half_time_h=numbers[1], half_life_h=numbers[2])


def _vois(
    treatments: Sequence[Treatment], reference: SumReference, maps: AccumulatedMaps, case: Accumulation
) -> tuple[AccumulatedVoi, ...]:
    every = {level for one in treatments for row in one.plan.vois.values() for level in row.get("v_percent", {})}
    levels = sorted(every, key=float)
    found = []
    for name, weight in reference.occupancy.items():
        tissue = tissue_of(reference.kinds[name])
        bed = None if tissue is None else maps.bed_gy.get(tissue)
        found.append(
            AccumulatedVoi(
                name=name,
                kind=reference.kinds[name],
                volume_ml=float(weight.sum(dtype=np.float64)) * reference.grid.voxel_volume_ml,
                treatments=tuple(_of_treatment(one, name, weight, maps, levels) for one in treatments),
                dose=_statistics(maps.dose_gy, weight, name, levels),
                bed=None if bed is None else _statistics(bed, weight, name, ()),
                tissue=None if bed is None else tissue,
            )
        )
    return (*found, _lungs(treatments, case))


def _of_treatment(
    one: Treatment, name: str, weight: Array, maps: AccumulatedMaps, levels: Sequence[str]
) -> TreatmentDose:
    row = one.plan.vois.get(name)
    return TreatmentDose(
        name=one.name,
        dose=_statistics(maps.doses_gy[one.name], weight, name, levels),
        own_mean_gy=None if row is None else row.get("mean_gy"),
        mean_bed_gy=maps.mean_bed_gy[one.name].get(name),
    )


def _lungs(treatments: Sequence[Treatment], case: Accumulation) -> AccumulatedVoi:
    """The lungs as a compartment: the sum of the mean doses that the treatments state."""
    rows = tuple(
        TreatmentDose(
            name=one.name, dose=DoseStatistics(mean_gy=one.lung_gy), own_mean_gy=one.lung_gy, mean_bed_gy=None
        )
        for one in treatments
    )
    total = case.previous_lung_gy + sum(one.lung_gy for one in treatments)
    return AccumulatedVoi(
        name="lungs", kind="lungs", volume_ml=None, treatments=rows, dose=DoseStatistics(mean_gy=total)
    )


def _statistics(
    volume: Volume, weight: Float32[np.ndarray, "i j k"], name: str, levels: Sequence[str]
) -> DoseStatistics:
    # The subtraction of a background leaves voxels below zero.
    dvh = dosimetry.dvh_from_arrays(volume.array, weight, volume.geometry.voxel_volume_ml, name=name, signed=True)
    dose_axis, percent = curve_points(dvh)
    return DoseStatistics(
        mean_gy=dvh.mean_gy,
        min_gy=dvh.minimum_gy,
        max_gy=dvh.maximum_gy,
        d_gy={str(x): dvh.dose_at_percent_gy(x) for x in DOSE_PERCENTS},
        v_percent={level: float(dvh.percent_at_dose(float(level))) for level in levels},
        dvh_dose_gy=dose_axis,
        dvh_volume_percent=percent,
    )


def _rows(
    treatments: Sequence[Treatment], aligned: Mapping[str, AlignedTreatment], reference: SumReference
) -> tuple[TreatmentResult, ...]:
    files = io.file_names([one.name for one in treatments])
    rows = []
    for one in treatments:
        file = files[one.name]
        rows.append(
            TreatmentResult(
                name=one.name,
                date=one.table.date.isoformat(),
                kind=one.plan.kind,
                protocol=one.plan.protocol,
                nuclide=one.plan.nuclide,
                nuclide_record=one.plan.nuclide_record,
                dose_method=one.plan.dose_method,
                half_life_h=one.half_life_h,
                activity_mbq=sum(one.plan.planned_mbq.values()),
                liver_ml=one.maps.masks[LIVER].volume_ml(LIVER),
                lung_gy=one.lung_gy,
                outside_fraction=_outside(one, aligned[one.name], reference),
                dose_sha256=one.plan.dose_map.sha256,
                results_sha256=one.sha256,
                dose_file=f"doses/{file}.nii.gz",
                transform=transform_record(aligned[one.name], f"transforms/{file}.h5"),
            )
        )
    return tuple(rows)


def _outside(one: Treatment, aligned: AlignedTreatment, reference: SumReference) -> float:
    """The fraction of the reference's liver of which the treatment has no dose."""
    if aligned.position is None:
        return 0.0
    dose = one.maps.dose_gy
    ones = Volume(np.ones(dose.geometry.shape, np.float32), dose.geometry, unit="1")
    covered = np.asarray(on_grid(ones, reference.grid, aligned.alignment.transform).array)
    liver = reference.occupancy[LIVER]
    return max(0.0, 1.0 - weighted_sum(covered, liver) / float(liver.sum(dtype=np.float64)))


def _methods(case: Accumulation, treatments: Sequence[Treatment]) -> tuple[MethodEntry, ...]:
    found = [
        MethodEntry("sum of the doses", "physical dose of each treatment, added voxel by voxel"),
        MethodEntry("resampling", RESAMPLING),
        MethodEntry("lungs", "sum of the mean lung doses of the treatments (compartment)"),
    ]
    for name, table in tissues(case.biology).items():
        value = f"alpha/beta {table.alpha_beta_gy:g} Gy, repair {table.repair_half_time_h:g} h (from the case)"
        found.append(MethodEntry(f"radiobiology, {name}", value, table.source))
    if tissues(case.biology):
        model = "sum of the BEDs of each treatment: D + D^2 / (alpha/beta) T_rep / (T_rep + T_half)"
        found.append(MethodEntry("BED", model, "Dale, Br J Radiol 58:515, 1985, doi:10.1259/0007-1285-58-690-515"))
    for record in dict.fromkeys(one.plan.nuclide_record for one in treatments):
        half_h = dosimetry.get_nuclide(record).half_life_h
        found.append(MethodEntry(f"half-life, {record}", f"{half_h:g} h", dosimetry.get_nuclide(record).source))
    return tuple(found)
