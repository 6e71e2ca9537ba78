"""What holds for every loss: jit equals eager, batches, slopes by finite differences, forward over reverse."""

from functools import partial

import deformations
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import losses

SPACING_MM = deformations.SPACING_MM


def draw(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("f4")


def on_points(loss, **options):
    return partial(loss, **options), (0.1 + 0.8 * draw(60, seed=1), draw(60, seed=2)), {"weights": draw(60, seed=3)}


def on_field(energy, **options):
    return partial(energy, **options), (deformations.rough(), SPACING_MM), {"rigidity": draw(*deformations.SHAPE)}


FOLDED = deformations.rough(size_mm=1.5)
LOGITS, CLASSES = 2 * draw(2, 3, 4, 5, 3, seed=4) - 1, np.eye(3, dtype="f4")[(3 * draw(2, 3, 4, 5, seed=5)).astype(int)]
CASES = {
    "soft_dice_loss": (losses.soft_dice_loss, (LOGITS, CLASSES), {"class_weights": 1 + draw(3)}),
    "probability_dice_loss": (
        losses.probability_dice_loss,
        (draw(6, 7, 5), draw(6, 7, 5, seed=1)),
        {"weights": draw(6, 7, 5, seed=2)},
    ),
    "cross_entropy_loss": (losses.cross_entropy_loss, (LOGITS, CLASSES), {"class_weights": 1 + draw(3)}),
    "focal_loss": (losses.focal_loss, (LOGITS, CLASSES), {"class_weights": 1 + draw(3)}),
    "mutual_information_loss": on_points(losses.mutual_information_loss, bins=12),
    "normalised_mutual_information_loss": on_points(losses.normalised_mutual_information_loss, bins=12),
    "correlation_ratio_loss": on_points(losses.correlation_ratio_loss, bins=12),
    "ssd_loss": (losses.ssd_loss, (draw(30, 2), draw(30, 2, seed=1)), {"weights": draw(30, seed=2)}),
    "lncc_loss": (losses.lncc_loss, (draw(6, 7, 5), draw(6, 7, 5, seed=1)), {"weights": draw(6, 7, 5, seed=2)}),
    "descriptor_loss": (losses.descriptor_loss, (draw(30, 12), draw(30, 12, seed=1)), {"weights": draw(30)}),
    "landmark_loss": (losses.landmark_loss, (draw(9, 3), draw(9, 3, seed=1)), {"weights": draw(9)}),
    "spring_energy": on_field(losses.spring_energy),
    "bending_energy": on_field(losses.bending_energy),
    "diffusion_energy": on_field(losses.diffusion_energy),
    "folding_penalty": (partial(losses.folding_penalty, floor=0.5), (FOLDED, SPACING_MM), {}),
    "folding_penalty_from_jacobian": (losses.folding_penalty_from_jacobian, (0.2 * draw(40) - 0.05,), {}),
    "volume_change_penalty": (
        lambda u, spacing, *, weights: losses.volume_change_penalty(u, spacing, weights),
        (deformations.rough(size_mm=0.2), SPACING_MM),
        {"weights": draw(*deformations.SHAPE)},
    ),
}
# These prepare what a loss compares, or measure a field: no scalars.
NO_LOSSES = {"mind_ssc", "jacobian_matrix", "jacobian_on_grid"}
every_loss = pytest.mark.parametrize("name", CASES)


def test_every_loss_is_here():
    assert set(CASES) == set(losses.__all__) - NO_LOSSES


@pytest.mark.slow
@every_loss
def test_a_float32_scalar_the_same_under_jit_and_in_batches(name):
    loss, arrays, extra = CASES[name]
    eager = loss(*arrays, **extra)
    assert eager.shape == () and eager.dtype == jnp.float32
    compiled = jax.jit(lambda a, e: loss(*a, **e))
    np.testing.assert_allclose(compiled(arrays, extra), eager, rtol=2e-5, atol=1e-6)
    first, *rest = arrays
    batch = np.stack([first, 0.9 * first])
    values = jax.jit(jax.vmap(lambda x: loss(x, *rest, **extra)))(batch)
    np.testing.assert_allclose(values, [eager, compiled((batch[1], *rest), extra)], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["soft_dice_loss", "cross_entropy_loss", "focal_loss"])
def test_class_weights_keep_double_precision(name):
    """A change that float32 rounds away changes the loss in proportion."""
    loss, arrays, _ = CASES[name]
    with jax.enable_x64(True):
        wide, step = [np.asarray(x, "f8") for x in arrays], 1e-9
        low, middle, high = (loss(*wide, class_weights=np.array([1.0, 1.0, 1.0 + k * step])) for k in (-1, 0, 1))
        assert abs(high - middle) > 1e-12
        np.testing.assert_allclose(high - middle, middle - low, rtol=1e-3)


@pytest.mark.slow
@every_loss
def test_slopes_equal_finite_differences_in_double_precision(name):
    """Of the first array and of the weights or the rigidity, along one random direction each."""
    loss, arrays, extra = CASES[name]
    with jax.enable_x64(True):
        first, *rest = (np.asarray(x, "f8") for x in arrays)
        extra = {key: np.asarray(x, "f8") for key, x in extra.items()}
        value = jax.jit(lambda x, e: loss(x, *rest, **e))
        slopes = jax.jit(jax.grad(lambda x, e: loss(x, *rest, **e), argnums=(0, 1)))(first, extra)
        rng = np.random.default_rng(11)
        step = 1e-5
        along = rng.normal(size=first.shape)
        numeric = (value(first + step * along, extra) - value(first - step * along, extra)) / (2 * step)
        assert abs(numeric) > 1e-6
        np.testing.assert_allclose(np.sum(slopes[0] * along), numeric, rtol=1e-4)
        for key, x in extra.items():
            along = rng.normal(size=x.shape)
            upper, lower = ({**extra, key: x + sign * step * along} for sign in (1, -1))
            numeric = (value(first, upper) - value(first, lower)) / (2 * step)
            np.testing.assert_allclose(np.sum(slopes[1][key] * along), numeric, rtol=1e-4, atol=1e-8)


@pytest.mark.slow
@every_loss
def test_curvature_along_a_direction_is_that_of_the_slope(name):
    """Products with the second derivative, which differentiate through an optimum."""
    loss, (first, *rest), extra = CASES[name]
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda x: loss(x, *rest, **extra)))
        first = np.asarray(first, "f8")
        along = np.random.default_rng(12).normal(size=first.shape)
        product = jax.jit(lambda x, v: jax.jvp(slope, (x,), (v,))[1])(first, along)
        step = 1e-5
        numeric = (slope(first + step * along) - slope(first - step * along)) / (2 * step)
        np.testing.assert_allclose(product, numeric, rtol=1e-3, atol=1e-3 * np.abs(numeric).max())
