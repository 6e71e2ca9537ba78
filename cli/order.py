"""The command `sirtjax order`: which vial, calibrated when and injected when, delivers an activity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli import _console
from sirtjax.cli._options import AsJson
from sirtjax.errors import ComputationError, ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    from sirtjax.dosimetry import VialOrder


def order(
    plan: Annotated[
        Path | None, typer.Argument(help="results.json of a plan. Alternative: --activity-mbq.", show_default=False)
    ] = None,
    injection_time: Annotated[
        list[str] | None,
        typer.Option(help="Injection time, ISO 8601, such as 2026-11-25T10:00+01:00; repeatable."),
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Largest relative difference from the wanted activity, such as 0.1.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="glass, resin, holmium, or FILE.toml (default: device of the plan).")
    ] = None,
    activity_mbq: Annotated[
        float | None, typer.Option(help="Activity that enters the patient at the time of injection, MBq.")
    ] = None,
    residual_fraction: Annotated[
        float | None, typer.Option(help="Fraction of the activity that remains in vial and catheter.")
    ] = None,
    mean_dose_gy: Annotated[
        float | None, typer.Option(help="Mean dose at --activity-mbq, Gy (default: no doses are printed).")
    ] = None,
    calibration_time: Annotated[
        list[str] | None,
        typer.Option(help="Calibration time of a vial (default: week of the data file); repeatable."),
    ] = None,
    shelf_life_h: Annotated[
        float | None, typer.Option(help="Hours after calibration until which a vial can be used.")
    ] = None,
    before_calibration_h: Annotated[
        float, typer.Option(help="Hours before calibration from which a vial can be used.")
    ] = 0.0,
    time_zone: Annotated[
        str | None, typer.Option(help="Time zone of times without an offset, such as Europe/Zurich.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert the activity at injection to an order: vial, calibration time, activity, dose, delay.

    Exits with code 1 if no vial delivers the activity. Example: sirtjax order --device glass --activity-mbq 1900
    --residual-fraction 0.01 --tolerance 0.1 --injection-time 2026-11-26T10:00+01:00
    --calibration-time 2026-11-22T18:00+01:00 --shelf-life-h 240
    """
    if tolerance is None:
        raise ConfigError("no tolerance is provided; add --tolerance, such as 0.1 for 10 %")
    from sirtjax.dosimetry import OrderTerms, WantedActivity, load_vials, order_vials, parse_time

    injections = [parse_time(text, zone=time_zone) for text in injection_time or ()]
    terms = OrderTerms(
        tolerance_fraction=tolerance,
        calibrations=tuple(parse_time(text, zone=time_zone) for text in calibration_time or ()),
        shelf_life_h=shelf_life_h,
        before_calibration_h=before_calibration_h,
    )
    cautions: tuple[str, ...] = ()
    if plan is not None:
        if not (activity_mbq is None and residual_fraction is None and mean_dose_gy is None):
            raise ConfigError("--activity-mbq, --residual-fraction and --mean-dose-gy are in the plan; omit them")
        from sirtjax.workflows import order_plan, plan_cautions

        cautions = plan_cautions(plan)
        orders = order_plan(plan, injections, terms=terms, device=device)
    else:
        if activity_mbq is None or residual_fraction is None or device is None:
            raise ConfigError("an order needs a plan, or --activity-mbq, --residual-fraction and --device")
        wanted = WantedActivity(
            name="one injection",
            activity_mbq=activity_mbq,
            residual_fraction=residual_fraction,
            mean_dose_gy=mean_dose_gy,
        )
        orders = (order_vials(wanted, load_vials(device), injections, terms=terms),)
    if as_json:
        _console.emit_json([one.to_json() | {"cautions": cautions} for one in orders])
    else:
        for caution in cautions:
            _console.emit_text(f"Caution: {caution}")
        for one in orders:
            _print(one)
    refused = [one.wanted.name for one in orders if not one.fitting]
    if refused:
        raise ComputationError(
            f"no vial delivers the wanted activity for {', '.join(refused)}; "
            "choose another injection or calibration time, or a larger tolerance"
        )


def _print(one: VialOrder) -> None:
    wanted, supply = one.wanted, one.supply
    columns = [
        "injection",
        "vial MBq",
        "calibrated",
        "in vial",
        "dispensed",
        "into patient",
        "difference",
        "Gy",
        "state",
    ]
    rows = [
        [
            _time(row.injection),
            f"{row.vial_mbq:.0f}",
            _time(row.calibration),
            f"{row.in_vial_mbq:.0f}",
            f"{row.dispensed_mbq:.0f}",
            f"{row.delivered_mbq:.0f}",
            f"{100 * row.difference_fraction:+.1f} %",
            _console.format_number(row.mean_dose_gy, ".1f"),
            row.state,
        ]
        for row in one.options
    ]
    title = f"{wanted.name}: {wanted.activity_mbq:.0f} MBq into the patient, {supply.product}"
    _console.emit_table(title, columns, rows)
    windows = {(row.vial_mbq, row.calibration): row for row in one.options}
    _console.emit_table(
        f"When a vial delivers {wanted.activity_mbq:.0f} MBq within {one.terms.tolerance_fraction:.1%}",
        ["vial MBq", "calibrated", "from", "exactly", "until"],
        [
            [f"{mbq:.0f}", _time(calibration), _time(row.usable_from), _time(row.exact_at), _time(row.usable_until)]
            for (mbq, calibration), row in windows.items()
        ],
    )
    lines = [
        ["loss of activity and dose per hour of delay", f"{one.loss_per_hour_fraction:.2%}"],
        ["half-life", f"{one.half_life_h:g} h"],
        ["residual in vial and catheter", f"{wanted.residual_fraction:.1%}"],
        [
            "period of use",
            f"{one.terms.before_calibration_h:g} h before to {one.terms.shelf_life_h:g} h after calibration",
        ],
        ["dispensing", f"{supply.dispensing} ({supply.dispensing_source})"],
    ]
    lines += [["source of the sizes", source] for source in dict.fromkeys(size.source for size in supply.sizes)]
    lines += [["note", text] for text in supply.notes]
    _console.emit_table("Values", ["", ""], lines)


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else moment.strftime("%a %Y-%m-%d %H:%M %z")
