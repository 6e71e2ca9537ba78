"""The order in which random pairs are drawn and used again, which depends only on the seed and on the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from sirtjax.train._pairs_config import RandomPairsConfig

# A pair, or a promise of one that is drawn later.
Pair = TypeVar("Pair")


def pair_feed(
    draw: Callable[[PRNGKeyArray], Pair],
    join: Callable[[PRNGKeyArray, Pair, Pair], Pair],
    *,
    config: RandomPairsConfig,
    seed: int,
    step: int = 0,
) -> Iterator[Pair]:
    """Yields the pairs of a training from a step on.

    Pairs come in windows. Each pair of a window is used once in the order of drawing, then `uses - 1` times in random
    orders. A feed that starts at a later step yields the same pairs as one that started at 0.

    Args:
      draw: draws a pair from a key.
      join: joins the reference image of one pair and the floating image of another.
      config: window, uses and fraction of pairs of two patients.
      seed: seed of the training.
      step: first step.
    """
    per_window = config.window * config.uses
    while True:
        window, place = divmod(step, per_window)
        order = _order(seed, window, config)
        kept: dict[int, Pair] = {}

        def pair(number: int, *, window: int = window, kept: dict[int, Pair] = kept) -> Pair:
            if number not in kept:
                kept[number] = draw(_key(seed, 0, window * config.window + number))
            return kept[number]

        for at in range(place, per_window):
            rng = np.random.default_rng([seed, 2, window, at])
            own, other = int(order[at]), int(order[at - 1])
            if at and own != other and rng.random() < config.two_patients:
                yield join(_key(seed, 1, step), pair(own), pair(other))
            else:
                yield pair(own)
            step += 1


def _order(seed: int, window: int, config: RandomPairsConfig) -> np.ndarray:
    rng = np.random.default_rng([seed, 1, window])
    later = [rng.permutation(config.window) for _ in range(config.uses - 1)]
    return np.concatenate([np.arange(config.window), *later])


def _key(seed: int, kind: int, number: int) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), kind), number)
