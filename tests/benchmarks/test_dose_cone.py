"""The Monte Carlo that judges the cone method, against exact values, and the method against it."""

import dose_cone
import numpy as np
import pytest

from sirtjax.dosimetry import get_radial_kernel, sphere_self_fraction

SPACING = (3.0, 3.0, 3.0)
UNIFORM = dose_cone.Geometry(
    top_mm=63.0,
    lung_g_per_ml=1.05,
    shunt=0.0,
    lesions=(((54.0, 48.0, 40.0), 15.0),),
    tumour_to_normal=2.0,
)


@pytest.mark.slow
def test_the_monte_carlo_leaves_in_a_sphere_what_it_keeps() -> None:
    """A sphere of 15 mm, in voxels: its self fraction in closed form, less what its partial voxels lose."""
    case = dose_cone.patient(UNIFORM, SPACING)
    lesion = case.lesions[0]
    absorbed = dose_cone.transport(lesion, case, 60_000, seed=1)
    assert absorbed.sum() == pytest.approx(lesion.sum(), rel=2e-3)
    radial = get_radial_kernel("y90-graves2019-water")
    exact = float(sphere_self_fraction(np.float32(15.0), radial=radial, medium_density_g_per_ml=1.05))
    found = float((absorbed * case.regions["lesion 15 mm"]).sum()) / float(lesion.sum())
    assert exact - 0.12 < found < exact


@pytest.mark.slow
@pytest.mark.parametrize("grid", list(dose_cone.SPACINGS_MM))
def test_the_cone_method_is_within_its_limits(grid: str) -> None:
    """With a fortieth of the decays of the table in docs/validation.md, on the dome."""
    geometry = dose_cone.GEOMETRIES["dome"]
    case = dose_cone.patient(geometry, dose_cone.SPACINGS_MM[grid])
    mass = case.density * float(np.prod(case.spacing_mm)) * 1e-3
    true = dose_cone.absorbed_mbq(case, 400_000, seed=3)
    found = dose_cone.doses(case)
    error = {
        method: {
            region: 100 * (float((dose * mass * weight).sum()) / float((true * weight).sum()) - 1)
            for region, weight in case.regions.items()
        }
        for method, dose in found.items()
    }
    cone = error["cone"]
    assert abs(cone["lung < 30 mm"]) < 3
    assert abs(cone["edge voxel"]) < 3
    assert abs(cone["liver"]) < 1
    assert max(abs(cone["lesion 10 mm"]), abs(cone["lesion 5 mm"])) < 1.5  # noise
    # The other methods are not: the judge sees the difference.
    assert error["kernel"]["lung < 30 mm"] < -10
    assert error["local"]["lesion 10 mm"] > 5
