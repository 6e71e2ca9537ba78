"""Local deposition in voxels that liver and territory fill differently."""

import jax
import numpy as np
import pytest

from sirtjax import pipeline
from sirtjax.dosimetry import get_nuclide


@pytest.mark.parametrize("compiled", [False, True])
def test_no_voxel_has_more_dose_than_its_counts_give(compiled):
    """Uniform counts: each voxel has the dose of a full voxel at most, where the liver is a sliver as well."""
    liver = np.array([[[1.0, 0.5, 0.003, 0.0]]], np.float32)
    territory = np.array([[[1.0, 0.4, 0.04, 0.0]]], np.float32)
    density, lung = np.full_like(liver, 1.05), np.zeros_like(liver)

    def dose(liver, territory):
        holder = pipeline.filled_fraction(liver, [territory])
        return pipeline.voxel_dose_gy(
            7.0 * territory, density, lung, np.full(3, 3.0, np.float32), nuclide=get_nuclide("y90-icrp107"),
            method="local", soft_tissue_g_per_ml=1.05, holder=holder,
        )  # fmt: skip

    # Each of 7 MBq decays in 27 mm3 of 1.05 g/mL.
    full_gy = 7e-3 * get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq / (0.027 * 1.05e-3)
    found = np.asarray((jax.jit(dose) if compiled else dose)(liver, territory))
    np.testing.assert_allclose(found.ravel() / full_gy, [1.0, 0.8, 1.0, 0.0], rtol=1e-5)


def half_spaces(together_at_edge, liver_at_edge):
    """Two territories that meet at x = 2.35 voxels, in a liver whose last row of voxels is filled in part."""
    row = np.array([1.0, 1.0, together_at_edge])
    right = np.clip(2.35 - np.arange(5.0), 0.0, 1.0)[:, None, None] * row[None, :, None]
    left = np.clip(np.arange(1.0, 6.0) - 2.35, 0.0, 1.0)[:, None, None] * row[None, :, None]
    liver = np.ones((5, 1, 1)) * np.array([1.0, 1.0, liver_at_edge])[None, :, None]
    return tuple(one.astype(np.float32) for one in (liver, right, left))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("liver_at_edge", [0.0, 0.1, 0.6, 0.9])
@pytest.mark.parametrize("mbq_per_voxel", [(40.0, 40.0), (90.0, 10.0)])
def test_territories_that_share_voxels_conserve_their_activities(mbq_per_voxel, liver_at_edge, compiled):
    """Analytic: each half has its own uniform concentration; a shared voxel has the mean over its two parts."""
    liver, right, left = half_spaces(0.6, liver_at_edge)
    nuclide, counts = get_nuclide("y90-icrp107"), np.ones((5, 3, 1), np.float32)
    density, lung = np.full_like(liver, 1.05), np.zeros_like(liver)
    injected = [value * float(part.sum()) for value, part in zip(mbq_per_voxel, (right, left), strict=True)]

    def maps(liver, right, left):
        holder = pipeline.filled_fraction(liver, [right, left])
        unit = [
            pipeline.relative_activity(counts, part, name=name) for name, part in (("right", right), ("left", left))
        ]
        dose = [
            pipeline.voxel_dose_gy(
                one, density, lung, np.full(3, 3.0, np.float32), nuclide=nuclide, method="local",
                soft_tissue_g_per_ml=1.05, holder=holder,
            )
            for one in unit
        ]  # fmt: skip
        return holder, unit, dose

    holder, unit, dose = (jax.jit(maps) if compiled else maps)(liver, right, left)
    voxel_kg = 0.027 * 1.05e-3
    gy_kg_per_mbq = 1e-3 * nuclide.dose_constant_gy_kg_per_gbq
    for activity, one in zip(unit, dose, strict=True):
        assert float(np.asarray(activity, np.float64).sum()) == pytest.approx(1.0, rel=2e-6)
        energy = (np.asarray(one, np.float64) * np.asarray(holder) * voxel_kg).sum()
        assert energy == pytest.approx(gy_kg_per_mbq, rel=2e-6)
    total = sum(amount * np.asarray(one, np.float64) for amount, one in zip(injected, dose, strict=True))
    by_parts = mbq_per_voxel[0] * right + mbq_per_voxel[1] * left
    territories = right.astype(np.float64) + left
    expected = gy_kg_per_mbq / voxel_kg * by_parts / np.maximum(liver, territories)
    np.testing.assert_allclose(total, expected, rtol=5e-6)
    if liver_at_edge <= 0.6:
        assert (total * territories * voxel_kg).sum() == pytest.approx(gy_kg_per_mbq * sum(injected), rel=2e-6)


def test_territories_that_overlap_do_not_fill_more_than_a_voxel():
    right, left = np.full((1, 1, 1), 0.8, np.float32), np.full((1, 1, 1), 0.7, np.float32)
    assert pipeline.filled_fraction(np.full((1, 1, 1), 0.2, np.float32), [right, left]).item() == 1.0
