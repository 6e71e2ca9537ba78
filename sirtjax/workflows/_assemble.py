"""From the results of the steps to the input of a dose, and from a dose to the complete result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from sirtjax import dosimetry, pipeline
from sirtjax.dosimetry import Check, DoseObjective
from sirtjax.errors import ConfigError
from sirtjax.volume import Volume
from sirtjax.workflows._biology import biology_sets
from sirtjax.workflows._case import Case, InjectionTable
from sirtjax.workflows._checks import case_checks, registration_checks
from sirtjax.workflows._data_versions import data_versions
from sirtjax.workflows._deposit import ActivityAndDose, mean_shunt
from sirtjax.workflows._derived import placed_vois, territory_weights
from sirtjax.workflows._dose_map import dose_map_record
from sirtjax.workflows._doses import dose_method, medium, other_dose_method
from sirtjax.workflows._drafts import unreviewed_masks
from sirtjax.workflows._evaluation import evaluate_vois
from sirtjax.workflows._lung_reassignment import lung_reassignment, reassign_shunt
from sirtjax.workflows._mask_records import mask_results
from sirtjax.workflows._methods import method_facts, registration_sentence
from sirtjax.workflows._partial_volume import partial_volume_result
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._provenance import provenance
from sirtjax.workflows._record import treatment_record
from sirtjax.workflows._registration_summary import registration_summary
from sirtjax.workflows._remnant import liver_remnant
from sirtjax.workflows._resampled_case import ResampledCase
from sirtjax.workflows._result_masks import written_masks
from sirtjax.workflows._results import Result, ResultVolumes, TerritoryResult
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._shunt import lung_mass, lung_shunt, lung_shunt_record

Array = NDArray[np.float32]


def prepare(case: Case, products: AllStepResults) -> DosimetryContext:
    """Returns protocol, nuclide, territories, lung shunt and VOIs of a case whose steps are complete."""
    mapped, divided = products.resampling, products.territories
    protocol = dosimetry.load_protocol(case.protocol.name)
    nuclide = protocol.nuclide_record_named(case.dose.constant)
    method = dose_method(case.dose, protocol)
    names = [] if divided.labels is None else [name for _, name in divided.labels.names]
    territories = territory_weights(mapped, names)
    injections = _injections(case, tuple(territories))
    transform = products.registration.transform
    seen_fraction = 1.0 if mapped.lungs is None else mapped.lungs.seen_fraction
    shunt = lung_shunt(case, products.images, products.liver, products.lungs, transform, seen_fraction=seen_fraction)
    shunt = reassign_shunt(case, products, shunt, device=protocol.device)
    lungs = lung_mass(case, mapped, protocol)
    record, record_checks = treatment_record(case, injections, protocol, half_life_h=nuclide.half_life_h)
    lesions = [voi.name for voi in products.lesions]
    treated = {table.territory: territories[table.territory] for table in injections}
    return DosimetryContext(
        protocol=protocol,
        nuclide=nuclide,
        method=method,
        other_method=other_dose_method(
            method,
            nuclide,
            mapped.geometry.spacing_mm,
            medium_density_g_per_ml=protocol.liver_density.value,
        ),
        mapped=mapped,
        tissue=medium(mapped, case.dose, liver_density_g_per_ml=protocol.liver_density.value, lung_mass_g=lungs.mass_g),
        territories=territories,
        injections=injections,
        shunts=tuple(
            shunt.fraction if table.lung_shunt_fraction is None else table.lung_shunt_fraction for table in injections
        ),
        vois=placed_vois(
            mapped,
            treated,
            lesions,
            viable={str(voi.lesion): voi.name for voi in products.viable},
            lungs=products.lungs is not None,
        ),
        shunt=shunt,
        lungs=lungs,
        lung_absorbed=_lung_absorbed(mapped, nuclide, protocol),
        record=record,
        record_checks=record_checks,
    )


def _lung_absorbed(mapped: ResampledCase, nuclide: dosimetry.Nuclide, protocol: dosimetry.Protocol) -> Array | None:
    """The map of the betas that the lungs absorb; only a drawn mask is known to be lung and not air in the bowel."""
    lungs = mapped.occupancy.get("lungs")
    if lungs is None or nuclide.radial_kernel is None:
        return None
    spacing_mm = [float(step) for step in mapped.geometry.spacing_mm]
    density = protocol.liver_density.value
    return dosimetry.lung_absorbed_map(lungs, spacing_mm, nuclide=nuclide, medium_density_g_per_ml=density)


def _injections(case: Case, territories: tuple[str, ...]) -> tuple[InjectionTable, ...]:
    shared = case.prescription.residual_fraction
    if not case.injections:
        return tuple(InjectionTable(territory=name, residual_fraction=shared) for name in territories)
    for table in case.injections:
        if table.territory not in territories:
            raise ConfigError(
                f"injections: there is no territory {table.territory!r}; available: {', '.join(map(repr, territories))}"
            )
    return tuple(
        table if table.residual_fraction is not None else table.model_copy(update={"residual_fraction": shared})
        for table in case.injections
    )


def superpose(
    setting: DosimetryContext,
    unit_activity: Sequence[Float32[np.ndarray, "i j k"]],
    unit_dose: Sequence[Float32[np.ndarray, "i j k"]],
    injected_mbq: Float64[np.ndarray, " injections"],
) -> ActivityAndDose:
    """Adds all injections: activity that reached the patient, less the shunted activity, on the unit maps."""
    shunts = np.asarray(setting.shunts)
    in_liver = injected_mbq * (1.0 - shunts)
    shunted_mbq = float(injected_mbq @ shunts)
    activity_mbq = np.asarray(pipeline.superpose(unit_activity, in_liver))
    return ActivityAndDose(
        activity_mbq=activity_mbq,
        dose_gy=np.asarray(pipeline.superpose(unit_dose, in_liver)),
        injected_mbq=float(injected_mbq.sum()),
        lung_shunt_fraction=mean_shunt(injected_mbq, setting.shunts),
        lung_shunt_gy=setting.constant_gy_g_per_mbq * shunted_mbq / setting.lungs.mass_g,
        lung_spill_gy=setting.lung_spill_gy(activity_mbq),
        lung_activity_mbq=shunted_mbq,
        lung_mass_g=setting.lungs.mass_g,
        other_dose_gy=setting.other_dose_gy(activity_mbq, relative=True),
        holder=setting.filled,
    )


def assemble(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    objectives: Sequence[DoseObjective],
    *,
    checks: Sequence[Check],
) -> tuple[Result, ResultVolumes]:
    """Returns the result's tables, checks, methods and provenance for a dose, without its injections."""
    mapped = setting.mapped
    biology = biology_sets(case, sphere_type=setting.protocol.device)
    vois = evaluate_vois(
        setting.vois,
        mapped,
        deposit,
        density_g_per_ml=setting.protocol.liver_density.value,
        constant_gy_g_per_mbq=setting.constant_gy_g_per_mbq,
        v_levels_gy=objective_levels(objectives),
        biology=biology,
        half_life_h=setting.nuclide.half_life_h,
    )
    summary = registration_summary(
        products.registration,
        mapped,
        lesions=tuple(voi.name for voi in products.lesions),
        viable=tuple(voi.name for voi in products.viable),
    )
    remnant, remnant_checks = liver_remnant(case, setting, deposit.dose_gy)
    weights = {voi.name: voi.weight for voi in setting.vois}
    maps = ResultVolumes(
        geometry=mapped.geometry,
        dose_gy=Volume(deposit.dose_gy, mapped.geometry, unit="Gy"),
        activity=mapped.activity,
        ct_hu=mapped.ct_hu,
        occupancy=weights,
        transform=products.registration.transform,
        lungs=None if mapped.lungs is None else Volume(mapped.lungs.weight, mapped.lungs.geometry, unit="1"),
    )
    result = Result(
        kind="plan",
        patient_id=case.patient.id,
        protocol=setting.protocol.name,
        protocol_title=setting.protocol.title,
        injections=(),
        vois=vois,
        lung_dose_gy=deposit.lung_dose_gy,
        lung_shunt_dose_gy=deposit.lung_shunt_gy,
        lung_spill_dose_gy=deposit.lung_spill_gy,
        lung_mass_g=deposit.lung_mass_g,
        lung_shunt_fraction=deposit.lung_shunt_fraction,
        checks=distinct_checks(
            (
                *case_checks(case, products, setting, vois, deposit),
                *registration_checks(summary),
                *setting.record_checks,
                *remnant_checks,
                *checks,
            )
        ),
        methods=method_facts(case, setting, biology, summary),
        notes=mapped.notes,
        planned={},
        provenance=provenance(
            case, products.images, registration=registration_sentence(case, summary), products=products
        ),
        registration=summary,
        unreviewed_masks=unreviewed_masks(products),
        nuclide=setting.nuclide.symbol,
        nuclide_record=setting.nuclide.name,
        dose_method=setting.method,
        other_dose_method=setting.other_method,
        territories=_territory_results(setting),
        masks=mask_results(case, products),
        device=setting.protocol.device,
        data_versions=data_versions(setting, products),
        record=setting.record,
        remnant=remnant,
        lung_shunt=lung_shunt_record(case, products.images, setting.shunt),
        dose_map=dose_map_record(maps.dose_gy),
        written_masks=written_masks(maps),
        partial_volume=partial_volume_result(case, products, setting, deposit, vois),
        lung_reassignment=lung_reassignment(case, products, setting, deposit),
    )
    return result, maps


def distinct_checks(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Returns each code once per position.

    Objectives and `case_checks` both evaluate the lungs, and the objectives name them.
    """
    found = {(check.code, check.where): check for check in checks}.values()
    named = {(check.code, check.limit) for check in found if check.where is not None}
    return tuple(check for check in found if check.where is not None or (check.code, check.limit) not in named)


def _territory_results(setting: DosimetryContext) -> tuple[TerritoryResult, ...]:
    treated = {table.territory for table in setting.injections}
    voxel_ml = setting.mapped.geometry.voxel_volume_ml
    return tuple(
        TerritoryResult(name, float(weight.sum(dtype=np.float64)) * voxel_ml, name in treated)
        for name, weight in setting.territories.items()
    )


def objective_levels(objectives: Sequence[DoseObjective]) -> list[float]:
    """Returns the x of V_x in ascending order: 70 Gy, and the doses in the objectives on liver and tumour."""
    return sorted({70.0} | {objective.dose_gy for objective in objectives if objective.voi != "lungs"})
