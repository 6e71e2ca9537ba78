from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Float, Shaped

from sirtjax import networks, synthesis
from sirtjax.train._classes import channels_of
from sirtjax.train._data_config import SyntheticConfig
from sirtjax.train._sample_patch import random_patch
from sirtjax.train._source import SampleSource, sample_source
from sirtjax.train._training_file import TrainingConfig
from sirtjax.typing import Array

# Folded into the key of a sample for the position of its patch; the sample itself folds in small numbers.
PATCH = 0x9A7C4


def synthetic_source(config: TrainingConfig, data: SyntheticConfig, *, channels: int, mesh: Mesh) -> SampleSource:
    """Returns samples of random digital phantoms, validated on phantoms with held-back liver shapes.

    Args:
      config: training file.
      data: data table of the training file.
      channels: number of channels of the network's output.
      mesh: devices.

    Raises:
      ConfigError: the network takes no samples of this shape.
      ImageFormatError: the file of liver shapes is missing or damaged.
    """
    shape = data.patch_shape or data.synthesis.shape
    judged = networks.output_shape(config.network, shape)  # refuses what does not fit
    values = [value for one in config.classes for value in one.values]
    unseen = synthesis.preprocessing_for(data.synthesis).intensities[0].unseen
    bank, names = synthesis.load_shape_bank(data.bank)

    def sample(key: jax.Array, bank: synthesis.ShapeBank) -> tuple[Array, Array]:
        image, labels = synthesis.random_sample(key, bank, config=data.synthesis)
        if data.patch_shape is not None:
            image, labels = random_patch(
                jax.random.fold_in(key, PATCH),
                image,
                labels,
                wanted=jnp.isin(labels, jnp.array(values)),
                shape=shape,
                judged=judged,
                foreground=data.foreground,
                unseen=unseen,
            )
        return image[..., None], channels_of(labels, config.classes, count=channels)

    def predict(variables: Any, images: Array) -> Array:
        logits: Array = networks.apply(config.network, variables, images)
        return logits

    return sample_source(
        sample,
        synthesis.split_bank(bank, names),
        predict=predict,
        recipe=config.recipe(),
        mesh=mesh,
        validation_bank=synthesis.split_bank(bank, names, validation=True),
        validation_count=data.validation_cases,
    )


def draw_samples(
    data: SyntheticConfig, *, seed: int, count: int
) -> list[tuple[Float[Array, "i j k"], Shaped[Array, "i j k"]]]:
    """Generates sample images and labels (i, j, k) of the training shapes for display."""
    bank = synthesis.split_bank(*synthesis.load_shape_bank(data.bank))
    draw = jax.jit(lambda key, bank: synthesis.random_sample(key, bank, config=data.synthesis))
    return [draw(key, bank) for key in jax.random.split(jax.random.key(seed), count)]
