from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, PyTree

from sirtjax.errors import InputError
from sirtjax.typing import Array

# Tiles and logits of a batch; a network without padding returns fewer voxels than it takes.
Tiles = Float[Array, "n i j k channels"]
Logits = Float[jax.Array, "n a b c classes"]
# (variables, tiles) -> logits, pure.
ApplyFunction = Callable[[PyTree, Float[jax.Array, "n i j k channels"]], Logits]
AXIS = "tile"
# As many networks and patch shapes as one process is likely to alternate between.
PROGRAMS_KEPT = 16


class Program(NamedTuple):
    """A network compiled for tiles of one shape.

    Attributes:
      run: (variables, tiles) -> logits, on the device.
      place: function that puts tiles on the devices of `run`.
      place_variables: function that puts variables on the devices of `run`.
      output_shape: shape of the logits, (n, i, j, k, classes).
      needed_bytes: memory of one device that a call takes in addition to the variables.
    """

    run: Callable[[PyTree, Tiles], Logits]
    place: Callable[[Tiles], Float[jax.Array, "n i j k channels"]]
    place_variables: Callable[[PyTree], PyTree]
    output_shape: tuple[int, ...]
    needed_bytes: int


def compiled_program(
    apply_function: ApplyFunction, variables: PyTree, tiles_shape: Sequence[int], devices: Sequence[jax.Device]
) -> Program:
    """Returns the network for a batch of tiles, compiled once per function, shapes and devices.

    Args:
      apply_function: function of variables and tiles; hashable, and the same object for the same network.
      variables: a pytree of arrays.
      tiles_shape: shape of the tiles, (n, i, j, k, c).
      devices: devices among which the tiles of a batch are divided evenly.
    """
    leaves, tree = jax.tree.flatten(variables)
    shapes = tuple((np.shape(leaf), str(jax.dtypes.canonicalize_dtype(np.asarray(leaf).dtype))) for leaf in leaves)
    return _compiled(apply_function, tree, shapes, tuple(int(n) for n in tiles_shape), tuple(devices))


@lru_cache(maxsize=PROGRAMS_KEPT)
def _compiled(
    apply_function: ApplyFunction,
    tree: jax.tree_util.PyTreeDef,
    shapes: tuple[tuple[tuple[int, ...], str], ...],
    tiles_shape: tuple[int, ...],
    devices: tuple[jax.Device, ...],
) -> Program:
    mesh = Mesh(np.asarray(devices), (AXIS,))
    split, everywhere = NamedSharding(mesh, PartitionSpec(AXIS)), NamedSharding(mesh, PartitionSpec())
    variables = tree.unflatten([jax.ShapeDtypeStruct(shape, np.dtype(kind)) for shape, kind in shapes])
    tiles = jax.ShapeDtypeStruct(tiles_shape, np.float32)
    function: Any = apply_function
    if len(devices) > 1:
        # Each device runs the network on its own tiles; nothing is left to how the compiler would divide it.
        function = jax.shard_map(
            apply_function,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
            out_specs=PartitionSpec(AXIS),
            check_vma=False,
        )
    lowered = jax.jit(function, in_shardings=(everywhere, split)).lower(variables, tiles)
    compiled = lowered.compile()
    memory = compiled.memory_analysis()
    needed = 0
    if memory is not None:
        needed = memory.temp_size_in_bytes + memory.output_size_in_bytes + int(np.prod(tiles_shape)) * 4
    return Program(
        run=compiled,
        place=partial(jax.device_put, device=split),
        place_variables=partial(jax.device_put, device=everywhere),
        output_shape=tuple(lowered.out_info.shape),
        needed_bytes=needed,
    )


def check_memory(needed_bytes: int, device: jax.Device) -> None:
    """Raises an error if the computation would not fit into memory.

    Raises:
      InputError: the device has less memory than is needed.
    """
    available = available_bytes(device)
    if available is not None and needed_bytes > available:
        raise InputError(
            f"the network needs {needed_bytes / 2**30:.1f} GiB of memory on {device.platform}, {available / 2**30:.1f} "
            "GiB are free; close other programs, or use smaller tiles or another --device"
        )


def available_bytes(device: jax.Device) -> int | None:
    """Returns the free memory of a device; None if it is unknown."""
    if device.platform != "cpu":
        stats = device.memory_stats()
        return None if not stats or "bytes_limit" not in stats else stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # no Linux: physical memory has to do
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
