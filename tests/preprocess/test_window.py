from functools import partial

import jax
import numpy as np
import pytest

from sirtjax import preprocess
from sirtjax.errors import ConfigError


def test_a_window_maps_to_the_range_and_clips():
    scale = preprocess.IntensityScale(modality="CT", window=(-200, 200))
    image = np.array([-1000.0, -200, -100, 0, 200, 3000]).reshape(1, 2, 3)
    found = preprocess.scale_intensity(image, scale)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.ravel(), [-0.5, -0.5, -0.25, 0, 0.5, 0.5], atol=1e-7)
    assert image[0, 0, 0] == -1000


def test_percentiles_are_the_images_own():
    image = np.arange(101.0).reshape(1, 1, 101)
    scale = preprocess.IntensityScale(modality="MR", percentiles=(10, 60), output=(0, 1))
    found = preprocess.scale_intensity(image, scale).ravel()
    np.testing.assert_allclose(found[[0, 10, 35, 60, 100]], [0, 0, 0.5, 1, 1], atol=1e-6)
    # brighter by any factor, it is the same to the network
    np.testing.assert_allclose(preprocess.scale_intensity(7 * image, scale).ravel(), found, atol=1e-6)


def test_percentiles_of_large_images_are_sampled(monkeypatch):
    monkeypatch.setattr("sirtjax.preprocess._window.SAMPLE", 1000)
    image = np.random.default_rng(0).normal(size=(40, 50, 60))
    low, high = preprocess.percentile_window(image, (1, 99))
    np.testing.assert_allclose([low, high], [-2.33, 2.33], atol=0.2)


def test_the_foreground_is_found_however_much_air_is_around():
    tissue = np.linspace(50.0, 250.0, 2001)
    scale = preprocess.IntensityScale(modality="MR", foreground={"percentile": 95, "headroom": 1.25}, output=(-1, 1.5))
    for air in (1000, 20000):
        image = np.concatenate([tissue, np.zeros(air)]).reshape(1, 1, -1)
        low, high = preprocess.intensity_window(image, scale)
        assert low == 0.0 and high == pytest.approx(1.25 * 240.0)
        found = preprocess.scale_intensity(image, scale).ravel()
        # Zero signal, the percentile itself, and what is brighter than all the room above it.
        assert found[-1] == -1.0
        assert np.interp(240.0, tissue, found[:2001]) == pytest.approx(1.0, abs=1e-3)
    bright = preprocess.scale_intensity(np.array([[[*tissue, 1e4]]]), scale)
    assert bright.max() == 1.5


def test_an_image_without_signal_has_no_foreground():
    scale = preprocess.IntensityScale(modality="MR", foreground={}, output=(-1, 1))
    assert (preprocess.scale_intensity(np.zeros((2, 3, 4)), scale) == -1).all()


def test_an_image_without_contrast_is_the_lower_end():
    scale = preprocess.IntensityScale(modality="MR", percentiles=(1, 99))
    assert preprocess.scale_intensity(np.full((2, 3, 4), 5.0), scale).tolist() == np.full((2, 3, 4), -0.5).tolist()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({}, "give one of `window`, `percentiles`, `foreground` and `organ`"),
        ({"window": (0, 1), "percentiles": (0, 1)}, "give one of `window`, `percentiles`, `foreground` and `organ`"),
        ({"window": (1, 1)}, "`window` must go from low to high, got 1.0, 1.0"),
        ({"window": (0, 1), "output": (1, 0)}, "`output` must go from low to high"),
        ({"window": (0, 1), "gamma": 2}, "Extra inputs are not permitted"),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(table, complaint):
    with pytest.raises(ValueError, match=complaint):
        preprocess.IntensityScale(modality="CT", **table)


@pytest.mark.parametrize(("relative", "ends"), [(False, (40.0, 80.0)), (True, (-1140.0, 1260.0))])
def test_around_the_median_of_an_organ(relative, ends):
    image = np.full((4, 5, 6), 900.0)
    image[1:3, 1:4, 2:5] = 60.0
    image[1, 1, 2:5] = -50.0  # lesions move the median by little
    inside = image < 100
    how = preprocess.OrganWindow(reach=20.0, relative=relative)
    scale = preprocess.IntensityScale(modality="MR", organ=how)
    assert preprocess.intensity_window(image, scale, organ=inside) == ends
    for organ in (None, np.zeros_like(inside)):
        with pytest.raises(ConfigError, match="scaled around the organ's median; give a mask of the organ"):
            preprocess.intensity_window(image, scale, organ=organ)


def test_modalities_are_named_once():
    ct = preprocess.IntensityScale(modality="CT", window=(0, 1))
    with pytest.raises(ValueError, match="must name each modality once, got CT, CT"):
        preprocess.FixedPreprocessing(spacing_mm=(3, 3, 3), intensities=(ct, ct))


RULES = {
    "window": {"window": (-200, 300)},
    "percentiles": {"percentiles": (1.0, 99.5)},
    "foreground": {"foreground": {"percentile": 98, "headroom": 1.25}},
    "organ": {"organ": {"reach": 90.0}},
    "relative organ": {"organ": {"reach": 0.5, "relative": True}},
}


@pytest.mark.parametrize("with_seen", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_numpy_and_compiled_jax_give_equal_values(rule, with_seen):
    scale = preprocess.IntensityScale(modality="MR", output=(-1.0, 1.5), **RULES[rule])
    draw = np.random.default_rng(6)
    image = draw.gamma(2.0, 100.0, (13, 11, 9)).astype("f4")
    organ, seen = draw.random((2, *image.shape)) < 0.6
    given = {"organ": organ} | ({"seen": seen} if with_seen else {})
    host = preprocess.scale_intensity(image, scale, **given)
    compiled = jax.jit(partial(preprocess.scale_intensity, scale=scale))(image, **given)
    assert host.dtype == compiled.dtype == np.float32
    # JAX finds the place of a percentile in float32, NumPy in float64.
    np.testing.assert_allclose(np.asarray(compiled), host, atol=5e-6, rtol=0)
    assert np.ptp(host) > 1.0


@pytest.mark.parametrize("rule", ["percentiles", "foreground", "relative organ"])
def test_numpy_and_jax_agree_where_nothing_is_seen(rule):
    scale = preprocess.IntensityScale(modality="MR", output=(-1.0, 1.5), **RULES[rule])
    image, seen = np.ones((3, 4, 5), np.float32), np.zeros((3, 4, 5), bool)
    compiled = jax.jit(partial(preprocess.scale_intensity, scale=scale))(image, organ=~seen, seen=seen)
    assert (np.asarray(compiled) == scale.unseen).all()
    if scale.organ is None:
        assert (preprocess.scale_intensity(image, scale, seen=seen) == scale.unseen).all()
