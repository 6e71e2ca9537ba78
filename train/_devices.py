from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree, Shaped

from sirtjax.errors import ConfigError
from sirtjax.typing import Array

AXIS = "samples"


def sample_mesh(*, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns the mesh of all devices of all processes, or of `devices`, along the sample axis."""
    return Mesh(np.asarray(jax.devices() if devices is None else list(devices)), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding with a copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def divided(array: Shaped[Array, " n *rest"], mesh: Mesh) -> Shaped[Array, " n *rest"]:
    """Shards the first axis of an array across the devices, inside a compiled function."""
    if mesh.size == 1:
        return array
    shared: Array = jax.lax.with_sharding_constraint(array, NamedSharding(mesh, PartitionSpec(AXIS)))
    return shared


def place(tree: PyTree, mesh: Mesh) -> PyTree:
    """Copies a tree of host arrays, equal in every process, to each device."""
    return jax.device_put(tree, replicated(mesh))


def place_batch(tree: PyTree, mesh: Mesh) -> PyTree:
    """Shards arrays (parts, samples, ...) along their second axis; each process provides its own samples.

    Args:
      tree: host arrays; with several processes, those samples that this one has read.
      mesh: the devices.
    """
    sharding = NamedSharding(mesh, PartitionSpec(None, AXIS))
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree)


def first_decides(flags: Sequence[bool]) -> tuple[bool, ...]:
    """Returns the flags of the first process in every process, which all have to call this together.

    A single process returns its own without any work on the device. With several, it waits for the steps under way.
    """
    if jax.process_count() == 1:
        return tuple(flags)
    from jax.experimental import multihost_utils

    return tuple(bool(flag) for flag in multihost_utils.broadcast_one_to_all(np.array(flags, np.int32)))


def check_divides(samples: int, mesh: Mesh) -> None:
    """Checks that a part of the batch can be distributed evenly.

    Raises:
      ConfigError: the number of devices does not divide the number of samples.
    """
    if samples % mesh.size:
        raise ConfigError(
            f"{samples} samples at a time can't be shared evenly by {mesh.size} devices; "
            f"make trainer.batch_size a multiple of {mesh.size} times trainer.accumulation_steps, "
            "or show JAX fewer devices, for example with CUDA_VISIBLE_DEVICES=0"
        )
