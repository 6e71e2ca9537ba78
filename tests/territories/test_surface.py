"""Surfaces through drawn lines against surfaces known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from sirtjax.errors import InputError
from sirtjax.territories import _surface as surface_module
from sirtjax.territories import fit_surface, height_mm, is_above

SLICES_MM = (-54.0, -18.0, 18.0, 54.0)


def paraboloid(y, z):
    return 5.0 + y**2 / 200.0 - z**2 / 240.0


def cylinder(y, z):
    # Axis along z at x = -90, radius 100: the line is an arc, the same on each slice.
    return -90.0 + np.sqrt(100.0**2 - y**2) + 0.0 * z


def hinge(y, z):
    # An L of two straight arms at right angles, rounded: Cantlie's line down to the gallbladder and back.
    return 40.0 - np.sqrt(y**2 + 15.0**2) + 0.1 * z


SHAPES = {"paraboloid": paraboloid, "cylinder": cylinder, "hinge": hinge}


def draw(shape, *, slices_mm=SLICES_MM, half_length_mm=60.0, points=15):
    """Lines x = shape(y, z) on axial slices."""
    y = np.linspace(-half_length_mm, half_length_mm, points)
    return [np.stack([shape(y, z), y, np.full(points, z)], axis=1) for z in slices_mm]


def samples(shape, *, half_length_mm=60.0, slices_mm=SLICES_MM):
    y, z = np.meshgrid(
        np.linspace(-half_length_mm, half_length_mm, 41), np.linspace(min(slices_mm), max(slices_mm), 37)
    )
    return np.stack([shape(y, z), y, z], axis=-1).reshape(-1, 3)


def heights_of(surface, points_mm):
    """`height_mm` written out in NumPy and double precision, point by point of the record's description."""
    local = (points_mm - surface.origin_mm) @ surface.axes.T / surface.scale_mm
    distance = np.linalg.norm(local[:, None, :2] - surface.sites, axis=-1)
    kernel = np.zeros_like(distance)
    np.log(distance, out=kernel, where=distance > 0)
    plane = surface.plane[0] + local[:, :2] @ surface.plane[1:]
    return (local[:, 2] - plane - (distance**2 * kernel) @ surface.weights) * surface.scale_mm


def rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.linalg.det(q)


@pytest.mark.parametrize(
    "tilt", [(1.0, 0.0, 0.0), (0.8, 0.5, 0.3), (0.0, 1.0, 0.0), (0.5, -0.2, -0.8), (0.1, 0.2, 0.97)]
)
def test_a_plane_is_found_exactly_however_it_lies(tilt):
    normal = np.asarray(tilt) / np.linalg.norm(tilt)
    offset_mm = 12.5
    direction = np.cross(normal, [0.0, 0.0, 1.0])
    direction /= np.linalg.norm(direction)
    slope = np.cross(direction, normal)
    lines = []
    for number, z in enumerate([-40.0, -5.0, 22.0]):
        start = offset_mm * normal
        start = start + slope * (z - start[2]) / slope[2]
        # Of differing length and place, so that only the plane is shared.
        along = np.linspace(-50.0 + 7 * number, 60.0 - 11 * number, 4 + number)
        lines.append(start + along[:, None] * direction)
    surface = fit_surface(lines)
    points = np.random.default_rng(0).uniform(-150, 150, (500, 3))
    expected = points @ normal - offset_mm
    sign = np.sign(np.asarray(surface.axes)[2] @ normal)
    np.testing.assert_allclose(heights_of(surface, points), sign * expected, atol=1e-3)
    assert float(surface.rms_mm) < 1e-6


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("turn", [None, 3])
def test_a_curved_surface_is_followed_between_the_slices(name, turn):
    shape = SHAPES[name]
    matrix = np.eye(3) if turn is None else rotation(turn)
    shift = np.array([30.0, -210.0, 95.0])
    surface = fit_surface([line @ matrix.T + shift for line in draw(shape)])
    error_mm = np.abs(heights_of(surface, samples(shape) @ matrix.T + shift))
    assert error_mm.max() < 2.0
    assert error_mm.mean() < 0.75


def test_two_points_a_line_on_two_slices_are_enough():
    lines = [np.array([[0.0, -50, -20], [0, 50, -20]]), np.array([[10.0, -50, 20], [30, 50, 20]])]
    surface = fit_surface(lines, drawing_error_mm=0.0)
    np.testing.assert_allclose(heights_of(surface, np.concatenate(lines)), 0.0, atol=1e-2)
    # Halfway between the slices and the ends the surface is halfway between the lines.
    assert abs(float(heights_of(surface, np.array([[10.0, 0.0, 0.0]]))[0])) < 1.0


def test_drawing_direction_order_and_pieces_do_not_matter():
    lines = draw(paraboloid)
    reference = fit_surface(lines)
    shuffled = [lines[2][::-1], lines[0], lines[3][::-1], lines[1]]
    in_pieces = [lines[0][:6], lines[0][8:][::-1], *lines[1:]]
    points = samples(paraboloid) + np.array([3.0, 0, 0])
    expected = heights_of(reference, points)
    for variant, tolerance_mm in [(shuffled, 0.02), (in_pieces, 0.5)]:
        got = heights_of(fit_surface(variant), points)
        sign = np.sign(np.median(got) * np.median(expected))
        np.testing.assert_allclose(sign * got, expected, atol=tolerance_mm)


@pytest.mark.parametrize("clicks", [12, 30])
def test_a_trembling_hand_is_smoothed_out(clicks):
    generator = np.random.default_rng(7)
    clean = draw(paraboloid, slices_mm=np.linspace(-54, 54, 6), points=clicks)
    noisy = [line + generator.normal(0, 2.0, line.shape) * [1, 1, 0] for line in clean]
    points = samples(paraboloid)
    through, smooth = (
        np.sqrt(np.mean(heights_of(fit_surface(noisy, drawing_error_mm=error), points) ** 2)) for error in (0.0, None)
    )
    assert smooth < 1.5
    assert smooth < 0.75 * through


def test_the_allowed_drawing_error_is_kept():
    generator = np.random.default_rng(1)
    noisy = [line + generator.normal(0, 2.0, line.shape) * [1, 1, 0] for line in draw(paraboloid, points=30)]
    surface = fit_surface(noisy, drawing_error_mm=1.5)
    assert float(surface.rms_mm) == pytest.approx(1.5, rel=1e-3)
    through = fit_surface(noisy, drawing_error_mm=0.0)
    heights = heights_of(surface, np.concatenate(noisy))
    assert np.abs(heights).max() > np.abs(heights_of(through, np.concatenate(noisy))).max()


def test_many_points_are_thinned_but_not_lost():
    lines = draw(paraboloid, slices_mm=np.linspace(-54, 54, 100), points=300)
    surface = fit_surface(lines)
    assert np.abs(heights_of(surface, samples(paraboloid))).max() < 0.5


def test_the_spline_is_that_of_scipy():
    generator = np.random.default_rng(5)
    lines = [line + generator.normal(0, 1.0, line.shape) * [1, 0, 0] for line in draw(paraboloid)]
    surface = fit_surface(lines, drawing_error_mm=0.0)
    used = np.any(np.asarray(surface.sites) != 0, axis=1)
    sites = np.asarray(surface.sites)[used]
    axes, scale = np.asarray(surface.axes), float(surface.scale_mm)
    # The heights the surface was made from, read back at its sites, go into SciPy's own interpolator.
    in_plane = np.concatenate([sites * scale, np.zeros((len(sites), 1))], axis=1) @ axes + surface.origin_mm
    heights = -heights_of(surface, in_plane)
    other = RBFInterpolator(sites, heights, kernel="thin_plate_spline", degree=1)
    query = generator.uniform(-1.5, 1.5, (200, 2))
    points = np.concatenate([query * scale, np.zeros((200, 1))], axis=1) @ axes + surface.origin_mm
    np.testing.assert_allclose(-heights_of(surface, points), other(query), atol=1e-4)


def test_far_away_the_surface_goes_on_nearly_straight():
    surface = fit_surface(draw(paraboloid))
    step_mm = 250.0
    ray = step_mm * np.arange(2, 7)[:, None] * np.asarray(surface.axes)[1] + surface.origin_mm
    curvature_per_mm = np.abs(np.diff(heights_of(surface, ray), n=2)) / step_mm**2
    # Where it was drawn the paraboloid bends by 1/120 a millimetre.
    assert curvature_per_mm.max() < 1 / 120 / 100


@pytest.mark.slow
def test_height_is_the_same_compiled_and_differentiable():
    surface = fit_surface(draw(paraboloid))
    points = np.random.default_rng(2).uniform(-60, 60, (50, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(height_mm(surface, points)), heights_of(surface, points), atol=1e-3)
    np.testing.assert_allclose(
        np.asarray(jax.jit(height_mm)(surface, points)), np.asarray(height_mm(surface, points)), atol=1e-3
    )
    at = jnp.asarray([20.0, 15.0, -30.0])
    gradient = np.asarray(jax.grad(lambda p: height_mm(surface, p))(at))
    step = np.eye(3, dtype=np.float32)
    differences = [float(height_mm(surface, at + s) - height_mm(surface, at - s)) / 2 for s in step]
    np.testing.assert_allclose(gradient, differences, atol=5e-3)
    # On a site the kernel r^2 log r has a gradient too.
    local = np.concatenate([np.asarray(surface.sites)[0] * surface.scale_mm, [0.0]])
    site = local @ np.asarray(surface.axes) + surface.origin_mm
    assert np.isfinite(np.asarray(jax.grad(lambda p: height_mm(surface, p))(jnp.asarray(site, jnp.float32)))).all()


def test_another_patient_compiles_nothing_new():
    is_above(fit_surface(draw(paraboloid)), np.zeros((10, 3)))
    before = surface_module._height_on_lattice._cache_size()
    other = fit_surface(draw(hinge, slices_mm=(-30.0, 0.0, 40.0), points=9))
    above = is_above(other, np.random.default_rng(0).uniform(-80, 80, (40_000, 3)))
    assert surface_module._height_on_lattice._cache_size() == before
    assert 0 < above.sum() < len(above)


@pytest.mark.parametrize("points", [1, 20_000])
def test_sides_are_those_of_the_height(points):
    surface = fit_surface(draw(hinge))
    positions = np.random.default_rng(3).uniform(-120, 120, (points, 3))
    heights = heights_of(surface, positions)
    clear = np.abs(heights) > 0.02
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(is_above(surface, positions)[clear], heights[clear] > 0)


def arc(z, *, degrees):
    angle = np.radians(np.linspace(-degrees / 2, degrees / 2, 30))
    return np.stack([40 * np.cos(angle), 40 * np.sin(angle), np.full(30, z)], axis=1)


def straight(start, end):
    return np.linspace(start, end, 10)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [straight((0, -50, 0), (0, 50, 0))],
            r"drawn\.json: 1 dividing line\(s\) found; a surface needs lines on at",
        ),
        (
            [np.zeros((4, 2)), np.zeros((4, 3))],
            r"line 1 has shape \(4, 2\), expected two or more points of three",
        ),
        ([straight((0, -50, 0), (0, 50, 0)), np.zeros((1, 3))], r"line 2 has shape \(1, 3\)"),
        (
            [straight((0, -50, 0), (0, np.nan, 0)), straight((0, -50, 9), (0, 50, 9))],
            "line 1 has a coordinate that",
        ),
        ([straight((0, -50, 0), (0, 50, 0)), np.zeros((5, 3))], "line 2 begins and ends at the same place"),
        (
            [straight((0, -50, 0), (0, 0, 0)), straight((0, 10, 0), (0, 50, 0))],
            "all 2 lines lie on one slice",
        ),
        (
            [straight((0, -50, z), (5, 50, z)) for z in (0, 10, 20)] + [straight((-50, 0, 30), (50, 0, 30))],
            "line 4 runs at 8. degrees to the others, expected at most 60",
        ),
        (
            [arc(z, degrees=300) for z in (0.0, 20.0)],
            "line 1 doubles back by .* mm, expected a line that crosses",
        ),
        (
            [
                straight((0, -50, 0), (0, 50, 0)),
                straight((-20, -50, 20), (20, 50, 20)),
                straight((20, -50, 20), (-20, 50, 20)),
            ],
            "lines 2 and 3 lie on one slice and are .* mm apart",
        ),
    ],
)
def test_lines_that_define_no_surface_are_refused(lines, message):
    with pytest.raises(InputError, match=message):
        fit_surface(lines, source="drawn.json")


@pytest.mark.parametrize("error_mm", [-1.0, np.nan])
def test_a_drawing_error_is_not_negative(error_mm):
    with pytest.raises(InputError, match="drawing_error_mm must be 0 or more"):
        fit_surface(draw(paraboloid), drawing_error_mm=error_mm)
