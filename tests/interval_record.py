"""A plan with intervals of realistic size, for tests of reports: built by hand, nothing is simulated."""

import dataclasses
import math

import numpy as np

from sirtjax.workflows import (
    ActivityUncertainty,
    BoundResult,
    HistogramBand,
    Interval,
    ObjectiveResult,
    UncertaintyResult,
    UncertaintyRow,
    UncertaintySource,
)

VOLUMES = tuple(float(x) for x in range(2, 100, 2))
SMALL = "radius of 4.9 mm, below the 6 mm for which intervals were validated"
# Relative standard deviations as in docs/uncertainty.md: large, middle and small lesions.
BUDGET = {
    "registration": 0.58, "contours": 0.21, "resolution": 0.08, "counts": 0.05, "calibration": 0.045,
    "lung_shunt": 0.0, "residual": 0.004, "density": -0.01, "kernel": 0.001, "half_life": 0.0,
}  # fmt: skip
LINEAR_BUDGET = {"calibration": 0.71, "resolution": 0.16, "contours": 0.08, "registration": 0.05}
MM = {"unit": "mm"}
SOURCES = (
    UncertaintySource("counts", (0.12,), "1", 9.0, "phantom scan of the department, 2026", "measured"),
    UncertaintySource("calibration", (0.078,), "1", None, "survey of 45 pharmacies, 2008", "assumed", "y90-published"),
    UncertaintySource("residual", (0.02,), "1", None, "survey meter", "measured"),
    UncertaintySource("lung_shunt", (0.075,), "1", None, "Allred et al. 2018", "assumed", "y90-published"),
    UncertaintySource("resolution", (0.1,), "1", None, "sirtjax resolution, six spheres", "measured"),
    UncertaintySource("registration", (2.0, 2.0, 5.0), "mm", None, "fit to the image, <i>plus</i> motion", "measured"),
    UncertaintySource("contours", (1.5,), "mm", 15.0, "three observers", "assumed"),
    UncertaintySource("density", (0.02,), "1", None, "CT of ten patients", "assumed"),
    UncertaintySource("kernel", (0.0,), "1", None, "omitted", "assumed"),
)  # fmt: skip
NOT_INCLUDED = (
    "The case states no uncertainty of `lung_mass`.",
    "Rotation and deformation between image and contours are not included.",
    "Differences between the planned and the delivered distribution of the microspheres are not included.",
)


def interval(middle, spread, *, bias=-0.04, linear=1.0, differs=False, budget=BUDGET):
    """A log-normal interval of 90 %: middle, standard deviation of its logarithm."""
    steps = 1.6448536269514722 * spread
    deviation = middle * spread
    return Interval(
        median=middle, expectation=middle * math.exp(spread**2 / 2), relative_bias=bias, standard_deviation=deviation,
        standard_deviation_error=0.044 * deviation, lower=middle * math.exp(-steps), upper=middle * math.exp(steps),
        linear_standard_deviation=linear * deviation, differs=differs, budget=dict(budget),
    )  # fmt: skip


def row(voi, kind, metric, value, found, *, corrected=None, reason="", threshold_gy=None):
    unit = "1" if metric in ("V", "T/N", "TCP") else "Gy"
    status = "no interval" if found is None else "interval"
    return UncertaintyRow(voi, kind, metric, threshold_gy, unit, value, corrected, status, reason, found)


def band(voi, d70_gy, spread, *, steep=0.25):
    """A histogram that falls with the volume, and its band."""
    middle = [d70_gy * math.exp(-steep * (volume - 70.0) / 50.0) for volume in VOLUMES]
    steps = 1.6448536269514722 * spread
    low, high = ([value * math.exp(sign * steps) for value in middle] for sign in (-1, 1))
    return HistogramBand(voi, VOLUMES, tuple(low), tuple(middle), tuple(high))


def objective(name, voi, direction, dose_gy, value_gy, *, kind="mean", fraction=None, role="tumour", **more):
    met = value_gy >= dose_gy if direction == "at least" else value_gy <= dose_gy
    return ObjectiveResult(
        name=name, voi=voi, role=role, direction=direction, kind=kind, purpose=more.get("purpose", "bound"),
        dose_gy=dose_gy, volume_fraction=fraction, cumulative=False, value_gy=value_gy, value_fraction=None, met=met,
        source="Table 3",
    )  # fmt: skip


def with_intervals(result, *, lesions=4, name="lesion ", method="samples", budget_samples=64):
    """The result with intervals, lesions of several sizes and their targets.

    Lesion 1 meets its target for certain, lesion 2 may, lesion 3 differs between the two methods, lesion 4 is too
    small; further ones are like the first two.
    """
    template = next(voi for voi in result.vois if voi.kind == "lesion")
    fixed = [voi for voi in result.vois if voi.kind in ("liver", "normal liver")]
    lungs = [voi for voi in result.vois if voi.kind == "lungs"]
    normal, vois, rows, bands, objectives, bounds = "normal liver", [], [], [], [], []
    middles = [(312.0, 0.11), (212.0, 0.16), (201.0, 0.29), (None, 0.0)]
    for n in range(lesions):
        middle, spread = middles[n] if n < 4 else middles[n % 2]
        title = f"{name}{n + 1}"
        plain = 150.0 if middle is None else middle * 0.88
        volume = 0.5 if middle is None else 40.0 - n
        vois.append(dataclasses.replace(template, name=title, volume_ml=volume, mean_gy=1.1 * plain, territory="right",
                                        d_gy=template.d_gy | {"70": plain}))  # fmt: skip
        target = objective(f"D70%({title}) >= 205 Gy", title, "at least", 205.0, plain, kind="D", fraction=0.7)
        objectives.append(target)
        bounds.append(BoundResult(target.name, "lower", 1500.0 * 205.0 / plain, "Table 3"))
        if middle is None:
            rows += [row(title, "lesion", metric, plain, None, reason=SMALL) for metric in ("mean", "D70")]
            continue
        differs = n == 2
        rows += [
            row(title, "lesion", "mean", 1.1 * plain, interval(1.1 * middle, 0.9 * spread), corrected=1.06 * middle),
            row(title, "lesion", "D70", plain,
                interval(middle, spread, linear=0.7 if differs else 1.0, differs=differs), corrected=0.96 * middle),
            row(title, "lesion", "V", 0.55,
                dataclasses.replace(interval(0.7, 0.1), lower=0.31, upper=0.93), corrected=0.66, threshold_gy=205.0),
            row(title, "lesion", "T/N", 4.1, interval(4.6, 0.12), corrected=4.4),
        ]  # fmt: skip
        bands.append(band(title, middle, spread))
    rows += [
        row(normal, normal, "mean", 36.2, interval(34.9, 0.09, budget=LINEAR_BUDGET), corrected=35.1),
        row(normal, normal, "D70", 21.0, interval(20.4, 0.12, budget=LINEAR_BUDGET), corrected=20.6),
        row("lungs", "lungs", "mean", 8.4, interval(8.5, 0.13, budget={"lung_shunt": 0.9, "calibration": 0.1}),
            corrected=8.4),
    ]  # fmt: skip
    bands.append(band(normal, 20.4, 0.12, steep=1.4))
    objectives += [
        objective("mean(normal liver) <= 75 Gy", normal, "at most", 75.0, 36.2, role="whole_normal"),
        objective("mean(lungs) <= 30 Gy", "lungs", "at most", 30.0, 8.4, role="lungs"),
    ]
    bounds += [
        BoundResult("mean(normal liver) <= 75 Gy", "upper", 1500.0 * 75.0 / 36.2, "Table 3"),
        BoundResult("mean(lungs) <= 30 Gy", "upper", 1500.0 * 30.0 / 8.4, "Table 3"),
    ]
    injection = dataclasses.replace(
        result.injections[0], territory="right", activity_mbq=1500.0, lower_mbq=2050.0, upper_mbq=3107.7,
        feasible=True, bounds=tuple(bounds), limiting_objective="activity of the case",
    )  # fmt: skip
    known = {found.name: found for found in objectives}
    uncertain = []
    for bound in bounds:
        one = known[bound.name]
        metric = "mean" if one.kind == "mean" else "D70"
        found = next(r for r in rows if r.voi == one.voi and r.metric == metric).interval
        if found is not None:
            scale = 1500.0 * one.dose_gy
            found = dataclasses.replace(found, median=scale / found.median, lower=scale / found.upper,
                                        upper=scale / found.lower, expectation=scale / found.median,
                                        standard_deviation=100.0, standard_deviation_error=4.0)  # fmt: skip
        status = "no interval" if found is None else "interval"
        uncertain.append(ActivityUncertainty("right", bound.name, bound.side, bound.activity_mbq, None, status,
                                             SMALL if found is None else "", found))  # fmt: skip
    chosen = interval(1500.0, 0.08, bias=0.0, budget={"calibration": 0.94, "residual": 0.06})
    uncertainty = UncertaintyResult(
        method=method, level=0.9, samples=256, budget_samples=budget_samples, seed=0, status="intervals", message="",
        fwhm_mm=12.0, spacing_mm=(4.0, 4.0, 4.0), sources=SOURCES, not_included=NOT_INCLUDED, rows=tuple(rows),
        bounds=tuple(uncertain),
        activities=(
            ActivityUncertainty("right", "activity", None, 1500.0, 1500.0, "interval", "", chosen),
            ActivityUncertainty(None, "activity", None, 1500.0, 1500.0, "interval", "", chosen),
        ),
        histograms=tuple(bands),
    )  # fmt: skip
    return dataclasses.replace(
        result, vois=(*fixed, *vois, *lungs), injections=(injection,), objectives=tuple(objectives),
        uncertainty=uncertainty,
    )  # fmt: skip


def pictured(maps, result):
    """The maps with an occupancy for each lesion of the result."""
    ball = maps.occupancy["lesion 1"]
    weights = maps.occupancy | {voi.name: ball for voi in result.vois if voi.kind == "lesion"}
    return dataclasses.replace(maps, occupancy={name: np.asarray(one) for name, one in weights.items()})


def refused(result, message="the activity image has no resolution"):
    """The result with refused intervals."""
    found = dataclasses.replace(
        result.uncertainty, status="refused", message=message, rows=(), bounds=(), activities=(), histograms=()
    )
    return dataclasses.replace(result, uncertainty=found)
