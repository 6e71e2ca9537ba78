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
