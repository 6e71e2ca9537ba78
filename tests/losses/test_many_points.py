"""Losses of several million points, most of them air, against histograms in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import losses

AIR, TISSUE, BINS = 4_000_000, 100_000, 32


def samples():
    rng = np.random.default_rng(4)
    warped, reference = np.zeros((2, AIR + TISSUE), np.float32)
    reference[AIR:] = rng.random(TISSUE)
    warped[AIR:] = np.clip(1 - reference[AIR:] + 0.1 * rng.normal(size=TISSUE), 0, 1)
    return warped, reference


def window(values, bins):
    """The bins of each value and their cubic weights, in double precision."""
    position = np.clip(values.astype(np.float64), 0, 1) * (bins - 4) + 2
    cell = np.clip(np.floor(position), 2, bins - 3).astype(int)
    for bin_ in range(-1, 3):
        away = np.abs(position - cell - bin_)
        yield cell + bin_, np.where(away < 1, 2 / 3 - away**2 + away**3 / 2, np.maximum(2 - away, 0) ** 3 / 6)


def joint(warped, reference):
    column = np.clip(np.floor(reference.astype(np.float64) * (BINS - 4) + 2), 2, BINS - 3).astype(int)
    found = np.zeros(BINS * BINS)
    for row, weight in window(warped, BINS):
        found += np.bincount(row * BINS + column, weight, minlength=BINS * BINS)
    return (found / found.sum()).reshape(BINS, BINS)


def entropy(p):
    return -np.sum(p[p > 0] * np.log(p[p > 0]))


def expected(name, warped, reference):
    if name == "correlation_ratio_loss":
        count, value = np.zeros(12), np.zeros(12)
        centred = reference - reference.mean(dtype=np.float64)
        for row, weight in window(warped, 12):
            count += np.bincount(row, weight, minlength=12)
            value += np.bincount(row, weight * centred, minlength=12)
        return 1 - np.sum(value[count > 0] ** 2 / count[count > 0]) / np.sum(centred**2)
    p = joint(warped, reference)
    apart = entropy(p.sum(0)) + entropy(p.sum(1))
    return entropy(p) - apart if name == "mutual_information_loss" else -apart / entropy(p)


@pytest.mark.parametrize(
    "name", ["mutual_information_loss", "normalised_mutual_information_loss", "correlation_ratio_loss"]
)
def test_bins_do_not_saturate(name):
    warped, reference = samples()
    found = float(jax.jit(getattr(losses, name))(jnp.asarray(warped), jnp.asarray(reference)))
    assert found == pytest.approx(expected(name, warped, reference), rel=1e-3)


@pytest.mark.slow
def test_the_gradient_over_several_blocks():
    rng = np.random.default_rng(5)
    reference = rng.random(150_000).astype(np.float32)
    warped = np.clip(reference**2 + 0.05 * rng.normal(size=len(reference)), 0.1, 0.9).astype(np.float32)
    away = np.sin(7 * warped) * 0.02
    slope = jax.grad(losses.mutual_information_loss)(jnp.asarray(warped), jnp.asarray(reference))
    step = 0.05
    sides = [
        expected("mutual_information_loss", warped.astype(np.float64) + side * step * away, reference)
        for side in (1, -1)
    ]
    judge = (sides[0] - sides[1]) / (2 * step)
    assert float(np.sum(np.asarray(slope, np.float64) * away)) == pytest.approx(judge, rel=1e-2)
