from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike

from sirtjax.errors import ConfigError, InputError
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._inputs import check_no_network
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.registration._prepare import Masks
from sirtjax.registration._ready import NO_MASKS, Ready, make_ready
from sirtjax.registration._result import RegistrationResult
from sirtjax.registration._solve import Solution, solve, weights_from_config
from sirtjax.registration._start_choice import successful, with_better_start
from sirtjax.registration._start_field import affine_stage_of
from sirtjax.spatial import AffineTransform
from sirtjax.volume import Volume

AXIS = "patients"


def register_batch(
    references: Sequence[Volume],
    floatings: Sequence[Volume],
    *,
    config: RegistrationConfig,
    reference_masks: Sequence[Masks] | None = None,
    floating_masks: Sequence[Masks] | None = None,
    reference_points_mm: Sequence[ArrayLike | None] | None = None,
    floating_points_mm: Sequence[ArrayLike | None] | None = None,
    starts: Sequence[AffineTransform | None] | None = None,
    seed: int = 0,
    batch_size: int = 8,
    threads: int = 1,
    devices: Sequence[jax.Device] | None = None,
) -> tuple[RegistrationResult | InputError, ...]:
    """Registers many patients: one program over `batch_size` of them, split across all devices.

    Each patient gets the samples and the restart of `register` with the same seed, so that the results differ only by
    rounding. The patients of a batch that start again are solved together, by the same program. While the devices work
    on one batch the host prepares the next. Patients may differ in everything but the preset; the last batch is filled
    up, so that any number of patients compiles one program.

    A patient whose input `register` would refuse does not stop the others: the error is returned instead of the result.

    Args:
      references: one volume per patient.
      floatings: floating images, one per patient.
      config: preset for all patients.
      reference_masks: masks by name, one mapping per patient, empty if there are none.
      floating_masks: masks of the floating images, same form as `reference_masks`.
      reference_points_mm: (n, 3) landmark points or None, one entry per patient.
      floating_points_mm: (n, 3) the same points in the floating images, or None.
      starts: initial floating_from_reference or None, one entry per patient.
      seed: seed of the random samples.
      batch_size: patients solved together, raised to a multiple of the number of devices; each takes the memory of
        one registration.
      threads: number of threads that prepare patients on the host.
      devices: devices that share the work. Default: all devices.

    Returns:
      For each patient, in order, its result or the error that `register` would have raised.

    Raises:
      ConfigError: lists of different length, a batch size or number of threads below 1, or a preset with a network.
    """
    check_no_network(config, where="a batch")
    lists = {
        "reference_masks": reference_masks,
        "floating_masks": floating_masks,
        "reference_points_mm": reference_points_mm,
        "floating_points_mm": floating_points_mm,
        "starts": starts,
    }
    _check_lists(len(references), {"floatings": floatings, **lists})
    for name, value in (("batch_size", batch_size), ("threads", threads)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; expected at least 1")
    if not references:
        return ()
    mesh = patient_mesh(devices=devices)
    size = -(-min(batch_size, len(references)) // mesh.size) * mesh.size
    defaults = {"reference_masks": NO_MASKS, "floating_masks": NO_MASKS}

    def ready(patient: int) -> Ready | InputError:
        given: dict[str, Any] = {
            name.replace("starts", "start"): defaults.get(name) if values is None else values[patient]
            for name, values in lists.items()
        }
        try:
            made = make_ready(references[patient], floatings[patient], config=config, **given)
            return with_better_start(made, config=config, seed=seed)
        except InputError as error:
            return error

    results: dict[int, RegistrationResult | InputError] = {}
    waiting: tuple[list[tuple[int, Ready]], Solution] | None = None
    with ThreadPoolExecutor(threads) as pool:
        for batch in _batches(pool, ready, len(references), size, results):
            started = _start(batch, size, config, seed, mesh)
            if waiting is not None:
                results |= _finish(*waiting, size, config, seed, mesh)
            waiting = batch, started
    if waiting is not None:
        results |= _finish(*waiting, size, config, seed, mesh)
    return tuple(results[patient] for patient in range(len(references)))


def solve_batch(
    pairs: ImagePair, weights: Weights, key: PRNGKeyArray, *, config: RegistrationConfig, mesh: Mesh | None = None
) -> Solution:
    """Runs `solve` over the first axis of a stack of pairs, split across the devices.

    One program for each number of patients, which must be a multiple of the number of devices; patients never wait for
    each other's numbers, as nothing is exchanged between devices.

    Args:
      pairs: `stack_pairs` of as many patients as fit; moved to the devices as needed.
      weights: weights of the terms, the same for all pairs.
      key: random key of the samples, the same for all pairs.
      config: preset; static.
      mesh: result of `patient_mesh`. Default: all devices.

    Returns:
      The solutions, stacked, still on the devices.

    Raises:
      ConfigError: a number of patients that the devices can't share evenly.
    """
    mesh = patient_mesh() if mesh is None else mesh
    count = len(pairs.reference)
    if count % mesh.size:
        raise ConfigError(f"{count} patients cannot be split evenly across {mesh.size} devices; pad to a multiple")
    pairs = jax.device_put(pairs, NamedSharding(mesh, PartitionSpec(AXIS)))
    weights, key = jax.device_put((weights, key), NamedSharding(mesh, PartitionSpec()))
    solution: Solution = solve_sharded(pairs, weights, key, config=config.structure(), mesh=mesh)
    return solution


@partial(jax.jit, static_argnames=("config", "mesh"))
def solve_sharded(
    pairs: ImagePair, weights: Weights, key: PRNGKeyArray, *, config: RegistrationConfig, mesh: Mesh
) -> Solution:
    """Runs `solve` for patients on every device of the mesh.

    It is compiled once per preset and number of patients.
    """

    def of_device(pairs: ImagePair, weights: Weights, key: PRNGKeyArray) -> Solution:
        return jax.vmap(lambda pair: solve(pair, weights, key, config=config))(pairs)

    every, share = PartitionSpec(), PartitionSpec(AXIS)
    mapped = jax.shard_map(of_device, mesh=mesh, in_specs=(share, every, every), out_specs=share, check_vma=False)
    solution: Solution = mapped(pairs, weights, key)
    return solution


def patient_mesh(*, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh of all devices, or of the provided ones, along the axis of patients."""
    return Mesh(np.asarray(jax.devices() if devices is None else list(devices)), (AXIS,))


def stack_pairs(pairs: Sequence[ImagePair]) -> ImagePair:
    """Pairs of one preset, one above the other along a new first axis, as NumPy arrays."""
    stacked: ImagePair = jax.tree.map(lambda *leaves: np.stack(leaves), *pairs)
    return stacked


def _check_lists(count: int, lists: dict[str, Any]) -> None:
    for name, values in lists.items():
        if values is not None and len(values) != count:
            raise ConfigError(f"{count} references but {len(values)} {name}; provide one per patient")


def _batches(
    pool: ThreadPoolExecutor, ready: Any, count: int, size: int, results: dict[int, Any]
) -> Iterator[list[tuple[int, Ready]]]:
    """Up to `size` prepared patients at a time; those refused go straight to the results."""
    patients = iter(range(count))
    batch: list[tuple[int, Ready]] = []
    # No more is prepared than one batch has room for: a prepared patient takes tens of megabytes.
    while numbers := list(islice(patients, size - len(batch))):
        for number, prepared in zip(numbers, pool.map(ready, numbers), strict=True):
            if isinstance(prepared, Ready):
                batch.append((number, prepared))
            else:
                results[number] = prepared
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _start(batch: list[tuple[int, Ready]], size: int, config: RegistrationConfig, seed: int, mesh: Mesh) -> Solution:
    """Send a batch to the devices, filled up with its last patient, without waiting for them."""
    pairs = [ready.pair for _, ready in batch]
    pairs += [pairs[-1]] * (size - len(pairs))
    return solve_batch(
        stack_pairs(pairs), weights_from_config(config.weights), jax.random.key(seed), config=config, mesh=mesh
    )


def _finish(
    batch: list[tuple[int, Ready]],
    solution: Solution,
    size: int,
    config: RegistrationConfig,
    seed: int,
    mesh: Mesh,
) -> dict[int, RegistrationResult]:
    """Wait for the devices, assess each patient, and start again as `register` does."""
    results = _judged(batch, solution, config)
    others = [(number, ready.restarted(results[number], config=config)) for number, ready in batch]
    again = [(number, other) for number, other in others if other is not None]
    if again:
        found = _judged(again, _start(again, size, config, seed, mesh), config)
        results |= {number: successful(result, results[number]) for number, result in found.items()}
    rest = {number: ready for number, ready in batch if number not in dict(again)}
    unmarked = [(number, ready.without_landmarks(results[number], config=config)) for number, ready in rest.items()]
    free = [(number, other) for number, other in unmarked if other is not None]
    if free and config.affine.model != "none":
        coarse = _solutions(free, _start(free, size, affine_stage_of(config), seed, mesh))
        free = [one for one in free if not rest[one[0]].is_near_landmarks(coarse[one[0]], config=config)]
    if free:
        for number, result in _judged(free, _start(free, size, config, seed, mesh), config).items():
            results[number] = rest[number].with_landmarks_checked(results[number], result, config=config)
    return results


def _judged(
    batch: list[tuple[int, Ready]], solution: Solution, config: RegistrationConfig
) -> dict[int, RegistrationResult]:
    """Wait for the devices and assess each patient."""
    own = _solutions(batch, solution)
    return {number: ready.judged(own[number], config=config) for number, ready in batch}


def _solutions(batch: list[tuple[int, Ready]], solution: Solution) -> dict[int, Solution]:
    """Wait for the devices: the solution of each patient in NumPy arrays."""
    arrays = jax.tree.map(np.asarray, solution)
    return {number: jax.tree.map(lambda leaf, at=place: leaf[at], arrays) for place, (number, _) in enumerate(batch)}
