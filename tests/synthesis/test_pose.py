"""The displacement between two poses: aligned livers, and a start of the stated size."""

import jax
import numpy as np
import pytest
from plain_livers import small

from sirtjax import synthesis
from sirtjax.synthesis._pose import draw_pose_mm

GRID = small(shape=[56, 44, 50])
# A liver that is not in the middle of the grid, on every second of its points.
X = np.stack(np.meshgrid(*(16.0 * (np.arange(n // 2 + 1) - n / 4) for n in GRID.shape), indexing="ij"))
LIVER_MM = (np.linalg.norm(X - np.array([-60.0, 20.0, 40.0]).reshape(3, 1, 1, 1), axis=0) - 70.0).astype(np.float32)


def shifts(pose, count):
    """Mean displacement (count, 3) of the liver in as many poses."""
    draw = jax.jit(lambda key: draw_pose_mm(key, jax.numpy.asarray(LIVER_MM), GRID, pose))
    fields = [np.asarray(draw(jax.random.key(number))) for number in range(count)]
    assert all(np.abs(field).max() > 5.0 for field in fields)
    return np.array([field[:, ::2, ::2, ::2][:, LIVER_MM < 0].mean(axis=1) for field in fields])


@pytest.mark.slow
def test_without_a_start_the_livers_are_aligned():
    pose = synthesis.load_pair_preset("spect-ct").pose.model_copy(update={"start_mm": 0.0})
    assert np.abs(shifts(pose, 10)).max() < 0.05


@pytest.mark.slow
def test_the_start_has_the_stated_size():
    pose = synthesis.load_pair_preset("spect-ct").pose.model_copy(update={"start_mm": 6.0})
    assert np.std(shifts(pose, 60)) == pytest.approx(6.0, rel=0.2)
