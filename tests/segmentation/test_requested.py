"""The uncertainty of the structures that were requested, of one network and of several that disagree."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import segmentation
from sirtjax.inference import combine
from sirtjax.networks import PlainConvUNetConfig
from sirtjax.preprocess import ChannelNormalisation, FixedPreprocessing, IntensityScale, NnunetPreprocessing
from sirtjax.segmentation import Model, ModelSpec, Tiles
from sirtjax.segmentation._request import make_request
from sirtjax.segmentation._requested import requested_entropy
from sirtjax.volume import Geometry, Volume

GRID = Geometry.from_axes((60, 54, 44), spacing_mm=(3.5, 3.5, 4.0))
AWAY_MM = (np.moveaxis(np.indices(GRID.shape), 0, -1) - (30, 27, 22)) * GRID.spacing_mm
LIVER, BODY = np.linalg.norm(AWAY_MM, axis=-1) < 62, np.linalg.norm(AWAY_MM[..., :2], axis=-1) < 85
IMAGE = Volume(np.select([LIVER, BODY], [150.0, 40.0], -100.0).astype(np.float32), GRID, unit="HU")
# The logits of the liver of five networks, three of which are sure of it and two of the contrary.
DISAGREEING = (9.0, 9.0, 9.0, -2.0, -2.0)
FIXED = FixedPreprocessing(spacing_mm=(5, 5, 6), intensities=(IntensityScale(modality="CT", window=(-200, 200)),))
NNUNET = NnunetPreprocessing(
    spacing_mm=(5.0, 6.0, 6.0),
    channels=(ChannelNormalisation(scheme="CTNormalization", percentile_00_5=-1000.0, percentile_99_5=1000.0),),
    reader="NibabelIO",
)


def a_model(labels=("liver", "cancer"), *, activation="softmax", how=FIXED, folds=1):
    network = PlainConvUNetConfig(features=(2, 2), classes=len(labels) + (activation == "softmax"))
    spec = ModelSpec(
        name="made", task="liver", modalities=("CT",), labels={name: n for n, name in enumerate(labels, start=1)},
        network=network, activation=activation, preprocessing=how, tiles=Tiles(shape=(32, 32, 32)),
    )  # fmt: skip
    return Model(spec=spec, folds=({},) * folds)


def request(model, *, structure="liver"):
    return make_request(
        IMAGE, model, structure=structure, modality="CT", mirror=False, liver=None, min_volume_ml=None, maps=True,
        devices=None, progress=None,
    )  # fmt: skip


def logits_of(*voxels):
    """The logits of one network (1, 1, voxels, classes)."""
    return np.array([[voxels]], np.float32)


def two_class_entropy(probability):
    return -probability * np.log(probability) - (1 - probability) * np.log(1 - probability)


def test_doubts_between_other_structures_do_not_concern_the_one_requested():
    # Spleen or stomach, certainly no liver; and liver or one of two others.
    found = combine([logits_of((-50, -50, 0, 0), (np.log(0.3), np.log(0.5), np.log(0.2), -50))])
    model = a_model(("liver", "spleen", "stomach"))
    liver = requested_entropy(request(model), found).ravel()
    np.testing.assert_allclose(liver, [0.0, np.log(2)], atol=1e-6)
    every = requested_entropy(request(model, structure=None), found).ravel()
    assert every[0] == pytest.approx(np.log(2)) and every[1] > np.log(2)


def test_networks_that_disagree_have_the_entropy_of_their_mean_probability():
    """That is 0.649 nats; the mean of their logits would have 0.056."""
    found = combine([logits_of((0.0, liver, -8.0)) for liver in DISAGREEING])
    expected = two_class_entropy(float(found.mean[..., 1].item()))
    assert expected == pytest.approx(0.649, abs=2e-3)
    liver = requested_entropy(replace(request(a_model()), labels=("liver",)), found)
    assert liver.item() == pytest.approx(expected, rel=1e-5)
    with_cancer = requested_entropy(request(a_model()), found)
    assert with_cancer.item() == pytest.approx(two_class_entropy(1 - float(found.mean[..., 0].item())), rel=1e-4)


def test_a_doubt_about_one_region_does_not_concern_another():
    """Two channels with a sigmoid each are two structures, not one and its background."""
    found = combine([logits_of((8.0, 0.0))], activation="sigmoid")
    asked = request(a_model(("liver", "cancer"), activation="sigmoid"))
    by_name = [requested_entropy(replace(asked, labels=(name,)), found).item() for name in ("liver", "cancer")]
    assert by_name == pytest.approx([0.003, np.log(2)], abs=1e-4)
    every = requested_entropy(request(a_model(activation="sigmoid"), structure=None), found)
    assert every.item() == pytest.approx(np.log(2))


def test_one_network_of_two_classes_has_its_own_entropy():
    found = combine([logits_of((0.0, 1.5))])
    assert requested_entropy(request(a_model(("liver",))), found) is found.entropy


def logits_where_bright(image, middle, level):
    """Background, liver, cancer: a network that is sure of the background outside of the liver."""
    bright = image[..., 0] > middle
    return np.stack([np.zeros(bright.shape), np.where(bright, level, -9.0), np.full(bright.shape, -9.0)], -1).astype(
        np.float32
    )


@pytest.mark.parametrize("how", [FIXED, NNUNET])
@pytest.mark.parametrize(("levels", "flagged"), [(DISAGREEING, True), ((9.0,) * 5, False)])
def test_folds_that_disagree_are_flagged(monkeypatch, how, levels, flagged):
    """Each fold is sure, and so is the mean of their logits: only their mean probability shows that they disagree."""
    left = iter(levels)

    def tiles(function, image, **_):
        return logits_where_bright(image, 0.24 if how is FIXED else 95.0, next(left))

    monkeypatch.setattr("sirtjax.inference.predict_tiles", tiles)
    monkeypatch.setattr("sirtjax.segmentation._nnunet_predict.predict_tiles", tiles)
    found = segmentation.segment(IMAGE, a_model(how=how, folds=len(levels)), structure="liver", maps=True)
    assert found.labels.mask("liver").sum() == pytest.approx(LIVER.sum(), rel=0.1)
    assert [flag.code for flag in found.flags] == (["uncertain"] if flagged else [])
    uncertainty = np.asarray(found.uncertainty.array)
    inside = ndimage.binary_erosion(np.asarray(found.probabilities["liver"].array) > 0.5, iterations=4)
    np.testing.assert_allclose(uncertainty[inside], 0.65 if flagged else 0.0, atol=5e-3)
