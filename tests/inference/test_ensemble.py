import numpy as np
import pytest
from scipy.special import expit, softmax

from sirtjax import inference


def logits(seed, *, classes=3, shape=(37, 4, 5)):
    return np.random.default_rng(seed).normal(scale=3, size=(*shape, classes)).astype(np.float32)


def test_probabilities_of_both_kinds():
    values = logits(0)
    values[0, 0, 0] = (1000, -1000, 0)
    np.testing.assert_allclose(inference.class_probabilities(values), softmax(values, axis=-1), atol=1e-6)
    np.testing.assert_allclose(
        inference.class_probabilities(values, activation="sigmoid"), expit(values), rtol=1e-5, atol=1e-6
    )


def test_the_mean_of_logits_decides_and_disagreement_shows():
    members = [logits(seed) for seed in range(3)]
    found = inference.combine(iter(members))
    np.testing.assert_allclose(found.probabilities, softmax(np.mean(members, axis=0), axis=-1), atol=1e-6)
    each = softmax(np.asarray(members), axis=-1)
    mean = each.mean(axis=0)
    np.testing.assert_allclose(found.mean, mean, atol=1e-6)
    np.testing.assert_allclose(found.entropy, -(mean * np.log(mean)).sum(axis=-1), atol=1e-5)
    np.testing.assert_allclose(found.spread, each.std(axis=0).max(axis=-1), atol=1e-3)


def test_one_network_has_no_spread_and_two_sure_ones_that_disagree_are_uncertain():
    sure = np.zeros((2, 1, 1, 2), np.float32)
    sure[0, ..., 0] = sure[1, ..., 1] = 50
    alone = inference.combine([sure])
    assert alone.mean is alone.probabilities
    assert alone.spread.max() == 0 and alone.entropy.max() < 1e-6
    both = inference.combine([sure, sure[::-1]])
    np.testing.assert_allclose(both.entropy, np.log(2), rtol=1e-5)
    np.testing.assert_allclose(both.spread, 0.5, rtol=1e-5)
    overlapping = inference.combine([sure, sure[::-1]], activation="sigmoid")
    assert overlapping.probabilities.max() == pytest.approx(1)


def test_members_are_not_changed():
    members = [logits(1), logits(2)]
    before = [one.copy() for one in members]
    inference.combine(members)
    for one, old in zip(members, before, strict=True):
        np.testing.assert_array_equal(one, old)


def test_the_most_likely_class_by_slabs():
    values = logits(4, classes=5)
    values[3] = 0  # a tie goes to the lower class
    np.testing.assert_array_equal(inference.most_likely(values), values.argmax(axis=-1))
    with pytest.raises(ValueError, match="257 classes don't fit into 8 bits"):
        inference.most_likely(np.zeros((1, 1, 1, 257), np.float32))


def test_ensembles_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="an ensemble needs a network"):
        inference.combine([])
    with pytest.raises(ValueError, match=r"logits of \(2, 4, 5, 3\) beside \(37, 4, 5, 3\)"):
        inference.combine([logits(0), logits(1, shape=(2, 4, 5))])
    with pytest.raises(ValueError, match="activation must be one of softmax, sigmoid, got 'relu'"):
        inference.combine([logits(0)], activation="relu")
