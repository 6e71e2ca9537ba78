"""Random patches of random samples, which networks with an output smaller than their input need."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.train._sample_patch import random_patch

SHAPE = (9, 8, 7)


def sample():
    """An image that states the number of its voxel, and a class in a few of them."""
    image = np.arange(np.prod(SHAPE), dtype="f4").reshape(SHAPE)
    labels = np.full(SHAPE, 7, "i4")
    labels[2:4, 5:8, 0:2] = 1
    return image, labels


def patch(seed, *, shape, judged, foreground, labels=None):
    image, made = sample()
    labels = made if labels is None else labels
    draw = jax.jit(random_patch, static_argnames=("shape", "judged", "foreground", "unseen"))
    found = draw(
        jax.random.key(seed),
        jnp.asarray(image),
        jnp.asarray(labels),
        wanted=jnp.asarray(labels == 1),
        shape=shape,
        judged=judged,
        foreground=foreground,
        unseen=-1.0,
    )
    return [np.asarray(one) for one in found]


def middle(array, judged):
    start = [(n - m) // 2 for n, m in zip(array.shape, judged, strict=True)]
    return array[tuple(slice(a, a + m) for a, m in zip(start, judged, strict=True))]


@pytest.mark.parametrize(
    ("shape", "judged"), [((21, 17, 19), (3, 3, 3)), ((8, 7, 6), (3, 4, 2)), ((5, 5, 5), (5, 5, 5))]
)
def test_image_and_labels_are_of_the_same_voxels(shape, judged):
    image, labels = sample()
    starts = set()
    for seed in range(40):
        seen, named = patch(seed, shape=shape, judged=judged, foreground=0.0)
        assert seen.shape == named.shape == shape
        inside = seen >= 0
        np.testing.assert_array_equal(named[inside], labels.ravel()[seen[inside].astype(int)])
        assert (named[~inside] == 0).all() and (seen[~inside] == -1).all()
        core = middle(seen, judged)
        assert (core >= 0).all()  # what the network predicts is inside the sample
        first = np.unravel_index(int(core.flat[0]), SHAPE)
        np.testing.assert_array_equal(core, image[tuple(slice(a, a + m) for a, m in zip(first, judged, strict=True))])
        starts.add(first)
    for axis, (size, part) in enumerate(zip(SHAPE, judged, strict=True)):
        assert {one[axis] for one in starts} == set(range(size - part + 1))


def test_the_middle_belongs_to_a_class_as_often_as_stated():
    hits = [
        middle(patch(seed, shape=(9, 9, 9), judged=(1, 1, 1), foreground=0.5)[1], (1, 1, 1)).item() == 1
        for seed in range(200)
    ]
    expected = 0.5 + 0.5 * 12 / np.prod(SHAPE)
    assert abs(np.mean(hits) - expected) < 0.12
    always = [patch(seed, shape=(9, 9, 9), judged=(1, 1, 1), foreground=1.0) for seed in range(60)]
    centres = {int(seen[4, 4, 4]) for seen, _ in always}
    assert len(centres) == 12  # all voxels of the class


def test_a_sample_without_the_class_is_cropped_anywhere():
    labels = np.full(SHAPE, 7, "i4")
    centres = {
        int(patch(seed, shape=(3, 3, 3), judged=(1, 1, 1), foreground=1.0, labels=labels)[0][1, 1, 1])
        for seed in range(40)
    }
    assert len(centres) > 20


def test_a_sample_smaller_than_the_output_is_in_it_as_a_whole():
    image, _ = sample()
    judged = (11, 12, 9)
    starts = set()
    for seed in range(60):
        seen, _ = patch(seed, shape=(15, 16, 13), judged=judged, foreground=0.0)
        core = middle(seen, judged)
        np.testing.assert_array_equal(np.sort(core[core >= 0]), image.ravel())
        starts.add(tuple(int(n) for n in np.argwhere(core == 0)[0]))
    assert len(starts) > 20 and all(
        {one[axis] for one in starts} == set(range(m - n + 1))
        for axis, (m, n) in enumerate(zip(judged, SHAPE, strict=True))
    )
