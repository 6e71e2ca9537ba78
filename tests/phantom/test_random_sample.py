"""Random training samples: what holds for every one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.config import preset_table
from sirtjax.phantom import ShapeBank, random_sample, synthesis_config
from sirtjax.phantom._shape_bank import BANK_ORIGIN_MM, BANK_SHAPE, BANK_SPACING_MM, STEP_MM, _top

COUNT = 50


def small(**change):
    table = preset_table("synthesis", "default")
    # 8 mm voxels over the default's field of view.
    return synthesis_config({**table, "shape": [48, 40, 42], "spacing_mm": 8.0, **change}, name="small")


@pytest.fixture(scope="module")
def bank() -> ShapeBank:
    """Two plain livers: ellipsoids under the right dome with a left lobe."""
    axes = [o + BANK_SPACING_MM * np.arange(n) for o, n in zip(BANK_ORIGIN_MM, BANK_SHAPE, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    shapes = []
    for size in (1.0, 1.15):
        right = np.sqrt(((x + 70) / 70) ** 2 + (y / 80) ** 2 + ((z + 80 * size) / (80 * size)) ** 2)
        left = np.sqrt(((x - 10) / 70) ** 2 + ((y + 40) / 35) ** 2 + ((z + 50) / 30) ** 2)
        distance = np.minimum((right - 1) * 75, (left - 1) * 40).astype(np.float32)
        inside = np.argwhere(distance < 0)
        box = np.asarray(BANK_ORIGIN_MM) + BANK_SPACING_MM * np.stack([inside.min(0), inside.max(0)])
        top, beside = _top(distance)
        steps = np.clip(np.round(distance / STEP_MM), -127, 127).astype(np.int8)
        shapes.append(ShapeBank(distance_step=steps, top_mm=top, beside_mm=beside, box_mm=box.astype(np.float32)))
    return jax.tree.map(lambda *parts: np.stack(parts), *shapes)


@pytest.fixture(scope="module")
def whole():
    """Samples that show the whole liver, and only that."""
    return small(
        view={"far": 0.0, "anywhere": 0.0, "cut": 0.0, "whole_grid": 1.0}, resection_share=0.0, shape=[56, 48, 56]
    )


@pytest.fixture(scope="module")
def samples(bank, whole):
    draw = jax.jit(jax.vmap(lambda key, bank: random_sample(key, bank, config=whole), in_axes=(0, None)))
    keys = jax.random.split(jax.random.key(5), 10)
    parts = [draw(jnp.stack([jax.random.fold_in(key, n) for n in range(5)]), bank) for key in keys]
    image, labels = (np.concatenate([np.asarray(part[n]) for part in parts]) for n in range(2))
    assert len(image) == COUNT
    return image, labels, draw, keys


def test_every_image_is_finite_and_in_range(samples, whole):
    image, labels, *_ = samples
    assert image.dtype == np.float32
    assert labels.dtype == np.int32
    assert image.shape == labels.shape == (COUNT, *whole.shape)
    assert np.isfinite(image).all()
    assert image.min() >= -1.0
    assert image.max() <= 1.5
    assert set(np.unique(labels)) == {0, 1, 2}


def test_whole_livers_have_the_volume_of_peoples(samples, whole):
    _, labels, *_ = samples
    volume_ml = (labels > 0).sum(axis=(1, 2, 3)) * whole.spacing_mm**3 / 1000
    assert volume_ml.min() > 450
    assert volume_ml.max() < 4500
    assert 1000 < np.median(volume_ml) < 2200
    # Shapes differ: nearly no two alike.
    assert len(np.unique(np.round(volume_ml / 20))) > 20


def test_livers_lie_on_the_patients_right_below_the_lungs(samples):
    image, labels, *_ = samples
    right, below_lungs = 0, 0
    for one, label in zip(image, labels, strict=True):
        i, _, k = (np.mean(index) for index in np.nonzero(label > 0))
        body = np.nonzero(one > -0.9)
        right += i < np.mean(body[0])
        # Nearly no liver is left 13 cm above its middle.
        above = (label[:, :, min(int(k) + 16, one.shape[2] - 1)] > 0).sum()
        below_lungs += above < 0.1 * (label > 0).sum(axis=(0, 1)).max()
    assert right == COUNT
    assert below_lungs == COUNT


def test_labels_lie_inside_the_body(samples):
    _, labels, *_ = samples
    for label in labels:
        # A liver at the edge of the grid would be one outside of the body: only its upper and lower end may be cut.
        assert not (label[0] > 0).any()
        assert not (label[-1] > 0).any()
        assert not (label[:, 0] > 0).any()
        assert not (label[:, -1] > 0).any()


def test_lesions_come_in_about_the_share_asked_for(samples, whole):
    _, labels, *_ = samples
    share = np.mean((labels == 2).any(axis=(1, 2, 3)))
    # Small ones vanish between voxels of 8 mm.
    assert 0.25 < share < whole.lesion_share + 0.2


def test_the_same_key_gives_the_same_sample(samples, bank):
    image, labels, draw, keys = samples
    again = draw(jnp.stack([jax.random.fold_in(keys[0], n) for n in range(5)]), bank)
    np.testing.assert_array_equal(np.asarray(again[0]), image[:5])
    np.testing.assert_array_equal(np.asarray(again[1]), labels[:5])
    assert np.abs(image[0] - image[1]).max() > 0.5


@pytest.mark.slow
def test_jit_gives_what_vmap_gives(samples, bank, whole):
    image, labels, _, keys = samples
    one = jax.jit(random_sample, static_argnames="config")(jax.random.fold_in(keys[0], 0), bank, config=whole)
    assert np.mean(np.abs(np.asarray(one[0]) - image[0]) > 1e-3) < 1e-3
    assert np.mean(np.asarray(one[1]) != labels[0]) < 1e-4
