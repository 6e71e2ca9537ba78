"""The standard error of a region's mean, against its scatter over many noise images."""

import numpy as np
import pytest
from scipy import ndimage

from sirtjax.errors import InputError
from sirtjax.ops import region_noise

SHAPE = (28, 26, 24)


def ball(radius):
    points = np.stack(np.meshgrid(*(np.arange(n) - n / 2 for n in SHAPE), indexing="ij"))
    return np.linalg.norm(points, axis=0) <= radius


@pytest.mark.parametrize("sigma", [0.0, 0.8, 1.5])
@pytest.mark.parametrize("radius", [6.0, 10.0])
@pytest.mark.slow
def test_the_error_is_the_scatter_of_the_mean(sigma, radius):
    """Noise with a Gaussian correlation: the error of one image must be the scatter over 200 images."""
    random, inside = np.random.default_rng(3), ball(radius)
    means, errors = [], []
    for _ in range(200):
        image = 5.0 + ndimage.gaussian_filter(random.standard_normal(SHAPE), sigma, mode="wrap")
        found = region_noise(image, inside)
        means.append(found.mean)
        errors.append(found.standard_error)
    scatter = float(np.std(means))
    naive = found.std / np.sqrt(found.voxels)
    assert 0.9 < np.mean(errors) / scatter < 1.3
    if sigma:
        assert scatter > 2 * naive


def test_a_uniform_region_has_no_error():
    found = region_noise(np.full(SHAPE, 0.1, np.float32), ball(6.0))
    assert found.standard_error == 0.0 and found.mean == pytest.approx(0.1)
    assert found.independent_samples == np.inf


def test_noise_that_is_wider_than_the_region_is_one_sample():
    ramp = np.broadcast_to(np.arange(SHAPE[0], dtype=float)[:, None, None], SHAPE)
    inside = ball(3.0)
    found = region_noise(ramp, inside)
    assert found.std / np.sqrt(found.voxels) < found.standard_error <= found.std


def test_a_region_must_have_voxels_that_are_numbers():
    few = np.zeros(SHAPE, bool)
    few[:3, :3, 0] = True
    with pytest.raises(InputError, match="9 voxels"):
        region_noise(np.ones(SHAPE), few)
    image = np.ones(SHAPE)
    image[SHAPE[0] // 2, SHAPE[1] // 2, SHAPE[2] // 2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        region_noise(image, ball(4.0))
