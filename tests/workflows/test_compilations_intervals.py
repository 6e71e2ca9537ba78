"""The intervals of a second patient, with a larger liver and more lesions, compile nothing in a whole plan."""

import analytic_case as case
import pytest
import uncertain_case

from sirtjax.workflows import load_case, plan_case


def _without_size(row):
    return {**row, "size_mm" if "size_mm" in row else "size": 0.0}


# The others have the size 0: the budget runs the same program again for each source with a size.
SIZED = ("counts", "registration", "contours")
SOURCES = {
    **{name: row if name in SIZED else _without_size(row) for name, row in uncertain_case.SOURCES.items()},
    "samples": 64,
    "budget": "sobol",
    "uptake": {"size": 0.15, "correlation_fwhm_mm": 15.0, **uncertain_case.STATED},
}
TABLES = {
    "partial_volume": {"methods": ["rbv"], "propose_shift": True},
    "biology": {"tumour": {"alpha_beta_gy": 10.0, "repair_half_time_h": 1.5, "source": "written for tests"}},
    "dose": {"method": "kernel", "spacing_mm": "auto", "density": "gate-gemini-120kv"},
    "uncertainty": SOURCES,
}
SMALL = case.Lesion("gamma", (-4.0, -25.0, 20.0), 9.0, 5.0, "right")
FIRST = (*case.LESIONS, SMALL)
SECOND = (
    case.Lesion("one", (-22.0, 6.0, 4.0), 9.0, 3.0, "right"),
    case.Lesion("two", (-8.0, -20.0, -14.0), 8.7, 5.0, "right"),
    case.Lesion("three", (28.0, 4.0, -8.0), 10.0, 4.5, "left"),
    case.Lesion("four", (22.0, -18.0, 12.0), 9.0, 4.0, "left"),
)
SECOND_SPECT = case.grid((31, 36, 27), (5.1, 4.6, 5.9), rotation_rad=(0.1, 0.05, -0.2), flips=(1, -1, 1))
SECOND_CT = case.grid((57, 49, 61), (2.6, 3.1, 2.2), rotation_rad=(0, 0.04, 0.09), flips=(-1, 1, 1))


def planned(folder, lesions):
    return plan_case(load_case(case.write_case(folder, lesions=lesions, **TABLES)))[0]


@pytest.mark.slow
def test_a_second_patient_compiles_nothing(tmp_path, compilations, monkeypatch):
    assert len(FIRST) == len(case.LESIONS) + 1 == len(SECOND) - 1
    uncertain_case.use_small_grid(monkeypatch)
    case.write_patient(tmp_path / "first", lesions=FIRST)
    first = planned(tmp_path / "first", FIRST).uncertainty
    compilations.clear()
    monkeypatch.setattr(case, "LIVER_MM", 55.0)
    case.write_patient(tmp_path / "second", spect=SECOND_SPECT, ct=SECOND_CT, lesions=SECOND)
    found = planned(tmp_path / "second", SECOND)
    assert compilations == []
    second = found.uncertainty
    assert (first.status, second.status) == ("intervals", "intervals")
    # The nodes of the displacements are 20 mm apart on both grids, whose voxels differ.
    assert second.spacing_mm != first.spacing_mm
    assert second.row("four", "mean").interval.budget.keys() == first.row("gamma", "mean").interval.budget.keys()
    assert {row.voi for row in found.where_to_check.rows} == {lesion.name for lesion in SECOND}
