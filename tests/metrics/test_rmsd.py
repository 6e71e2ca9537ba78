import math

import pytest

from sirtjax.errors import InputError
from sirtjax.metrics import rmsd_mm, rrmsd_mm


def test_by_hand():
    assert rmsd_mm(3.0, [4.0, 5.0]) == pytest.approx(math.sqrt((9 + 16 + 25) / 3))
    assert rmsd_mm(3.0, []) == 3.0
    assert rmsd_mm([3.0, 1.0], [2.0, 2.0]) == pytest.approx(math.sqrt(18 / 4))
    assert rmsd_mm([], [2.0]) == 2.0
    assert rrmsd_mm([1.0, 7.0]) == pytest.approx(5.0)


def test_a_lost_landmark_is_never_zero():
    assert math.isnan(rmsd_mm(3.0, [math.nan, 1.0]))
    with pytest.raises(InputError, match="registration 2 of 3 has no RMSD"):
        rrmsd_mm([1.0, math.nan, 2.0])


def test_refuses():
    with pytest.raises(InputError, match="got none"):
        rmsd_mm([], [])
    with pytest.raises(InputError, match="can't be negative, got -1 mm"):
        rmsd_mm(1.0, [-1.0])
    with pytest.raises(InputError, match="got none"):
        rrmsd_mm([])
