from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax import networks, segmentation
from sirtjax.errors import ConfigError
from sirtjax.inference import predict_tiles
from sirtjax.preprocess import augment, shift_hu, to_range
from sirtjax.train._cache import PreparedCase, prepare_cases
from sirtjax.train._cases import folder_cases, split_cases, table_cases
from sirtjax.train._classes import ClassConfig, channels_of
from sirtjax.train._data_config import FilesConfig
from sirtjax.train._devices import check_divides, place_batch
from sirtjax.train._patches import patch_batches
from sirtjax.train._scores import Scores, overlap_counts, scores_of
from sirtjax.train._source import SampleSource
from sirtjax.train._state import Variables
from sirtjax.train._tile_shape import tile_shape
from sirtjax.train._training_file import TrainingConfig
from sirtjax.typing import Array


def file_source(
    config: TrainingConfig, data: FilesConfig, *, mesh: Mesh, on_progress: Callable[[str], None] = lambda text: None
) -> SampleSource:
    """Returns patches of images on the disk, varied at random on the device, validated on whole images.

    Args:
      config: training file.
      data: data table of the training file.
      mesh: devices.
      on_progress: called with each case that is prepared.

    Raises:
      ConfigError: cases that are missing or cannot be used, or a batch that cannot be divided among the devices.
    """
    trainer = config.trainer
    size = trainer.batch_size // trainer.accumulation_steps
    check_divides(size, mesh)
    listed = table_cases(data.path) if data.path.suffix == ".csv" else folder_cases(data.path)
    if len(listed[0].images) != config.network.channels:
        raise ConfigError(
            f"{data.path}: cases have {len(listed[0].images)} images, the network takes {config.network.channels} "
            "channels; set network.channels"
        )
    training, validation = split_cases(listed, validation_fraction=data.validation, seed=config.seed)
    settings: dict[str, Any] = {
        "preprocessing": data.prepared,
        "organ": () if data.mask is None else data.mask.values,
        "cache": data.cache or default_cache(),
        "on_progress": on_progress,
    }
    ready = prepare_cases(training, **settings)
    held_back = prepare_cases(validation, **settings)
    read = patch_batches(
        ready,
        shape=data.patch_shape,
        judged=networks.output_shape(config.network, data.patch_shape),
        values=[value for one in config.classes for value in one.values],
        foreground=data.foreground,
        seed=config.seed,
        batch_size=trainer.batch_size,
        threads=data.threads,
        process=(jax.process_index(), jax.process_count()),
    )

    def feed(step: int) -> Any:
        batch = read(step)
        parts = jax.tree.map(lambda x: x.reshape(trainer.accumulation_steps, -1, *x.shape[1:]), batch)
        return place_batch(parts, mesh)

    return SampleSource(
        feed=feed,
        prepare=_prepare(config, data),
        validate=lambda variables: _validated(variables, held_back, config, data),
        steps_per_epoch=-(-len(ready) // trainer.batch_size),
        validation=tuple(case.name for case in validation),
    )


def default_cache() -> Path:
    """Returns the folder of prepared cases in the user's cache folder."""
    import os

    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sirtjax" / "training"


def _prepare(config: TrainingConfig, data: FilesConfig) -> Callable[[Array, Any, Array], tuple[Array, Array]]:
    classes, count, output = config.classes, config.network.classes, data.output
    vary, spacing_mm = data.augmentation, data.preprocessing.spacing_mm

    def one(key: Array, patch: dict[str, Array]) -> tuple[Array, Array]:
        to_place, to_shift = jax.random.split(key)
        image, labels = augment(
            to_place, patch["image"], patch["labels"].astype(jnp.int32), config=vary, spacing_mm=spacing_mm
        )
        if vary.shift is not None:
            image = image + patch["ct"] * shift_hu(to_shift, vary.shift)
        scaled = to_range(image, patch["low"], patch["high"], output=output)
        return scaled, channels_of(labels, classes, count=count)

    def prepare(key: Array, feed: Any, part: Array) -> tuple[Array, Array]:
        patches = jax.tree.map(lambda x: x[part], feed)
        keys = jax.random.split(key, patches["labels"].shape[0])
        images, onehot = jax.vmap(one)(keys, patches)
        return images, onehot

    return prepare


def _validated(
    variables: Variables, cases: tuple[PreparedCase, ...], config: TrainingConfig, data: FilesConfig
) -> Scores:
    held: Variables = jax.tree.map(np.asarray, variables)
    counts = [_counts(predicted(held, case, config, data), case, config.classes, config) for case in cases]
    labels = tuple(one.name for one in config.classes)
    return scores_of(np.stack(counts), cases=[case.case.name for case in cases], labels=labels)


def predicted(
    variables: Variables, case: PreparedCase, config: TrainingConfig, data: FilesConfig
) -> Float[np.ndarray, "i j k classes"]:
    """Logits (i, j, k, classes) of a whole prepared case, tile by tile."""
    image = np.asarray(to_range(np.asarray(case.image), case.low, case.high, output=data.output))
    return predict_tiles(
        segmentation.network_function(config.network),
        image,
        variables=variables,
        patch_shape=tile_shape(config.network, data.patch_shape),
        overlap=data.overlap,
        fill=data.unseen,
        devices=jax.local_devices()[:1],
    )


def _counts(
    logits: NDArray[np.float32], case: PreparedCase, classes: tuple[ClassConfig, ...], config: TrainingConfig
) -> NDArray[np.int32]:
    # In slabs, because the one-hot labels of a whole body would not fit into memory next to its logits.
    total = np.zeros((len(classes), 3), np.int64)
    for start in range(0, logits.shape[2], 16):
        slab = slice(start, start + 16)
        onehot = channels_of(jnp.asarray(case.labels[:, :, slab]), classes, count=config.network.classes)
        total += np.asarray(overlap_counts(jnp.asarray(logits[:, :, slab]), onehot, regions=config.loss.regions))
    return total.astype(np.int32)
