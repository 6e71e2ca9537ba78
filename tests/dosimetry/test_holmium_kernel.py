"""The derived 166Ho kernel against values computed separately and against published tables of other nuclides."""

import csv
from pathlib import Path

import numpy as np
import pytest

from sirtjax.dosimetry import (
    RadialKernel,
    absorbed_dose_gy,
    get_nuclide,
    get_radial_kernel,
    kernel_radius_voxels,
    sphere_self_fraction,
    voxel_kernel,
)

HOLMIUM = get_radial_kernel("ho166-derived-water")
TABLE = Path(__file__).parents[1] / "reference" / "lanconelli2012_sr89_re188_soft_near.csv"


def self_value(radial: RadialKernel, voxel_mm: float, offset: tuple[int, int, int]) -> float:
    """mGy/(MBq.s) per MeV in soft tissue of 1.04 g/mL."""
    spacing = (voxel_mm,) * 3
    radius = kernel_radius_voxels(spacing, radial=radial, medium_density_g_per_ml=1.04)
    kernel = np.asarray(
        voxel_kernel(np.asarray(spacing), radial=radial, medium_density_g_per_ml=1.04, radius_voxels=radius)
    )
    share = float(kernel[tuple(r + o for r, o in zip(radius, offset, strict=True))])
    return share * 0.1602176634 / (1.04 * voxel_mm**3 * 1e-3)


@pytest.mark.parametrize(("radius_mm", "fraction"), [(5.0, 0.746), (10.0, 0.869), (15.0, 0.913)])
def test_self_fraction_of_spheres(radius_mm: float, fraction: float) -> None:
    """Computed from the same spectra by another program."""
    found = float(sphere_self_fraction(np.float32(radius_mm), radial=HOLMIUM, medium_density_g_per_ml=1.04))
    assert found == pytest.approx(fraction, abs=1.5e-3)


def test_energy_range_and_source() -> None:
    """ICRP 107 electrons; betas end at 1.85 MeV, 8.9 mm by Katz and Penfold; it is marked as derived."""
    assert sum(HOLMIUM.energy_mev) == pytest.approx(0.69634, rel=1e-4)
    assert HOLMIUM.total_energy_mev == pytest.approx(0.69634, rel=1e-5)
    end_mm = 4.12 * 1.8539 ** (1.265 - 0.0954 * np.log(1.8539))
    assert 0.75 * end_mm < HOLMIUM.range_mm <= end_mm + 0.1
    assert "derived" in HOLMIUM.source
    assert float(HOLMIUM.fractions @ HOLMIUM.radius_mm) == pytest.approx(1.81, abs=0.01)


@pytest.mark.parametrize("voxel_mm", [2.21, 3.0, 4.8])
def test_lies_between_strontium_and_rhenium(voxel_mm: float) -> None:
    """Per MeV its neighbours get what those of nuclides with end points of 1.50 and 2.12 MeV do, within 3 %."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(line for line in file if not line.startswith("#")))
    energy_mev = {"Sr-89": 0.58454, "Re-188": 0.77934}
    for offset in ((0, 0, 1), (0, 1, 1)):
        low, high = sorted(
            next(
                float(s) / energy_mev[name]
                for nuclide, size, i, j, k, s in rows
                if nuclide == name and float(size) == voxel_mm and (int(i), int(j), int(k)) == offset
            )
            for name in ("Sr-89", "Re-188")
        )
        assert 0.97 * low < self_value(HOLMIUM, voxel_mm, offset) < 1.03 * high


def test_dose_of_holmium_by_its_kernel() -> None:
    """A small hot lesion gets less than local deposition and more than 90Y's kernel would leave in it."""
    activity = np.zeros((9, 9, 9), np.float32)
    activity[4, 4, 4] = 10.0
    lung = np.zeros_like(activity)
    means = {}
    for name in ("ho166-clinical", "y90-icrp107"):
        nuclide = get_nuclide(name)
        dose = absorbed_dose_gy(
            activity, 1.05, (5.0, 5.0, 5.0), nuclide=nuclide, method="kernel", lung=lung, medium_density_g_per_ml=1.05
        )
        means[name] = float(dose[4, 4, 4]) / nuclide.dose_constant_gy_kg_per_gbq
        assert float(dose.sum()) == pytest.approx(nuclide.dose_constant_gy_kg_per_gbq * 10.0 / (1.05 * 0.125), rel=1e-4)
    assert means["y90-icrp107"] * 1.1 < means["ho166-clinical"] < 10.0 / (1.05 * 0.125)
