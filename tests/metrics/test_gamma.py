"""The gamma index against pymedphys, brute force and cases with a known answer."""

import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.metrics import GammaCriteria, gamma_index

SPACING = (2.0, 3.0, 2.5)
SHAPE = (14, 10, 12)


def blob(shift_mm=(0.0, 0.0, 0.0), scale=1.0, width_mm=9.0):
    axes = [np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) - np.asarray([12.0, 14.0, 13.0]) - shift_mm
    return (scale * 100.0 * np.exp(-(places**2).sum(-1) / (2 * width_mm**2))).astype(np.float32)


def brute_force(reference, evaluated, criteria, step_mm, reach_mm):
    """Every reference voxel against a lattice of points, by SciPy's interpolation, one voxel at a time."""
    from scipy.interpolate import RegularGridInterpolator

    axes = [np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)]
    dose = RegularGridInterpolator(axes, evaluated.astype(float), bounds_error=False, fill_value=np.nan)
    line = np.arange(-round(reach_mm / step_mm), round(reach_mm / step_mm) + 1) * step_mm
    shifts = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    shifts = shifts[np.linalg.norm(shifts, axis=1) <= reach_mm * (1 + 1e-9)]
    found = np.full(SHAPE, np.nan)
    highest = float(reference.max())
    for index in np.argwhere(reference >= criteria.threshold_percent / 100 * highest):
        value = float(reference[tuple(index)])
        allowed = criteria.dose_percent / 100 * (value if criteria.scope == "local" else highest)
        squares = (dose(index * SPACING + shifts) - value) ** 2 / allowed**2
        squares += (shifts**2).sum(1) / criteria.distance_mm**2
        found[tuple(index)] = min(np.sqrt(np.nanmin(squares)), reach_mm / criteria.distance_mm)
    return found


def test_equal_doses_have_an_index_of_zero():
    dose = blob()
    found = gamma_index(dose, dose, SPACING)
    assert found.passed_fraction == 1.0
    assert np.nanmax(found.values) == 0.0
    assert found.voxels == int((dose >= 0.1 * dose.max()).sum())


@pytest.mark.parametrize(("scope", "expected"), [("global", 2.0 * 0.5), ("local", 2.0)])
def test_a_uniform_difference_is_counted_in_units_of_the_normalisation(scope, expected):
    """Two uniform halves, 100 and 50 Gy, far from each other: 10 % too much is 2 of 5 % locally, 1 globally at 50."""
    dose = np.full((4, 4, 40), 100.0, np.float32)
    dose[..., 20:] = 50.0
    criteria = GammaCriteria(dose_percent=5.0, distance_mm=5.0, scope=scope)
    found = gamma_index(dose, 1.1 * dose, (5.0, 5.0, 5.0), criteria=criteria, max_gamma=3.0, step_fraction=0.25)
    assert found.values[2, 2, 35] == pytest.approx(expected, rel=1e-5)
    assert found.values[2, 2, 5] == pytest.approx(2.0, rel=1e-5)


def test_a_shifted_slope_has_the_index_of_its_geometry():
    """A slope of g Gy/mm shifted by s: the distance to a line in scaled space, s / sqrt(D^2 + (N / g)^2)."""
    x = np.arange(60) * 2.0
    slope, shift, distance, percent = 2.0, 3.0, 4.0, 5.0
    reference = np.broadcast_to(200.0 + slope * x[:, None, None], (60, 3, 3)).astype(np.float32)
    evaluated = np.broadcast_to(200.0 + slope * (x - shift)[:, None, None], (60, 3, 3)).astype(np.float32)
    criteria = GammaCriteria(dose_percent=percent, distance_mm=distance)
    allowed = percent / 100 * float(reference.max())
    found = gamma_index(reference, evaluated, (2.0, 2.0, 2.0), criteria=criteria, step_fraction=0.05)
    expected = slope * shift / np.hypot(slope * distance, allowed)
    assert found.values[30, 1, 1] == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_the_index_is_that_of_brute_force(scope):
    criteria = GammaCriteria(dose_percent=4.0, distance_mm=4.0, scope=scope, threshold_percent=20.0)
    reference, evaluated = blob(), blob((1.5, -2.0, 1.0), scale=1.07)
    found = gamma_index(reference, evaluated, SPACING, criteria=criteria, max_gamma=1.2, step_fraction=0.2).values
    expected = brute_force(reference, evaluated, criteria, step_mm=0.8, reach_mm=4.8)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    inside = np.isfinite(expected)
    assert 0.2 < (expected[inside] <= 1).mean() < 0.98
    # At the end of the search the lattices of both end at the same distance.
    assert np.abs(found - expected)[inside].max() < 2e-4


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["global", "local"])
def test_the_index_is_that_of_pymedphys(scope):
    pymedphys = pytest.importorskip("pymedphys")
    axes = tuple(np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True))
    reference, evaluated = blob(), blob((3.0, -2.0, 2.0), scale=1.12)
    criteria = GammaCriteria(dose_percent=5.0, distance_mm=5.0, scope=scope, threshold_percent=20.0)
    # Every third voxel along an axis: theirs takes half a minute for all of them.
    few = np.zeros(SHAPE, bool)
    few[::3, ::3, ::2] = True
    found = gamma_index(reference, evaluated, SPACING, criteria=criteria, within=few, max_gamma=2.0, step_fraction=0.05)
    theirs = pymedphys.gamma(
        tuple(axis[::step] for axis, step in zip(axes, (3, 3, 2), strict=True)),
        reference[::3, ::3, ::2].astype(float),
        axes,
        evaluated.astype(float),
        5.0,
        5.0,
        lower_percent_dose_cutoff=20.0,
        interp_fraction=20,
        max_gamma=2.0,
        global_normalisation=found.normalisation_gy,
        local_gamma=scope == "local",
        interp_algo="scipy",  # its own interpolation needs numba
    )
    inside, values = np.isfinite(theirs), found.values[::3, ::3, ::2]
    assert np.array_equal(inside, np.isfinite(values))
    # Both search points a twentieth of 5 mm apart, ours on a lattice, theirs on spheres.
    difference = np.abs(values - theirs)[inside]
    assert (difference.mean(), difference.max()) < (0.02, 0.15)
    passed = float((theirs[inside] <= 1).mean())
    assert 0.2 < passed < 0.98
    assert found.passed_fraction == pytest.approx(passed, abs=0.02)


def test_only_the_region_above_the_threshold_is_evaluated():
    dose = blob()
    region = np.zeros(SHAPE, bool)
    region[4:9, 3:7, 3:8] = True
    criteria = GammaCriteria(threshold_percent=50.0)
    found = gamma_index(dose, dose, SPACING, criteria=criteria, within=region)
    assert found.normalisation_gy == float(dose[region].max())
    assert np.array_equal(np.isfinite(found.values), region & (dose >= 0.5 * dose[region].max()))
    empty = gamma_index(dose, dose, SPACING, within=np.zeros(SHAPE, bool))
    assert (empty.voxels, np.isnan(empty.passed_fraction)) == (0, True)


@pytest.mark.slow
def test_a_dose_that_moved_out_of_reach_does_not_pass():
    found = gamma_index(blob(), np.zeros(SHAPE, np.float32), SPACING)
    assert found.passed_fraction == 0.0
    assert np.nanmax(found.values) == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluated_gy": np.zeros((3, 3, 3), np.float32)}, r"shape \(14, 10, 12\) and \(3, 3, 3\).*one grid"),
        ({"evaluated_gy": np.full(SHAPE, np.nan, np.float32)}, "NaN or infinite; replace them"),
        ({"reference_gy": np.zeros(SHAPE, np.float32)}, "reference dose is zero"),
        ({"criteria": GammaCriteria(distance_mm=0.0)}, r"distance_mm: not positive \(0.0\)"),
        ({"max_gamma": 1.0}, r"max_gamma: not above 1 \(1.0\); voxels that fail"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    arguments = {"reference_gy": blob(), "evaluated_gy": blob(), "spacing_mm": SPACING} | change
    with pytest.raises(InputError, match=message):
        gamma_index(**arguments)
