"""Liver masks with the errors of another network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import synthesis


def dice(a, b):
    return 2.0 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.slow
def test_a_drawn_liver_has_errors_of_the_stated_size():
    x = np.stack(np.meshgrid(*(5.0 * (np.arange(n) - n / 2) for n in (40, 36, 32)), indexing="ij"))
    distance = np.linalg.norm(x, axis=0) - 55.0
    true = jnp.asarray(np.clip(0.5 - distance / 5.0, 0, 1), jnp.float32)
    exact = np.asarray(synthesis.drawn_liver(jax.random.key(0), true, spacing_mm=5.0, error_mm=0.0))
    assert dice(exact > 0.5, np.asarray(true) > 0.5) > 0.97
    found = [
        np.asarray(synthesis.drawn_liver(jax.random.key(n), true, spacing_mm=5.0, error_mm=6.0)) > 0.5 for n in range(8)
    ]
    scores = [dice(one, np.asarray(true) > 0.5) for one in found]
    assert 0.6 < min(scores) < 0.93 and max(scores) < 1.0
    # No islands far from the outline.
    assert all(np.abs(distance[one != (np.asarray(true) > 0.5)]).max() < 30.0 for one in found)
