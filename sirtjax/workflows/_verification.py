"""Verification (thesis section 8.4): the dose that was delivered, beside the one that was planned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax import dosimetry
from sirtjax.dosimetry import Check
from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.workflows._case import Case, InjectionTable
from sirtjax.workflows._doses import dose_gy, relative_activity
from sirtjax.workflows._evaluation import Deposit
from sirtjax.workflows._imaged_nuclide import activity_nuclide_checks
from sirtjax.workflows._images import CaseImages
from sirtjax.workflows._prescribing import case_objectives
from sirtjax.workflows._results import SCHEMA, InjectionResult, Maps, Result
from sirtjax.workflows._setting import Setting, assemble, prepare, superpose
from sirtjax.workflows._steps import Hooks, Products, advance, made_images

Array = NDArray[np.float32]


def verify_case(
    case: Case, *, products: Products | None = None, hooks: Hooks | None = None
) -> tuple[Result, Maps, Products]:
    """The absorbed dose after treatment, from the 90Y PET or another image of what was injected.

    "relative" calibration scales the counts of each territory to the activity injected into it; "absolute" takes
    the image's Bq/mL at their reference time back to the time of injection.

    Args:
      case: the case; its injections carry the delivered activities, `plan` the results.json of the plan.
      products: steps made before.
      hooks: automatic segmentation, another registration, progress.

    Returns:
      The result, its images on the working grid, and the products of the steps.

    Raises:
      InputError: something in the case cannot be used; the message says what.
    """
    hooks = hooks or Hooks()
    planned, planned_mbq = ({}, {}) if case.plan is None else read_plan(case.plan)
    if not case.injections or any(table.activity_mbq is None for table in case.injections):
        raise ConfigError("a verification needs the delivered activity_mbq of every one of the [[injections]]")
    products = advance(case, "images", products=products, hooks=hooks)
    checks = activity_nuclide_checks(case, made_images(products), "verification")
    products = advance(case, "mapping", products=products, hooks=hooks)
    setting = prepare(case, products)
    injected = np.asarray([table.activity_mbq for table in case.injections], np.float64)
    hooks.on_step("dose")
    if case.calibration.method == "relative":
        deposit = _relative(case, setting, injected)
    else:
        deposit, calibration = _absolute(case, products, setting, injected)
        checks = (*checks, *calibration)
    hooks.on_step("dose-volume histograms")
    result, maps = assemble(case, products, setting, deposit, case_objectives(case, setting), checks=checks)
    rows = tuple(
        _delivered(table, activity, lsf, planned_mbq.get(table.territory))
        for table, activity, lsf in zip(case.injections, injected.tolist(), setting.shunts, strict=True)
    )
    notes = (*result.notes, *_recovery_notes(case, setting, deposit))
    return replace(result, kind="verification", injections=rows, notes=notes, planned=planned), maps, products


def read_plan(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """The VOI rows of a plan's results.json by VOI name, and its activities by territory.

    Raises:
      ImageFormatError: the file cannot be read or is not a plan of this software.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["schema"] != SCHEMA or table["kind"] != "plan":
            raise KeyError("schema")
        activities = {row["territory"]: float(row["activity_mbq"]) for row in table["injections"]}
        return {row["name"]: row for row in table["vois"]}, activities
    except (OSError, UnicodeDecodeError) as error:
        raise ImageFormatError(f"{path}: cannot read the plan ({getattr(error, 'strerror', error)})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ImageFormatError(
            f"{path}: not the results.json of a plan ({SCHEMA}); give that of `sirtjax plan`"
        ) from error


def _relative(case: Case, setting: Setting, injected: NDArray[np.float64]) -> Deposit:
    activity, dose = [], []
    for name, region in setting.treated().items():
        share = relative_activity(setting.mapped, region, name)
        activity.append(share)
        dose.append(dose_gy(share, setting.mapped, setting.tissue, setting.nuclide, case.dose, holder=setting.liver))
    return superpose(setting, activity, dose, injected)


def _absolute(
    case: Case, products: Products, setting: Setting, injected: NDArray[np.float64]
) -> tuple[Deposit, tuple[Check, ...]]:
    images = products.images
    if images is None or setting.mapped.activity.unit != "Bq/mL":
        raise ConfigError(
            f'calibration.method = "absolute" needs an image in Bq/mL, this one is in {setting.mapped.activity.unit}'
        )
    elapsed_h, known = _elapsed_h(case, images)
    grid = setting.mapped.geometry
    activity = dosimetry.absolute_activity_mbq(
        np.asarray(setting.mapped.activity.array, np.float32),
        voxel_volume_ml=np.float32(grid.voxel_volume_ml),
        elapsed_h=np.float32(elapsed_h),
        half_life_h=np.float32(setting.nuclide.half_life_h),
    )
    activity_mbq = np.asarray(activity, np.float32)
    shunted_mbq = float(injected @ np.asarray(setting.shunts))
    deposit = Deposit(
        activity_mbq=activity_mbq,
        dose_gy=dose_gy(activity_mbq, setting.mapped, setting.tissue, setting.nuclide, case.dose),
        injected_mbq=float(injected.sum()),
        lung_dose_gy=setting.constant_gy_g_per_mbq * shunted_mbq / setting.lungs.mass_g,
        lung_activity_mbq=shunted_mbq,
        lung_mass_g=setting.lungs.mass_g,
    )
    return deposit, dosimetry.calibration_checks("the activity image or the injection", reference_time_known=known)


def _recovery_notes(case: Case, setting: Setting, deposit: Deposit) -> list[str]:
    """What an absolute image shows of the activity that should be in the liver: its calibration in one number."""
    if case.calibration.method != "absolute":
        return []
    shown_mbq = float(np.vdot(deposit.activity_mbq, setting.mapped.occupancy["liver"]))
    expected_mbq = deposit.injected_mbq - deposit.lung_activity_mbq
    return [
        f"the image shows {shown_mbq:.0f} MBq in the liver at the time of injection, "
        f"{shown_mbq / expected_mbq:.0%} of the activity injected and not shunted to the lungs"
    ]


def _elapsed_h(case: Case, images: CaseImages) -> tuple[float, bool]:
    """Hours from the first injection to the image's reference time; 0 and False where one of the two is unknown."""
    reference = case.calibration.reference_time or images.activity.source.reference_time
    times = [table.time for table in case.injections if table.time is not None]
    if not times and images.activity.source.injection_time is not None:
        times = [images.activity.source.injection_time]
    if reference is None or not times:
        return 0.0, False
    return max(dosimetry.hours_between(time, reference) for time in times), True


def _delivered(table: InjectionTable, activity_mbq: float, lsf: float, planned_mbq: float | None) -> InjectionResult:
    return InjectionResult(
        territory=table.territory,
        activity_mbq=activity_mbq,
        prepared_mbq=activity_mbq / (1.0 - table.residual_fraction),
        residual_fraction=table.residual_fraction,
        lung_shunt_fraction=lsf,
        lower_mbq=None,
        upper_mbq=None,
        feasible=True,
        binding="delivered activity, from the case"
        + ("" if planned_mbq is None else f"; planned {planned_mbq:.0f} MBq"),
        bounds=(),
    )
