"""Lesions with a necrotic part: the intervals that need the histogram of the lesion are refused, the others stay."""

import analytic_case as case
import numpy as np
import pytest
import uncertain_case

from sirtjax.io import write_nifti
from sirtjax.volume import LabelMap
from sirtjax.workflows import load_case, plan_case
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._uncertainty_rows import necrosis_reasons

LESIONS = (case.Lesion("alpha", (-20.0, 8.0, -6.0), 16.0, 4.0, "right"), case.LESIONS[1])
# A core of 10 mm in a lesion of 16 mm: 24 % of its volume.
CORE_MM = 10.0


def voi(name, kind, voxels, lesion=None):
    return PlacedVoi(name, kind, ("all",), np.full((1, 1, 1), voxels, np.float32), lesion)


def test_the_necrotic_part_is_that_outside_the_viable_mask():
    vois = [voi("alpha", "lesion", 40.0), voi("beta", "lesion", 60.0), voi("lesions", "lesions", 100.0)]
    assert necrosis_reasons(vois) == {}
    found = necrosis_reasons([*vois, voi("viable alpha", "viable tumour", 30.0, "alpha")])
    assert set(found) == {"alpha", "lesions"}
    assert found["alpha"].startswith("25 % of the volume is necrotic") and found["lesions"].startswith("10 %")
    # A margin of the mask is no necrosis, and a viable mask may be larger than its lesion.
    for viable in (39.0, 44.0):
        assert necrosis_reasons([*vois, voi("viable alpha", "viable tumour", viable, "alpha")]) == {}


@pytest.mark.slow
def test_d70_and_v_of_a_lesion_with_necrosis_have_no_interval(tmp_path):
    uncertain_case.write_patient(tmp_path, LESIONS)
    distance = case.distance_mm(case.points_of(case.CT)[..., 0, :], case.CENTRE_MM + np.asarray(LESIONS[0].offset_mm))
    shell = (distance > CORE_MM) & (distance <= LESIONS[0].radius_mm)
    write_nifti(tmp_path / "viable.nii", LabelMap.from_mask(shell, case.CT, name="alpha"), force=True)
    masks = case.case_table(LESIONS)["masks"] | {"viable": {"path": "viable.nii", "image": "activity"}}
    stated = uncertain_case.SOURCES | {"contour_metric": "mean"}
    path = case.write_case(tmp_path, lesions=LESIONS, masks=masks, **uncertain_case.TABLES, uncertainty=stated)
    result = plan_case(load_case(path))[0]
    assert result.where_to_check.shown_metric == "mean"
    found = result.uncertainty
    for name in ("alpha", "lesions"):
        assert found.row(name, "mean").interval is not None
        refused = found.row(name, "D70")
        assert refused.interval is None and "is necrotic" in refused.reason and refused.corrected is not None
        assert not any(band.voi == name for band in found.histograms)
    assert "24 %" in found.row("alpha", "D70").reason or "25 %" in found.row("alpha", "D70").reason
    assert found.row("beta", "D70").interval is not None and any(band.voi == "beta" for band in found.histograms)
    assert found.row("viable alpha", "mean").status == "no interval"
