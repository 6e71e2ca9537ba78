"""The liver divided along drawn lines, against volumes known in closed form."""

import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.territories import (
    check_lines_meet_liver,
    divide_liver,
    fit_surface,
    is_above,
    territories_from_lines,
)
from sirtjax.volume import Geometry, LabelMap

# An ellipsoid for a liver, about 2.4 L, off the origin.
CENTRE_MM = np.array([-40.0, 25.0, 310.0])
AXES_MM = np.array([95.0, 75.0, 80.0])
SLICES_MM = (-54.0, -18.0, 18.0, 54.0)


def plane(x_mm):
    return lambda y, z: x_mm + 0.0 * y + 0.0 * z


def paraboloid(y, z):
    return 5.0 + y**2 / 200.0 - z**2 / 240.0


def cylinder(y, z):
    return -90.0 + np.sqrt(100.0**2 - y**2) + 0.0 * z


def oblique(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


def grid(*, direction=None, spacing_mm=(3.1, 2.7, 4.0)):
    """A grid whose middle is the liver's, wide enough to hold it whichever way it is turned."""
    shape = np.ceil(230.0 / np.asarray(spacing_mm)).astype(int)
    at_zero = Geometry.from_axes(shape, spacing_mm=spacing_mm, direction=direction)
    return Geometry.from_axes(
        shape, spacing_mm=spacing_mm, direction=direction, origin_mm=CENTRE_MM - at_zero.centre_mm
    )


def ellipsoid(geometry):
    points = geometry.to_world(np.moveaxis(np.indices(geometry.shape), 0, -1))
    return LabelMap.from_mask((((points - CENTRE_MM) / AXES_MM) ** 2).sum(axis=-1) < 1, geometry, name="liver")


def draw(shape, *, slices_mm=SLICES_MM, half_length_mm=60.0, points=15):
    y = np.linspace(-half_length_mm, half_length_mm, points)
    return [np.stack([shape(y, z), y, np.full(points, z)], axis=1) + CENTRE_MM for z in slices_mm]


def right_of(shape, geometry):
    """Truth by voxel: on the patient's right of x = shape(y, z)."""
    x, y, z = np.moveaxis(geometry.to_world(np.moveaxis(np.indices(geometry.shape), 0, -1)) - CENTRE_MM, -1, 0)
    with np.errstate(invalid="ignore"):
        return x < shape(y, z)


GRIDS = {
    "axial": grid(),
    "flipped": grid(direction=np.diag([-1.0, 1.0, -1.0])),
    "permuted": grid(direction=np.eye(3)[[2, 0, 1]]),
    "oblique": grid(direction=oblique(4)),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("shape", [paraboloid, cylinder])
def test_a_curved_surface_divides_within_one_percent(name, shape):
    liver = ellipsoid(GRIDS[name])
    territories = territories_from_lines(liver, [draw(shape)], names=("right", "left"))
    truth = liver.mask("liver") & right_of(shape, liver.geometry)
    expected_ml = truth.sum() * liver.geometry.voxel_volume_ml
    assert territories.volume_ml("right") == pytest.approx(expected_ml, rel=0.01)
    total_ml = territories.volume_ml("right") + territories.volume_ml("left")
    assert total_ml == pytest.approx(liver.volume_ml("liver"))
    wrong = (territories.mask("right") != truth) & liver.mask("liver")
    assert wrong.sum() < 0.015 * liver.mask("liver").sum()


@pytest.mark.parametrize("name", GRIDS)
def test_a_plane_divides_to_the_voxel(name):
    liver = ellipsoid(GRIDS[name])
    territories = territories_from_lines(liver, [draw(plane(13.37))], names=("right", "left"))
    truth = right_of(plane(13.37), liver.geometry)
    np.testing.assert_array_equal(territories.mask("right"), truth & liver.mask("liver"))
    # A cap of the ellipsoid: volume in closed form.
    t = 13.37 / AXES_MM[0]
    share = 0.5 + 0.75 * (t - t**3 / 3)
    # Up to half a layer of voxels, 4 mm thick on the permuted grid.
    assert territories.volume_ml("right") == pytest.approx(share * liver.volume_ml("liver"), rel=0.025)


@pytest.mark.parametrize("seed", range(12))
def test_surfaces_drawn_by_hand_in_any_direction(seed):
    """Random bend, twist, tilt and ripple; 4 to 10 slices, 5 to 25 clicks a line, up to 2 mm of tremble."""
    generator = np.random.default_rng(seed)
    turn, tilt = generator.uniform(0, 2 * np.pi), np.tan(np.radians(generator.uniform(-50, 50)))
    along = np.array([np.cos(turn), np.sin(turn), 0.0])
    normal = np.array([-np.sin(turn), np.cos(turn), 0.0])
    bend_u, bend_z, twist = generator.normal(0, 1 / 250, 3)
    offset_mm, ripple_mm = generator.uniform(-25, 25), generator.uniform(0, 6)

    def height(u, z):
        ripple = ripple_mm * np.sin(u / 30 + z / 50)
        return offset_mm + tilt * z + bend_u * u**2 + bend_z * z**2 + twist * u * z + ripple

    slices = generator.integers(4, 11)
    lines = []
    for z in np.linspace(-60, 60, slices) + generator.uniform(-4, 4, slices):
        clicks = generator.integers(5, 25)
        u = np.sort(np.concatenate([[-55.0, 55.0], generator.uniform(-55, 55, clicks - 2)]))
        line = u[:, None] * along + height(u, z)[:, None] * normal + [0, 0, z]
        line[:, :2] += generator.normal(0, generator.uniform(0, 2), (clicks, 2))
        lines.append(line[:: generator.choice([-1, 1])])
    points = generator.uniform(-1, 1, (40_000, 3))
    points = points[(points**2).sum(axis=1) < 1] * AXES_MM
    truth = points @ normal > height(points @ along, points[:, 2])
    wrong = (is_above(fit_surface(lines), points) != truth).mean()
    assert min(wrong, 1 - wrong) < 0.03


def test_three_territories_run_from_right_to_left():
    liver = ellipsoid(GRIDS["axial"])
    sets = [draw(plane(-30.0)), draw(plane(20.0))]
    territories = territories_from_lines(liver, sets, names=("posterior", "anterior", "left"))
    assert territories.names == ((1, "posterior"), (2, "anterior"), (3, "left"))
    inside, geometry = liver.mask("liver"), liver.geometry
    right, middle = right_of(plane(-30.0), geometry), right_of(plane(20.0), geometry)
    np.testing.assert_array_equal(territories.mask("posterior"), inside & right)
    np.testing.assert_array_equal(territories.mask("anterior"), inside & middle & ~right)
    np.testing.assert_array_equal(territories.mask("left"), inside & ~middle)


def test_a_seed_names_the_side():
    liver = ellipsoid(GRIDS["oblique"])
    lines = [line[:, [1, 0, 2]] - CENTRE_MM[[1, 0, 2]] + CENTRE_MM for line in draw(plane(0.0))]
    with pytest.raises(InputError, match=r"does not part right from left.*is 'anterior'; give a seed point"):
        territories_from_lines(liver, [lines], names=("anterior", "posterior"))
    front = CENTRE_MM - [0, 40, 0]
    territories = territories_from_lines(liver, [lines], names=("anterior", "posterior"), seeds_mm=[front])
    index = tuple(np.round(liver.geometry.to_voxel(front)).astype(int))
    assert territories.mask("anterior")[index]
    # A seed overrules right and left too.
    swapped = territories_from_lines(
        liver, [draw(plane(10.0))], names=("left", "right"), seeds_mm=[CENTRE_MM + np.array([50.0, 0.0, 0.0])]
    )
    assert swapped.volume_ml("left") < swapped.volume_ml("right")


def test_crossing_surfaces_are_refused_unless_they_are_meant():
    liver = ellipsoid(GRIDS["axial"])
    sets = [draw(lambda y, z: 0.8 * y), draw(lambda y, z: -0.8 * y)]
    names = ("right", "middle", "left")
    with pytest.raises(InputError, match=r"a\.json, b\.json: the surfaces cross inside the liver \(\d+ % of it"):
        territories_from_lines(liver, sets, names=names, sources=["a.json", "b.json"])
    territories = territories_from_lines(liver, sets, names=names, allow_crossing=True)
    # The first surface takes its half; the second divides what is left over.
    assert territories.volume_ml("right") == pytest.approx(liver.volume_ml("liver") / 2, rel=0.01)
    assert sum(territories.volume_ml(name) for name in names) == pytest.approx(liver.volume_ml("liver"))


def test_surfaces_in_the_wrong_order_leave_a_territory_empty():
    liver = ellipsoid(GRIDS["axial"])
    sets = [draw(plane(20.0)), draw(plane(-30.0))]
    with pytest.raises(InputError, match="cross inside the liver"):
        territories_from_lines(liver, sets, names=("a", "b", "c"))
    with pytest.raises(InputError, match="territory 'b' is empty: no liver is between its surfaces"):
        territories_from_lines(liver, sets, names=("a", "b", "c"), allow_crossing=True)


def test_lines_of_another_frame_are_refused():
    liver = ellipsoid(GRIDS["axial"])
    lines = [line * [-1, -1, 1] + [150, 0, 0] for line in draw(plane(0.0))]
    with pytest.raises(InputError, match=r"F\.json: line 1 passes the liver at \d+ mm, .* coordinates are LPS mm"):
        territories_from_lines(liver, [lines], names=("right", "left"), sources=["F.json"])
    check_lines_meet_liver(liver, draw(plane(0.0)), source="F.json")


def test_a_surface_beside_the_liver_is_refused():
    liver = ellipsoid(GRIDS["axial"])
    with pytest.raises(InputError, match="does not divide the liver, which lies all on one side of it"):
        divide_liver(liver, [fit_surface(draw(plane(200.0)))], names=("right", "left"))


@pytest.mark.parametrize(
    ("names", "seeds", "message"),
    [
        (("right",), None, r"1 dividing surface\(s\) make 2 territories, got 1 name\(s\): right"),
        (("a", "a"), None, "territory names must be distinct and not empty, got 'a', 'a'"),
        (("a", ""), None, "territory names must be distinct and not empty"),
        (("a", "b"), [], r"0 seed point\(s\) for 1 surface"),
        (("a", "b"), [(1.0, 2.0)], "a seed is three finite numbers"),
        (("a", "b"), [(1.0, 2.0, np.inf)], "a seed is three finite numbers"),
    ],
)
def test_names_and_seeds_are_counted(names, seeds, message):
    liver = ellipsoid(GRIDS["axial"])
    with pytest.raises(InputError, match=message):
        divide_liver(liver, [fit_surface(draw(plane(0.0)))], names=names, seeds_mm=seeds)


def test_an_empty_liver_is_refused():
    geometry = GRIDS["axial"]
    empty = LabelMap.from_mask(np.zeros(geometry.shape, bool), geometry, name="liver")
    with pytest.raises(InputError, match="the liver mask is empty"):
        territories_from_lines(empty, [draw(plane(0.0))], names=("right", "left"))
