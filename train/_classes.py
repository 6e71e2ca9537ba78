from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer
from pydantic import Field

from sirtjax.config import Table
from sirtjax.errors import ConfigError
from sirtjax.typing import Array


class ClassConfig(Table):
    """A class that is learned, and the label values that belong to it.

    Attributes:
      name: name of the class.
      values: values in the label maps; several are merged, as liver and tumour into the whole liver.
    """

    name: Annotated[str, Field(min_length=1)]
    values: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


def channels_of(
    labels: Integer[Array, "*batch i j k"], classes: tuple[ClassConfig, ...], *, count: int
) -> Float[jax.Array, "*batch i j k count"]:
    """Returns label values as channels: background first if there is one more channel than classes.

    Args:
      labels: (..., i, j, k) whole numbers; values of no class are background.
      classes: classes in the order of the channels.
      count: number of the network's channels.

    Returns:
      (..., i, j, k, count) float32 of 0 and 1.

    Raises:
      ConfigError: the number of channels is neither the number of classes nor one more.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import train
      >>> classes = (train.ClassConfig(name="liver", values=(1, 2)),)
      >>> channels = train.channels_of(np.array([0, 1, 2]).reshape(3, 1, 1), classes, count=2)
      >>> channels[..., 1].ravel().tolist()  # a liver with its tumour
      [0.0, 1.0, 1.0]
    """
    inside = jnp.stack([_any_of(labels, one.values) for one in classes], axis=-1)
    if count == len(classes) + 1:
        inside = jnp.concatenate([~jnp.any(inside, axis=-1, keepdims=True), inside], axis=-1)
    elif count != len(classes):
        raise ConfigError(
            f"the network gives {count} channels for {len(classes)} classes; expected {len(classes) + 1} "
            f"(background first), or {len(classes)} with loss.regions = true"
        )
    return inside.astype(jnp.float32)


def _any_of(labels: Array, values: tuple[int, ...]) -> Array:
    found = labels == values[0]
    for value in values[1:]:
        found = found | (labels == value)
    return found
