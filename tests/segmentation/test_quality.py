"""The estimated quality of a liver mask: its parts, on drawn livers of which the network is certain."""

import math

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import segmentation
from sirtjax.errors import ModelError
from sirtjax.segmentation import (
    EVIDENCE_WORDS,
    EvidenceWeight,
    QualityCalibration,
    Regression,
    estimate_quality,
    liver_shapes,
)
from sirtjax.segmentation import _quality_ensemble as ensemble
from sirtjax.segmentation import _quality_shape as shape
from sirtjax.segmentation._flags import quality_flags
from sirtjax.segmentation._quality_ensemble import VARIANTS, Tile, Variant
from sirtjax.segmentation._quality_evidence import mask_evidence

SPACING_MM = (4.0, 4.0, 4.0)
SHAPE = (96, 80, 80)
LIVER, FAT = 0.24, -0.6  # 110 and -100 HU in the network's window


def average_liver():
    """A liver of 1.5 L: the mean of the shapes, on the network's voxels."""
    distance = liver_shapes().mean_mm.reshape(shape.SHAPE_GRID)
    step = SPACING_MM[0] / shape.SHAPE_SPACING_MM
    offset = (np.array(shape.SHAPE_GRID) - 1) / 2 - (np.array(SHAPE) - 1) / 2 * step
    return ndimage.affine_transform(distance, [step] * 3, offset, output_shape=SHAPE, order=1, cval=24.0) < 0


def with_mass(liver, volume_ml=669.0):
    """A ball against the lower surface, of the liver's own brightness: the network took it in."""
    radius = (volume_ml * 1000 * 3 / 4 / np.pi) ** (1 / 3) / SPACING_MM[0]
    places = np.argwhere(liver)
    middle = places.mean(axis=0) + np.array([2.0, 3.0, 0.0])
    middle[2] = places[:, 2].min() - 0.35 * radius
    i, j, k = np.indices(SHAPE)
    return liver | ((i - middle[0]) ** 2 + (j - middle[1]) ** 2 + (k - middle[2]) ** 2 < radius**2)


def half(liver):
    middle = np.argwhere(liver).mean(axis=0)
    return liver & (np.indices(SHAPE)[0] > middle[0])


def certain(mask, shown=None):
    """A tile whose network says the same of every variant; the image shows `shown` in fat."""
    image = np.where(mask if shown is None else shown, LIVER, FAT)
    image = ndimage.gaussian_filter(image, 0.6) + np.random.default_rng(3).normal(0, 0.05, SHAPE)
    probability = np.clip(ndimage.gaussian_filter(mask.astype(np.float32), 0.5), 0, 1)
    return Tile(
        image=image.astype(np.float32),
        probability=probability,
        mask=mask,
        variants=np.stack([probability] * len(VARIANTS)),
    )


def estimated(tile):
    calibration = segmentation.load_model("liver").spec.quality
    return estimate_quality(calibration, mask_evidence(tile, SPACING_MM, liver_shapes()))


def test_a_plain_liver_passes():
    quality = estimated(certain(average_liver()))
    assert not quality.doubtful
    assert quality.low < quality.dsc < quality.high


@pytest.mark.parametrize(
    ("spoiled", "reason"), [(with_mass, "excess"), (half, "lacking")], ids=["669 mL mass attached", "cut in half"]
)
def test_a_wrong_mask_does_not_pass_though_the_network_is_certain(spoiled, reason):
    liver = average_liver()
    quality = estimated(certain(spoiled(liver)))
    assert quality.doubtful
    assert quality.dsc < estimated(certain(liver)).dsc - 0.04
    assert {"unlike", reason} & set(quality.reasons)


def test_an_empty_mask_does_not_pass():
    quality = estimated(certain(np.zeros(SHAPE, bool), average_liver()))
    assert quality.doubtful
    assert all(math.isinf(value) for value in quality.evidence.values())


def test_a_network_that_changes_its_answer_lowers_the_estimate():
    liver = average_liver()
    tile = certain(liver)
    eroded = ndimage.binary_erosion(liver, iterations=4).astype(np.float32)
    changed = Tile(
        image=tile.image, probability=tile.probability, mask=liver, variants=np.stack([eroded] * len(VARIANTS))
    )
    assert estimated(changed).dsc < estimated(tile).dsc


def test_a_surface_without_an_edge_is_found():
    liver = average_liver()
    seen, unseen = (
        mask_evidence(certain(liver, shown), SPACING_MM, liver_shapes())["faint"]
        for shown in (liver, np.ones(SHAPE, bool))
    )
    assert math.exp(seen) < 0.1
    assert math.exp(unseen) > 0.8


def test_what_the_variants_did_not_see_does_not_count():
    tile = certain(average_liver())
    blind = tile.variants.copy()
    blind[:, :20] = np.nan
    seen = mask_evidence(tile, SPACING_MM, liver_shapes())
    part = mask_evidence(
        Tile(image=tile.image, probability=tile.probability, mask=tile.mask, variants=blind), SPACING_MM, liver_shapes()
    )
    assert part["disagreement"] == pytest.approx(seen["disagreement"], abs=0.05)


def term(name="a", **changes):
    return EvidenceWeight(
        **({"name": name, "low": -1.0, "high": 2.0, "centre": 0.5, "scale": 0.5, "weight": 0.4} | changes)
    )


def calibration(intercept=-3.0, **changes):
    terms = (term(), term("b", low=0.0, high=1.0, scale=0.25, weight=-0.1))
    given = {"regressions": (Regression(terms=terms, intercept=intercept),), "low_quantile": -0.5, "high_quantile": 0.7}
    return QualityCalibration(**(given | {"source": "by hand"} | changes))


def test_the_estimate_is_the_regression_by_hand():
    quality = estimate_quality(calibration(), {"a": 1.0, "b": 1.0})
    level = -3.0 + 0.4 * (1.0 - 0.5) / 0.5 - 0.1 * (1.0 - 0.5) / 0.25
    assert quality.dsc == pytest.approx(1 - math.exp(level))
    assert quality.low == pytest.approx(1 - math.exp(level + 0.7))
    assert quality.high == pytest.approx(1 - math.exp(level - 0.5))
    assert quality.reasons == ("a",)
    # Beyond the calibration's range evidence counts as its end.
    assert estimate_quality(calibration(), {"a": 99.0, "b": 1.0}).dsc == pytest.approx(
        estimate_quality(calibration(), {"a": 2.0, "b": 1.0}).dsc
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_evidence_that_is_missing_or_not_finite_counts_as_the_worst(value):
    found = {"b": 1.0} if value is None else {"a": value, "b": 1.0}
    assert estimate_quality(calibration(), found).dsc == estimate_quality(calibration(), {"a": 2.0, "b": 1.0}).dsc


def test_the_worst_of_the_regressions_counts():
    both = (Regression(terms=(term(),), intercept=-3.0), Regression(terms=(term("c"),), intercept=-2.5))
    quality = estimate_quality(calibration(regressions=both), {"a": 1.0, "c": 1.0})
    assert quality.dsc == pytest.approx(1 - math.exp(-2.5 + 0.4))
    assert quality.reasons == ("c",)
    other = estimate_quality(calibration(regressions=both), {"a": 2.0, "c": -1.0})
    assert other.dsc == pytest.approx(1 - math.exp(-3.0 + 0.4 * 3))


def test_a_regression_with_its_own_limit_raises_the_flag_above_the_common_one():
    """Of two estimates above 0.90, the one below its own limit of 0.96 raises the flag, and says why."""
    first = Regression(terms=(term(),), intercept=math.log(0.05) - 0.4, flag_limit=0.96)
    second = Regression(terms=(term("c"),), intercept=math.log(0.075) - 0.4)
    found = {"a": 1.0, "c": 1.0}
    quality = estimate_quality(calibration(regressions=(first, second)), found)
    assert quality.dsc == pytest.approx(0.925)
    assert quality.doubtful and quality.reasons == ("a",)
    (flag,) = quality_flags("liver", quality)
    assert "is 0.93 (" in flag.message or "is 0.92 (" in flag.message
    assert "and masks with such an estimate are often below 0.90" in flag.message
    plain = first.model_copy(update={"flag_limit": None})
    assert not estimate_quality(calibration(regressions=(plain, second)), found).doubtful
    # A limit below the common one does not hide an estimate below that.
    low = Regression(terms=(term(),), intercept=math.log(0.12) - 0.4, flag_limit=0.5)
    assert estimate_quality(calibration(regressions=(low,)), found).doubtful


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: calibration(regressions=()), "at least 1 item"),
        (lambda: Regression(terms=(term(), term()), intercept=0.0), "each evidence once"),
        (lambda: term(low=2.0), "must be below"),
        (lambda: term(scale=0.0), "greater than 0"),
        (lambda: calibration(low_quantile=0.1), "must not be above 0"),
        (lambda: calibration(limit=1.0), "less than 1"),
        (lambda: Regression(terms=(term(),), intercept=0.0, flag_limit=1.5), "less than 1"),
        (lambda: calibration(intercept=math.nan), "finite"),
    ],
)
def test_impossible_calibrations_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_the_flag_says_how_much_and_why():
    doubtful = estimate_quality(calibration(intercept=-1.5), {"a": 1.0, "b": 0.5})
    (flag,) = quality_flags("liver", doubtful)
    assert flag.code == "quality"
    assert f"estimated DSC of the liver is {doubtful.dsc:.2f}" in flag.message
    assert "90 % interval" in flag.message and "below 0.90" in flag.message
    assert quality_flags("liver", estimate_quality(calibration(), {"a": 0.0, "b": 0.5})) == ()


def test_the_models_calibration_names_evidence_there_is_words_for():
    spec = segmentation.load_model("liver").spec
    named = {term.name for regression in spec.quality.regressions for term in regression.terms}
    assert named == set(EVIDENCE_WORDS)
    assert spec.quality.limit == 0.9
    assert segmentation.load_model("lesions").spec.quality is None


def test_every_variant_comes_back_to_the_voxels_it_was_made_from(monkeypatch):
    """With a network that calls the bright liver, each variant's answer lies where the liver is."""
    model = segmentation.load_model("liver")
    liver = average_liver()
    tile = certain(liver)

    def bright(function, image, **options):
        return np.stack([-(image[..., 0] + 0.18) * 40, (image[..., 0] + 0.18) * 40], axis=-1)

    monkeypatch.setattr(ensemble.inference, "predict_tiles", bright)
    made = ensemble.tile_around(model, tile.image[..., None], tile.probability, liver, fill=-1.0, classes=[1])
    assert made.variants.shape == (len(VARIANTS), *SHAPE)
    place = [slice(*np.flatnonzero(made.mask.any(axis=tuple({0, 1, 2} - {a})))[[0, -1]] + (0, 1)) for a in range(3)]
    for variant, answer in zip(VARIANTS, made.variants, strict=True):
        found = np.where(np.isfinite(answer), answer, 0) > 0.5
        dsc = 2 * (found & made.mask)[tuple(place)].sum() / (found[tuple(place)].sum() + made.mask.sum())
        assert dsc > 0.9, variant.name


@pytest.mark.slow
def test_a_tile_reaches_beyond_a_small_image():
    model = segmentation.load_model("liver")
    mask = np.zeros((20, 18, 16), bool)
    mask[8:12, 7:11, 6:10] = True
    image = np.where(mask, 0.2, -0.5).astype(np.float32)
    made = ensemble.tile_around(
        model, image[..., None], mask.astype(np.float32), mask, fill=-1.0, classes=[1], variants=(Variant(name="same"),)
    )
    assert made.mask.sum() == mask.sum()
    assert made.image.shape == made.mask.shape == tuple(model.spec.tiles.shape)
    assert (made.image == -1).sum() == made.image.size - mask.size


def test_shapes_find_what_is_too_much_and_what_is_missing():
    liver = average_liver()
    plain, more, less = (
        shape.shape_evidence(mask, SPACING_MM, liver_shapes()) for mask in (liver, with_mass(liver), half(liver))
    )
    assert plain["unlike"] < 0.1 and plain["excess"] < 0.01 and plain["lacking"] < 0.01
    assert more["unlike"] > 0.1 and more["excess"] > 0.02
    assert less["unlike"] > 0.15 and less["lacking"] > 0.05


def test_shapes_are_kept_in_their_file(tmp_path):
    found = np.random.default_rng(0).normal(0, 8, (9, 50)).astype(np.float32)
    shapes = shape.fit_liver_shapes(found, modes=3)
    assert np.allclose(shapes.modes @ shapes.modes.T, np.eye(3), atol=1e-5)
    assert shapes.spread_mm[0] == pytest.approx(np.std((found - found.mean(0)) @ shapes.modes[0], ddof=1), rel=1e-4)
    shape.save_liver_shapes(tmp_path / "shapes.npz", shapes)
    with np.load(tmp_path / "shapes.npz") as stored:
        assert np.allclose(stored["modes"] * (stored["peak"][:, None] / 127), shapes.modes, atol=0.01)


def test_missing_shapes_are_told(monkeypatch, tmp_path):
    liver_shapes.cache_clear()
    monkeypatch.setattr(shape.resources, "files", lambda name: tmp_path)
    with pytest.raises(ModelError, match=r"shapes\.npz: liver shapes are missing or damaged; install sirtjax again"):
        liver_shapes()
    liver_shapes.cache_clear()
