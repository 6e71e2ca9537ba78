import jax
import numpy as np
import pytest

from sirtjax import losses

# Compiled: running every operation by itself would compile each of them.
mutual_information_loss = jax.jit(losses.mutual_information_loss, static_argnames="bins")
normalised_mutual_information_loss = jax.jit(losses.normalised_mutual_information_loss, static_argnames="bins")
SLOPES = {
    loss: jax.jit(jax.value_and_grad(lambda w, r, q, loss=loss: loss(w, r, weights=q), argnums=(0, 2)))
    for loss in (mutual_information_loss, normalised_mutual_information_loss)
}


def related(n, *, seed=0):
    """Two samples in [0, 1] that share some information, and uneven weights."""
    draw = np.random.default_rng(seed)
    reference = draw.beta(2, 3, n)
    warped = np.clip(0.7 * (1 - reference) ** 2 + 0.3 * draw.random(n), 0, 1)
    return warped.astype("f4"), reference.astype("f4"), draw.random(n).astype("f4")


def entropy(p):
    p = p[p > 0] / p.sum()
    return -np.sum(p * np.log(p))


def dense_histogram(warped, reference, bins, weights):
    """Mattes' joint histogram by its formula: every window at every bin, in double precision."""
    position = np.clip(warped.astype("f8"), 0, 1) * (bins - 4) + 2
    column = np.minimum(np.floor(np.clip(reference.astype("f8"), 0, 1) * (bins - 4) + 2), bins - 3)
    t = np.abs(np.arange(bins) - position[:, None])
    window = np.where(t < 1, (4 - 6 * t**2 + 3 * t**3) / 6, np.where(t < 2, (2 - t) ** 3 / 6, 0))
    box = column[:, None] == np.arange(bins)
    return (window * weights[:, None]).T @ box


@pytest.mark.parametrize("bins", [8, 32, 50])
def test_both_agree_with_the_formula_summed_over_every_bin(bins):
    warped, reference, weights = related(5000)
    p = dense_histogram(warped, reference, bins, weights)
    joint, of_warped, of_reference = entropy(p), entropy(p.sum(1)), entropy(p.sum(0))
    value = mutual_information_loss(warped, reference, bins=bins, weights=weights)
    np.testing.assert_allclose(value, joint - of_warped - of_reference, rtol=2e-4)
    value = normalised_mutual_information_loss(warped, reference, bins=bins, weights=weights)
    np.testing.assert_allclose(value, -(of_warped + of_reference) / joint, rtol=1e-5)


def test_equals_the_metric_of_simpleitk():
    """Mattes' metric of ITK over all voxels at the identity, on an anisotropic non-cubic image."""
    import SimpleITK as sitk

    warped, reference, _ = related(14 * 11 * 9)
    for image in (warped, reference):
        image[:2] = 0, 1  # ITK spreads its bins over the range it finds
    images = [sitk.GetImageFromArray(x.reshape(14, 11, 9)) for x in (reference, warped)]
    for image in images:
        image.SetSpacing((2.0, 3.0, 4.0))
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(sitk.TranslationTransform(3))
    expected = method.MetricEvaluate(*images)
    np.testing.assert_allclose(mutual_information_loss(warped, reference), expected, rtol=2e-4)


def test_near_the_plain_histogram_for_many_smooth_samples():
    warped, reference, _ = related(200_000)
    inner = 28
    p, _, _ = np.histogram2d(warped, reference, bins=inner, range=[[0, 1], [0, 1]])
    plain = entropy(p.sum(0)) + entropy(p.sum(1)) - entropy(p)
    # The window blurs one of the axes: a little information is lost, and none is made up.
    assert 0.9 * plain < -float(mutual_information_loss(warped, reference)) < plain


def test_two_values_by_hand():
    """Values in the middle of bins: windows of 1/48, 23/48, 23/48, 1/48, which don't meet for distant bins."""
    warped = np.repeat(np.array([6.5, 20.5], "f4"), 50) / 28
    reference = warped.copy()
    assert float(mutual_information_loss(warped, reference)) == pytest.approx(-np.log(2), rel=1e-5)
    # The window's own entropy stays in both the marginal and the joint distribution.
    spread = entropy(np.array([1, 23, 23, 1]))
    expected = -(2 * np.log(2) + spread) / (np.log(2) + spread)
    assert float(normalised_mutual_information_loss(warped, reference)) == pytest.approx(expected, rel=1e-5)


def test_identical_values_on_separate_bins_share_their_whole_entropy():
    counts = np.array([10, 25, 60, 5])
    values = np.repeat(np.array([1.0, 8.0, 16.0, 24.0], "f4") + 0.5, counts) / 28
    assert float(mutual_information_loss(values, values)) == pytest.approx(-entropy(counts), rel=1e-5)


def test_independent_samples_share_nothing():
    first, second = np.meshgrid((np.arange(200) + 0.5) / 200, (np.arange(150) + 0.5) / 150)
    first, second = first.ravel().astype("f4"), second.ravel().astype("f4")
    assert abs(float(mutual_information_loss(first, second))) < 1e-5
    assert float(normalised_mutual_information_loss(first, second)) == pytest.approx(-1, abs=1e-5)


@pytest.mark.parametrize("loss", [mutual_information_loss, normalised_mutual_information_loss])
def test_contrast_does_not_matter(loss):
    warped, reference, weights = related(4000)
    reference = (np.floor(reference * 28) + 0.5).clip(0.5, 27.5) / 28
    expected = loss(warped, reference, weights=weights)
    np.testing.assert_allclose(loss(1 - warped, reference, weights=weights), expected, rtol=2e-5)
    shuffled = (np.random.default_rng(1).permutation(28)[np.floor(reference * 28).astype(int)] + 0.5) / 28
    np.testing.assert_allclose(loss(warped, shuffled.astype("f4"), weights=weights), expected, rtol=2e-5)
    order = np.random.default_rng(2).permutation(4000)
    np.testing.assert_allclose(loss(warped[order], reference[order], weights=weights[order]), expected, rtol=2e-5)


def test_weights_count_points():
    warped, reference, _ = related(300)
    times = np.random.default_rng(4).integers(0, 4, 300)
    repeated = mutual_information_loss(np.repeat(warped, times), np.repeat(reference, times))
    np.testing.assert_allclose(
        mutual_information_loss(warped, reference, weights=times.astype("f4")), repeated, rtol=1e-5
    )


@pytest.mark.parametrize("loss", [mutual_information_loss, normalised_mutual_information_loss])
@pytest.mark.parametrize("case", ["constant", "ends", "beyond", "no weight", "one point"])
def test_odd_samples_have_finite_values_and_slopes(loss, case):
    warped, reference, weights = related(64)
    if case == "constant":
        warped, reference = np.full(64, 0.3, "f4"), np.full(64, 0.7, "f4")
    elif case == "ends":
        warped, reference = (np.arange(64) % 2).astype("f4"), (np.arange(64) % 2).astype("f4")
    elif case == "beyond":
        warped, reference = 3 * warped - 1, 3 * reference - 1
    elif case == "no weight":
        weights = np.zeros(64, "f4")
    else:
        weights[1:] = 0
    value, slopes = SLOPES[loss](warped, reference, weights)
    assert np.isfinite(value) and value <= 1e-6
    assert all(np.isfinite(slope).all() for slope in slopes)
    if case == "constant":
        assert float(mutual_information_loss(warped, reference)) == pytest.approx(0, abs=1e-6)


def test_memory_stays_small_for_a_large_sample():
    n = 300_000
    arrays = [jax.ShapeDtypeStruct((n,), np.float32)] * 3
    assert SLOPES[mutual_information_loss].lower(*arrays).compile().memory_analysis().temp_size_in_bytes < 64e6


def test_what_does_not_fit_is_refused():
    x = np.zeros(5, "f4")
    with pytest.raises(ValueError, match="bins must be at least 6, of which 4 are padding, got 5"):
        mutual_information_loss(x, x, bins=5)
    with pytest.raises(ValueError, match=r"warped must have shape \(n,\), got \(5, 1\)"):
        mutual_information_loss(x[:, None], x[:, None])
    with pytest.raises(ValueError, match=r"warped and reference must have the same shape, got \(5,\) and \(4,\)"):
        normalised_mutual_information_loss(x, x[:4])
    with pytest.raises(ValueError, match=r"warped and weights must have the same shape, got \(5,\) and \(3,\)"):
        normalised_mutual_information_loss(x, x, weights=x[:3])
