"""Random pairs as a network in training gets them: the start by NumPy's least squares, guides and two patients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import synthesis, train
from sirtjax.train._random_pairs import guides_given

SHAPE, SPACING_MM = (24, 20, 18), 8.0
EXACT = {"translation_mm": 0.0, "rotation_deg": 0.0, "scale": 0.0}


def config(**change):
    table = {
        "kind": "random", "bank": "unused.npz",
        "synthesis": {"preset": "default", "shape": SHAPE, "spacing_mm": SPACING_MM}, "start": EXACT, **change,
    }  # fmt: skip
    return train.RandomPairsConfig.model_validate(table)


def positions():
    axes = [SPACING_MM * (np.arange(n) - (n - 1) / 2) for n in SHAPE]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def ball(centre_mm, radius_mm):
    return np.linalg.norm(positions() - np.asarray(centre_mm), axis=-1) < radius_mm


def drawn_pair(seed):
    """A pair like those of `synthesis.random_pair`: a liver, and a displacement that is not affine."""
    rng = np.random.default_rng(seed)
    x = positions()
    linear = 0.05 * rng.standard_normal((3, 3))
    bent = 6.0 * np.sin(x / 18.0 + rng.uniform(0, 6, 3))
    u = x @ linear.T + rng.uniform(-10, 10, 3) + bent
    labels = [np.where(ball(centre, 50.0), 1, 0).astype(np.int32) for centre in ((5, 0, -4), (-3, 8, 2))]
    labels[0][10, 9, 9] = 2  # a lesion belongs to the liver
    seen = np.broadcast_to(np.arange(SHAPE[2]) > 5, SHAPE)
    images = rng.uniform(-1, 1, (2, *SHAPE)).astype(np.float32)
    arrays = (*images, *labels, u.astype(np.float32), np.array(seen))
    return synthesis.Pair(*(jnp.asarray(array) for array in arrays))


@pytest.fixture
def of_random_pair(monkeypatch):
    """`random_joint_pair` with a pair that takes no time to draw."""

    def draw(seed, **change):
        pair = drawn_pair(seed)
        monkeypatch.setattr(synthesis, "random_pair", lambda key, bank, **settings: pair)
        return pair, train.random_joint_pair(jax.random.key(seed), None, config=config(**change))

    return draw


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.slow
def test_an_exact_start_is_the_affine_map_of_least_squares(of_random_pair, seed):
    pair, found = of_random_pair(seed)
    inside = (np.asarray(pair.reference_labels) > 0) & np.asarray(pair.seen)
    columns = np.concatenate([positions(), np.ones((*SHAPE, 1))], axis=-1)
    rows, u = columns[inside], np.asarray(pair.displacement_mm, float)[inside]
    plain, *_ = np.linalg.lstsq(rows, u, rcond=None)
    np.testing.assert_allclose(np.asarray(found.start_mm)[inside], rows @ plain, atol=0.5)
    # A small ridge, which keeps the fit defined without a liver, is the difference.
    scaled = np.diag([0.01, 0.01, 0.01, 1.0])
    ridged, *_ = np.linalg.lstsq(np.vstack([rows @ scaled, np.eye(4)]), np.vstack([u, np.zeros((4, 3))]), rcond=None)
    np.testing.assert_allclose(found.start_mm, columns @ scaled @ ridged, atol=0.01)
    left = np.asarray(found.start_mm - pair.displacement_mm)[inside]
    assert np.linalg.norm(left, axis=-1).mean() > 2.0  # the displacement is not affine
    assert bool(found.known)
    np.testing.assert_array_equal(found.reference_liver, np.asarray(pair.reference_labels) > 0)
    np.testing.assert_array_equal(found.displacement_mm, pair.displacement_mm)
    assert np.argwhere(found.reference_lesions).tolist() == [[10, 9, 9]]


@pytest.mark.slow
def test_errors_of_the_start_are_affine_and_of_the_stated_size(of_random_pair):
    exact = np.asarray(of_random_pair(0)[1].start_mm)
    errors = {"translation_mm": 4.0, "rotation_deg": 0.0, "scale": 0.0, "large_fraction": 0.0}
    shifts = []
    for seed in range(40):
        found = train.random_joint_pair(jax.random.key(seed), None, config=config(start=errors))
        error = np.asarray(found.start_mm) - exact
        np.testing.assert_allclose(error, np.broadcast_to(error[0, 0, 0], error.shape), atol=1e-3)
        shifts.append(error[0, 0, 0])
    assert np.std(shifts) == pytest.approx(4.0, rel=0.25)
    turned = config(start={**EXACT, "rotation_deg": 5.0, "large_fraction": 0.0})
    pair = train.random_joint_pair(jax.random.key(3), None, config=turned)
    error = np.asarray(pair.start_mm) - exact
    columns = np.concatenate([positions(), np.ones((*SHAPE, 1))], axis=-1).reshape(-1, 4)
    map_, *_ = np.linalg.lstsq(columns, error.reshape(-1, 3), rcond=None)
    np.testing.assert_allclose(columns @ map_, error.reshape(-1, 3), atol=1e-3)
    np.testing.assert_allclose(map_[:3] + map_[:3].T, 0, atol=1e-5)  # a small rotation
    assert np.abs(map_[:3]).max() > 0.01


@pytest.mark.slow
def test_guides_are_missing_in_the_stated_fraction():
    guides = train.GuideErrors(missing=0.3)
    keys = jax.random.split(jax.random.key(0), 6000)
    found = np.asarray(jax.vmap(lambda key: guides_given(key, guides))(keys))
    assert set(np.unique(found)) == {0.0, 1.0}
    none, one = (found.sum(axis=1) == 0).mean(), (found.sum(axis=1) == 1).mean()
    assert none == pytest.approx(0.3, abs=0.03)
    # One of the two is missing in half that fraction of the others.
    assert one == pytest.approx(0.7 * 0.15, abs=0.02)
    assert found[found.sum(axis=1) == 1].mean(axis=0) == pytest.approx(0.5, abs=0.1)
    every = jax.vmap(lambda key: guides_given(key, train.GuideErrors(missing=0.0)))(keys[:200])
    assert np.all(np.asarray(every) == 1.0)


def joint_pair(centre_mm, radius_mm, seed):
    rng = np.random.default_rng(seed)
    images = [jnp.asarray(rng.uniform(-1, 1, SHAPE), jnp.float32) for _ in range(2)]
    livers = [jnp.asarray(ball(centre_mm, radius_mm), jnp.float32)] * 2
    known = jnp.full((*SHAPE, 3), 3.0, jnp.float32)
    lesions = livers[0] * (seed + 1)
    return train.JointPair(
        *images, *livers, known, jnp.zeros(SHAPE, bool), *livers, start_mm=known, known=jnp.bool_(1),
        reference_lesions=lesions,
    )  # fmt: skip


def test_the_livers_of_two_patients_start_at_one_centre_in_one_size():
    one, two = joint_pair((10, -5, 0), 40.0, 0), joint_pair((-12, 6, 8), 48.0, 1)
    found = train.pair_of_two_patients(jax.random.key(0), one, two, config=config())
    x, start = positions(), np.asarray(found.start_mm, float)
    liver, other = np.asarray(one.reference_liver, bool), np.asarray(two.floating_liver, bool)
    np.testing.assert_allclose((x + start)[liver].mean(axis=0), x[other].mean(axis=0), atol=1e-2)
    # The liver keeps its shape and has the volume of the other.
    spread = np.linalg.norm((x + start)[liver] - (x + start)[liver].mean(axis=0), axis=-1).std()
    own = np.linalg.norm(x[liver] - x[liver].mean(axis=0), axis=-1).std()
    assert spread / own == pytest.approx(np.cbrt(other.sum() / liver.sum()), rel=1e-3)
    assert not bool(found.known) and np.all(np.asarray(found.seen))
    np.testing.assert_array_equal(found.reference, one.reference)
    np.testing.assert_array_equal(found.floating, two.floating)
    np.testing.assert_array_equal(found.reference_lesions, one.reference_lesions)
    cut = two._replace(floating_liver=two.floating_liver * (np.arange(SHAPE[0]) < 7)[:, None, None])
    smaller = train.pair_of_two_patients(jax.random.key(0), one, cut, config=config()).start_mm
    slope = np.asarray(smaller)[1:, 0, 0, 0] - np.asarray(smaller)[:-1, 0, 0, 0]
    np.testing.assert_allclose(1 + slope / SPACING_MM, 1 / 1.3, rtol=1e-4)  # not the size of a part
