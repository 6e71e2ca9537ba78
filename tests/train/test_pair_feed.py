"""The order of pairs: the same after a restart, each pair as often as stated, and even intervals in a mix."""

from collections import Counter
from itertools import islice

import jax
import numpy as np
import pytest

from sirtjax import train


def config(**change):
    table = {
        "kind": "random", "bank": "unused.npz", "synthesis": {"preset": "default"}, "window": 5, "uses": 3, **change
    }  # fmt: skip
    return train.RandomPairsConfig.model_validate(table)


def words(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def taken(count, *, made=None, seed=7, step=0):
    """Each pair as its key, or as its keys with those of its two parts."""
    feed = train.pair_feed(
        words, lambda key, one, two: (words(key), one, two), config=made or config(), seed=seed, step=step
    )
    return list(islice(feed, count))


def test_a_feed_that_starts_later_yields_the_same_pairs():
    made = config(two_patients=0.4)
    whole = taken(40, made=made)
    for step in range(33):
        assert taken(7, made=made, step=step) == whole[step : step + 7], step


def test_every_pair_of_a_window_is_used_as_often_as_stated():
    found = taken(30)
    for window in (found[:15], found[15:]):
        assert sorted(Counter(window).values()) == [3] * 5
        # Drawn one by one, so that the first pass does not wait for later pairs.
        assert len(set(window[:5])) == 5
    assert not set(found[:15]) & set(found[15:])
    assert set(taken(30, seed=8)).isdisjoint(found)


def test_two_patients_are_joined_in_the_stated_fraction_of_steps():
    found = taken(1500, made=config(two_patients=0.3, window=30))
    joined = [one for one in found if len(one) == 3]
    assert all(one != two for _, one, two in joined)
    # Five standard deviations of a binomial distribution.
    assert len(joined) / len(found) == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / 1500))
    assert len({key for key, _, _ in joined}) == len(joined)
    assert not [one for one in taken(100) if len(one) == 3]


def labelled(word):
    """A source whose pairs are names."""

    def feed(number):
        while True:
            yield f"{word} {number}"
            number += 1

    return train.JointSource(feed=feed, validation={word: word})


def test_pairs_of_files_come_at_even_intervals():
    synthesis = {"preset": "default", "shape": [80, 64, 64], "spacing_mm": 5.0}
    random = {"kind": "random", "bank": "b.npz", "synthesis": synthesis}
    table = {"kind": "mix", "fraction": 0.3, "random": random, "files": {"kind": "files", "path": "p.csv"}}
    mixed = train.mixed_pair_source(
        train.MixedPairsConfig.model_validate(table), random=labelled("random"), files=labelled("file")
    )
    whole = list(islice(mixed.feed(0), 100))
    for word, count in (("file", 30), ("random", 70)):
        assert [one for one in whole if one.startswith(word)] == [f"{word} {number}" for number in range(count)]
    at = [number for number, one in enumerate(whole) if one.startswith("file")]
    assert set(np.diff(at)) == {3, 4}
    for start in (1, 17, 63):
        assert list(islice(mixed.feed(start), 20)) == whole[start : start + 20]
    assert set(mixed.validation) == {"random", "file"}
    with pytest.raises(ValueError, match="set the same shape and spacing_mm"):
        train.MixedPairsConfig.model_validate({**table, "files": {**table["files"], "spacing_mm": 4.0}})
