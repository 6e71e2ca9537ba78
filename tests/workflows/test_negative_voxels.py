"""Voxels below zero, which the subtraction of a background leaves: in the sum, the review page and the RT Dose."""

import numpy as np
import pytest
from treatment_folder import write_sum, write_treatment

from sirtjax import dosimetry
from sirtjax.reports._dicom_results import _unsigned
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import accumulate_case, load_accumulation
from sirtjax.workflows._evaluation import curve_points
from sirtjax.workflows._voi_histogram import voi_histogram

SHAPE = (20, 18, 16)
GRID = Geometry.from_axes(SHAPE, spacing_mm=(4.0, 4.0, 4.0), origin_mm=(0.0, 0.0, 0.0))
LIMIT = '[[limits]]\nvoi = "normal liver"\nlimit_gy = 500.0\nsource = "written for tests"\n'


def test_doses_below_zero_add(tmp_path):
    """An untreated lobe has noise around 0 Gy in each treatment."""
    rng = np.random.default_rng(0)
    liver = np.zeros(SHAPE, bool)
    liver[3:17, 3:15, 3:13] = True
    lesion = np.zeros(SHAPE, bool)
    lesion[12:15, 8:11, 6:9] = True
    right = np.arange(SHAPE[0])[:, None, None] < 10
    doses = [np.where(side, gy, 0.0) + rng.standard_normal(SHAPE) for side, gy in ((right, 60.0), (~right, 50.0))]
    for name, dose in zip(("first", "second"), doses, strict=True):
        write_treatment(tmp_path / name, dose, GRID, {"liver": liver, "t1": lesion})
    result, _ = accumulate_case(load_accumulation(write_sum(tmp_path, LIMIT)))
    rows = {row.name: row.dose for row in result.voi("t1").treatments}
    assert rows["first"].min_gy < -0.5
    for name, dose in zip(("first", "second"), doses, strict=True):
        assert rows[name].mean_gy == pytest.approx(dose[lesion].mean(), abs=1e-4)
    assert result.voi("liver").dose.mean_gy == pytest.approx(sum(doses)[liver].mean(), abs=1e-4)


def test_the_page_has_the_histogram_of_the_report():
    dose = np.full(SHAPE, 20.0, np.float32)
    dose[10, 9, 8] = -5.0
    everything = LabelMap.from_mask(np.ones(SHAPE, bool), GRID, name="liver")
    found = voi_histogram(everything, "liver", Volume(dose, GRID, unit="Gy"), GRID, transform=None)
    assert found is not None and found.mean_gy == pytest.approx(dose.mean(dtype=np.float64), rel=1e-6)


def test_the_curve_of_a_voi_below_zero_rises_from_zero():
    dvh = dosimetry.dvh_from_arrays(np.full(SHAPE, -0.5), np.ones(SHAPE), 0.064, signed=True)
    dose, percent = curve_points(dvh)
    assert (dose[0], np.diff(dose).min() > 0, max(percent)) == (0.0, True, 0.0)


def test_an_rt_dose_has_zeros_and_says_so():
    dose = np.full(SHAPE, 20.0, np.float32)
    dose[:2, 0, 0] = -0.5, -2.25
    left_out = []
    found = _unsigned(Volume(dose, GRID, unit="Gy"), left_out)
    assert np.array_equal(found.array, np.maximum(dose, 0)) and found.unit == "Gy"
    (sentence,) = left_out
    assert sentence.startswith(f"2 of {dose.size} voxels have a dose below 0 Gy (down to -2.25 Gy): they are 0 in the")
    whole = Volume(np.maximum(dose, 0), GRID, unit="Gy")
    assert _unsigned(whole, left_out) is whole and len(left_out) == 1
