"""The sources of pairs for the training of a registration network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from sirtjax import synthesis
from sirtjax.errors import ConfigError
from sirtjax.preprocess import FixedPreprocessing
from sirtjax.train._joint_loss import JointPair
from sirtjax.train._pair_feed import pair_feed
from sirtjax.train._pair_table import read_pair_table, split_pairs
from sirtjax.train._pairs_config import EXACT_GUIDES, FilePairsConfig, MixedPairsConfig, RandomPairsConfig
from sirtjax.train._prepared_pairs import PreparedPair, PreparedSide, prepare_pairs
from sirtjax.train._random_pairs import guides_given, pair_of_two_patients, random_joint_pair, start_error

# Number of the first random pair of a validation.
_VALIDATION = 10_000
# Random pairs that show less of the liver are not used for validation.
_MIN_LIVER_ML = 60.0


class LaterPair:
    """A pair that is drawn when it is first needed, as a process draws only its own pairs of a batch."""

    def __init__(self, make: Callable[[], JointPair]) -> None:
        """Keeps the function that draws the pair."""
        self._make = make

    @cached_property
    def pair(self) -> JointPair:
        """The pair."""
        return self._make()


@dataclass(frozen=True, kw_only=True)
class JointSource:
    """The source of pairs; a pair depends only on its number and the seed.

    Attributes:
      feed: function from the number of a pair to the pairs from there on.
      validation: pairs that are not used for training, by name.
      modalities: modalities of the training images, "CT" and "MR"; empty if they are not known.
      contents: hash of the images and masks of each pair of files, by name.
    """

    feed: Callable[[int], Iterator[LaterPair]]
    validation: dict[str, JointPair]
    modalities: frozenset[str] = frozenset()
    contents: Mapping[str, str] = field(default_factory=dict)


def random_pair_source(data: RandomPairsConfig, *, inputs: int, seed: int) -> JointSource:
    """Returns random pairs of digital phantoms, validated on phantoms with held-back liver shapes.

    Args:
      data: data table of the training file.
      inputs: inputs of the network: 1 leaves the guides out.
      seed: seed of the pairs.

    Raises:
      ConfigError: no validation pair shows the liver.
      ImageFormatError: the file of liver shapes is missing or damaged.
    """
    bank, names = synthesis.load_shape_bank(data.bank)
    shapes, held_back = (jax.device_put(synthesis.split_bank(bank, names, validation=held)) for held in (False, True))

    @jax.jit
    def draw(key: PRNGKeyArray, bank: synthesis.ShapeBank) -> JointPair:
        return _with_inputs(random_joint_pair(key, bank, config=data), inputs)

    @jax.jit
    def join(key: PRNGKeyArray, one: JointPair, two: JointPair) -> JointPair:
        return pair_of_two_patients(key, one, two, config=data)

    def later(key: PRNGKeyArray) -> LaterPair:
        return LaterPair(lambda: draw(key, shapes))

    def later_joined(key: PRNGKeyArray, one: LaterPair, two: LaterPair) -> LaterPair:
        return LaterPair(lambda: join(key, one.pair, two.pair))

    validation = {}
    for number in range(data.validation_pairs):
        pair = draw(jax.random.key(_VALIDATION + number), held_back)
        visible = float(np.sum((np.asarray(pair.reference_liver) > 0.5) & np.asarray(pair.seen)))
        if visible * data.synthesis.spacing_mm**3 / 1000.0 >= _MIN_LIVER_ML:
            validation[f"random {number + 1}"] = pair
    if not validation:
        raise ConfigError(
            "no validation pair shows the liver; raise data.validation_pairs or change data.synthesis.view"
        )
    return JointSource(
        feed=lambda number: pair_feed(later, later_joined, config=data, seed=seed, step=number),
        validation=validation,
        modalities=frozenset(scale.modality for scale in synthesis.learned_preprocessing(data.synthesis).intensities),
    )


def file_pair_source(
    data: FilePairsConfig,
    *,
    preprocessing: FixedPreprocessing,
    inputs: int,
    seed: int,
    on_progress: Callable[[str], None] = lambda text: None,
) -> JointSource:
    """Returns pairs of images on the disk, all of them in each round in another random order.

    Args:
      data: data table of the training file.
      preprocessing: spacing and scales of intensities.
      inputs: inputs of the network: 1 leaves the guides out.
      seed: seed of order and errors.
      on_progress: called for each pair that is read.

    Raises:
      ConfigError: the table cannot be used, or no pair is left for training or validation.
      InputError: an image or mask cannot be used.
    """
    training, held_back = split_pairs(read_pair_table(data.path), validation_fraction=data.validation, seed=seed)
    read = partial(prepare_pairs, shape=data.shape, preprocessing=preprocessing, on_progress=on_progress)
    modalities: set[str] = set()
    contents: dict[str, str] = {}
    pairs = read(training, on_modality=modalities.add, on_content=contents.__setitem__)
    others = read(held_back, on_content=contents.__setitem__)

    @jax.jit
    def vary(key: PRNGKeyArray, pair: PreparedPair) -> JointPair:
        return _with_inputs(joint_pair_of_files(key, pair, config=data), inputs)

    def feed(number: int) -> Iterator[LaterPair]:
        for at in count(number):
            turn, place = divmod(at, len(pairs))
            order = np.random.default_rng([seed, 3, turn]).permutation(len(pairs))
            own, other = pairs[order[place]], pairs[order[place - 1]]
            joined = np.random.default_rng([seed, 4, at]).random() < data.two_patients
            if joined and own.reference.masked and other.floating.masked:
                own = PreparedPair(own.reference, other.floating)
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 2), at)
            yield LaterPair(partial(vary, key, own))

    exact = data.model_copy(update={"guides": EXACT_GUIDES})
    validation = {
        file.name: _with_inputs(joint_pair_of_files(jax.random.key(_VALIDATION + number), pair, config=exact), inputs)
        for number, (file, pair) in enumerate(zip(held_back, others, strict=True))
    }
    return JointSource(feed=feed, validation=validation, modalities=frozenset(modalities), contents=contents)


def mixed_pair_source(data: MixedPairsConfig, *, random: JointSource, files: JointSource) -> JointSource:
    """Returns random pairs with pairs of files between them at even intervals.

    Args:
      data: fraction of pairs from files.
      random: source of random pairs.
      files: source of pairs of files.
    """

    def feed(number: int) -> Iterator[LaterPair]:
        before = int(number * data.fraction)
        of_files, of_random = files.feed(before), random.feed(number - before)
        for at in count(number):
            chosen = int((at + 1) * data.fraction) > int(at * data.fraction)
            yield next(of_files if chosen else of_random)

    return JointSource(
        feed=feed,
        validation={**random.validation, **files.validation},
        modalities=random.modalities | files.modalities,
        contents=files.contents,
    )


def joint_pair_of_files(key: PRNGKeyArray, pair: PreparedPair, *, config: FilePairsConfig) -> JointPair:
    """Returns a pair of files as a registration network in training receives it. Pure and jittable.

    The livers are those of the masks if both sides have one. Otherwise both are empty, so that their Dice is 1 for any
    displacement. The start is zero, because the grids are centred on the livers, plus the errors of the config.

    Args:
      key: random key.
      pair: both images on their grids.
      config: errors of guides and start.
    """
    reference_key, floating_key, missing_key, start_key = jax.random.split(key, 4)
    one, two = pair
    both = jnp.asarray(one.masked & two.masked).astype(jnp.float32)
    livers = [both * jnp.asarray(side.liver) for side in pair]
    present = guides_given(missing_key, config.guides)
    errors = (config.guides.reference_error_mm, config.guides.floating_error_mm)
    guides = [
        there * _guide(each, side, error, config.spacing_mm)
        for there, each, side, error in zip(present, (reference_key, floating_key), pair, errors, strict=True)
    ]
    liver = jnp.asarray(one.liver)
    return JointPair(
        jnp.asarray(one.image), jnp.asarray(two.image), livers[0], livers[1],
        jnp.zeros((*liver.shape, 3), jnp.float32), jnp.asarray(one.seen) & jnp.asarray(two.seen), guides[0], guides[1],
        start_mm=start_error(start_key, liver, config.spacing_mm, config.start), known=jnp.bool_(False),
        reference_lesions=jnp.asarray(one.lesions),
    )  # fmt: skip


def _guide(key: PRNGKeyArray, side: PreparedSide, error_mm: float, spacing_mm: float) -> jax.Array:
    liver = jnp.asarray(side.liver)
    if not error_mm:
        return (liver > 0.5).astype(jnp.float32)
    return synthesis.drawn_liver(key, liver, spacing_mm=spacing_mm, error_mm=error_mm)


def _with_inputs(pair: JointPair, inputs: int) -> JointPair:
    """The pair without guides for a network that takes none."""
    return pair if inputs > 1 else pair._replace(reference_guide=None, floating_guide=None)
