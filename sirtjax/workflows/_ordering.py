"""The vials to order for a plan: one order per treated territory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sirtjax.dosimetry import OrderTerms, VialOrder, WantedActivity, list_protocols, load_protocol, load_vials
from sirtjax.dosimetry import order_vials as order_vials_for
from sirtjax.errors import ConfigError
from sirtjax.workflows._plan_record import TreatmentPlan, read_plan


def order_plan(
    path: Path, injections: Sequence[datetime], *, terms: OrderTerms, device: str | None = None
) -> tuple[VialOrder, ...]:
    """Computes the vials for each treated territory of a plan.

    Activity, residual and half-life are those of the plan. The mean dose of a territory is scaled with the activity of
    its own vial.

    Args:
      path: results.json of the plan.
      injections: possible injection times, with a time zone.
      terms: tolerance, calibration times, shelf life.
      device: "glass", "resin", "holmium" or a .toml file; None for the device of the plan's protocol.

    Raises:
      ConfigError: the plan treats no territory, its protocol is not bundled and no device is provided, the device
        contains another nuclide, or a value of `terms` is missing or out of range.
      ImageFormatError: the file cannot be read or is not a plan.
    """
    plan = read_plan(path)
    if not plan.planned_mbq:
        raise ConfigError(f"{path}: the plan has no activity to order; choose a plan with an activity above 0 MBq")
    supply = load_vials(_device(plan, path) if device is None else device)
    return tuple(
        order_vials_for(
            WantedActivity(
                name=territory,
                activity_mbq=activity_mbq,
                residual_fraction=plan.residual_fraction[territory],
                mean_dose_gy=_mean_dose_gy(plan, territory),
            ),
            supply,
            injections,
            terms=terms,
            nuclide=plan.nuclide_record,
        )
        for territory, activity_mbq in plan.planned_mbq.items()
    )


def plan_cautions(path: Path) -> tuple[str, ...]:
    """Returns why the activities of a plan should not be ordered yet.

    Reasons are unreviewed masks, and checks that are errors.

    Args:
      path: results.json of the plan.

    Raises:
      ImageFormatError: the file cannot be read or is not a plan.
    """
    plan, found = read_plan(path), []
    if plan.unreviewed_masks:
        found.append(f"the plan is a DRAFT: {'; '.join(plan.unreviewed_masks)}")
    if plan.errors:
        found.append(f"the plan has checks that are errors: {', '.join(plan.errors)}")
    return tuple(found)


def _device(plan: TreatmentPlan, path: Path) -> str:
    if plan.protocol not in list_protocols():
        raise ConfigError(f"{path}: protocol {plan.protocol} is not bundled; add --device glass, resin or holmium")
    return load_protocol(plan.protocol).device


def _mean_dose_gy(plan: TreatmentPlan, territory: str) -> float | None:
    rows = [row for row in plan.vois.values() if row["kind"] == "territory" and row["name"] == territory]
    mean_gy = rows[0]["mean_gy"] if rows else None
    return mean_gy if mean_gy else None
