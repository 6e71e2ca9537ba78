import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import interpolate

from sirtjax.spatial import bspline_field, bspline_matrix

NODES, CONTROLS = (13, 9, 17), (7, 4, 6)


def matrices(**options):
    return tuple(bspline_matrix(n, c, **options) for n, c in zip(NODES, CONTROLS, strict=True))


def coefficients(seed=0):
    return np.random.default_rng(seed).normal(size=(*CONTROLS, 3)).astype(np.float32)


@pytest.mark.parametrize(("nodes", "controls"), [(13, 7), (2, 4), (40, 4), (5, 11)])
def test_the_weights_are_scipys_cubic_splines(nodes, controls):
    """Control value n stands at (n - 1) steps of 1 / (controls - 3) along the axis."""
    step = 1 / (controls - 3)
    place = np.linspace(0, 1, nodes)
    knots = np.arange(-3, controls + 1) * step
    expected = np.stack(
        [interpolate.BSpline(knots, np.eye(controls)[n], 3)(np.minimum(place, 1 - 1e-12)) for n in range(controls)], 1
    )
    found = bspline_matrix(nodes, controls)
    assert found.shape == (nodes, controls) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_values_by_hand():
    """On a control value the splines weigh 1/6, 2/3, 1/6; half way 1/48, 23/48, 23/48, 1/48."""
    found = bspline_matrix(3, 4)
    np.testing.assert_allclose(found[0], [1 / 6, 2 / 3, 1 / 6, 0], atol=1e-7)
    np.testing.assert_allclose(found[1], [1 / 48, 23 / 48, 23 / 48, 1 / 48], atol=1e-7)
    np.testing.assert_allclose(found[2], [0, 1 / 6, 2 / 3, 1 / 6], atol=1e-7)


def test_the_weights_sum_to_one_and_control_values_on_a_line_give_the_line():
    weights = bspline_matrix(21, 8)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    line = (np.arange(8) - 1) / 5
    np.testing.assert_allclose(weights @ line, np.linspace(0, 1, 21), atol=1e-6)


def test_the_taper_fades_to_zero_twice_differentiably():
    nodes, taper = 401, 0.2
    whole, faded = bspline_matrix(nodes, 6), bspline_matrix(nodes, 6, taper=taper)
    place = np.linspace(0, 1, nodes)
    middle = (place >= taper) & (place <= 1 - taper)
    np.testing.assert_array_equal(faded[middle], whole[middle])
    assert not faded[[0, -1]].any()
    fading = faded.sum(axis=1, dtype=np.float64)
    assert (np.diff(fading[place <= taper]) >= -1e-6).all()
    np.testing.assert_allclose(fading, fading[::-1], atol=1e-6)
    assert fading[place.searchsorted(taper / 2)] == pytest.approx(0.5, abs=1e-6)
    # Slope and curvature (per axis length) begin and end at zero.
    slope, curvature = np.gradient(fading, place), np.gradient(np.gradient(fading, place), place)
    for at in (0, place.searchsorted(taper)):
        assert abs(slope[at]) < 0.02 * np.abs(slope).max()
        assert abs(curvature[at]) < 0.1 * np.abs(curvature).max()


def test_the_field_is_the_sum_over_all_products_of_splines():
    own, weights = coefficients(), matrices(taper=0.1)
    expected = np.einsum("ia,jb,kc,abcd->ijkd", *(w.astype("f8") for w in weights), own.astype("f8"))
    found = bspline_field(jnp.asarray(own), weights)
    assert found.shape == (*NODES, 3)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(jax.jit(bspline_field)(own, weights), expected, atol=2e-6)


def test_rows_of_the_matrices_give_those_nodes():
    own, (x, y, z) = coefficients(), matrices()
    whole = bspline_field(jnp.asarray(own), (x, y, z))
    part = bspline_field(jnp.asarray(own), (x[1::3], y[::2], z[2::5]))
    np.testing.assert_allclose(part, whole[1::3, ::2, 2::5], atol=1e-6)


def test_equal_control_values_shift_all_nodes_alike():
    shift = np.float32([3.0, -2.0, 0.5])
    found = bspline_field(jnp.asarray(np.broadcast_to(shift, (*CONTROLS, 3))), matrices())
    np.testing.assert_allclose(found, np.broadcast_to(shift, (*NODES, 3)), atol=1e-5)


def test_the_gradient_is_the_transpose():
    """<B c, v> = <c, B^T v> for any c and v."""
    own, weights = coefficients(), matrices(taper=0.15)
    along = np.random.default_rng(1).normal(size=(*NODES, 3)).astype(np.float32)
    field, back = jax.vjp(jax.jit(lambda c: bspline_field(c, weights)), own)
    (carried,) = back(jnp.asarray(along))
    forward = np.sum(np.asarray(field, "f8") * along)
    assert abs(forward) > 1
    assert np.sum(np.asarray(carried, "f8") * own) == pytest.approx(forward, rel=1e-5)


def test_gradient_against_finite_differences():
    own, weights = jnp.asarray(coefficients()), matrices()

    @jax.jit
    def score(c):
        return jnp.sum(bspline_field(c, weights) ** 2)

    slope = jax.grad(score)(own)
    way = jnp.asarray(coefficients(seed=2))
    numeric = (score(own + 0.05 * way) - score(own - 0.05 * way)) / 0.1  # exact for a square
    assert float(jnp.sum(slope * way)) == pytest.approx(float(numeric), rel=1e-3)


@pytest.mark.parametrize(("nodes", "controls"), [(1, 6), (8, 3)])
def test_too_few_nodes_or_control_values(nodes, controls):
    message = f"at least 2 nodes and 4 control values, got {nodes} and {controls}"
    with pytest.raises(ValueError, match=message):
        bspline_matrix(nodes, controls)
