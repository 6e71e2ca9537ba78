"""A second patient of another size, with other grids and more lesions, compiles nothing."""

import analytic_case as case
import diagnostic_case
import jax
import pytest

from sirtjax.reports import write_results
from sirtjax.workflows import load_case, plan_case, run_until, verify_case

SECOND = (
    case.Lesion("one", (-22.0, 6.0, 4.0), 9.0, 3.0, "right"),
    case.Lesion("two", (-8.0, -20.0, -14.0), 8.7, 5.0, "right"),
    case.Lesion("three", (28.0, 4.0, -8.0), 10.0, 4.5, "left"),
)
BIOLOGY = {
    "tumour": {"alpha_beta_gy": 10.0, "alpha_per_gy": 0.036, "repair_half_time_h": 1.5, "source": "written for tests"},
    "normal_liver": {"alpha_beta_gy": 2.75, "repair_half_time_h": 2.5, "source": "written for tests"},
}
SECOND_SPECT = case.grid((31, 36, 27), (5.1, 4.6, 5.9), rotation_rad=(0.1, 0.05, -0.2), flips=(1, -1, 1))
SECOND_CT = case.grid((57, 49, 61), (2.6, 3.1, 2.2), rotation_rad=(0, 0.04, 0.09), flips=(-1, 1, 1))


def work(folder, dose, lesions=case.LESIONS):
    """Plan, report and verify one patient."""
    changes = {"dose": dose, "lesions": lesions, "biology": BIOLOGY}
    result, maps, products = plan_case(load_case(case.write_case(folder, **changes)))
    write_results(folder, result, maps)
    delivered = [{"territory": name, "activity_mbq": 200.0} for name in ("right", "left")]
    verify_case(load_case(case.write_case(folder, **changes, injections=delivered)), products=products)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("spacing_mm", [3.0, "auto"])
def test_a_second_patient_compiles_nothing(tmp_path, compilations, spacing_mm):
    """The lesions of the second patient are smaller: with "auto" its voxels are too, on a grid of the same shape."""
    dose = {"method": "kernel", "spacing_mm": spacing_mm, "density": "gate-gemini-120kv"}
    jax.clear_caches()
    case.write_patient(tmp_path / "first")
    work(tmp_path / "first", dose)
    assert compilations, "the listener must see the first patient's compilations"
    compilations.clear()
    case.write_patient(tmp_path / "second", spect=SECOND_SPECT, ct=SECOND_CT, lesions=SECOND)
    result = work(tmp_path / "second", dose, lesions=SECOND)
    assert {voi.name for voi in result.vois} >= {"one", "two", "three"}
    assert result.voi("one").biology["mean_bed_gy"] > result.voi("one").mean_gy
    assert compilations == []


@pytest.mark.slow
def test_a_second_registration_compiles_nothing(tmp_path, compilations):
    registration = {**diagnostic_case.BOTH, "settings": diagnostic_case.SMALL}
    sizes = (
        {},
        {
            "diagnostic": case.grid((58, 64, 43), (4.0, 3.5, 4.1), rotation_rad=(0.03, 0, -0.1), flips=(-1, 1, 1)),
            "wide_ct": case.grid((71, 50, 40), (3.4, 4.1, 4.4), rotation_rad=(0, -0.06, 0.02), flips=(1, 1, 1)),
        },
    )
    for number, grids in enumerate(sizes):
        compilations.clear()
        folder = tmp_path / str(number)
        diagnostic_case.write_patient(folder, **grids)
        table = diagnostic_case.diagnostic_case(folder, "affine", registration=registration)
        products = run_until(table, "registration")
        assert products.registration.record.status == "success"
        assert bool(compilations) == (number == 0)
