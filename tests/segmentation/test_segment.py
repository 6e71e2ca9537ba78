"""From an image to labels with a network that is a plain threshold of its input."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import segmentation, spatial
from sirtjax.errors import ConfigError, ImageFormatError, ModelError
from sirtjax.inference import Ensemble, entropy
from sirtjax.networks import PlainConvUNetConfig
from sirtjax.postprocess import FillHoles, LargestComponent
from sirtjax.preprocess import ChannelNormalisation, FixedPreprocessing, IntensityScale, NnunetPreprocessing
from sirtjax.segmentation import Model, ModelSpec, Tiles
from sirtjax.segmentation._predictor import PREDICTORS
from sirtjax.volume import Geometry, LabelMap, Volume, reorient

LIVER_HU, BODY_HU = 150.0, 40.0


def spec(**changes):
    table = {
        "name": "bright",
        "task": "liver",
        "modalities": ("CT", "MR"),
        "labels": {"liver": 1},
        "network": PlainConvUNetConfig(features=(2, 2), classes=2),
        "preprocessing": FixedPreprocessing(
            spacing_mm=(5.0, 5.0, 6.0),
            intensities=(
                IntensityScale(modality="CT", window=(-200, 200)),
                IntensityScale(modality="MR", percentiles=(1, 99.5)),
            ),
        ),
        "tiles": Tiles(shape=(32, 30, 20)),
        "mirror_axes": (0,),
        "postprocess": (LargestComponent(), FillHoles()),
    }
    return ModelSpec(**{**table, **changes})


def bright(variables, tiles):
    """Two classes; sure where the scaled image is well above 0.24, half way between body and liver."""
    logit = (tiles[..., 0] - variables["middle"]) * variables["steepness"]
    return jnp.stack([jnp.zeros_like(logit), logit], axis=-1)


def fold(middle=0.24, steepness=60.0):
    return {"middle": np.float32(middle), "steepness": np.float32(steepness)}


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: bright)
    return Model(spec=spec(), folds=(fold(),))


def grid(shape=(90, 80, 60), spacing_mm=(3.0, 3.0, 4.0), *, degrees=0.0):
    turn = np.radians(degrees)
    direction = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    own = Geometry.from_axes(shape, spacing_mm=spacing_mm, direction=direction)
    return Geometry.from_axes(
        shape, spacing_mm=spacing_mm, direction=direction, origin_mm=np.array([10, -20, 300]) - own.centre_mm
    )


def patient(geometry, *, radii_mm=(70.0, 60.0, 55.0), extra=(), hole=False, seed=0):
    """A body with one bright ellipsoid in the middle, 968 mL, and smaller bright balls (centre, radius) in mm."""
    centres = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    place = geometry.to_world(centres) - (10, -20, 300)
    hu = np.full(geometry.shape, -1000.0, np.float32)
    hu[(place[..., 0] / 125) ** 2 + (place[..., 1] / 105) ** 2 < 1] = BODY_HU
    liver = ((place / radii_mm) ** 2).sum(axis=-1) < 1
    hu[liver] = LIVER_HU
    for centre, radius in extra:
        hu[np.linalg.norm(place - centre, axis=-1) < radius] = LIVER_HU
    if hole:
        hu[np.linalg.norm(place, axis=-1) < 12] = BODY_HU
    hu += np.random.default_rng(seed).normal(0, 4, geometry.shape)
    return Volume(hu.astype(np.float32), geometry, unit="HU"), liver


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(("codes", "degrees"), [("LPS", 0), ("RAS", 0), ("SAL", 0), ("LPS", 3), ("RSA", 25)])
def test_any_orientation(model, codes, degrees):
    volume, liver = patient(grid(degrees=degrees))
    turned = reorient(volume, codes)
    found = segmentation.segment(turned, model)
    assert found.labels.geometry == turned.geometry
    mask = reorient(found.labels, reorient_codes(volume)).mask("liver")
    assert dsc(mask, liver) > 0.98
    assert found.volumes_ml == {"liver": pytest.approx(968, rel=0.02)}
    assert (found.flags, found.method) == ((), "bright")
    assert set(found.timings_s) == {"prepare", "network", "restore"}
    assert found.probabilities["liver"].geometry.spacing_mm == pytest.approx((5, 5, 6))
    assert found.spread is None and found.uncertainty is not None


def reorient_codes(volume):
    from sirtjax.volume import axis_codes

    return axis_codes(volume.geometry)


def test_contours_are_smoother_than_the_network_s_voxels(model):
    volume, liver = patient(grid((150, 140, 130), (1.5, 1.5, 1.5)))
    soft = replace(model, folds=(fold(steepness=12.0),))
    found = segmentation.segment(volume, soft)
    coarse = found.probabilities["liver"]
    stairs = LabelMap.from_mask(np.asarray(coarse.array) > 0.5, coarse.geometry, name="liver")
    nearest = spatial.resample_labels(stairs, volume.geometry).mask("liver")
    smooth = dsc(found.labels.mask("liver"), liver)
    assert smooth > 0.985
    assert 1 - smooth < 0.5 * (1 - dsc(nearest, liver))


@pytest.mark.parametrize("place", ["inside", "at an edge", "nowhere"])
@pytest.mark.parametrize("degrees", [0, 12])
def test_a_map_in_steps_is_the_rounded_map(place, degrees):
    network, image = grid((24, 20, 16), (6.0, 6.0, 6.0)), grid((50, 61, 40), (2.9, 2.2, 3.1), degrees=degrees)
    values = np.full(network.shape, 3e-4, np.float32)  # less than half a step
    box = {"inside": np.s_[9:14, 6:9, 5:10], "at an edge": np.s_[:4, 15:, :], "nowhere": np.s_[:0]}[place]
    values[box] = np.random.default_rng(0).uniform(0, 1, values[box].shape)
    likely = Volume(values, network, unit="1")
    whole = np.asarray(segmentation.resample_to_image(likely, image).array)
    found = segmentation.resample_to_image(likely, image, step=1 / 1024)
    assert found.geometry == image and found.unit == "1" and found.array.dtype == np.float32
    np.testing.assert_array_equal(found.array, np.round(whole * 1024) / 1024)
    assert found.array.any() == (place != "nowhere")


def test_a_second_image_of_another_size_compiles_nothing(model, compilations):
    segmentation.segment(patient(grid())[0], model)
    del compilations[:]
    found = segmentation.segment(patient(grid((70, 81, 93), (3.5, 3.0, 2.5)))[0], model)
    assert found.volumes_ml["liver"] == pytest.approx(968, rel=0.02)
    assert compilations == []


def test_crumbs_go_holes_are_filled_and_pieces_are_flagged(model):
    volume, liver = patient(grid(), extra=[((95, 0, 0), 14), ((-90, 0, 60), 32)], hole=True)
    found = segmentation.segment(volume, model)
    assert dsc(found.labels.mask("liver"), liver) > 0.98
    (flag,) = found.flags
    assert flag.code == "fragmented" and flag.message.startswith("2 large components of liver (9")
    raw = segmentation.segment(volume, replace(model, spec=spec(postprocess=())))
    assert raw.volumes_ml["liver"] > found.volumes_ml["liver"] + 100


def test_what_looks_odd_is_flagged(model):
    small = segmentation.segment(patient(grid(), radii_mm=(40, 40, 40))[0], model)
    (flag,) = small.flags
    assert flag.code == "volume" and flag.message.endswith(" mL, usual range 500 to 4500 mL")
    cut = segmentation.segment(patient(grid((90, 80, 22)))[0], model)
    (flag,) = cut.flags
    assert flag.code == "truncated" and "upper (" in flag.message and "lower (" in flag.message
    unsure = replace(model, folds=(fold(steepness=6.0),))
    (flag,) = segmentation.segment(patient(grid())[0], unsure).flags
    assert flag.code == "uncertain" and "the network is unsure inside the liver: mean entropy 0." in flag.message


def test_networks_that_disagree_show_it(model):
    both = replace(model, folds=(fold(), fold(middle=0.45, steepness=20.0)))
    found = segmentation.segment(patient(grid())[0], both)
    assert found.spread is not None
    assert np.asarray(found.spread.array).max() > 0.3
    np.testing.assert_array_equal(found.spread.geometry.affine, found.uncertainty.geometry.affine)


def test_flips_and_devices(model):
    volume, _ = patient(grid())
    seen = []
    found = segmentation.segment(
        volume, model, mirror=True, devices=jax.devices("cpu")[:1], progress=lambda *now: seen.append(now)
    )
    plain = segmentation.segment(volume, model)
    np.testing.assert_array_equal(found.labels.array, plain.labels.array)
    assert seen[-1][0] == seen[-1][1] == 2 * len({a for a, _ in seen}) // 2


def test_mr_is_scaled_by_its_own_percentiles_and_has_to_be_named(model):
    volume, liver = patient(grid())
    mr = volume.replace((np.maximum(volume.array, -150) + 150) * 3.7, unit="1")
    # Air is the lowest, the liver the highest: body at 0.63 of the range.
    named = replace(model, folds=(fold(middle=0.3),))
    found = segmentation.segment(mr, named, modality="MR")
    assert dsc(found.labels.mask("liver"), liver) > 0.97
    with pytest.raises(ConfigError, match="does not state the modality; add --modality CT or --modality MR"):
        segmentation.segment(mr, named)
    with pytest.raises(ConfigError, match="the image is in HU, so it is a CT; omit --modality MR"):
        segmentation.segment(volume, named, modality="MR")
    with pytest.raises(
        ImageFormatError, match="voxels are far below zero, expected none in an MR: this looks like a CT"
    ):
        segmentation.segment(volume.replace(volume.array, unit="1"), named, modality="MR")
    with pytest.raises(ConfigError, match="got modality 'PT'"):
        segmentation.segment(mr, named, modality="PT")


def test_a_model_is_not_used_for_what_it_was_not_made_for(model):
    volume, _ = patient(grid())
    for_mr = replace(model, spec=spec(modalities=("MR",)))
    with pytest.raises(ModelError, match="'bright' was trained for MR, but the image is CT; choose another --model"):
        segmentation.segment(volume, for_mr)
    only_mr = FixedPreprocessing(
        spacing_mm=(5, 5, 6), intensities=(IntensityScale(modality="MR", percentiles=(1, 99)),)
    )
    with pytest.raises(ModelError, match="the model accepts MR images, this one is CT"):
        segmentation.segment(volume, replace(model, spec=spec(preprocessing=only_mr)))
    two = spec(channels=("CT", "PT"), network=PlainConvUNetConfig(features=(2, 2), channels=2, classes=2))
    with pytest.raises(ModelError, match=r"takes 2 images together \(CT, PT\), got one"):
        segmentation.segment(volume, replace(model, spec=two))


def test_no_liver_is_an_error_that_says_so(model):
    volume, _ = patient(grid(), radii_mm=(0.1, 0.1, 0.1))
    with pytest.raises(ImageFormatError, match="no liver was found in the image by the model 'bright'"):
        segmentation.segment(volume, model)


@pytest.fixture
def with_lesions(model):
    """Background, liver, cancer: the liver where it is bright, lesions where it is brighter still."""
    network = PlainConvUNetConfig(features=(2, 2), classes=3)
    return replace(model, spec=spec(labels={"liver": 1, "cancer": 2}, network=network, postprocess=()))


def two_levels(variables, tiles):
    x = tiles[..., 0]
    return jnp.stack([jnp.full_like(x, 0.0), (x - 0.24) * 60, (x - 0.24) * 60 + (x - 0.42) * 120], axis=-1)


def test_lesions_of_a_model_that_knows_both(with_lesions, monkeypatch):
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: two_levels)
    volume, liver = patient(grid())
    place = volume.geometry.to_world(np.stack(np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij"), -1))
    inside, outside = (np.linalg.norm(place - (x, -20, 300), axis=-1) < 20 for x in (20, 105))
    array = volume.array.copy()
    array[inside | outside] = 195
    volume = volume.replace(array)
    everything = segmentation.segment(volume, with_lesions)
    assert everything.labels.names == ((1, "liver"), (2, "cancer"))
    assert dsc(everything.labels.mask("cancer"), inside | outside) > 0.9
    whole = segmentation.segment(volume, with_lesions, structure="liver")
    assert dsc(whole.labels.mask("liver"), liver | outside) > 0.97
    given = LabelMap.from_mask(liver, volume.geometry, name="liver")
    lesions = segmentation.segment(volume, with_lesions, structure="lesions", liver=given)
    assert lesions.labels.names == ((1, "lesions"),)
    assert dsc(lesions.labels.mask("lesions"), inside) > 0.93
    with pytest.raises(ModelError, match="the model 'bright' finds liver, cancer, no lungs; choose another --model"):
        segmentation.segment(volume, with_lesions, structure="lungs")
    with pytest.raises(ConfigError, match="structures are liver, lesions, lungs, body, got 'spleen'"):
        segmentation.segment(volume, with_lesions, structure="spleen")


def test_only_the_labels_of_a_step_lose_their_smaller_components(with_lesions, monkeypatch):
    """Of two bright balls, a label named by the step keeps the larger one, another label both."""
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: two_levels)
    volume, _ = patient(grid())
    place = volume.geometry.to_world(np.stack(np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij"), -1))
    balls = [np.linalg.norm(place - (x, -20, 300), axis=-1) < radius for x, radius in ((-20, 15), (25, 22))]
    array = volume.array.copy()
    array[balls[0] | balls[1]] = 195
    volume = volume.replace(array)
    for named, expected in ((("liver",), balls[0] | balls[1]), (("cancer",), balls[1]), (None, balls[1])):
        steps = (LargestComponent(labels=named),)
        model = replace(with_lesions, spec=with_lesions.spec.model_copy(update={"postprocess": steps}))
        found = segmentation.segment(volume, model)
        assert dsc(found.labels.mask("cancer"), expected) > 0.93, named


@pytest.mark.parametrize(
    ("steps", "parts"),
    [((), 2), ((LargestComponent(labels=("Liver",)),), 1), ((LargestComponent(labels=("cancer",)),), 1)],
)
def test_a_step_applies_to_a_structure_made_of_its_label(with_lesions, monkeypatch, steps, parts):
    """The model writes "Liver", and the structure liver, which includes its cancer, loses its island all the same."""
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: two_levels)
    volume, _ = patient(grid(), extra=[((100, 0, 0), 15)])
    named = spec(labels={"Liver": 1, "cancer": 2}, network=with_lesions.spec.network, postprocess=steps)
    found = segmentation.segment(volume, replace(with_lesions, spec=named), structure="liver")
    assert ndimage.label(found.labels.mask("liver"))[1] == parts


@pytest.mark.parametrize("labels", [("lver",), ("liver", "kidneys"), ()])
def test_a_step_for_labels_that_the_model_lacks_is_refused(labels):
    with pytest.raises(ValueError, match=r"\['(lver|kidneys)'\]|at least 1 item"):
        spec(postprocess=(LargestComponent(labels=labels),))


def test_lesions_are_looked_for_around_the_liver_alone(with_lesions, monkeypatch):
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: two_levels)
    small = replace(with_lesions, spec=with_lesions.spec.model_copy(update={"tiles": Tiles(shape=(12, 12, 12))}))
    volume, liver = patient(grid(), radii_mm=(35, 30, 30))
    array = volume.array.copy()
    array[43:48, 38:43, 28:32] = 195
    volume = volume.replace(array)
    calls = []
    options = {"structure": "lesions", "progress": lambda done, total: calls.append(total)}
    everywhere = segmentation.segment(volume, small, **options)
    given = LabelMap.from_mask(liver, volume.geometry, name="liver")
    around = segmentation.segment(volume, small, liver=given, **options)
    assert calls[-1] < 0.3 * calls[0]
    np.testing.assert_array_equal(around.labels.array, everywhere.labels.array)
    assert around.probabilities["lesions"].geometry == everywhere.probabilities["lesions"].geometry


def test_no_lesion_is_a_result(with_lesions, monkeypatch):
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: two_levels)
    found = segmentation.segment(patient(grid())[0], with_lesions, structure="lesions")
    assert found.volumes_ml == {"lesions": 0.0} and not np.asarray(found.labels.array).any()


@pytest.fixture
def nnunet(with_lesions, monkeypatch):
    """A function of labels that gives an nnU-Net with this result, and notes in a list how it is run.

    The labels are liver 1 and cancer 2; everywhere it doubts between two of its classes.
    """

    def made(labels, asked, *, doubt=None):
        sure = [
            labels == value if doubt is None else np.full(labels.shape, 0.5 * (value in doubt)) for value in range(3)
        ]
        likely = np.stack(sure, axis=-1).astype(np.float32)
        certain = np.zeros(labels.shape, np.float32)

        def run(model, image, *, mirror, maps, **_):
            asked.append((image, mirror, maps))
            together = Ensemble(probabilities=likely, mean=likely, entropy=entropy(likely), spread=certain)
            return np.zeros((1, 1, 1, 3), np.float32), together if maps else None

        def restore(model, image, answer):
            return segmentation.NnunetPrediction(
                labels=LabelMap(labels, image.geometry, names=((1, "liver"), (2, "cancer"))), logits=answer.logits,
                probabilities=None if answer.entropy is None else likely, entropy=answer.entropy,
            )  # fmt: skip

        stages = replace(PREDICTORS["nnunet"], prepare=lambda request: request.volume)
        monkeypatch.setitem(PREDICTORS, "nnunet", stages)
        monkeypatch.setattr("sirtjax.segmentation._nnunet_predict._run", run)
        monkeypatch.setattr("sirtjax.segmentation._restore_nnunet.restore_prediction", restore)
        channel = ChannelNormalisation(scheme="CTNormalization")
        how = NnunetPreprocessing(spacing_mm=(2, 2, 2), channels=(channel,), reader="NibabelIO")
        changes = {"preprocessing": how, "postprocess": (LargestComponent(),)}
        return replace(with_lesions, spec=with_lesions.spec.model_copy(update=changes))

    return made


@pytest.mark.parametrize(
    ("doubt", "structure", "flagged"),
    [((0, 1), "liver", True), ((1, 2), "liver", False), ((1, 2), None, True), (None, "liver", False)],
)
def test_an_uncertain_nnunet_is_flagged_if_it_returns_maps(nnunet, doubt, structure, flagged):
    """A doubt between liver and cancer does not concern a liver that includes both."""
    volume, liver = patient(grid())
    unsure = nnunet(liver.astype(np.uint8), [], doubt=doubt)
    found = segmentation.segment(volume, unsure, structure=structure, maps=True)
    assert [flag.code for flag in found.flags] == (["uncertain"] if flagged else [])
    np.testing.assert_allclose(found.uncertainty.array[liver], np.log(2) if flagged else 0.0, atol=1e-5)
    without = segmentation.segment(volume, unsure, structure=structure)
    assert without.flags == () and without.uncertainty is None


def test_an_imported_nnunet_goes_the_same_way(nnunet):
    volume, liver = patient(grid())
    labels = liver.astype(np.uint8)
    labels[40:46, 38:44, 28:32] = 2
    labels[2:5, 2:5, 2:5] = 1  # a crumb
    labels[80:84, 70:74, 50:53] = 2  # a lesion elsewhere
    made = nnunet(labels, asked := [])
    whole = segmentation.segment(volume, made, structure="liver", mirror=True)
    assert dsc(whole.labels.mask("liver"), liver) > 0.999
    assert whole.labels.mask("liver")[42, 40, 30] and not whole.labels.mask("liver")[3, 3, 3]
    assert whole.uncertainty is None and dict(whole.probabilities) == {}
    assert set(whole.timings_s) == {"prepare", "network", "restore"}
    given = LabelMap.from_mask(liver, volume.geometry, name="liver")
    lesions = segmentation.segment(volume, made, structure="lesions", liver=given, maps=True)
    np.testing.assert_array_equal(lesions.labels.mask("lesions"), (labels == 2) & liver)
    assert lesions.probabilities["lesions"].array[82, 72, 51] == 1  # as the network gave them
    assert lesions.uncertainty is not None
    both = segmentation.segment(volume, made)
    assert both.labels.names == ((1, "liver"), (2, "cancer"))
    assert asked == [(volume, True, False), (volume, False, True), (volume, False, False)]
