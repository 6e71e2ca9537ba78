"""The checks after a calculation: summary numbers of the case to the rules of `sirtjax.dosimetry`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sirtjax import dosimetry
from sirtjax.dosimetry import Check
from sirtjax.ops import weighted_sum
from sirtjax.workflows._case import Case
from sirtjax.workflows._coverage_checks import (
    ct_lungs_checks,
    liver_fraction_away,
    lung_density_checks,
    lung_overlap_checks,
    seen_lungs_checks,
    seen_voi_checks,
)
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._dose_grid import VOXELS_PER_RADIUS
from sirtjax.workflows._doses import liver_in_lung_ml
from sirtjax.workflows._lesion_overlap import lesion_overlap_checks
from sirtjax.workflows._perfusion import cold_fractions
from sirtjax.workflows._planar_blur import planar_limit_checks
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._resampling import sphere_radius_mm
from sirtjax.workflows._results import RegistrationSummary, VoiResult
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._viable_checks import viable_checks

# Checks that state that the plan uses the measured lung shunt fraction after a correction.
USED_SHUNT = ("SJ209", "SJ566", "SJ569")


def case_checks(
    case: Case, products: AllStepResults, setting: DosimetryContext, vois: Sequence[VoiResult], deposit: ActivityAndDose
) -> tuple[Check, ...]:
    """Returns every check of masks, counts, lungs, calibration and constants that applies to this case."""
    found: list[Check] = []
    found += _automatic_checks(products)
    found += _mask_checks(case, products, setting, vois)
    found += viable_checks(setting.vois, vois, resolution_fwhm_mm=case.images.activity.resolution_fwhm_mm)
    found += _count_checks(case, setting, vois)
    found += _lung_checks(case, products, setting, deposit)
    found += [check for check in setting.shunt.checks if setting.uses_case_shunt or check.code not in USED_SHUNT]
    for table in setting.injections:
        if table.activity_mbq is not None:
            found += dosimetry.stated_activity_checks(table.territory, activity_mbq=table.activity_mbq)
    found += _constant_checks(case, setting)
    found += _method_checks(setting)
    found += _grid_checks(case, setting, vois)
    if case.registration is not None and products.images.diagnostic is not None:
        moved = [voi.name for voi in (products.liver, *products.lesions, *products.viable) if voi.frame == "diagnostic"]
        done = case.registration.method != "identity"
        found += dosimetry.registration_checks(", ".join(moved), registered=done) if moved else ()
    return tuple(found)


def registration_checks(summary: RegistrationSummary | None) -> tuple[Check, ...]:
    """Returns the checks of a registration's status and of the volumes it changed."""
    if summary is None:
        return ()
    found: list[Check] = []
    if summary.accepted:
        found += dosimetry.accepted_registration_checks(
            f"diagnostic image has the status {summary.status} ({summary.cause})"
        )
    for row in summary.volumes:
        if row.kind != "lungs":  # they change with every breath
            found += dosimetry.warped_volume_checks(row.name, volume_change=row.change_percent / 100)
    return tuple(found)


def _automatic_checks(products: AllStepResults) -> list[Check]:
    """One check for all VOIs of a method, and their quality flags."""
    everything = (products.liver, *products.lesions, products.lungs)
    automatic = [voi for voi in everything if voi is not None and voi.automatic is not None]
    found: list[Check] = []
    for method in dict.fromkeys(voi.automatic for voi in automatic):
        of_it = [voi for voi in automatic if voi.automatic == method]
        # All lesions of one segmentation have the same flags.
        quality_flags = tuple(dict.fromkeys(doubt for voi in of_it for doubt in voi.quality_flags))
        names = ", ".join(voi.name for voi in of_it)
        found += dosimetry.automatic_mask_checks(names, method=str(method), quality_flags=quality_flags)
        for voi in of_it:
            if voi.estimated_dsc is not None:
                found += dosimetry.draft_quality_checks(voi.name, estimated_dsc=voi.estimated_dsc)
    return found


def _mask_checks(
    case: Case, products: AllStepResults, setting: DosimetryContext, vois: Sequence[VoiResult]
) -> list[Check]:
    found: list[Check] = []
    liver = setting.mapped.occupancy["liver"]
    territories = np.zeros_like(liver)
    for weight in setting.treated().values():
        territories = np.maximum(territories, weight)
    for voi in setting.vois:
        if voi.kind != "lungs":
            # VOIs derived from masks have no fraction of their own.
            found += seen_voi_checks(voi.name, setting.mapped.seen_fraction.get(voi.name, 1.0))
        if voi.kind == "lesion":
            found += dosimetry.tumour_location_checks(
                voi.name,
                fraction_outside_liver=_outside(voi, liver),
                fraction_outside_territories=_outside(voi, territories),
            )
    found += lesion_overlap_checks(setting.vois)
    for row in vois:
        if row.kind == "liver":
            found += dosimetry.liver_volume_checks(row.mask_ml or row.volume_ml)
            overlap_ml = liver_in_lung_ml(setting.mapped)
            found += lung_overlap_checks(overlap_ml, liver_ml=row.volume_ml)
        elif row.kind == "lesion":
            found += dosimetry.small_lesion_checks(
                row.name,
                volume_ml=row.mask_ml or row.volume_ml,
                resolution_fwhm_mm=case.images.activity.resolution_fwhm_mm,
            )
    divided = products.territories
    if divided.labels is not None and divided.overlap_ml > 0:
        names = [name for _, name in divided.labels.names]
        smallest_ml = min(divided.labels.volume_ml(name) for name in names)
        found += dosimetry.territory_overlap_checks(
            ", ".join(names[:-1]), names[-1], overlap_fraction=divided.overlap_ml / (smallest_ml + divided.overlap_ml)
        )
    return found


def _count_checks(case: Case, setting: DosimetryContext, vois: Sequence[VoiResult]) -> list[Check]:
    found: list[Check] = []
    for row in vois:
        if row.kind == "lesion" and row.tn_ratio is not None:
            found += dosimetry.tn_ratio_checks(row.name, tn_ratio=row.tn_ratio)
    counts = np.asarray(setting.mapped.activity.array, np.float32)
    liver = setting.mapped.occupancy["liver"]
    lesions = np.zeros_like(liver)
    for voi in setting.vois:
        if voi.kind == "lesion":
            lesions = np.maximum(lesions, voi.weight)
    in_liver = weighted_sum(counts, liver)
    everywhere = float(counts.sum(dtype=np.float64)) / setting.mapped.activity_in_grid
    lungs = setting.mapped.lungs
    expected = in_liver / everywhere + (0.0 if lungs is None else lungs.activity_fraction)
    found += dosimetry.counts_checks(
        liver_fraction_outside_territories=liver_fraction_away(
            counts,
            liver,
            list(setting.territories.values()),
            setting.mapped.geometry.spacing_mm,
            fwhm_mm=case.images.activity.resolution_fwhm_mm,
        ),
        fraction_outside_liver_and_lungs=max(1.0 - expected, 0.0),
        cold_fractions=cold_fractions(counts, liver, setting.treated(), lesions, setting.mapped.geometry.spacing_mm),
    )
    return found


def _lung_checks(
    case: Case, products: AllStepResults, setting: DosimetryContext, deposit: ActivityAndDose
) -> list[Check]:
    protocol = setting.protocol
    own = setting.mapped.lungs
    # With a shunt of their own, no injection has the one that was measured.
    method = setting.shunt.method if setting.uses_case_shunt else None
    density = () if own is None else lung_density_checks(own.ct_mass_g, volume_ml=own.warped_ml)
    return [
        *(density if case.dose.lung_mass_g is None else ()),
        *(ct_lungs_checks(own.ct_seen_fraction) if own and case.dose.lung_mass_g is None else ()),
        *(seen_lungs_checks(own.seen_fraction) if own and method == "spect" else ()),
        *dosimetry.lung_shunt_checks(max(setting.shunts), device=protocol.device, planar=method == "planar"),
        *(planar_limit_checks(setting.shunt.blur, device=protocol.device) if method else ()),
        *dosimetry.lung_dose_checks(
            deposit.lung_dose_gy,
            previous_gy=case.dose.previous_lung_gy,
            single_limit_gy=protocol.lung_single.value,
            cumulative_limit_gy=protocol.lung_cumulative.value,
        ),
        *dosimetry.stated_lung_mass_checks(case.dose.lung_mass_g),
        *dosimetry.lungs_missing_checks(lung_mask=products.lungs is not None, lung_mass_g=setting.lungs.mass_g),
    ]


def _grid_checks(case: Case, setting: DosimetryContext, vois: Sequence[VoiResult]) -> list[Check]:
    """The memory limit of the automatic grid; a voxel size of the case is its own choice."""
    if case.dose.spacing_mm != "auto":
        return []
    widest_mm = max(setting.mapped.geometry.spacing_mm)
    found: list[Check] = []
    for row in vois:
        if row.kind == "lesion":
            limit_mm = sphere_radius_mm(row.mask_ml or row.volume_ml) / VOXELS_PER_RADIUS
            found += dosimetry.voxel_size_checks(row.name, voxel_mm=widest_mm, limit_mm=limit_mm)
    return found


def _method_checks(setting: DosimetryContext) -> tuple[Check, ...]:
    return dosimetry.dose_method_checks(used=setting.method, protocol=setting.protocol.dose_method.value)


def _constant_checks(case: Case, setting: DosimetryContext) -> list[Check]:
    planned = dosimetry.get_nuclide(setting.protocol.nuclide)
    found = [
        *dosimetry.constant_checks(
            "the dose constant",
            used=setting.constant_gy_g_per_mbq,
            protocol=float(planned.dose_constant_gy_kg_per_gbq),
            unit="Gy kg/GBq",
        )
    ]
    numbers = {
        "liver density": setting.protocol.liver_density,
        "standard lung mass": setting.protocol.standard_lung_mass,
        "lung limit of one treatment": setting.protocol.lung_single,
        "cumulative lung limit": setting.protocol.lung_cumulative,
    }
    unverified = [name for name, number in numbers.items() if number.evidence == "unverified"]
    if setting.protocol.dose_method.evidence == "unverified":
        unverified.append("dose method")
    for name in (case.biology.tcp, case.biology.ntcp) if case.biology is not None else ():
        if name is not None and dosimetry.get_response_parameters(name).evidence == "unverified":
            unverified.append(f"dose response {name}")
    found += dosimetry.unverified_checks(*unverified)
    return found


def _outside(voi: PlacedVoi, region: np.ndarray) -> float:
    total = float(voi.weight.sum(dtype=np.float64))
    inside = float(np.minimum(voi.weight, region).sum(dtype=np.float64))
    return max(1.0 - inside / total, 0.0)
