"""T/N of lesions that several territories supply, against NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from ball_treatment import DATA, DISTANCE_MM, SHAPE, SHUNT, SPACING_MM, TRUTH

from sirtjax import uncertainty


@pytest.mark.parametrize("plane_mm", [-1.0, 1.0])
def test_the_reference_is_the_normal_tissue_of_each_territory_by_volume(plane_mm):
    x_mm = 4.0 * (np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2)
    inside = DISTANCE_MM[0] < 0
    middle_mm = float(np.broadcast_to(x_mm[:, None, None], SHAPE)[inside].mean()) + plane_mm
    right = np.broadcast_to((x_mm - middle_mm)[:, None, None], SHAPE)
    distance_mm = np.concatenate([DISTANCE_MM[:2], right[None], -right[None], DISTANCE_MM[-1:]]).astype(np.float32)
    members = np.concatenate([np.eye(4), np.zeros((4, 1))], axis=1).astype(np.float32)
    data = replace(
        DATA,
        activity_mbq=np.array([900.0, 300.0], np.float32),
        members=members,
        near=np.tile(DATA.near[2], (4, 1)),
        threshold_gy=np.zeros(4, np.float32),
        bed_per_gy=np.zeros(4, np.float32),
        normal_of=np.array([2, 3], np.int32),
    )
    regions = np.asarray(uncertainty.regions_of(distance_mm, SPACING_MM, lesions=2))
    shares = np.asarray(uncertainty.territory_shares(distance_mm, SPACING_MM, lesions=2))
    # The left territory has twice the concentration, also in the lesion.
    image = np.asarray(TRUTH) * (shares[0] + 2.0 * shares[1])
    shunt = np.full(2, SHUNT[0], np.float32)
    found = uncertainty.dose_metrics(image, image, regions, shunt, data, shares=shares)
    mean = (regions * image).sum(axis=(1, 2, 3)) / regions.sum(axis=(1, 2, 3)).clip(1e-3)
    part = (regions[0] * shares).sum(axis=(1, 2, 3)) / regions[0].sum()
    assert 0.3 < part[0] < 0.7
    assert float(found.tn_ratio[0]) == pytest.approx(mean[0] / (part @ mean[2:4]), rel=1e-4)
    uniform = (regions[0] * TRUTH).sum() / regions[0].sum() / ((regions[2] * TRUTH).sum() / regions[2].sum())
    assert float(found.tn_ratio[0]) == pytest.approx(uniform, rel=0.03)
    # The simulations use this reference.
    used = uncertainty.doses_of_concentration(image, distance_mm, regions, shares, shunt, data)
    assert float(used.tn_ratio[0]) == pytest.approx(float(found.tn_ratio[0]), rel=0.1)
