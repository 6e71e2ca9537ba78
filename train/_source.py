from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Float, PRNGKeyArray, PyTree

from sirtjax.errors import ConfigError
from sirtjax.train._config import Recipe
from sirtjax.train._devices import check_divides, divided, place
from sirtjax.train._objective import centre
from sirtjax.train._scores import Scores, overlap_counts, scores_of
from sirtjax.train._state import Variables
from sirtjax.train._step import Prepare
from sirtjax.typing import Array

# (key, bank) to (image, onehot).
Sample = Callable[[PRNGKeyArray, PyTree], tuple[Float[Array, "i j k channels"], Float[Array, "i j k classes"]]]
# (variables, images) to logits.
Predict = Callable[[Variables, Float[Array, "n i j k channels"]], Float[Array, "n a b c classes"]]
# Far from any seed that a training would be given.
_VALIDATION = 0x5EED0000


@dataclass(frozen=True, kw_only=True)
class SampleSource:
    """The source of samples, as functions; a step's samples depend only on its number and the seed.

    Attributes:
      feed: function from a step's number to its input from the host, placed on the devices.
      prepare: function from this input to images and labels, inside the compiled step.
      validate: function from the network's variables to the overlap of the validation cases.
      steps_per_epoch: number of updates in which each case is used once; None if there is no such number.
      validation: names of the validation cases of files; empty for random samples.
    """

    feed: Callable[[int], PyTree]
    prepare: Prepare
    validate: Callable[[Variables], Scores]
    steps_per_epoch: int | None = None
    validation: tuple[str, ...] = ()


def sample_source(
    sample: Sample,
    bank: PyTree,
    *,
    predict: Predict,
    recipe: Recipe,
    mesh: Mesh,
    validation_bank: PyTree,
    validation_count: int,
) -> SampleSource:
    """Returns samples that a pure function draws on the devices, inside the training step.

    Args:
      sample: function of a key and the bank that draws one sample; it is compiled and mapped over keys.
      bank: arrays from which it draws, put on each device once.
      predict: function from a batch of images to logits.
      recipe: batch size, labels and seed.
      mesh: devices.
      validation_bank: arrays of the same shapes for the validation samples, with no training data.
      validation_count: number of validation samples, which are the same at each validation.

    Raises:
      ConfigError: a batch that cannot be divided among the devices.
    """
    size = recipe.trainer.batch_size // recipe.trainer.accumulation_steps
    check_divides(size, mesh)
    placed, held_back = place(bank, mesh), place(validation_bank, mesh)

    def prepare(key: Array, feed: Any, part: Array) -> tuple[Array, Array]:
        keys = divided(jax.random.split(key, size), mesh)
        images, onehot = jax.vmap(lambda one: sample(one, feed))(keys)
        return images, onehot

    regions = recipe.loss.regions

    @jax.jit
    def count(variables: Variables, bank: Any, key: jax.Array) -> Array:
        image, onehot = sample(key, bank)
        logits = predict(variables, image[None])
        return overlap_counts(logits[0], centre(onehot[None], logits.shape[1:4])[0], regions=regions)

    keys = jax.random.split(jax.random.key(recipe.seed + _VALIDATION), validation_count)
    names = tuple(f"sample-{number}" for number in range(1, validation_count + 1))

    def validate(variables: Variables) -> Scores:
        counts = [count(variables, held_back, key) for key in keys]
        return scores_of(jnp.stack(counts), cases=names, labels=recipe.labels)

    if validation_count < 1:
        raise ConfigError(f"{validation_count} validation samples; at least 1 is needed to choose the best weights")
    return SampleSource(feed=lambda step: placed, prepare=prepare, validate=validate)
