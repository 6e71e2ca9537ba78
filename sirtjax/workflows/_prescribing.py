"""The prescription of a case: its objectives, the dose per MBq of its VOIs, and the activities between their bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from sirtjax import dosimetry, pipeline
from sirtjax.dosimetry import DoseObjective, Injection, Prescription, VoiDose
from sirtjax.errors import ConfigError
from sirtjax.workflows._biology import biology_sets, outcome_model
from sirtjax.workflows._case import Case, InjectionTable
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._optimal import OptimalChoice, needs_voxels, optimal_choice
from sirtjax.workflows._required import check_prescription
from sirtjax.workflows._results import BoundResult, InjectionResult, MethodEntry, VoiKind
from sirtjax.workflows._setting import DosimetryContext

Array = NDArray[np.float32]

Role = Literal["tumour", "normal_perfused", "perfused", "whole_normal", "whole_liver", "lungs", "viable_tumour"]
# Histograms of other activities that a VOI keeps: a search needs few of them again, and each has the size of the VOI.
MOST_HISTOGRAMS = 16
# What an objective of a protocol calls the VOIs of a report.
ROLES: dict[VoiKind, Role] = {
    "liver": "whole_liver",
    "normal liver": "whole_normal",
    "territory": "perfused",
    "normal territory": "normal_perfused",
    "viable tumour": "viable_tumour",
}


def case_objectives(case: Case, setting: DosimetryContext) -> tuple[DoseObjective, ...]:
    """Returns the protocol's objectives for this hepatic reserve.

    The case's own objectives replace those they name.

    Raises:
      ConfigError: an objective is on viable tumour, and the case has no mask of it.
    """
    liver = float(setting.mapped.occupancy["liver"].sum(dtype=np.float64))
    treated = sum(float(weight.sum(dtype=np.float64)) for weight in setting.treated().values())
    reserve = float(np.clip(1.0 - treated / liver, 0.0, 0.999))
    own = tuple(
        DoseObjective(**table.model_dump() | {"voi": _lesion_name(table.voi, setting)})
        for table in case.prescription.objectives
    )
    # A limit of one treatment does not replace the cumulative one.
    taken = {(objective.voi, objective.direction, objective.cumulative) for objective in own}
    shared = setting.protocol.objectives(hepatic_reserve_fraction=reserve, method=case.protocol.method)
    found = own + tuple(
        objective for objective in shared if (objective.voi, objective.direction, objective.cumulative) not in taken
    )
    if not any(voi.kind == "viable tumour" for voi in setting.vois):
        for objective in found:
            if objective.voi == "viable_tumour":
                raise ConfigError(f"{objective.label}: the case has no viable tumour; add [masks.viable]")
    return found


def prescribe_case(
    case: Case,
    setting: DosimetryContext,
    doses: Sequence[VoiDose],
    objectives: Sequence[DoseObjective],
    *,
    optimum: OptimalChoice | None = None,
) -> Prescription:
    """Returns the prescription; if territories share a limit, in the proportions of `shared_split`.

    A strategy by outcome uses the proportions of the upper bound.
    """
    injections = [_injection(table, case) for table in setting.injections]
    if case.prescription.strategy == "optimal":
        best = optimum or optimise_case(case, setting, doses, objectives)
        pairs = zip(injections, best.activity_mbq, strict=True)
        injections = [replace(one, fixed_mbq=float(activity)) for one, activity in pairs]
    strategy = check_prescription(case)
    model = case_outcome_model(case, setting)
    by_outcome = strategy in dosimetry.OUTCOME_STRATEGIES
    first = "upper" if by_outcome else strategy
    alike = dosimetry.prescribe(doses, objectives, injections, strategy=first, outcome=None if by_outcome else model)
    _, shares = shared_split(case, setting, doses, alike)
    notes = _omitted_checks(case, alike) if shares is None else ()
    if shares is None and not by_outcome:
        return replace(alike, checks=(*alike.checks, *notes))
    found = dosimetry.prescribe(doses, objectives, injections, strategy=strategy, shares=shares, outcome=model)
    return replace(found, checks=(*found.checks, *notes))


def optimise_case(
    case: Case, setting: DosimetryContext, doses: Sequence[VoiDose], objectives: Sequence[DoseObjective]
) -> OptimalChoice:
    """Returns the optimal activities of a case; those of the strategy "upper" are a starting point."""
    changed = case.prescription.model_copy(
        update={"strategy": "upper", "objective": None, "limit_probability": None, "allocation": "proportional"}
    )
    upper = prescribe_case(case.model_copy(update={"prescription": changed}), setting, doses, objectives)
    return optimal_choice(case, doses, objectives, upper, case_outcome_model(case, setting))


def case_outcome_model(case: Case, setting: DosimetryContext) -> dosimetry.OutcomeModel | None:
    """Returns the dose responses of a case for its prescription; None if it has none."""
    return outcome_model(
        biology_sets(case, sphere_type=setting.protocol.device),
        half_life_h=setting.nuclide.half_life_h,
        strategy=check_prescription(case),
        wanted_ntcp=case.prescription.ntcp,
    )


def shared_split(
    case: Case, setting: DosimetryContext, doses: Sequence[VoiDose], alike: Prescription
) -> tuple[Literal["proportional", "even", "shares"], tuple[float, ...] | None]:
    """Returns how territories share a common limit, and their proportions (None: each has its own).

    Without targets no split is better than another for them. Each territory then gets the same mean dose. Reducing
    all in proportion would give a small territory as much activity as a large one, for a limit on the whole liver.

    Args:
      case: asks for the best split or not.
      setting: the mapped case.
      doses: dose per MBq of each VOI.
      alike: the prescription without proportions.
    """
    if alike.strategy != "upper" or case.prescription.allocation != "max-margin" or alike.scale >= 1:
        return "proportional", None
    if any(territory.lower_bounds for territory in alike.territories):
        split = alike.max_margin_mbq
        return ("proportional", None) if split is None or sum(split) <= 0 else ("shares", split)
    own = {dose.name: dose.mean_gy_per_mbq for dose in doses}
    means = np.asarray([own[table.territory][index] for index, table in enumerate(setting.injections)])
    return "even", tuple(float(share) for share in dosimetry.even_dose_activity_mbq(means))


def _omitted_checks(case: Case, alike: Prescription) -> tuple[dosimetry.Check, ...]:
    """The injections that keep the split with the largest margin from being used: they have no target."""
    wanted = alike.strategy == "upper" and case.prescription.allocation == "max-margin" and alike.scale < 1
    aimless = [one.territory for one in alike.territories if not one.lower_bounds]
    if not wanted or len(aimless) == len(alike.territories):
        return ()
    return tuple(dosimetry.make_check("SJ506", where=name) for name in aimless)


def _injection(table: InjectionTable, case: Case) -> Injection:
    if table.residual_fraction is None:
        raise ConfigError(f"injections: {table.territory!r} has no residual_fraction; add it")
    given = table.activity_mbq if case.prescription.strategy == "fixed" else None
    return Injection(territory=table.territory, residual_fraction=table.residual_fraction, fixed_mbq=given)


def prescription_facts(case: Case, setting: DosimetryContext) -> tuple[MethodEntry, ...]:
    """Returns the residual and the choice between the bounds, as the report prints them."""
    table = case.prescription
    chosen = str(table.strategy) if table.objective is None else f"{table.strategy}: {table.objective}"
    if table.limit_probability is not None:
        kinds = f"{table.robust_limits or 'chance'}, {table.robust_objective or 'expected'} objective"
        chosen += f", all limits kept with a probability of {100 * table.limit_probability:g} % ({kinds})"
    chosen = chosen if table.ntcp is None else f"{table.strategy}: NTCP {100 * table.ntcp:g} %"
    if table.strategy in dosimetry.OUTCOME_STRATEGIES and len(setting.injections) > 1:
        chosen += f", all activities in the proportions of the upper bounds (allocation {table.allocation})"
    residuals = ", ".join(
        f"{100 * (table.residual_fraction or 0.0):.3g} % ({table.territory})" for table in setting.injections
    )
    return (
        MethodEntry("residual in vial and catheter", residuals, "the case"),
        MethodEntry("choice between the bounds", chosen, "the case"),
    )


def voi_doses(
    case: Case,
    setting: DosimetryContext,
    unit_activity: Sequence[Float32[np.ndarray, "i j k"]],
    unit_dose: Sequence[Float32[np.ndarray, "i j k"]],
    remaining: Float64[np.ndarray, " injections"],
) -> list[VoiDose]:
    """Returns the dose per MBq injected of every VOI that an objective can name, also voxel by voxel.

    The dose of the lungs is that of the shunted activity and of the betas from the liver.
    """
    doses = []
    squares = _needs_squares(case, setting)
    by_voxel = needs_voxels(case, case_objectives(case, setting))
    for voi, role in bounding_vois(case, setting):
        samples = _voxels(voi, unit_dose, remaining) if {voi.name, role} & by_voxel else None
        histogram = _histograms(voi, unit_dose, remaining, setting.mapped.geometry.voxel_volume_ml)
        doses.append(
            VoiDose(
                name=voi.name,
                role=role,
                territories=voi.territories,
                mean_gy_per_mbq=np.asarray([histogram(unit).mean_gy for unit in np.eye(len(unit_dose))]),
                samples_gy_per_mbq=None if samples is None else samples[0],
                sample_weight=None if samples is None else samples[1],
                dose_at_fraction=partial(_dose_at_fraction_gy, histogram),
                square_gy2_per_mbq2=_mean_products(voi, unit_dose, remaining) if squares else None,
            )
        )
    per_mbq = pipeline.lung_gy_per_mbq(setting.nuclide, np.asarray(setting.shunts), setting.lungs.mass_g)
    spill = np.asarray([setting.lung_spill_gy(one) or 0.0 for one in unit_activity]) * remaining
    names = tuple(table.territory for table in setting.injections)
    lungs = VoiDose(
        name="lungs",
        role="lungs",
        territories=names,
        mean_gy_per_mbq=np.asarray(per_mbq) + spill,
        previous_gy=case.dose.previous_lung_gy,
    )
    return [*doses, lungs]


def _needs_squares(case: Case, setting: DosimetryContext) -> bool:
    """Whether a dose response of the case is on the mean BED."""
    found = biology_sets(case, sphere_type=setting.protocol.device)
    return found is not None and any(one is not None and one.metric == "mean BED" for one in (found.tcp, found.ntcp))


def _mean_products(
    voi: PlacedVoi, unit_dose: Sequence[Array], remaining: NDArray[np.float64]
) -> Float64[np.ndarray, "injections injections"]:
    """The mean over a VOI of the product of the doses of two injections, per MBq injected of each."""
    total = float(voi.weight.sum(dtype=np.float64))
    inside = voi.weight > 0
    weight = voi.weight[inside].astype(np.float64) / total
    doses = [np.asarray(one)[inside].astype(np.float64) * kept for one, kept in zip(unit_dose, remaining, strict=True)]
    return np.asarray([[float(weight @ (first * second)) for second in doses] for first in doses])


def _voxels(
    voi: PlacedVoi, unit_dose: Sequence[Array], remaining: NDArray[np.float64]
) -> tuple[Float64[np.ndarray, "n injections"], Float64[np.ndarray, " n"]]:
    """The dose of the voxels of a VOI per MBq injected, and their fractions in it."""
    inside = voi.weight > 0
    doses = [np.asarray(one)[inside].astype(np.float64) * kept for one, kept in zip(unit_dose, remaining, strict=True)]
    return np.stack(doses, axis=1), voi.weight[inside].astype(np.float64)


def bounding_vois(case: Case, setting: DosimetryContext) -> list[tuple[PlacedVoi, Role]]:
    """Returns the VOIs that an objective can name, with their roles; the lungs are not among them."""
    targets = target_names(case, setting)
    found: list[tuple[PlacedVoi, Role]] = []
    for voi in setting.vois:
        role: Role | None = "tumour" if voi.name in targets else ROLES.get(voi.kind)
        if role is not None and voi.territories:
            found.append((voi, role))
    return found


def _histograms(
    voi: PlacedVoi, unit_dose: Sequence[Array], remaining: NDArray[np.float64], voxel_ml: float
) -> Callable[[NDArray[np.float64]], dosimetry.Dvh]:
    """The DVH of a VOI for activities injected: that of the report, so that a bound is met there too."""
    known: dict[bytes, dosimetry.Dvh] = {}

    def histogram(activity_mbq: NDArray[np.float64]) -> dosimetry.Dvh:
        key = np.asarray(activity_mbq, np.float64).tobytes()
        if key not in known:
            if len(known) >= MOST_HISTOGRAMS:
                known.clear()
            dose = pipeline.superpose(unit_dose, activity_mbq * remaining)
            known[key] = dosimetry.dvh_from_arrays(dose, voi.weight, voxel_ml, name=voi.name)
        return known[key]

    return histogram


def _dose_at_fraction_gy(
    histogram: Callable[[NDArray[np.float64]], dosimetry.Dvh], activity_mbq: NDArray[np.float64], fraction: float
) -> float:
    return histogram(activity_mbq).dose_at_percent_gy(100 * fraction)


def target_names(case: Case, setting: DosimetryContext) -> set[str]:
    tumours = {voi.name for voi in setting.vois if voi.kind in ("lesion", "lesions")}
    if case.prescription.targets is None:
        return {voi.name for voi in setting.vois if voi.kind == "lesion"}
    targets = {_lesion_name(name, setting) for name in case.prescription.targets}
    unknown = targets - tumours
    if unknown:
        raise ConfigError(
            f"prescription.targets: no lesion is named {', '.join(sorted(unknown))}; "
            f"there are {', '.join(sorted(tumours))}"
        )
    return targets


def _lesion_name(name: str, setting: DosimetryContext) -> str:
    """Returns the name of the VOI; "lesions" is the only lesion if there is just one, which then has no other VOI."""
    found = [voi.name for voi in setting.vois if voi.kind == "lesion"]
    return found[0] if name == "lesions" and len(found) == 1 else name


def injection_result(
    territory: dosimetry.TerritoryPrescription, lsf: float, prescription: Prescription, *, optimum: str = ""
) -> InjectionResult:
    bounds = [_bound_result(bound) for bound in (*territory.lower_bounds, *territory.upper_bounds)]
    limiting_bound = territory.limiting_bound
    chosen = {"upper": "upper bound", "lower": "lower bound", "fixed": "activity given in the case"}
    if prescription.outcome is not None:
        chosen |= {"ntcp": f"NTCP {100 * (prescription.outcome.wanted_ntcp or 0.0):g} %"}
        chosen |= {"max-utcp": "largest TCP (1 - NTCP)"}
    if optimum:
        chosen |= {"fixed": f"optimal: {optimum}"}
    why = chosen[prescription.strategy] if limiting_bound is None else limiting_bound.objective.label
    return InjectionResult(
        territory=territory.territory,
        activity_mbq=territory.chosen_mbq,
        dispensed_mbq=territory.dispensed_mbq,
        residual_fraction=territory.residual_fraction,
        lung_shunt_fraction=lsf,
        lower_mbq=territory.lower_bound_mbq if territory.lower_bounds else None,
        upper_mbq=territory.upper_bound_mbq if np.isfinite(territory.upper_bound_mbq) else None,
        feasible=territory.feasible,
        limiting_objective=why,
        bounds=tuple(bounds),
    )


def _bound_result(bound: dosimetry.Bound) -> BoundResult:
    side: Literal["lower", "upper"] = "lower" if bound.objective.direction == "at least" else "upper"
    return BoundResult(bound.objective.label, side, bound.activity_mbq, bound.objective.source)
