"""The regression behind the estimated quality of a liver mask, and how well it does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from sirtjax.segmentation import EVIDENCE_WORDS, EvidenceWeight, QualityCalibration, Regression, estimate_quality

EVIDENCE = tuple(EVIDENCE_WORDS)
# Of the shape alone: what is known of an outline without an image.
SHAPE = ("unlike", "excess", "lacking", "thin")
RIDGE, MIN_ERROR = 1.0, 0.02
LIMIT, GOOD = 0.9, 0.93
# Fraction of good masks that each regression may flag.
FALSE_FLAGS = 0.05
TOLD = ("seed", "case", "shown", "truth", "outline", "kind", "domain", "modality", "origin", "mass_ml", "flags")
PERCENTILES = (0.02, 0.98)
Floats = NDArray[np.float64]
# Ends, mean and standard deviation of each evidence, its weight, and the intercept.
Fit = tuple[Floats, Floats, Floats, Floats, Floats, float]


def fitted(rows: list[dict[str, Any]], outlines: list[dict[str, Any]]) -> tuple[QualityCalibration, dict[str, Any]]:
    """Two regressions of log(1 - DSC), the worse of which counts; the interval is that of cases left out one at a time.

    A network that is certain and wrong is rare among the cases, so that a regression of all evidence trusts it. The
    second sees the shape alone, and is fitted to outlines with a ball attached or a part cut off beside the cases.
    """
    seen, target = _evidence(rows, EVIDENCE), _target(rows)
    shape = np.vstack([_evidence(outlines, SHAPE), _evidence(rows, SHAPE)])
    shape_target = np.r_[_target(outlines), target]

    def without(number: int) -> tuple[float, float]:
        keep = np.arange(len(rows)) != number
        kept = np.r_[np.ones(len(outlines), bool), keep]
        by_all = _regression(seen[keep], target[keep])
        by_shape = _regression(shape[kept], shape_target[kept])
        one = slice(number, number + 1)
        return float(_predicted(by_all, seen[one])[0]), float(_predicted(by_shape, _evidence(rows[one], SHAPE))[0])

    each = np.array([without(n) for n in range(len(rows))])
    left_out = each.max(axis=1)
    truth, estimates = 1 - np.exp(target), 1 - np.exp(each)
    limits = [_flag_limit(own, truth) for own in estimates.T]
    ends = np.quantile(target - left_out, [0.05, 0.95])
    calibration = QualityCalibration(
        regressions=(
            _stored(EVIDENCE, _regression(seen, target), limits[0]),
            _stored(SHAPE, _regression(shape, shape_target), limits[1]),
        ),
        low_quantile=round(min(float(ends[0]), 0.0), 4),
        high_quantile=round(max(float(ends[1]), 0.0), 4),
        limit=LIMIT,
        source=f"{len(rows)} digital patients and {len(outlines)} outlines, benchmarks/segmentation_quality.py",
    )
    estimate = 1 - np.exp(np.clip(left_out, np.log(MIN_ERROR), None))
    return calibration, scores(truth, estimate, (estimates < limits).any(axis=1))


def _flag_limit(estimate: Floats, truth: Floats) -> float:
    """The highest limit that flags at most one in twenty of the good masks, but not less than that of poor ones."""
    return max(LIMIT, round(float(np.quantile(estimate[truth > GOOD], FALSE_FLAGS)), 3))


def _stored(names: tuple[str, ...], regression: Fit, flag_limit: float) -> Regression:
    low, high, centre, scale, weight, intercept = regression
    columns = {"low": low, "high": high, "centre": centre, "scale": scale, "weight": weight}
    terms = tuple(
        EvidenceWeight(name=name, **{key: round(float(column[n]), 4) for key, column in columns.items()})
        for n, name in enumerate(names)
    )
    return Regression(terms=terms, intercept=round(intercept, 4), flag_limit=flag_limit)


def as_if_certain(outlines: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outlines, each with the network's evidence of a case above 0.93, in turn: what a certain network would say."""
    certain = [row["evidence"] for row in rows if row["dsc"] > GOOD]
    return [row | {"evidence": certain[n % len(certain)] | row["evidence"]} for n, row in enumerate(outlines)]


def _evidence(rows: list[dict[str, Any]], names: tuple[str, ...]) -> Floats:
    return np.array([[row["evidence"][name] for name in names] for row in rows], np.float64)


def _target(rows: list[dict[str, Any]]) -> Floats:
    return np.log(np.maximum(1 - np.array([row["dsc"] for row in rows], np.float64), MIN_ERROR))


def summary(rows: list[dict[str, Any]], calibration: QualityCalibration) -> dict[str, Any]:
    """Scores of cases, their estimates made from their evidence, and a line of each."""
    found = [estimate_quality(calibration, row["evidence"]) for row in rows]
    truth, estimate = np.array([row["dsc"] for row in rows]), np.array([one.dsc for one in found])
    covered = [one.low <= min(row["dsc"], 1 - MIN_ERROR) <= one.high for one, row in zip(found, rows, strict=True)]
    cases = [
        {
            **{key: row[key] for key in TOLD if key in row},
            "dsc": round(row["dsc"], 3),
            "estimated_dsc": round(one.dsc, 3),
            "interval": [round(one.low, 3), round(one.high, 3)],
            "reasons": list(one.reasons),
        }
        for row, one in zip(rows, found, strict=True)
    ]
    flagged = np.array([one.doubtful for one in found])
    return scores(truth, estimate, flagged) | {"covered_by_interval": float(np.mean(covered)), "rows": cases}


def scores(truth: Floats, estimate: Floats, flagged: NDArray[np.bool_]) -> dict[str, Any]:
    """Errors of the estimate, and of the flag as a test for a DSC below the limit."""
    bad, good = truth < LIMIT, truth > GOOD
    return {
        "cases": len(truth),
        "bad": int(bad.sum()),
        "sensitivity": _share(flagged[bad]),
        "specificity": _share(~flagged[~bad]),
        "false_flags_above_0.93": _share(flagged[good]),
        "flagged_below_0.85": _share(flagged[truth < 0.85]),
        "mean_absolute_error": float(np.mean(np.abs(truth - estimate))),
        "bias": float(np.mean(estimate - truth)),
        "within_0.05": float(np.mean(np.abs(truth - estimate) <= 0.05)),
        "correlation": float(np.corrcoef(truth, estimate)[0, 1]),
    }


def _share(values: NDArray[np.bool_]) -> str:
    """A count of a count."""
    return f"{int(values.sum())} of {values.size}"


def _regression(seen: Floats, target: Floats) -> Fit:
    """Least squares with a ridge and weights of zero or more: all evidence grows with doubt."""
    low, high = np.quantile(seen, PERCENTILES, axis=0)
    high = np.maximum(high, low + 1e-3)
    clipped = np.clip(seen, low, high)
    centre, scale, middle = clipped.mean(axis=0), clipped.std(axis=0), float(target.mean())
    system = np.vstack([(clipped - centre) / scale, np.sqrt(RIDGE) * np.eye(seen.shape[1])])
    wanted = np.r_[target - middle, np.zeros(seen.shape[1])]
    return low, high, centre, scale, optimize.nnls(system, wanted)[0], middle


def _predicted(regression: Fit, seen: Floats) -> Floats:
    low, high, centre, scale, weight, intercept = regression
    return np.asarray((np.clip(seen, low, high) - centre) / scale @ weight + intercept)
