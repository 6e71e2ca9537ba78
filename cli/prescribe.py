"""`sirtjax prescribe`: bounds and activity from compartment numbers, without images."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sirtjax.cli import _console
from sirtjax.errors import InputError

if TYPE_CHECKING:
    from sirtjax.dosimetry import Check, Nuclide, Prescription, Protocol, TumourCompartment

TERRITORY = "treated"

ProtocolOption = Annotated[str, typer.Option(help="Name of a protocol (see --list-protocols), or FILE.toml#scenario.")]
TumourOption = Annotated[
    list[str] | None,
    typer.Option("--tumour", metavar="ML:TN", help="Volume in mL and T/N ratio, as 80:5; once per tumour."),
]


def _list_protocols(asked: bool) -> None:
    if asked:
        from sirtjax.dosimetry import list_protocols, load_protocol

        for name in list_protocols():
            print(f"{name}\t{load_protocol(name).title}")
        raise typer.Exit


def prescribe(
    protocol: ProtocolOption,
    normal_ml: Annotated[float, typer.Option(help="Normal tissue in the treated territory, mL.")],
    untreated_ml: Annotated[float, typer.Option(help="Liver outside the territory, mL; 0 if none.")],
    lsf: Annotated[float, typer.Option(help="Lung shunt fraction, from 0 to below 1 (not in percent).")],
    tumour: TumourOption = None,
    lung_mass_g: Annotated[
        float | None, typer.Option(help="Lung mass; without it the protocol's standard mass.")
    ] = None,
    previous_lung_gy: Annotated[float, typer.Option(help="Mean lung dose of earlier treatments.")] = 0.0,
    residual: Annotated[
        float | None, typer.Option(help="Fraction of the activity that remains in vial and catheter; no default.")
    ] = None,
    choose: Annotated[
        Literal["upper", "lower", "given"] | None,
        typer.Option(help="Which activity between the bounds; no default."),
    ] = None,
    activity_mbq: Annotated[float | None, typer.Option(help="With --choose given: MBq entering the patient.")] = None,
    method: Annotated[
        Literal["multi", "single"] | None,
        typer.Option(help="Objectives of the multi- or single-compartment method; by default the protocol's."),
    ] = None,
    constant: Annotated[
        str | None, typer.Option(help="Nuclide record instead of the protocol's, such as y90-thesis.")
    ] = None,
    density_g_per_ml: Annotated[float | None, typer.Option(help="Liver density instead of the protocol's.")] = None,
    height_m: Annotated[float | None, typer.Option(help="Body height, for the BSA activity of resin.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="Body weight, for the BSA activity of resin.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    list_protocols: Annotated[
        bool,
        typer.Option("--list-protocols", callback=_list_protocols, is_eager=True, help="Print the protocols."),
    ] = False,
) -> None:
    """Bounds and activity of one territory from volumes, T/N ratios and lung shunt: no images needed.

    Example: sirtjax prescribe --protocol glass-hcc-lobectomy --tumour 120:4 --normal-ml 700
    --untreated-ml 600 --lsf 0.05 --lung-mass-g 900 --residual 0.01 --choose upper
    """
    if residual is None or choose is None:
        from sirtjax.workflows import missing_choices

        given = {"choose": choose, "residual": residual}
        raise InputError(missing_choices(*(name for name, value in given.items() if value is None)))
    _check_given(choose, activity_mbq)
    numbers = _Numbers(
        tumours=_tumours(tumour or []),
        normal_ml=normal_ml,
        untreated_ml=untreated_ml,
        lung_shunt_fraction=lsf,
        lung_mass_g=lung_mass_g,
        previous_lung_gy=previous_lung_gy,
        residual_fraction=residual,
        constant=constant,
        density_g_per_ml=density_g_per_ml,
    )
    answer = _answer(protocol, numbers, choose=choose, activity_mbq=activity_mbq, method=method)
    others = _other_rules(answer, numbers, height_m, weight_kg)
    if json_output:
        _console.emit_json(_as_json(answer, others))
    else:
        _print(answer, others)


@dataclass(frozen=True, kw_only=True)
class _Numbers:
    """What the options say of the patient, None where the protocol's number is used."""

    tumours: tuple[TumourCompartment, ...]
    normal_ml: float
    untreated_ml: float
    lung_shunt_fraction: float
    lung_mass_g: float | None
    previous_lung_gy: float
    residual_fraction: float
    constant: str | None
    density_g_per_ml: float | None

    @property
    def perfused_ml(self) -> float:
        return self.normal_ml + sum(tumour.volume_ml for tumour in self.tumours)


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """The prescription, its checks and what it was computed with."""

    protocol: Protocol
    plan: Prescription
    checks: tuple[Check, ...]
    nuclide: Nuclide
    density_g_per_ml: float
    lung_mass_g: float
    lung_shunt_fraction: float


def _answer(
    name: str,
    numbers: _Numbers,
    *,
    choose: Literal["upper", "lower", "given"],
    activity_mbq: float | None,
    method: Literal["multi", "single"] | None,
) -> _Answer:
    from sirtjax import dosimetry as d

    protocol = d.load_protocol(name)
    nuclide = protocol.nuclide_record_named(numbers.constant)
    density = protocol.liver_density.value if numbers.density_g_per_ml is None else numbers.density_g_per_ml
    lung_mass = protocol.standard_lung_mass.value if numbers.lung_mass_g is None else numbers.lung_mass_g
    territory = d.CompartmentTerritory(
        name=TERRITORY,
        normal_volume_ml=numbers.normal_ml,
        tumours=numbers.tumours,
        lung_shunt_fraction=numbers.lung_shunt_fraction,
    )
    vois = d.compartment_vois(
        [territory],
        untreated_volume_ml=numbers.untreated_ml,
        density_g_per_ml=density,
        constant_gy_g_per_mbq=nuclide.dose_constant_gy_kg_per_gbq,
        lung_mass_g=lung_mass,
        previous_lung_gy=numbers.previous_lung_gy,
    )
    reserve = numbers.untreated_ml / (numbers.untreated_ml + numbers.perfused_ml)
    injection = d.Injection(territory=TERRITORY, residual_fraction=numbers.residual_fraction, given_mbq=activity_mbq)
    objectives = protocol.objectives(hepatic_reserve_fraction=reserve, method=method)
    plan = d.prescribe(vois, objectives, [injection], choose=choose)
    return _Answer(
        protocol=protocol,
        plan=plan,
        checks=_checks(protocol, numbers, nuclide, density, lung_mass) + plan.checks,
        nuclide=nuclide,
        density_g_per_ml=density,
        lung_mass_g=lung_mass,
        lung_shunt_fraction=numbers.lung_shunt_fraction,
    )


def _checks(
    protocol: Protocol, numbers: _Numbers, nuclide: Nuclide, density: float, lung_mass: float
) -> tuple[Check, ...]:
    from sirtjax import dosimetry as d

    expected = protocol.nuclide_record
    found = list(d.liver_volume_checks(numbers.perfused_ml + numbers.untreated_ml))
    for tumour in numbers.tumours:
        found += d.tn_ratio_checks(tumour.name, tn_ratio=tumour.tn_ratio)
    found += d.lung_shunt_checks(numbers.lung_shunt_fraction, device=protocol.device)
    found += d.lungs_missing_checks(lung_mask=numbers.lung_mass_g is not None, lung_mass_g=lung_mass)
    found += d.constant_checks(
        "dose constant",
        used=nuclide.dose_constant_gy_kg_per_gbq,
        protocol=expected.dose_constant_gy_kg_per_gbq,
        unit="Gy.kg/GBq",
    )
    found += d.constant_checks(
        "liver density", used=density, protocol=protocol.liver_density.value, unit=protocol.liver_density.unit
    )
    found += d.unverified_checks(*protocol.unverified)
    return tuple(found)


def _check_given(choose: str, activity_mbq: float | None) -> None:
    if (choose == "given") != (activity_mbq is not None):
        raise InputError("--activity-mbq goes with --choose given, and only with it")


def _tumours(texts: list[str]) -> tuple[TumourCompartment, ...]:
    from sirtjax.dosimetry import TumourCompartment

    found = []
    for number, text in enumerate(texts, start=1):
        volume, colon, ratio = text.partition(":")
        try:
            volume_ml, tn_ratio = float(volume), float(ratio if colon else "missing")
        except ValueError:
            raise InputError(f"--tumour {text}: expected volume in mL and T/N ratio as ML:TN, such as 80:5") from None
        found.append(TumourCompartment(name=f"tumour {number}", volume_ml=volume_ml, tn_ratio=tn_ratio))
    return tuple(found)


def _other_rules(
    answer: _Answer, numbers: _Numbers, height_m: float | None, weight_kg: float | None
) -> dict[str, float]:
    """Activities by the semi-empirical rules of the device, for comparison."""
    from sirtjax import dosimetry as d

    if (height_m is None) != (weight_kg is None):
        raise InputError("the BSA activity needs both --height-m and --weight-kg")
    protocol, rules = answer.protocol, dict[str, float]()
    if height_m is not None and weight_kg is not None:
        if not protocol.lung_shunt_steps:
            raise InputError(f"protocol {protocol.name} has no BSA method; leave out --height-m and --weight-kg")
        if not (0 < height_m < 3 and 0 < weight_kg < 500):
            raise InputError(f"height {height_m} m or weight {weight_kg} kg is not a person's; check the units")
        tumour_ml = numbers.perfused_ml - numbers.normal_ml
        whole = float(d.bsa_activity_mbq(height_m, weight_kg, tumour_ml, numbers.normal_ml + numbers.untreated_ml))
        factor = d.shunt_step_factor(numbers.lung_shunt_fraction, steps=protocol.lung_shunt_steps)
        rules |= {
            "bsa_whole_liver_mbq": whole,
            "bsa_lung_shunt_factor": factor,
            "bsa_reduced_mbq": whole * factor,
        }
    if protocol.activity_per_mass is not None:
        rules["activity_per_mass_mbq"] = float(
            d.activity_per_mass_mbq(
                answer.density_g_per_ml * numbers.perfused_ml,
                activity_mbq_per_kg=protocol.activity_per_mass.value,
            )
        )
    return rules


def _as_json(answer: _Answer, others: dict[str, float]) -> Any:
    prescription = asdict(answer.plan)
    prescription["checks"] = [asdict(check) for check in answer.checks]
    return _finite(
        {
            "protocol": {"name": answer.protocol.name, "title": answer.protocol.title},
            "used": {
                "nuclide": answer.nuclide.name,
                "dose_constant_gy_kg_per_gbq": answer.nuclide.dose_constant_gy_kg_per_gbq,
                "dose_constant_source": answer.nuclide.source,
                "liver_density_g_per_ml": answer.density_g_per_ml,
                "lung_mass_g": answer.lung_mass_g,
                "lung_shunt_fraction": answer.lung_shunt_fraction,
            },
            "prescription": prescription,
            "other_rules": others,
        }
    )


def _finite(value: Any) -> Any:
    """JSON has no infinity: an absent bound is null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(answer: _Answer, others: dict[str, float]) -> None:
    plan, constant = answer.plan, answer.nuclide.dose_constant_gy_kg_per_gbq
    (territory,) = plan.territories
    rows = [[f"lower: {b.objective.label}", _mbq(b.activity_mbq), b.objective.source] for b in territory.lower_bounds]
    rows += [[f"upper: {b.objective.label}", _mbq(b.activity_mbq), b.objective.source] for b in territory.upper_bounds]
    _console.emit_table(answer.protocol.title, ["bound", "MBq", "source"], rows)
    interval = territory.interval_mbq
    between = "empty" if interval is None else f"{_mbq(interval[0])} to {_mbq(interval[1])} MBq"
    binding = "given" if territory.binding is None else f"set by {territory.binding.objective.label}"
    lines = [
        ["interval", between],
        ["activity into the patient", f"{_mbq(territory.chosen_mbq)} MBq ({plan.choose}, {binding})"],
        [
            "activity to order",
            f"{_mbq(territory.ordered_mbq)} MBq (residual {territory.residual_fraction:.1%})",
        ],
        ["dose constant", f"{constant:.2f} Gy.kg/GBq ({answer.nuclide.name})"],
        ["liver density", f"{answer.density_g_per_ml:g} g/mL"],
        ["lung mass", f"{answer.lung_mass_g:g} g"],
    ]
    lines += [[name.replace("_", " "), f"{value:.4g}"] for name, value in others.items()]
    _console.emit_table("Prescription, at the time of injection", ["", ""], lines)
    doses = [[p.voi, f"{p.mean_gy:.1f}", f"{p.mean_with_residual_gy:.1f}"] for p in plan.predictions]
    _console.emit_table(
        "Predicted mean dose",
        ["VOI", "Gy", "Gy if only this is ordered and the residual stays behind"],
        doses,
    )
    if answer.checks:
        table = [[f"{check.code} {check.severity}", check.message] for check in answer.checks]
        _console.emit_table("Checks", ["code", "message"], table)


def _mbq(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "none"
