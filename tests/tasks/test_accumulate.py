"""`sj.accumulate`: doses outside an image, half-lives and doses below zero."""

import logging
import math

import numpy as np
import pytest

import sirtjax as sj
from sirtjax import spatial
from sirtjax.errors import GeometryError, InputError

SHAPE, SPACING_MM = (12, 12, 12), (5.0, 5.0, 5.0)
TISSUE = sj.dosimetry.TissueParameters(source="example", alpha_beta_gy=2.5, repair_half_time_h=2.5)


def dose(*, x_mm=0.0, gy=60.0):
    grid = sj.Geometry.from_axes(SHAPE, spacing_mm=SPACING_MM, origin_mm=(x_mm, 0.0, 0.0))
    return sj.Volume(np.full(SHAPE, gy, np.float32), grid, unit="Gy")


@pytest.mark.parametrize("x_mm", [30.0, -30.0])
def test_half_of_the_tissue_outside_a_dose_image_is_reported(caplog, x_mm):
    with caplog.at_level(logging.WARNING):
        total = sj.accumulate([dose(), dose(x_mm=x_mm)])
    assert total.outside_fraction == pytest.approx((0.0, 0.5))
    assert float(total.dose_gy.array.mean()) == pytest.approx(90.0)
    (record,) = caplog.records
    assert "dose 2: 50.0 % of the tissue with dose is outside its image" in record.getMessage()


def test_images_that_cover_the_tissue_are_not_reported(caplog):
    inside = dose(gy=0.0)
    inside.array[4:8, 4:8, 4:8] = 60.0
    small = sj.Geometry.from_axes((8, 8, 8), spacing_mm=SPACING_MM, origin_mm=(10.0, 10.0, 10.0))
    second = sj.Volume(np.full(small.shape, 0.1, np.float32), small, unit="Gy")
    with caplog.at_level(logging.WARNING):
        assert sj.accumulate([inside, second]).outside_fraction == (0.0, 0.0)
        assert sj.accumulate([dose(), dose()]).outside_fraction == (0.0, 0.0)
        assert sj.accumulate([dose(gy=0.0), dose(gy=0.0, x_mm=30.0)]).outside_fraction == (0.0, 0.0)
    assert not caplog.records


def test_an_image_beside_the_grid_is_refused():
    away = np.eye(4)
    away[0, 3] = 3000.0
    for second, move in ((dose(x_mm=3000.0), None), (dose(), spatial.AffineTransform(away))):
        with pytest.raises(GeometryError, match="dose 2: its image has no voxel on the grid of the sum"):
            sj.accumulate([dose(), second], transforms=[None, move])
    # The same transform brings an image back that is far away.
    back = sj.accumulate([dose(), dose(x_mm=3000.0)], transforms=[None, spatial.AffineTransform(away)])
    assert back.outside_fraction == pytest.approx((0.0, 0.0))
    assert float(back.dose_gy.array.mean()) == pytest.approx(120.0)


@pytest.mark.parametrize("half_life_h", [0.0, -3.0, math.nan, math.inf])
def test_a_half_life_that_no_nuclide_has_is_refused(half_life_h):
    with pytest.raises(InputError, match="half_life_h 2: expected a finite number of hours above 0"):
        sj.accumulate([dose(), dose()], tissue=TISSUE, half_life_h=[64.1, half_life_h])


def test_a_dose_below_zero_is_refused():
    with pytest.raises(InputError, match="dose 2: expected finite doses in Gy that are not negative"):
        sj.accumulate([dose(), dose(gy=-1.0)])
