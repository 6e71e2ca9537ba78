"""The samples of random phantoms that a training feeds its network with; the phantoms are replaced by bright blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import networks, synthesis, train
from sirtjax.train._synthetic import synthetic_source

DEEPMEDIC = '{ architecture = "deepmedic", classes = 1, factors = [1, 2], features = [[2], [2]], combined = [2] }'
SETTINGS = [
    f"network={DEEPMEDIC}",
    'loss.terms=[{ kind = "cross-entropy" }]',
    "data.bank=nowhere.npz",
    "data.synthesis.shape=[16,18,20]",
    "data.validation_cases=3",
]


@pytest.fixture
def blocks(monkeypatch):
    """A block of liver, brighter than the rest, of which the bank states the intensity."""

    def random_sample(key, bank, *, config):
        at = jax.random.randint(key, (3,), 2, 8)
        labels = jax.lax.dynamic_update_slice(jnp.zeros(config.shape, jnp.int32), jnp.ones((6, 7, 8), jnp.int32), at)
        return jnp.where(labels == 1, bank, 0.0), labels

    monkeypatch.setattr(synthesis, "random_sample", random_sample)
    monkeypatch.setattr(synthesis, "load_shape_bank", lambda path: (np.float32(0.5), ("block",)))
    monkeypatch.setattr(synthesis, "split_bank", lambda bank, names, validation=False: bank + validation)


def made(*changes):
    config = train.load_training("liver-synthetic", overrides=[*SETTINGS, *changes])
    source = synthetic_source(config, config.data, channels=1, mesh=train.sample_mesh(devices=jax.devices()[:1]))
    images, onehot = source.prepare(jax.random.key(1), source.feed(0), jnp.int32(0))
    return config, source, np.asarray(images), np.asarray(onehot)


@pytest.mark.parametrize("patch", ["data.patch_shape=[26,28,30]", "data.patch_shape=[8,8,8]", None])
@pytest.mark.slow
def test_networks_with_a_smaller_output_are_trained_and_validated(blocks, patch):
    changes = [] if patch is None else [patch, "data.foreground=1.0"]
    config, source, images, onehot = made("trainer.batch_size=6", *changes)
    shape = config.data.patch_shape or config.data.synthesis.shape
    assert images.shape == onehot.shape == (6, *shape, 1)
    np.testing.assert_array_equal(onehot[..., 0] == 1, images[..., 0] == 0.5)
    assert set(np.unique(images)) <= {-1.0, 0.0, 0.5}  # -1 outside the phantom, as outside a real image
    variables = networks.initialise(config.network, seed=0)
    scores = source.validate(variables)
    assert scores.dsc.shape == (3, 1) and np.isfinite(scores.dsc).all()
    if patch is not None:
        margin = [(n - m) // 2 for n, m in zip(shape, networks.output_shape(config.network, shape), strict=True)]
        judged = onehot[tuple([slice(None), *(slice(a, n - a) for a, n in zip(margin, shape, strict=True))])]
        assert judged.any(axis=(1, 2, 3, 4)).all()
