"""Weighted sums against exact arithmetic."""

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from sirtjax.ops import weighted_sum


def test_random_values_against_exact_fractions():
    rng = np.random.default_rng(3)
    values, weight = rng.normal(size=(2, 4, 50, 401)).astype(np.float32)
    judge = sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(values.ravel(), weight.ravel(), strict=True))
    assert weighted_sum(values, weight) == pytest.approx(float(judge), rel=1e-12)
    # Arrays with another order in memory, and masks.
    assert weighted_sum(np.asfortranarray(values), weight) == pytest.approx(float(judge), rel=1e-12)
    assert weighted_sum(values, weight > 0) == pytest.approx(values[weight > 0].sum(dtype=np.float64), rel=1e-12)
    assert weighted_sum(values[:0], weight[:0]) == 0.0


def test_a_uniform_region_of_many_voxels():
    values = np.full((160, 300, 300), np.float32(0.3))
    weight = np.ones_like(values)
    tracemalloc.start()
    found = weighted_sum(values, weight)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == pytest.approx(float(np.float32(0.3)) * values.size, rel=1e-12)
    assert peak < 0.05 * values.nbytes


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="expected the same shape"):
        weighted_sum(np.ones(6), np.ones((2, 3)))
