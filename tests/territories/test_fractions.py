"""Shares of volume and activity, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sirtjax.errors import InputError
from sirtjax.territories import activity_fractions, territory_fractions
from sirtjax.volume import Geometry, LabelMap

GEOMETRY = Geometry.from_axes((4, 3, 2), spacing_mm=(10.0, 10.0, 5.0))  # 0.5 mL a voxel
INSIDE = np.ones((4, 3, 2), bool)
INSIDE[3] = False
LIVER = LabelMap.from_mask(INSIDE, GEOMETRY, name="liver")
LABELS = np.zeros((4, 3, 2), np.uint8)
LABELS[0], LABELS[1], LABELS[3] = 1, 2, 2  # i = 2 is a gap, i = 3 lies outside the liver
TERRITORIES = LabelMap(LABELS, GEOMETRY, names=((1, "right"), (2, "left")))
ACTIVITY = np.ones((4, 3, 2))
ACTIVITY[0], ACTIVITY[1], ACTIVITY[3] = 6.0, 3.0, 100.0


def test_shares_by_hand():
    shares = territory_fractions(TERRITORIES, LIVER, uptake=ACTIVITY)
    assert shares.names == ("right", "left")
    assert shares.liver_volume_ml == pytest.approx(9.0)
    assert shares.volume_ml == pytest.approx((3.0, 3.0))
    assert shares.volume_fraction == pytest.approx((1 / 3, 1 / 3))
    assert shares.gap_ml == pytest.approx(3.0)
    assert shares.activity_fraction == pytest.approx((0.6, 0.3))
    assert shares.gap_activity_fraction == pytest.approx(0.1)


def test_without_an_activity_map_there_is_no_activity_share():
    shares = territory_fractions(TERRITORIES, LIVER, overlap_ml=1.5, outside_ml=2.5)
    assert shares.activity_fraction is None
    assert shares.gap_activity_fraction is None
    assert (shares.overlap_ml, shares.outside_ml) == (1.5, 2.5)


def test_voxels_on_a_boundary_count_for_both_sides():
    liver = np.ones((2, 1, 1))
    occupancy = np.array([[[[1.0]], [[0.25]]], [[[0.0]], [[0.75]]]])
    activity = np.array([[[1.0]], [[4.0]]])
    np.testing.assert_allclose(np.asarray(activity_fractions(activity, liver, occupancy)), [0.4, 0.6], rtol=1e-6)


def test_activity_shares_agree_with_the_host_and_under_jit():
    masks = np.stack([(LABELS == 1) & INSIDE, (LABELS == 2) & INSIDE]).astype(np.float32)
    eager = activity_fractions(ACTIVITY, INSIDE, masks)
    np.testing.assert_allclose(np.asarray(eager), [0.6, 0.3], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(jax.jit(activity_fractions)(ACTIVITY, INSIDE, masks)), np.asarray(eager))
    doubled = activity_fractions(2 * ACTIVITY, INSIDE, masks)
    np.testing.assert_allclose(np.asarray(doubled), np.asarray(eager), rtol=1e-6)


def test_activity_shares_have_the_right_gradient():
    generator = np.random.default_rng(0)
    occupancy = jnp.asarray(generator.uniform(0, 1, (2, 4, 3, 2)), jnp.float32)
    activity = jnp.asarray(generator.uniform(1, 2, (4, 3, 2)), jnp.float32)
    check_grads(
        jax.jit(lambda a, o: activity_fractions(a, jnp.asarray(INSIDE, jnp.float32), o)),
        (activity, occupancy),
        order=1,
        modes=["rev"],
        atol=1e-2,
        rtol=1e-2,
    )


@pytest.mark.parametrize(
    ("activity", "message"),
    [
        (np.ones((2, 2, 2)), r"activity of shape \(2, 2, 2\) on a liver of \(4, 3, 2\) voxels"),
        (np.where(LABELS == 1, -1.0, 1.0), "the activity map has negative or non-finite voxels in the liver"),
        (
            np.where(LABELS == 1, np.nan, 1.0),
            "the activity map has negative or non-finite voxels in the liver",
        ),
        (np.where(INSIDE, 0.0, 5.0), "there is no activity in the liver"),
    ],
)
def test_activity_maps_are_checked(activity, message):
    with pytest.raises(InputError, match=message):
        territory_fractions(TERRITORIES, LIVER, uptake=activity)


def test_grids_must_agree():
    other = Geometry.from_axes((4, 3, 2), spacing_mm=(10.0, 10.0, 6.0))
    moved = LabelMap(LABELS, other, names=TERRITORIES.names)
    with pytest.raises(InputError, match=r"territories on 4x3x2 .*, liver on 4x3x2 .*; resample one of them"):
        territory_fractions(moved, LIVER)


def test_the_liver_must_not_be_empty():
    empty = LabelMap.from_mask(np.zeros((4, 3, 2), bool), GEOMETRY, name="liver")
    with pytest.raises(InputError, match="the liver mask is empty"):
        territory_fractions(TERRITORIES, empty)
