"""Intervals of mean doses by the EANM guidance in a result: numbers from the formulas by NumPy, and what is refused."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, special

from sirtjax.errors import ConfigError
from sirtjax.reports import uncertainty_tables
from sirtjax.workflows import UncertaintyResult, UncertaintySource
from sirtjax.workflows._uncertainty import check_uncertainty
from sirtjax.workflows._uncertainty_eanm import OMITTED, eanm_intervals

FWHM_MM, CONTOURS_MM, SHUNT = 12.0, 1.2, 0.2
SIZES = {
    "calibration": 0.05,
    "residual": 0.02,
    "lung_shunt": 0.3,
    "resolution": 0.1,
    "density": 0.01,
    "half_life": 0.001,
}


def source(name, size, unit="1"):
    return UncertaintySource(name, (size,), unit, None, "test", "assumed")


def voi(name, kind, volume_ml, mean_gy, territory=None):
    return SimpleNamespace(
        name=name, kind=kind, volume_ml=volume_ml, mean_gy=mean_gy, d_gy={"70": 0.9 * mean_gy}, territory=territory
    )


def empty(level=0.9):
    return UncertaintyResult(
        method="samples",
        level=level,
        samples=64,
        budget_samples=None,
        seed=0,
        status="refused",
        message="",
        fwhm_mm=FWHM_MM,
        spacing_mm=None,
        sources=(
            *(source(name, size) for name, size in SIZES.items()),
            source("contours", CONTOURS_MM, "mm"),
            source("registration", 3.0, "mm"),
        ),
        not_included=(),
    )


VOIS = (
    voi("small", "lesion", 0.5, 300.0),
    voi("large", "lesion", 30.0, 200.0),
    voi("normal liver", "normal liver", 1500.0, 40.0),
    voi("right", "territory", 900.0, 60.0),
)
CORRECTED = {one.name: SimpleNamespace(mean_gy=1.1 * one.mean_gy) for one in VOIS}


def result_of(vois=VOIS, **shunts):
    injections = [SimpleNamespace(territory=name, lung_shunt_fraction=shunt) for name, shunt in shunts.items()]
    return SimpleNamespace(vois=vois, lung_shunt_fraction=SHUNT, injections=injections)


def found(**changes):
    return eanm_intervals(empty(**changes), result_of(), CORRECTED)


def relative_variance(row):
    return (row.interval.standard_deviation / row.corrected) ** 2


def recovery(radius, sigma):
    """Counts of a blurred sphere inside itself, by quadrature."""

    def profile(r):
        near, far = (radius - r) / sigma, (radius + r) / sigma
        steps = 0.5 * (special.erf(near / math.sqrt(2)) + special.erf(far / math.sqrt(2)))
        return steps - sigma / (r * math.sqrt(2 * math.pi)) * (np.exp(-(near**2) / 2) - np.exp(-(far**2) / 2))

    counts = integrate.quad(lambda r: 4 * np.pi * r**2 * profile(r), 1e-9, radius)[0]
    return counts / (4 / 3 * np.pi * radius**3), profile(radius)


def test_the_interval_of_a_lesion_is_that_of_the_formulas():
    row = found().row("large", "mean")
    radius, sigma = (750 * 30.0 / np.pi) ** (1 / 3), FWHM_MM / 2.354820045
    coefficient, edge = recovery(radius, sigma)
    by_volume = 3 * math.sqrt(2) * CONTOURS_MM / (2 * radius) * edge / coefficient
    wider, sharper = recovery(radius, 1.01 * sigma)[0], recovery(radius, 0.99 * sigma)[0]
    by_resolution = (sharper - wider) / (0.02 * coefficient) * 0.1
    others = (0.05, 0.02, 0.3 * 0.2 / 0.8, 0.01, 0.001, by_volume, by_resolution)
    wanted = 220.0 * math.sqrt(sum(part**2 for part in others))
    assert row.interval.standard_deviation == pytest.approx(wanted, rel=0.01)
    assert row.interval.upper == pytest.approx(220.0 + 1.645 * wanted, rel=0.01)
    assert row.interval.lower == pytest.approx(220.0 - 1.645 * wanted, rel=0.02)
    budget = row.interval.budget
    assert sum(budget.values()) == pytest.approx(1.0)
    assert budget["contours"] == pytest.approx((220.0 * by_volume / wanted) ** 2, rel=0.02)
    assert budget["resolution"] == pytest.approx((220.0 * by_resolution / wanted) ** 2, rel=0.02)


def test_another_level_has_another_width():
    width = [found(level=level).row("large", "mean").interval for level in (0.9, 0.68)]
    assert (width[0].upper - 220.0) / (width[1].upper - 220.0) == pytest.approx(1.6449 / 0.9945, rel=1e-3)


def test_what_the_formulas_do_not_give_is_said():
    result = found()
    assert (result.method, result.samples, result.status) == ("eanm", 0, "intervals")
    small, d70 = result.row("small", "mean"), result.row("large", "D70")
    assert small.interval is None and "radius of 4.9 mm" in small.reason
    assert d70.interval is None and d70.reason == "the EANM method has mean doses only"
    assert {row.voi for row in result.rows} == {"small", "large", "normal liver"}
    assert any("does not include `registration`" in line for line in result.not_included)
    assert not any("`calibration`" in line for line in result.not_included)
    assert "contours" not in OMITTED


def test_a_dose_of_an_absolute_image_depends_on_neither_residual_nor_lung_shunt():
    relative = relative_variance(found().row("large", "mean"))
    row = eanm_intervals(empty(), result_of(), CORRECTED, absolute=True).row("large", "mean")
    assert relative - relative_variance(row) == pytest.approx(0.02**2 + (0.3 * 0.2 / 0.8) ** 2, rel=1e-6)
    assert (row.interval.budget["residual"], row.interval.budget["lung_shunt"]) == (0.0, 0.0)
    assert sum(row.interval.budget.values()) == pytest.approx(1.0)


def test_a_lesion_has_the_lung_shunt_of_its_injection():
    vois = (voi("large", "lesion", 30.0, 200.0, "right"), *VOIS[2:])
    result = eanm_intervals(empty(), result_of(vois, right=0.4, left=0.05), CORRECTED)
    before = found()
    for name, shunt in (("large", 0.4), ("normal liver", SHUNT)):
        row = result.row(name, "mean")
        wanted = (0.3 * shunt / (1.0 - shunt)) ** 2
        assert row.interval.budget["lung_shunt"] * relative_variance(row) == pytest.approx(wanted, rel=1e-6)
        others = relative_variance(before.row(name, "mean")) - (0.3 * SHUNT / (1.0 - SHUNT)) ** 2
        assert relative_variance(row) == pytest.approx(wanted + others, rel=1e-6)


def test_a_source_whose_size_was_not_measured_is_named_as_not_included():
    """With noise_fraction = "image" and method = "eanm" the noise is stated, but not measured."""
    result = eanm_intervals(empty(), result_of(), CORRECTED, stated=("counts", "registration", "calibration"))
    sentences = [line for line in result.not_included if line.startswith("The EANM method does not include")]
    assert sentences == [f"The EANM method does not include `{name}`." for name in ("counts", "registration")]


def test_the_terminal_names_the_method_and_has_no_empty_table():
    (doses,) = uncertainty_tables(found())
    assert doses.title == "intervals of doses, by the EANM guidance"
    assert [row[0] for row in doses.rows] == ["small", "small", "large", "large", "normal liver", "normal liver"]


@pytest.mark.parametrize(
    ("budget", "shown"),
    [
        ({"counts": 0.0, "contours": 0.0}, "–"),
        ({"counts": float("nan"), "contours": float("nan")}, "–"),
        ({"counts": 0.2, "lung_shunt": 0.8}, "lung shunt 80 %"),
    ],
)
def test_the_terminal_names_no_source_without_a_part(budget, shown):
    """The V of a lesion that is far above its threshold has derivatives of 0: no source is the largest."""
    result = found()
    row = result.row("large", "mean")
    changed = replace(row, interval=replace(row.interval, budget=budget))
    (doses,) = uncertainty_tables(replace(result, rows=(changed,)))
    assert doses.rows[0][-1] == shown


def test_the_lower_bound_of_an_uncertain_dose_is_not_negative():
    uncertain = empty()
    huge = tuple(source("calibration", 0.9) if one.name == "calibration" else one for one in uncertain.sources)
    changed = eanm_intervals(
        UncertaintyResult(**{**vars(uncertain), "sources": huge}),
        result_of(),
        CORRECTED,
    )
    assert changed.row("large", "mean").interval.lower == 0.0


@pytest.mark.parametrize("mean_gy", [0.0, -2.0])
def test_a_dose_that_is_not_above_0_has_no_interval(mean_gy):
    """Before, an image with a subtracted background had an upper bound below its lower bound."""
    changed = CORRECTED | {"large": SimpleNamespace(mean_gy=mean_gy)}
    row = eanm_intervals(empty(), result_of(), changed).row("large", "mean")
    assert (row.interval, row.status) == (None, "no interval")
    assert row.reason == "the corrected value is not above 0"


def test_contours_without_an_error_are_refused(monkeypatch):
    import sirtjax.workflows._uncertainty as module
    from sirtjax.workflows._case_uncertainty import SurfaceSourceTable

    edges = SurfaceSourceTable(size_mm=0.0, correlation_mm=20.0, origin="none", evidence="assumed")
    stated = SimpleNamespace(tables={"contours": edges, "registration": None})
    monkeypatch.setattr(module, "stated_sources", lambda case, table: stated)
    case = SimpleNamespace(
        uncertainty=SimpleNamespace(method="eanm", registration=None),
        partial_volume=SimpleNamespace(methods=("rbv",)),
        images=SimpleNamespace(activity=SimpleNamespace(resolution_fwhm_mm=12.0)),
    )
    with pytest.raises(ConfigError, match=r"requires uncertainty\.contours\.size_mm above 0"):
        check_uncertainty(case)
    case.uncertainty.method = "samples"
    check_uncertainty(case)
