"""A problem that trains in seconds: bright balls in noise, and a network of two convolutions with dropout."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sirtjax import train

SHAPE = (9, 8, 7)


def sample(key, bank):
    """A ball of a radius out of the bank at a random place, image (i, j, k, 1) and onehot (i, j, k, 2)."""
    draw = jax.random.uniform(key, (4,))  # one call: each costs a second of compiling
    centre = 2.5 + 3 * draw[:3]
    radius = jnp.asarray(bank)[jnp.floor(draw[3] * len(bank)).astype(int)]
    grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, SHAPE), indexing="ij"), axis=-1)
    inside = (jnp.sum((grid - centre[None, None, None]) ** 2, axis=-1) < radius**2).astype(jnp.float32)
    waves = jnp.array([1.29, 7.82, 3.77]) * (1 + centre)
    image = inside + 0.6 * jnp.sin(jnp.sum(grid * waves[None, None, None], axis=-1))
    return image[..., None], jnp.stack([1 - inside, inside], axis=-1)


BANK = np.array([1.6, 2.0, 2.4], "f4")
HELD_BACK = np.array([1.8, 2.2, 2.3], "f4")


def variables(seed=0):
    draw = np.random.default_rng(seed)
    params = {
        "one": {"kernel": 0.3 * draw.normal(size=(3, 3, 3, 1, 4)).astype("f4"), "bias": np.zeros(4, "f4")},
        "two": {"kernel": 0.3 * draw.normal(size=(3, 3, 3, 4, 2)).astype("f4"), "bias": np.zeros(2, "f4")},
    }
    return {"params": params, "statistics": {"mean": np.zeros((), "f4")}}


def convolve(x, layer):
    kernel = layer["kernel"].astype(x.dtype)
    dimensions = ("NHWDC", "HWDIO", "NHWDC")
    y = lax.conv_general_dilated(x, kernel, (1, 1, 1), "SAME", dimension_numbers=dimensions)
    return y + layer["bias"].reshape(1, 1, 1, 1, -1)


def apply(variables, x):
    params = variables["params"]
    return convolve(jax.nn.relu(convolve(x, params["one"])), params["two"])


def forward(variables, x, key):
    """Dropout of channels, and a statistic that remembers the batches."""
    params = variables["params"]
    hidden = jax.nn.relu(convolve(x, params["one"]))
    kept = jax.random.bernoulli(key, 0.9, (x.shape[0], 1, 1, 1, hidden.shape[-1]))
    mean = 0.9 * variables["statistics"]["mean"] + 0.1 * jnp.mean(x).astype(jnp.float32)
    return (convolve(hidden * kept, params["two"]),), {"mean": mean}


def recipe(**trainer):
    trainer = {"epochs": 3, "steps_per_epoch": 4, "batch_size": 4, "save_every_steps": 2, **trainer}
    return train.Recipe.model_validate(
        {
            "seed": 3,
            "labels": ["ball"],
            "loss": {"terms": [{"kind": "soft-dice"}, {"kind": "cross-entropy", "weight": 0.5}]},
            "optimiser": {"kind": "adam", "learning_rate": 0.01},
            "trainer": trainer,
            "log": {"every_steps": 1, "tensorboard": False},
        }
    )


def source(made, mesh):
    return train.sample_source(
        sample, BANK, predict=apply, recipe=made, mesh=mesh, validation_bank=HELD_BACK, validation_count=3
    )


def run(folder, made, *, mesh=None, **options):
    """Train the toy in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mesh = train.sample_mesh(devices=jax.devices()[:1]) if mesh is None else mesh
    state = train.first_state(variables(), optimiser=made.optimiser, seed=made.seed)
    return train.train(
        forward, source(made, mesh), state, recipe=made, run=folder, mesh=mesh, about={"toy": True}, **options
    )
