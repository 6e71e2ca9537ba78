"""Territories from masks: voxels counted by hand on a row of voxels."""

import numpy as np
import pytest

from sirtjax.errors import GeometryError, InputError
from sirtjax.territories import territories_from_masks
from sirtjax.volume import Geometry, LabelMap

# One voxel is 2 x 5 x 10 mm: 0.1 mL.
GEOMETRY = Geometry.from_axes((12, 2, 1), spacing_mm=(2.0, 5.0, 10.0), direction=np.diag([-1.0, 1.0, 1.0]))
VOXEL_ML = 0.1


def row(text):
    """A mask from one character a voxel along i, the same for both j."""
    values = np.array([character != "." for character in text])
    return np.repeat(values[:, None, None], 2, axis=1)


LIVER = LabelMap.from_mask(row(".##########."), GEOMETRY, name="liver")


def shown(labels):
    rows = np.asarray(labels.array)[:, :, 0]
    np.testing.assert_array_equal(rows[:, 0], rows[:, 1])
    return "".join(".123456789"[value] for value in rows[:, 0])


def test_masks_that_fit_are_taken_as_they_are():
    labels, shares = territories_from_masks(LIVER, {"right": row("#####......."), "left": row(".....#######")})
    assert shown(labels) == ".1111222222."
    assert labels.names == ((1, "right"), (2, "left"))
    assert shares.volume_ml == pytest.approx((8 * VOXEL_ML, 12 * VOXEL_ML))
    assert shares.volume_fraction == pytest.approx((0.4, 0.6))
    assert (shares.overlap_ml, shares.gap_ml) == (0.0, 0.0)
    # Voxel 0 on the right and voxel 11 on the left, in both rows.
    assert shares.outside_ml == pytest.approx(4 * VOXEL_ML)


OVERLAPPING = {"right": row(".######....."), "left": row("...########.")}


@pytest.mark.parametrize(("rule", "expected"), [("nearest", ".1111222222."), ("first", ".1111112222.")])
def test_an_overlap_is_resolved_by_the_rule_and_reported_as_found(rule, expected):
    labels, shares = territories_from_masks(LIVER, OVERLAPPING, overlap=rule)
    assert shown(labels) == expected
    assert shares.overlap_ml == pytest.approx(8 * VOXEL_ML)
    assert sum(shares.volume_ml) == pytest.approx(shares.liver_volume_ml) == pytest.approx(20 * VOXEL_ML)


def test_an_overlap_goes_to_a_claimant_only():
    masks = {"a": row(".#..#......."), "b": row("..##.#......"), "c": row("....#.....##")}
    labels, _ = territories_from_masks(LIVER, masks)
    # Voxel 4 lies within b but only a and c claim it, and a is nearer.
    assert shown(labels) == ".12212....3."


@pytest.mark.parametrize(("rule", "expected"), [("leave", ".111....222."), ("nearest", ".1111122222.")])
def test_a_gap_is_left_or_filled_and_reported_as_found(rule, expected):
    masks = {"right": row(".###........"), "left": row("........###.")}
    labels, shares = territories_from_masks(LIVER, masks, gap=rule)
    assert shown(labels) == expected
    left_over = 8 if rule == "leave" else 0
    assert shares.gap_ml == pytest.approx(left_over * VOXEL_ML)


def test_distances_are_millimetres():
    geometry = Geometry.from_axes((5, 5, 1), spacing_mm=(1.0, 9.0, 1.0))
    liver = LabelMap.from_mask(np.ones((5, 5, 1), bool), geometry, name="liver")
    far_i, near_j = np.zeros((2, 5, 5, 1), bool)
    far_i[4, 0], near_j[0, 1] = True, True
    labels, _ = territories_from_masks(liver, {"i": far_i, "j": near_j}, gap="nearest")
    # From (0, 0) it is four voxels (4 mm) along i and one (9 mm) along j.
    assert np.asarray(labels.array)[0, 0, 0] == 1


@pytest.mark.parametrize(
    ("masks", "options", "error", "message"),
    [
        (
            {"right": row("####........")},
            {},
            InputError,
            r"1 territory mask\(s\) given \(right\); expected two",
        ),
        (
            OVERLAPPING,
            {"overlap": "error"},
            InputError,
            r"'right' and 'left' overlap in 0\.8 mL of the liver",
        ),
        (OVERLAPPING, {"overlap": "last"}, InputError, "overlap must be nearest, first or error"),
        (OVERLAPPING, {"gap": "fill"}, InputError, "gap leave or nearest, got 'nearest' and 'fill'"),
        (
            {"a": row("#..........."), "b": row(".###........")},
            {},
            InputError,
            "territory 'a' has no voxel in the",
        ),
        (
            {"a": row(".####......."), "b": row("..##........")},
            {"overlap": "first"},
            InputError,
            "territory 'b' is left without liver",
        ),
        (
            {"a": row(".###........"), "b": np.ones((3, 3, 3))},
            {},
            GeometryError,
            r"territory 'b' has \(3, 3, 3\)",
        ),
    ],
)
def test_masks_that_make_no_territories_are_refused(masks, options, error, message):
    with pytest.raises(error, match=message):
        territories_from_masks(LIVER, masks, **options)


def test_an_empty_liver_is_refused():
    empty = LabelMap.from_mask(np.zeros(GEOMETRY.shape, bool), GEOMETRY, name="liver")
    with pytest.raises(InputError, match="the liver mask is empty"):
        territories_from_masks(empty, OVERLAPPING)


def test_a_territory_wholly_disputed_keeps_nothing_near_another():
    masks = {"whole": row(".##########."), "part": row("...##.......")}
    with pytest.raises(InputError, match="territory 'part' is left without liver"):
        territories_from_masks(LIVER, masks)
