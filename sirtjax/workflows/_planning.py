"""Step 7: from the dose of one MBq through each catheter position to the activities, and the plan around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sirtjax import dosimetry
from sirtjax.dosimetry import Check, DoseObjective, Injection, Prescription, Protocol, VoiDose
from sirtjax.errors import ConfigError
from sirtjax.volume import Volume
from sirtjax.workflows._biology import biology_sets
from sirtjax.workflows._case import Case, InjectionTable
from sirtjax.workflows._checks import case_checks
from sirtjax.workflows._derived import PlacedVoi, placed_vois, territory_weights
from sirtjax.workflows._doses import Medium, dose_gy, medium, relative_activity
from sirtjax.workflows._evaluation import Deposit, evaluate_vois
from sirtjax.workflows._mapping import MappedCase
from sirtjax.workflows._methods import method_facts, registration_sentence
from sirtjax.workflows._provenance import provenance
from sirtjax.workflows._results import BoundResult, InjectionResult, Maps, Result, VoiKind
from sirtjax.workflows._shunt import LungMass, LungShunt, lung_mass, lung_shunt
from sirtjax.workflows._steps import Hooks, Products, advance

Array = NDArray[np.float32]

Role = Literal["tumour", "normal_perfused", "perfused", "whole_normal", "whole_liver", "lungs"]
# What an objective of a protocol calls the VOIs of a report.
ROLES: dict[VoiKind, Role] = {
    "liver": "whole_liver",
    "normal liver": "whole_normal",
    "territory": "perfused",
    "normal territory": "normal_perfused",
}


@dataclass(frozen=True, eq=False)
class Setting:
    """What planning and verification share: the mapped case with its constants, territories and VOIs.

    Attributes:
      protocol: the named protocol.
      nuclide: the record in use, the protocol's or the one the case names.
      mapped, tissue: the working grid and its densities.
      territories: (i, j, k) share of each voxel in each territory, by name.
      injections: one a treated territory, in order.
      shunts: lung shunt fraction of each injection.
      vois: every VOI of the report.
      shunt, lungs: of the whole case.
    """

    protocol: Protocol
    nuclide: dosimetry.Nuclide
    mapped: MappedCase
    tissue: Medium
    territories: dict[str, Array]
    injections: tuple[InjectionTable, ...]
    shunts: tuple[float, ...]
    vois: tuple[PlacedVoi, ...]
    shunt: LungShunt
    lungs: LungMass

    @property
    def constant_gy_g_per_mbq(self) -> float:
        """K of local deposition; Gy kg/GBq and Gy g/MBq are the same number."""
        return float(self.nuclide.dose_constant_gy_kg_per_gbq)

    @property
    def liver(self) -> Array:
        """(i, j, k) share of each voxel in the liver, which holds all activity of a relative calibration."""
        return self.mapped.occupancy["liver"]

    def treated(self) -> dict[str, Array]:
        """The territories that are injected, by name."""
        return {table.territory: self.territories[table.territory] for table in self.injections}


def plan_case(
    case: Case, *, products: Products | None = None, hooks: Hooks | None = None
) -> tuple[Result, Maps, Products]:
    """A treatment plan: the seven steps of thesis section 8.3, from the case file to the prescription.

    Args:
      case: the case.
      products: steps made before; they are used as they are.
      hooks: automatic segmentation, another registration, progress.

    Returns:
      The result, its images on the working grid, and the products of the steps.

    Raises:
      InputError: something in the case cannot be used; the message says what.
    """
    hooks = hooks or Hooks()
    products = advance(case, "mapping", products=products, hooks=hooks)
    setting = prepare(case, products)
    hooks.on_step("dose")
    unit_activity, unit_dose = [], []
    for name, region in setting.treated().items():
        share = relative_activity(setting.mapped, region, name)
        unit_activity.append(share)
        unit_dose.append(
            dose_gy(share, setting.mapped, setting.tissue, setting.nuclide, case.dose, holder=setting.liver)
        )
    hooks.on_step("prescription")
    remaining = 1.0 - np.asarray(setting.shunts)
    objectives = case_objectives(case, setting)
    prescription = _prescribe(case, setting, _voi_doses(case, setting, unit_dose, remaining), objectives)
    chosen = np.asarray([territory.chosen_mbq for territory in prescription.territories])
    deposit = superpose(setting, unit_activity, unit_dose, chosen)
    hooks.on_step("dose-volume histograms")
    result, maps = assemble(case, products, setting, deposit, objectives, checks=prescription.checks)
    injections = tuple(
        _injection_result(territory, lsf, prescription)
        for territory, lsf in zip(prescription.territories, setting.shunts, strict=True)
    )
    return replace(result, injections=injections), maps, products


def prepare(case: Case, products: Products) -> Setting:
    """Protocol, nuclide, territories, lung shunt and VOIs of a case whose steps are made."""
    images, mapped, liver, divided = products.images, products.mapping, products.liver, products.territories
    if images is None or mapped is None or liver is None or divided is None or products.registration is None:
        raise ConfigError("the case is not mapped yet; run the steps before (advance)")
    protocol = dosimetry.load_protocol(case.protocol.name)
    nuclide = dosimetry.nuclide(case.dose.constant or protocol.nuclide)
    names = [] if divided.labels is None else [name for _, name in divided.labels.names]
    territories = territory_weights(mapped, names)
    injections = _injections(case, tuple(territories))
    shunt = lung_shunt(case, images, liver, products.lungs, products.registration)
    lungs = lung_mass(case, mapped, protocol)
    lesions = [voi.name for voi in products.lesions or ()]
    treated = {table.territory: territories[table.territory] for table in injections}
    return Setting(
        protocol=protocol,
        nuclide=nuclide,
        mapped=mapped,
        tissue=medium(mapped, case.dose, liver_density_g_per_ml=protocol.liver_density.value, lung_mass_g=lungs.mass_g),
        territories=territories,
        injections=injections,
        shunts=tuple(
            shunt.fraction if table.lung_shunt_fraction is None else table.lung_shunt_fraction for table in injections
        ),
        vois=placed_vois(mapped, treated, lesions, lungs=products.lungs is not None),
        shunt=shunt,
        lungs=lungs,
    )


def superpose(
    setting: Setting, unit_activity: Sequence[Array], unit_dose: Sequence[Array], injected_mbq: NDArray[np.float64]
) -> Deposit:
    """All injections together: activity that reached the patient, less what is shunted, on the unit maps."""
    shunts = np.asarray(setting.shunts)
    in_liver = (injected_mbq * (1.0 - shunts)).astype(np.float32)
    shunted_mbq = float(injected_mbq @ shunts)
    activity, dose = np.zeros_like(unit_activity[0]), np.zeros_like(unit_dose[0])
    for amount, share, per_mbq in zip(in_liver, unit_activity, unit_dose, strict=True):
        activity += amount * share
        dose += amount * per_mbq
    return Deposit(
        activity_mbq=activity,
        dose_gy=dose,
        injected_mbq=float(injected_mbq.sum()),
        lung_dose_gy=setting.constant_gy_g_per_mbq * shunted_mbq / setting.lungs.mass_g,
        lung_activity_mbq=shunted_mbq,
        lung_mass_g=setting.lungs.mass_g,
        holder=setting.liver,
    )


def assemble(
    case: Case,
    products: Products,
    setting: Setting,
    deposit: Deposit,
    objectives: Sequence[DoseObjective],
    *,
    checks: Sequence[Check],
) -> tuple[Result, Maps]:
    """The result's tables, checks, methods and provenance around a dose, without its injections."""
    if products.images is None or products.registration is None:
        raise ConfigError("the case is not mapped yet; run the steps before (advance)")
    mapped = setting.mapped
    biology = biology_sets(case.biology, sphere_type=setting.protocol.device)
    vois = evaluate_vois(
        setting.vois,
        mapped,
        deposit,
        density_g_per_ml=setting.protocol.liver_density.value,
        constant_gy_g_per_mbq=setting.constant_gy_g_per_mbq,
        v_levels_gy=_levels(objectives),
        biology=biology,
        half_life_h=setting.nuclide.half_life_h,
    )
    result = Result(
        kind="plan",
        patient_id=case.patient.id,
        protocol=setting.protocol.name,
        protocol_title=setting.protocol.title,
        injections=(),
        vois=vois,
        lung_dose_gy=deposit.lung_dose_gy,
        lung_mass_g=deposit.lung_mass_g,
        lung_shunt_fraction=deposit.lung_activity_mbq / deposit.injected_mbq,
        checks=_distinct((*case_checks(case, products, setting, vois, deposit), *checks)),
        methods=method_facts(case, setting, biology),
        notes=mapped.notes,
        planned={},
        provenance=provenance(case, products.images, registration=registration_sentence(case)),
    )
    weights = {voi.name: voi.weight for voi in setting.vois}
    maps = Maps(
        geometry=mapped.geometry,
        dose_gy=Volume(deposit.dose_gy, mapped.geometry, unit="Gy"),
        activity=mapped.activity,
        ct_hu=mapped.ct_hu,
        occupancy=weights,
        transform=products.registration,
    )
    return result, maps


def case_objectives(case: Case, setting: Setting) -> tuple[DoseObjective, ...]:
    """The protocol's objectives for this hepatic reserve; the case's own take the place of those they name."""
    liver = float(setting.mapped.occupancy["liver"].sum(dtype=np.float64))
    treated = sum(float(weight.sum(dtype=np.float64)) for weight in setting.treated().values())
    reserve = float(np.clip(1.0 - treated / liver, 0.0, 0.999))
    own = tuple(DoseObjective(**table.model_dump()) for table in case.prescription.objectives)
    taken = {(objective.voi, objective.direction) for objective in own}
    shared = setting.protocol.objectives(hepatic_reserve_fraction=reserve, method=case.protocol.method)
    return own + tuple(objective for objective in shared if (objective.voi, objective.direction) not in taken)


def _injections(case: Case, territories: tuple[str, ...]) -> tuple[InjectionTable, ...]:
    if not case.injections:
        return tuple(InjectionTable(territory=name) for name in territories)
    for table in case.injections:
        if table.territory not in territories:
            raise ConfigError(
                f"injections: there is no territory {table.territory!r}; there are {', '.join(map(repr, territories))}"
            )
    return case.injections


def _prescribe(
    case: Case, setting: Setting, doses: Sequence[VoiDose], objectives: Sequence[DoseObjective]
) -> Prescription:
    """The prescription; where territories share a limit and the case asks for the best split, in its proportions.

    Without targets no split is better than another for them: then each territory gets the same mean dose. Reducing
    all alike would give a small territory as much activity as a large one, for a limit on the whole liver.
    """
    injections = [_injection(table, case) for table in setting.injections]
    choose = case.prescription.choose
    alike = dosimetry.prescribe(doses, objectives, injections, choose=choose)
    if choose != "upper" or case.prescription.split != "best" or alike.scale >= 1:
        return alike
    split = alike.best_split_mbq
    if not any(territory.lower_bounds for territory in alike.territories):
        split = _evenly(setting, doses)
    if split is None or sum(split) <= 0:
        return alike
    return dosimetry.prescribe(doses, objectives, injections, choose=choose, shares=split)


def _evenly(setting: Setting, doses: Sequence[VoiDose]) -> tuple[float, ...]:
    """Activities by which each treated territory gets 1 Gy on average from its own injection."""
    own = {dose.name: dose.mean_gy_per_mbq for dose in doses}
    return tuple(1.0 / float(own[table.territory][index]) for index, table in enumerate(setting.injections))


def _injection(table: InjectionTable, case: Case) -> Injection:
    given = table.activity_mbq if case.prescription.choose == "given" else None
    return Injection(territory=table.territory, residual_fraction=table.residual_fraction, given_mbq=given)


def _voi_doses(
    case: Case, setting: Setting, unit_dose: Sequence[Array], remaining: NDArray[np.float64]
) -> list[VoiDose]:
    """Dose per MBq injected of every VOI an objective can name, voxel by voxel too."""
    targets = _target_names(case, setting)
    doses = []
    for voi in setting.vois:
        role: Role | None = "tumour" if voi.name in targets else ROLES.get(voi.kind)
        if role is None or not voi.territories:
            continue
        histogram = _histograms(voi, unit_dose, remaining, setting.mapped.geometry.voxel_volume_ml)
        doses.append(
            VoiDose(
                name=voi.name,
                role=role,
                territories=voi.territories,
                mean_gy_per_mbq=np.asarray([histogram(unit).mean_gy for unit in np.eye(len(unit_dose))]),
                dose_at_fraction=partial(_dose_at_fraction_gy, histogram),
            )
        )
    per_mbq = setting.constant_gy_g_per_mbq * np.asarray(setting.shunts) / setting.lungs.mass_g
    names = tuple(table.territory for table in setting.injections)
    lungs = VoiDose(
        name="lungs",
        role="lungs",
        territories=names,
        mean_gy_per_mbq=per_mbq,
        previous_gy=case.dose.previous_lung_gy,
    )
    return [*doses, lungs]


def _histograms(
    voi: PlacedVoi, unit_dose: Sequence[Array], remaining: NDArray[np.float64], voxel_ml: float
) -> Callable[[NDArray[np.float64]], dosimetry.Dvh]:
    """The DVH of a VOI for activities injected: that of the report, so that a bound is met there too."""
    known: dict[bytes, dosimetry.Dvh] = {}

    def histogram(activity_mbq: NDArray[np.float64]) -> dosimetry.Dvh:
        key = np.asarray(activity_mbq, np.float64).tobytes()
        if key not in known:
            in_liver = (activity_mbq * remaining).astype(np.float32)
            dose = np.zeros_like(unit_dose[0])
            for amount, per_mbq in zip(in_liver, unit_dose, strict=True):
                dose += amount * per_mbq
            known[key] = dosimetry.dose_volume_histogram(dose, voi.weight, voxel_ml, name=voi.name)
        return known[key]

    return histogram


def _dose_at_fraction_gy(
    histogram: Callable[[NDArray[np.float64]], dosimetry.Dvh], activity_mbq: NDArray[np.float64], fraction: float
) -> float:
    return histogram(activity_mbq).dose_at_percent_gy(100 * fraction)


def _target_names(case: Case, setting: Setting) -> set[str]:
    tumours = {voi.name for voi in setting.vois if voi.kind in ("lesion", "lesions")}
    if case.prescription.targets is None:
        return {voi.name for voi in setting.vois if voi.kind == "lesion"}
    unknown = set(case.prescription.targets) - tumours
    if unknown:
        raise ConfigError(
            f"prescription.targets: no lesion is named {', '.join(sorted(unknown))}; "
            f"there are {', '.join(sorted(tumours))}"
        )
    return set(case.prescription.targets)


def _injection_result(
    territory: dosimetry.TerritoryPrescription, lsf: float, prescription: Prescription
) -> InjectionResult:
    bounds = [_bound_result(bound) for bound in (*territory.lower_bounds, *territory.upper_bounds)]
    binding = territory.binding
    chosen = {"upper": "upper bound", "lower": "lower bound", "given": "activity given in the case"}
    why = chosen[prescription.choose] if binding is None else binding.objective.label
    return InjectionResult(
        territory=territory.territory,
        activity_mbq=territory.chosen_mbq,
        prepared_mbq=territory.ordered_mbq,
        residual_fraction=territory.residual_fraction,
        lung_shunt_fraction=lsf,
        lower_mbq=territory.lower_bound_mbq if territory.lower_bounds else None,
        upper_mbq=territory.upper_bound_mbq if np.isfinite(territory.upper_bound_mbq) else None,
        feasible=territory.feasible,
        binding=why,
        bounds=tuple(bounds),
    )


def _bound_result(bound: dosimetry.Bound) -> BoundResult:
    side: Literal["lower", "upper"] = "lower" if bound.objective.direction == "at least" else "upper"
    return BoundResult(bound.objective.label, side, bound.activity_mbq, bound.objective.source)


def _distinct(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Each code once a place: the prescription and the case look at the lungs both."""
    return tuple({(check.code, check.where): check for check in checks}.values())


def _levels(objectives: Sequence[DoseObjective]) -> list[float]:
    """The x of V_x, rising: 70 Gy, and the doses the objectives on liver and tumour speak of."""
    return sorted({70.0} | {objective.dose_gy for objective in objectives if objective.voi != "lungs"})
