"""The full `sirtjax plan` command on balls of known activity: mean doses next to the exact ones."""

import dose_evidence
import pytest


def test_the_self_fraction_is_that_of_other_computations():
    # Of a sampling of the kernel in water-like tissue of 1.04 g/mL, which is 1 % less dense than here.
    for radius, expected in ((5.0, 0.636), (10.0, 0.810), (15.0, 0.8725)):
        assert dose_evidence.self_fraction(radius) == pytest.approx(expected, rel=5e-3)


@pytest.fixture(scope="module", params=[(0.0, 0.0, 0.0), (0.3, -0.2, 0.1)], ids=["centre", "part of a voxel"])
def spheres(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spheres")
    return folder, dose_evidence.write_spheres(folder, request.param)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--set", "dose.method=kernel")], ids=["default", "kernel"])
def test_means_of_small_balls_are_within_3_percent(spheres, options):
    folder, truth = spheres
    rows = dose_evidence.sphere_rows(dose_evidence.plan_spheres(folder, *options), truth)
    assert [row["radius_mm"] for row in rows] == [5.0, 10.0, 15.0]
    assert {row["method"] for row in rows} == {"kernel" if options else "local"}
    for row in rows:
        assert abs(row["error_percent"]) < 3.0, row


@pytest.mark.slow
def test_the_grid_of_before_does_not_pass(spheres):
    folder, truth = spheres
    rows = dose_evidence.sphere_rows(dose_evidence.plan_spheres(folder, "--set", "dose.spacing_mm=3.0"), truth)
    assert all(row["error_percent"] < -5.0 for row in rows)
