"""The traced histogram against `dvh_from_arrays`, and its derivatives against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.dosimetry import (
    dvh_from_arrays,
    histogram_size,
    traced_dose_at_fraction,
    traced_volume_fraction,
    voi_samples,
)

SHAPE = (18, 17, 16)
FRACTIONS, LEVELS = (0.98, 0.7, 0.5, 0.02), (60.0, 75.0)


def patient(radius):
    at = np.stack(np.meshgrid(*(np.arange(float(n)) for n in SHAPE), indexing="ij"), -1) - np.array([8.3, 8.1, 7.6])
    away = np.linalg.norm(at, axis=-1)
    dose = 100 * np.exp(-((away / 9) ** 2)) + at[..., 0] + 0.4 * at[..., 1]
    return dose.astype(np.float32), np.clip(radius - away + 0.5, 0, 1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("radius", [2.2, 5.0, 7.9])
def test_it_has_the_values_of_the_sorted_histogram(radius):
    dose, weight = patient(radius)
    dvh = dvh_from_arrays(dose, weight, 1.0)
    subsamples, capacity = histogram_size(dvh.voxels)
    assert subsamples == dvh.subsamples
    assert capacity >= dvh.voxels

    # Slivers at the edge do not set the range of the curve.
    levels = np.array([*LEVELS, 0.999 * dvh.minimum_gy, 1.001 * dvh.maximum_gy], np.float32)

    @jax.jit
    def metrics(dose, weight):
        samples = voi_samples(dose, weight, subsamples=subsamples, capacity=capacity)
        found = [traced_dose_at_fraction(samples, x) for x in FRACTIONS]
        return samples.mean_gy, jnp.stack(found), jnp.stack([traced_volume_fraction(samples, x) for x in levels])

    mean_gy, d_gy, fraction = metrics(dose, weight)
    assert mean_gy == pytest.approx(dvh.mean_gy, rel=1e-5)
    np.testing.assert_allclose(d_gy, [dvh.dose_at_percent_gy(100 * x) for x in FRACTIONS], rtol=2e-4)
    np.testing.assert_allclose(fraction, dvh.percent_at_dose(levels) / 100, atol=2e-4)
    assert fraction[2:].tolist() == [1.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("radius", [3.0, 7.9])
def test_derivatives_are_those_of_differences(radius):
    dose, weight = patient(radius)
    subsamples, capacity = histogram_size(int((weight > 1e-4).sum()))
    along = np.cos(np.arange(SHAPE[0]) / 5)[:, None, None] * np.ones(SHAPE)
    # Doses change by some Gy, and the surface moves by a part of a voxel where it is.
    edge = ((weight > 0.05) & (weight < 0.95)) * weight * (1 - weight)

    @jax.jit
    def metrics(steps):
        samples = voi_samples(
            dose + steps[0] * along, weight + steps[1] * edge, subsamples=subsamples, capacity=capacity
        )
        return jnp.stack(
            [samples.mean_gy, traced_dose_at_fraction(samples, 0.7), traced_volume_fraction(samples, jnp.float32(75.0))]
        )

    found = np.asarray(jax.jit(jax.jacrev(metrics))(jnp.zeros(2)))
    for axis, step in enumerate((0.5, 0.1)):
        unit = np.eye(2, dtype=np.float32)[axis] * np.float32(step)
        expected = (np.asarray(metrics(unit), float) - np.asarray(metrics(-unit), float)) / (2 * step)
        np.testing.assert_allclose(found[:2, axis], expected[:2], rtol=0.03, atol=0.02)
        np.testing.assert_allclose(found[2, axis], expected[2], rtol=0.03, atol=5e-4)
