"""Patches of prepared cases in an order that depends only on the seed, read ahead by grain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from sirtjax.errors import ConfigError
from sirtjax.train._cache import PreparedCase

# More than any training has; without an end grain cannot take every n-th batch.
_EPOCHS = 1_000_000

Patch = dict[str, Shaped[np.ndarray, "..."]]
Shape = tuple[int, int, int]


class _Places:
    """A data source for grain: a length, and an item for each number."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: SupportsIndex) -> int:
        return int(index)


def patch_batches(
    cases: Sequence[PreparedCase],
    *,
    shape: Shape,
    judged: Shape,
    values: Sequence[int],
    foreground: float,
    seed: int,
    batch_size: int,
    threads: int,
    process: tuple[int, int] = (0, 1),
) -> Callable[[int], Patch]:
    """Returns a function from a step's number to its batch of patches.

    Every case comes once before any comes again. Steps are meant to be asked for one after the other, and are then
    read ahead; any other is found, too, and the same number always gives the same batch.

    Args:
      cases: cases from which patches are cropped.
      shape: voxels of a patch; cases are extended if it reaches beyond them.
      judged: voxels of the middle that the network predicts; this part is placed inside the cases.
      values: label values that belong to a class.
      foreground: probability that the middle of a patch is a voxel of a class, if the case has one.
      seed: seed of order and positions.
      batch_size: number of patches of a step, of all processes together.
      threads: number of threads that read.
      process: number of this process, which reads its part of each batch, and number of processes.

    Returns:
      The function; a batch has "image" (n, i, j, k, channels), "labels" (n, i, j, k), "low" and "high" (n, channels)
      and "ct" (n,), 1 for CT.

    Raises:
      ConfigError: grain is not installed.
    """
    try:
        grain: Any = import_module("grain")
    except ImportError as error:
        raise ConfigError("training from files needs grain; install it with pip install 'sirtjax[train]'") from error
    number, processes = process

    def cut(index: int, rng: np.random.Generator) -> Patch:
        return patch_of(cases[index], shape, judged=judged, values=values, foreground=foreground, rng=rng)

    places: Any = grain.MapDataset.source(_Places(len(cases))).seed(seed).shuffle().repeat(_EPOCHS).random_map(cut)
    # Of each run of batch_size patches a process takes its own part, so that together they read what one would.
    batches = places.batch(batch_size // processes)[number::processes]
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4)
    ahead: list[Any] = [-1, None]

    def feed(step: int) -> Patch:
        if ahead[0] != step:
            ahead[:] = [step, iter(batches[step:].to_iter_dataset(options))]
        ahead[0] = step + 1
        return dict(next(ahead[1]))

    return feed


def patch_of(
    case: PreparedCase,
    shape: Shape,
    *,
    judged: Shape,
    values: Sequence[int],
    foreground: float,
    rng: np.random.Generator,
) -> Patch:
    """Returns a random patch of a case.

    Args:
      case: the case.
      shape: voxels of the patch.
      judged: voxels of its middle that are inside the case; if that is larger, the case is placed in it at random.
      values: label values that belong to a class.
      foreground: probability that its middle is a voxel of a class. A case without one is cropped anywhere, and a
        patch around a voxel near the border is moved so far that its judged part is inside the case.
      rng: random number generator of the position.
    """
    around = rng.random() < foreground
    size = case.labels.shape
    inner_start = _around_a_class(case.labels, values, judged, rng) if around else _anywhere(size, judged, rng)
    start = [a - (n - m) // 2 for a, n, m in zip(inner_start, shape, judged, strict=True)]
    held = tuple(slice(max(a, 0), max(min(a + n, end), 0)) for a, n, end in zip(start, shape, size, strict=True))
    before = [part.start - a for part, a in zip(held, start, strict=True)]
    inner = tuple(slice(b, b + part.stop - part.start) for b, part in zip(before, held, strict=True))
    image = np.empty((*shape, case.image.shape[3]), np.float32)
    low, unseen = np.asarray(case.low, np.float32), np.asarray(case.unseen, np.float32)
    # Dark padding is at most as bright as the darkest voxel, so that it remains dark if intensities are shifted.
    image[...] = np.where(unseen > low, unseen, np.minimum(low, case.image[held].min(initial=np.inf)))
    image[inner] = case.image[held]
    labels = np.zeros(shape, np.uint8)
    labels[inner] = case.labels[held]
    return {
        "image": image,
        "labels": labels,
        "low": np.asarray(case.low, np.float32),
        "high": np.asarray(case.high, np.float32),
        "ct": np.asarray(case.case.modality == "CT", np.float32),
    }


def _anywhere(size: Sequence[int], shape: Shape, rng: np.random.Generator) -> list[int]:
    low = [min(0, n - p) for n, p in zip(size, shape, strict=True)]
    high = [max(0, n - p) for n, p in zip(size, shape, strict=True)]
    return [int(rng.integers(a, b + 1)) for a, b in zip(low, high, strict=True)]


def _around_a_class(
    labels: NDArray[np.uint8], values: Sequence[int], shape: Shape, rng: np.random.Generator
) -> list[int]:
    places = np.flatnonzero(np.isin(labels, values))
    if not places.size:
        return _anywhere(labels.shape, shape, rng)
    chosen = np.unravel_index(places[rng.integers(places.size)], labels.shape)
    wanted = [int(at) - p // 2 for at, p in zip(chosen, shape, strict=True)]
    ends = [(min(0, n - p), max(0, n - p)) for n, p in zip(labels.shape, shape, strict=True)]
    return [int(np.clip(a, low, high)) for a, (low, high) in zip(wanted, ends, strict=True)]
