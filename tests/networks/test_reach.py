"""Receptive fields against where gradients reach, in networks whose contributions cannot cancel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.networks import initialise, network_config, output_shape, receptive_field
from sirtjax.networks._build import _abstract, _merged
from sirtjax.networks._feature import Scaling
from sirtjax.networks._layers import BatchNorm, InstanceNorm
from sirtjax.networks._reach import period
from sirtjax.networks._sizes import _output

NETWORKS = {
    "plain": {
        "architecture": "plain-conv-unet",
        "classes": 1,
        "features": [1, 1, 1],
        "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 1]],
        "strides": [[1, 1, 1], [1, 2, 3], [2, 2, 1]],
        "convolutions": [1, 2, 1],
        "decoder_convolutions": [1, 1],
    },
    "residual": {
        "architecture": "residual-encoder-unet",
        "classes": 1,
        "features": [1, 1],
        "kernels": [[3, 1, 3], [3, 1, 3]],
        "strides": [[1, 1, 1], [1, 4, 2]],
        "blocks": [1, 1],
    },
    "monai": {
        "architecture": "monai-unet",
        "classes": 1,
        "features": [1, 1, 1],
        "strides": [[2, 1, 2], [2, 2, 1]],
        "units": 1,
    },
    "monai without units": {
        "architecture": "monai-unet",
        "classes": 1,
        "features": [1, 1],
        "strides": [[2, 1, 3]],
        "units": 0,
    },
    "thesis": {"architecture": "thesis-unet", "classes": 1, "features": [1, 1, 1], "rate": 2},
    "thesis at a rate of three": {"architecture": "thesis-unet", "classes": 1, "features": [1, 1], "residual": True},
    "highres": {"architecture": "highres-unet", "classes": 1, "features": [1, 1, 1]},
    "deepmedic": {
        "architecture": "deepmedic",
        "classes": 1,
        "factors": [1, 2, 4],
        "features": [[1, 1]] * 3,
        "combined": [1],
    },
    "segresnet-ds": {
        "architecture": "segresnet-ds",
        "classes": 1,
        "init_filters": 1,
        "blocks_down": [1, 1, 1],
        "scales": [[2, 2, 1], [2, 1, 2], [2, 2, 2]],
    },
    "segresnet-ds by interpolation": {
        "architecture": "segresnet-ds",
        "classes": 1,
        "init_filters": 1,
        "blocks_down": [1, 1],
        "scales": [[2, 2, 1], [1, 2, 2]],
        "upsample_mode": "nontrainable",
    },
    "dynunet": {
        "architecture": "dynunet",
        "classes": 1,
        "filters": [1, 1, 1],
        "kernel_size": [[1, 3, 3], [3, 3, 5], [3, 3, 1]],
        "strides": [1, [1, 2, 3], [2, 3, 1]],
    },
    "y90": {"architecture": "y90-unet", "classes": 1, "features": [1, 1], "strides": [2]},
}


def without_norm(self, y, *, training):
    del self, training
    one = jnp.ones((1, 1, 1, 1, 1))
    return Scaling(mean=0 * one, factor=one, shift=0 * one)


def takes(config, size, axis):
    return _output(config, axis, size) is not None


FAST = ("residual", "deepmedic")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in NETWORKS]
)
@pytest.mark.slow
def test_receptive_field_is_where_gradients_reach(monkeypatch, name):
    monkeypatch.setattr(InstanceNorm, "__call__", without_norm)
    monkeypatch.setattr(BatchNorm, "__call__", without_norm)
    config = network_config(NETWORKS[name])
    variables = jax.tree.map(lambda a: jnp.ones_like(a) * 0.1, initialise(config, seed=0))
    field = receptive_field(config)
    steps = period(config)
    # Room for the whole field around the outputs of a period, which are in the middle.
    size = [
        next(n for n in range(f + 2 * p, f + 400) if takes(config, n, axis))
        for axis, (f, p) in enumerate(zip(field, steps, strict=True))
    ]
    out = output_shape(config, size)
    x = jnp.ones((1, *size, 1))

    @jax.jit
    def seen(start):
        def output(x):
            y = _merged(config, variables)(x, key=None, training=False)[0]
            return jax.lax.dynamic_slice(y, (0, *start, 0), (1, 1, 1, 1, 1)).sum()

        return jax.grad(output)(x)[0, ..., 0] != 0

    extents = []
    for offset in range(max(steps)):
        middle = [(n - p) // 2 + offset % p for n, p in zip(out, steps, strict=True)]
        reached = np.asarray(seen(jnp.asarray(middle)))
        extents.append(
            [np.ptp(np.flatnonzero(reached.any(axis=tuple(a for a in range(3) if a != axis)))) + 1 for axis in range(3)]
        )
    _abstract.cache_clear()
    assert tuple(np.max(extents, axis=0)) == field
