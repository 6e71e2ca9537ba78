"""A registration that trains in seconds: balls that were moved, and a network of two small cascades."""

from functools import lru_cache
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from sirtjax import train
from sirtjax.train import _joint_loop

SHAPE, SPACING_MM = (16, 12, 12), 8.0
PAIRS = {"kind": "random", "bank": "unused.npz", "window": 3, "uses": 2, "two_patients": 0.3}


def table(**change):
    """A training file whose data are replaced by `source`."""
    stages = [
        {"cascade": 0, "steps": 3, "learning_rate": 0.01},
        {"cascade": 1, "steps": 3, "learning_rate": 0.005, "begin_from_previous": True},
    ]
    made = {
        "schema": 1,
        "seed": 2,
        "task": "registration",
        "network": {
            "network": {
                "architecture": "plain-conv-unet", "channels": 16, "classes": 3, "features": [4, 6],
                "convolutions": [1, 1], "decoder_convolutions": [1], "deep_supervision": False,
            },
            "cascades": 2,
        },
        "data": {
            **PAIRS,
            "synthesis": {"preset": "default", "shape": SHAPE, "spacing_mm": SPACING_MM},
        },
        "loss": {"mutual_information": 0.3, "dice": 1.0, "bending": 10.0, "displacement": 1.0},
        "optimiser": {"warmup_steps": 1, "final": 0.1, "ema_decay": 0.9},
        "course": {"stages": stages},
        "trainer": {"validate_every_steps": 4, "save_every_steps": 1},
        "log": {"every_steps": 1, "tensorboard": False},
    }  # fmt: skip
    for key, value in change.items():
        made[key] = {**made[key], **value} if isinstance(value, dict) and key in made else value
    return made


def config(**change):
    # The smallest grid of random phantoms is larger than this one.
    made = table(**change)
    made["data"]["synthesis"]["shape"] = (16, 16, 16)
    read = train.joint_training_from_dict(made, source="toy")
    synthesis = read.data.synthesis.model_copy(update={"shape": SHAPE})
    return read.model_copy(update={"data": read.data.model_copy(update={"synthesis": synthesis})})


def ball(centre):
    x = np.stack(np.indices(SHAPE), axis=-1) - np.asarray(centre, float)
    return np.clip(4.0 - np.linalg.norm(x, axis=-1), 0, 1).astype(np.float32)


def pair_of(seed):
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-12.0, 12.0, 3).astype(np.float32)
    centre = (np.array(SHAPE) - 1) / 2 + rng.uniform(-1, 1, 3)
    livers = [ball(centre), ball(centre + shift / SPACING_MM)]
    images = [
        (-0.5 + bright * liver + 0.05 * rng.standard_normal(SHAPE)).astype(np.float32)
        for bright, liver in zip((0.5, 1.0), livers, strict=True)
    ]
    return train.JointPair(
        *(jnp.asarray(array) for array in (*images, *livers)),
        jnp.broadcast_to(jnp.asarray(shift), (*SHAPE, 3)),
        jnp.ones(SHAPE, bool),
        start_mm=jnp.zeros((*SHAPE, 3), jnp.float32),
        known=jnp.bool_(True),
    )


def draw(key):
    return pair_of(int(jax.random.randint(key, (), 0, 1 << 20)))


def join(key, one, two):
    return one._replace(floating=two.floating, floating_liver=two.floating_liver, known=jnp.bool_(False))


def source(made):
    def later(key):
        return train.LaterPair(lambda: draw(key))

    def joined(key, one, two):
        return train.LaterPair(lambda: join(key, one.pair, two.pair))

    return train.JointSource(
        feed=lambda number: train.pair_feed(later, joined, config=made.data, seed=made.seed, step=number),
        validation={f"pair {number}": pair_of(1000 + number) for number in range(2)},
    )


COMPILED = {}
SCORES = lru_cache(_joint_loop.make_joint_scores)


def compiled(state, feed, config, mesh):
    """The same program for equal settings, with the little optimisation that a toy needs."""
    shapes = str(jax.tree.map(lambda x: (x.shape, x.sharding), feed))
    key = (config.network, config.loss, config.optimiser, mesh, shapes)
    if key not in COMPILED:
        step = train.make_joint_step(
            config.network, loss=config.loss, optimiser=config.optimiser, spacing_mm=SPACING_MM, mesh=mesh
        )
        COMPILED[key] = step.lower(state, feed).compile(compiler_options={"xla_backend_optimization_level": 1})
    return COMPILED[key]


def run(folder, made, *, mesh=None, pairs=None, **options):
    """Train the toy in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mesh = train.sample_mesh(devices=jax.devices()[:1]) if mesh is None else mesh
    with mock.patch.multiple(_joint_loop, _compiled=compiled, make_joint_scores=SCORES):
        return train.train_joint(made, pairs or source(made), run=folder, mesh=mesh, **options)
