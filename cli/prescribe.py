"""The command `sirtjax prescribe`: activity bounds from compartment volumes, without images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sirtjax.cli import _console
from sirtjax.cli._options import AsJson
from sirtjax.errors import InputError

if TYPE_CHECKING:
    from sirtjax.dosimetry import CompartmentPrescription


def _list_protocols(asked: bool) -> None:
    if asked:
        from sirtjax.dosimetry import list_protocols, load_protocol

        for name in list_protocols():
            print(f"{name}\t{load_protocol(name).title}")
        raise typer.Exit


def prescribe(
    protocol: Annotated[str, typer.Option(help="Protocol name (see --list-protocols), or FILE.toml#scenario.")],
    normal_ml: Annotated[float, typer.Option(help="Volume of normal tissue in the treated territory, mL.")],
    untreated_ml: Annotated[float, typer.Option(help="Volume of the liver outside the territory, mL; 0 if none.")],
    lung_shunt: Annotated[float, typer.Option(help="Lung shunt fraction, from 0 to below 1 (not in percent).")],
    tumour: Annotated[
        list[str] | None,
        typer.Option("--tumour", metavar="ML:TN", help="Tumour volume in mL and T/N ratio, e.g. 80:5; repeatable."),
    ] = None,
    lung_mass_g: Annotated[float | None, typer.Option(help="Lung mass in g (default: protocol value).")] = None,
    previous_lung_gy: Annotated[float, typer.Option(help="Mean lung dose of earlier treatments, Gy.")] = 0.0,
    residual_fraction: Annotated[
        float | None, typer.Option(help="Fraction of the activity that remains in vial and catheter.")
    ] = None,
    strategy: Annotated[
        Literal["upper", "lower", "fixed", "ntcp", "max-utcp"] | None,
        typer.Option(
            help="Activity to select: upper or lower bound, --activity-mbq, --ntcp or largest TCP (1 - NTCP)."
        ),
    ] = None,
    ntcp: Annotated[float | None, typer.Option(help="NTCP to reach, from 0 to 1 (with --strategy ntcp).")] = None,
    tcp_response: Annotated[
        str | None, typer.Option(metavar="NAME:GAMMA50", help="Dose response of the tumours, and its slope.")
    ] = None,
    ntcp_response: Annotated[
        str | None, typer.Option(metavar="NAME:M", help="Dose response of the normal liver, and its slope.")
    ] = None,
    bilirubin_umol_l: Annotated[
        float | None, typer.Option(help="Total bilirubin in umol/L, for limits and dose responses that depend on it.")
    ] = None,
    activity_mbq: Annotated[
        float | None, typer.Option(help="Activity that enters the patient, MBq (with --strategy fixed).")
    ] = None,
    method: Annotated[
        Literal["multi", "single"] | None,
        typer.Option(help="Objectives: multi- or single-compartment (default: protocol value)."),
    ] = None,
    constant: Annotated[
        str | None, typer.Option(help="Nuclide record, e.g. y90-thesis (default: protocol value).")
    ] = None,
    density_g_per_ml: Annotated[
        float | None, typer.Option(help="Liver density in g/mL (default: protocol value).")
    ] = None,
    height_m: Annotated[float | None, typer.Option(help="Body height for the BSA activity of resin, m.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="Body weight for the BSA activity of resin, kg.")] = None,
    as_json: AsJson = False,
    list_protocols: Annotated[
        bool,
        typer.Option("--list-protocols", callback=_list_protocols, is_eager=True, help="List the protocols and exit."),
    ] = False,
) -> None:
    """Compute activity bounds for one territory from volumes, T/N ratios and lung shunt (no images).

    Example: sirtjax prescribe --protocol glass-hcc-lobectomy --tumour 120:4 --normal-ml 700
    --untreated-ml 600 --lung-shunt 0.05 --lung-mass-g 900 --residual-fraction 0.01 --strategy upper
    """
    if residual_fraction is None or strategy is None:
        from sirtjax.workflows import missing_choices

        given = {"strategy": strategy, "residual_fraction": residual_fraction}
        raise InputError(missing_choices(*(name for name, value in given.items() if value is None)))
    from sirtjax.dosimetry import CompartmentPatient, parse_tumour, prescribe_compartments

    patient = CompartmentPatient(
        tumours=tuple(parse_tumour(text, number=number) for number, text in enumerate(tumour or [], start=1)),
        normal_ml=normal_ml,
        untreated_ml=untreated_ml,
        lung_shunt_fraction=lung_shunt,
        lung_mass_g=lung_mass_g,
        previous_lung_gy=previous_lung_gy,
        residual_fraction=residual_fraction,
        constant=constant,
        density_g_per_ml=density_g_per_ml,
        height_m=height_m,
        weight_kg=weight_kg,
    )
    answer = prescribe_compartments(
        protocol,
        patient,
        strategy=strategy,
        activity_mbq=activity_mbq,
        method=method,
        tcp=tcp_response,
        ntcp=ntcp_response,
        wanted_ntcp=ntcp,
        bilirubin_umol_per_l=bilirubin_umol_l,
    )
    if as_json:
        _console.emit_json(answer.to_json())
    else:
        _print(answer)


def _print(answer: CompartmentPrescription) -> None:
    plan, constant = answer.plan, answer.nuclide.dose_constant_gy_kg_per_gbq
    (territory,) = plan.territories
    rows = [[f"lower: {b.objective.label}", _mbq(b.activity_mbq), b.objective.source] for b in territory.lower_bounds]
    rows += [[f"upper: {b.objective.label}", _mbq(b.activity_mbq), b.objective.source] for b in territory.upper_bounds]
    _console.emit_table(answer.protocol.title, ["bound", "MBq", "source"], rows)
    interval = territory.interval_mbq
    between = "empty" if interval is None else f"{_mbq(interval[0])} to {_mbq(interval[1])} MBq"
    chosen = {"fixed": "fixed", "ntcp": "by NTCP", "max-utcp": "by TCP (1 - NTCP)"}.get(plan.strategy, plan.strategy)
    binding = chosen if territory.limiting_bound is None else f"set by {territory.limiting_bound.objective.label}"
    lines = [
        ["interval", between],
        ["activity into the patient", f"{_mbq(territory.chosen_mbq)} MBq ({plan.strategy}, {binding})"],
        [
            "activity to order",
            f"{_mbq(territory.dispensed_mbq)} MBq (residual {territory.residual_fraction:.1%})",
        ],
        ["dose constant", f"{constant:.2f} Gy.kg/GBq ({answer.nuclide.name})"],
        ["liver density", f"{answer.density_g_per_ml:g} g/mL"],
        ["lung mass", f"{answer.lung_mass_g:g} g"],
    ]
    lines += [[name.replace("_", " "), f"{value:.4g}"] for name, value in answer.other_rules.items()]
    if plan.outcome is not None:
        found = {"TCP": plan.outcome.chosen_tcp, "NTCP": plan.outcome.chosen_ntcp}
        found |= {"TCP (1 - NTCP)": plan.outcome.chosen_utcp}
        lines += [[name, f"{100 * value:.3g} %"] for name, value in found.items() if value is not None]
    _console.emit_table("Prescription, at the time of injection", ["", ""], lines)
    doses = [[p.voi, f"{p.mean_gy:.1f}", f"{p.mean_with_residual_gy:.1f}"] for p in plan.predictions]
    _console.emit_table(
        "Predicted mean dose",
        ["VOI", "Gy", "Gy if only this is ordered and the residual stays behind"],
        doses,
    )
    for line in answer.notes:
        print(line)
    if answer.checks:
        table = [[f"{check.code} {check.severity}", check.message] for check in answer.checks]
        _console.emit_table("Checks", ["code", "message"], table)


def _mbq(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "none"
