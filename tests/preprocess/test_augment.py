import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from sirtjax import preprocess

SHAPE, SPACING_MM = (14, 11, 9), (2.0, 3.0, 5.0)


def run(config, image, labels, *, seed=0):
    made = preprocess.AugmentConfig.model_validate(config)
    done = jax.jit(lambda key, x, y: preprocess.augment(key, x, y, config=made, spacing_mm=SPACING_MM))
    image, labels = done(jax.random.key(seed), image, labels)
    return np.asarray(image), np.asarray(labels)


def pictured():
    """Labels of a box, and an image that is the labels' own values and the index along i."""
    labels = np.zeros(SHAPE, np.int32)
    labels[3:10, 2:8, 3:7] = 2
    image = np.stack([labels, np.broadcast_to(np.arange(SHAPE[0])[:, None, None], SHAPE)], axis=-1)
    return image.astype("f4"), labels


def test_nothing_asked_for_leaves_all_as_it_is():
    image, labels = pictured()
    same, as_well = run({}, image, labels)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(as_well, labels)


@pytest.mark.parametrize("axis", range(3))
def test_a_sure_flip(axis):
    image, labels = pictured()
    flip = [0.0, 0.0, 0.0]
    flip[axis] = 1.0
    flipped, both = run({"flip": flip}, image, labels)
    np.testing.assert_array_equal(flipped, np.flip(image, axis))
    np.testing.assert_array_equal(both, np.flip(labels, axis))


@pytest.mark.slow
def test_flips_come_about_as_often_as_said():
    image, labels = pictured()
    made = preprocess.AugmentConfig(flip=(0.25, 0.0, 0.0))
    many = jax.vmap(
        lambda key: preprocess.augment(key, image, labels, config=made, spacing_mm=SPACING_MM)[0][0, 0, 0, 1]
    )
    share = float(np.mean(np.asarray(many(jax.random.split(jax.random.key(1), 400))) > 0))
    assert 0.18 < share < 0.32


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [{"rotation_deg": [0, 0, 20]}, {"scale": 0.15}, {"elastic_mm": 3.0, "elastic_grid_mm": 12.0}],
    ids=["turned", "scaled", "deformed"],
)
def test_labels_go_with_the_image(config):
    image, labels = pictured()
    moved, with_it = run(config, image, labels, seed=5)
    assert set(np.unique(with_it)) == {0, 2}
    assert 0.01 < np.mean(with_it != labels) < 0.35
    inside = ndimage.binary_erosion(with_it == 2, iterations=1)
    assert inside.sum() > 5 and moved[inside, 0].min() > 1.0
    assert np.abs(moved[..., 0] - with_it).mean() < 0.3


@pytest.mark.slow
def test_a_turn_is_one_in_millimetres():
    """Distances between points in mm stay, though voxels are anisotropic."""
    made = preprocess.AugmentConfig(rotation_deg=(25.0, 20.0, 30.0))
    from sirtjax.preprocess._augment import _places

    shape = (40, 40, 40)
    index = np.asarray(_places(jax.random.key(2), shape, made, SPACING_MM), "f8")
    place_mm = index * SPACING_MM
    at = [(20, 20, 20), (24, 20, 20), (20, 23, 20), (20, 20, 22)]
    for one, two in ((0, 1), (0, 2), (0, 3), (1, 2), (2, 3)):
        before = np.linalg.norm((np.array(at[one]) - at[two]) * SPACING_MM)
        assert np.linalg.norm(place_mm[at[one]] - place_mm[at[two]]) == pytest.approx(before, rel=1e-4)
    np.testing.assert_allclose(index[19:21, 19:21, 19:21].mean(axis=(0, 1, 2)), 19.5, atol=1e-3)
    assert np.abs(index - np.indices(shape).transpose(1, 2, 3, 0)).max() > 3


@pytest.mark.slow
def test_a_deformation_is_as_large_as_said_and_smooth():
    made = preprocess.AugmentConfig(elastic_mm=4.0, elastic_grid_mm=40.0)
    from sirtjax.preprocess._augment import _elastic_mm

    draw = jax.jit(lambda key: _elastic_mm(key, (60, 40, 24), made, SPACING_MM))
    fields = np.stack([draw(jax.random.key(seed)) for seed in range(4)])
    assert fields.shape == (4, 60, 40, 24, 3)
    assert 1.8 < fields.std() < 4.2
    assert np.abs(np.diff(fields, axis=1)).max() / SPACING_MM[0] < 1.2


@pytest.mark.slow
def test_every_key_its_own():
    image, labels = pictured()
    config = {"rotation_deg": [10, 10, 10]}
    one, two = (run(config, image, labels, seed=seed)[0] for seed in (0, 1))
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(run(config, image, labels, seed=0)[0], one)


def test_the_shift_of_the_thesis():
    shift = preprocess.IntensityShift(mean_hu=-40.0, std_hu=40.0)
    drawn = jax.vmap(lambda key: preprocess.shift_hu(key, shift))(jax.random.split(jax.random.key(0), 2000))
    assert float(jnp.mean(drawn)) == pytest.approx(-40, abs=3)
    assert float(jnp.std(drawn)) == pytest.approx(40, abs=3)


def test_unknown_or_impossible_is_refused():
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        preprocess.AugmentConfig(flip=(2.0, 0.0, 0.0))
    with pytest.raises(ValidationError, match="Extra inputs"):
        preprocess.AugmentConfig.model_validate({"mirror": 1})


def test_the_elastic_displacement_between_control_points_is_smaller_as_documented():
    from sirtjax.preprocess._augment import _elastic_mm

    made = preprocess.AugmentConfig(elastic_mm=5.0, elastic_grid_mm=40.0)
    draw = jax.jit(lambda key: _elastic_mm(key, (48, 48, 48), made, (5.0, 5.0, 5.0)))
    found = np.stack([np.asarray(draw(jax.random.key(seed))) for seed in range(20)])

    def weight(x):
        """Keys' cubic interpolation: https://doi.org/10.1109/TASSP.1981.1163711."""
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x < 1, near, np.where(x < 2, far, 0.0))

    at = (np.arange(1000) + 0.5) / 1000
    per_axis = np.mean(sum(weight(np.abs(at - knot)) ** 2 for knot in range(-1, 3)))
    assert per_axis == pytest.approx(57 / 70, rel=1e-5)
    assert found.std() == pytest.approx(5.0 * per_axis**1.5, rel=0.03)
