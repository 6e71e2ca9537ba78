"""Lesions by a network that sees the liver alone: one that calls everything a lesion that is brighter than a liver."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import ops, segmentation
from sirtjax.errors import ConfigError, GeometryError, ImageFormatError, ModelError
from sirtjax.networks import PlainConvUNetConfig
from sirtjax.postprocess import RemoveSmall
from sirtjax.preprocess import FixedPreprocessing, IntensityScale, OrganMask
from sirtjax.segmentation import LesionDetectability, Model, ModelSpec, Tiles, read_model, save_model
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((64, 60, 40), spacing_mm=(3.0, 3.0, 4.0), origin_mm=(-95, -88, 220))
# Centre (mm), radius (mm): in the liver, a small one in it, at its edge, and far from it.
DEEP, SMALL, EDGE, FAR = ((-10, 5, 300), 13), ((20, -10, 300), 4.5), ((42, 0, 300), 9), ((-5, 70, 300), 10)


def network(variables, tiles):
    logit = (tiles[..., 0] - variables["middle"]) * 60
    return jnp.stack([jnp.zeros_like(logit), logit], axis=-1)


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: network)
    spec = ModelSpec(
        name="inside",
        task="lesions",
        modalities=("CT",),
        labels={"lesion": 1},
        network=PlainConvUNetConfig(features=(2, 2), classes=2),
        preprocessing=FixedPreprocessing(
            spacing_mm=(3, 3, 4),
            mask=OrganMask(margin_mm=6.0),
            intensities=(IntensityScale(modality="CT", window=(-200, 200)),),
        ),
        tiles=Tiles(shape=(24, 24, 20)),
    )
    return Model(spec=spec, folds=({"middle": np.float32(0.3)},))


def ball(centre, radius, grid=GRID):
    places = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    return np.linalg.norm(places - centre, axis=-1) < radius


def scene(*lesions, grid=GRID):
    places = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    hu = np.where(np.linalg.norm(places[..., :2] / (90, 80), axis=-1) < 1, 20.0, -1000.0)
    liver = ball((0, 0, 300), 45, grid)
    hu[liver] = 90
    for lesion in lesions:
        hu[ball(*lesion, grid)] = 180
    hu += np.random.default_rng(0).normal(0, 3, grid.shape)
    return Volume(hu.astype("f4"), grid, unit="HU"), LabelMap.from_mask(liver, grid, name="liver")


def found(volume, model, liver, **options):
    return segmentation.segment(volume, model, structure="lesions", liver=liver, **options)


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_what_is_not_in_the_liver_is_not_seen(model):
    volume, liver = scene(DEEP, EDGE, FAR)
    lesions = found(volume, model, liver)
    assert dsc(lesions.labels.mask("lesions"), ball(*DEEP) | ball(*EDGE)) > 0.97
    assert not (lesions.labels.mask("lesions") & ball(*FAR)).any()
    # What the network is given: the box of the liver and 6 mm around it, beyond which is the lower end of the window.
    likely = np.asarray(lesions.probabilities["lesions"].array)
    assert likely[ball(*DEEP)].mean() > 0.9 and likely.max() <= 1


def test_the_lesions_are_the_same_wherever_the_rest_is(model):
    """No voxel outside of the liver and its margin has a say."""
    volume, liver = scene(DEEP, SMALL, EDGE)
    hu = np.asarray(volume.array).copy()
    hu[~ball((0, 0, 300), 45 + 12)] = 190
    hu[:, :4] = -1000  # so that it is a CT
    other = found(Volume(hu, GRID, unit="HU"), model, liver)
    np.testing.assert_array_equal(found(volume, model, liver).labels.array, other.labels.array)


def test_a_mask_on_another_grid(model):
    volume, liver = scene(DEEP, FAR)
    fine = Geometry.from_axes((120, 110, 130), spacing_mm=(1.3, 1.5, 1.0), origin_mm=(-78, -82, 235))
    given = LabelMap.from_mask(ball((0, 0, 300), 45, fine), fine, name="liver")
    np.testing.assert_array_equal(found(volume, model, given).labels.array, found(volume, model, liver).labels.array)


def test_an_oblique_image(model):
    turn = np.radians(20)
    direction = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    own = Geometry.from_axes((70, 60, 50), spacing_mm=(3.0, 3.0, 4.0), direction=direction)
    grid = Geometry.from_axes(
        own.shape, spacing_mm=(3.0, 3.0, 4.0), direction=direction, origin_mm=np.array([0, 0, 300]) - own.centre_mm
    )
    volume, liver = scene(DEEP, FAR, grid=grid)
    lesions = found(volume, model, liver).labels.mask("lesions")
    assert dsc(lesions, ball(*DEEP, grid)) > 0.95


def test_small_lesions_are_dropped_by_their_volume(model):
    volume, liver = scene(DEEP, SMALL)
    assert dsc(found(volume, model, liver).labels.mask("lesions"), ball(*DEEP) | ball(*SMALL)) > 0.97
    strict = replace(model, spec=model.spec.model_copy(update={"postprocess": (RemoveSmall(min_volume_ml=1.0),)}))
    assert dsc(found(volume, strict, liver).labels.mask("lesions"), ball(*DEEP)) > 0.97
    assert not (found(volume, strict, liver).labels.mask("lesions") & ball(*SMALL)).any()
    again = found(volume, strict, liver, min_volume_ml=0.0)
    np.testing.assert_array_equal(again.labels.array, found(volume, model, liver).labels.array)
    assert not found(volume, model, liver, min_volume_ml=1.0).labels.mask("lesions")[ball(*SMALL)].any()
    with pytest.raises(ConfigError, match=r"the minimum component volume is -1.0 mL; expected zero or more"):
        found(volume, model, liver, min_volume_ml=-1.0)


def test_a_crowd_of_lesions_is_flagged(model):
    crowd = [((x, y, z), 5.5) for x in (-18, 0, 18) for y in (-18, 0, 18) for z in (285, 310)]
    for lesions, flagged in ((crowd[:15], []), (crowd, ["many_lesions"])):
        volume, liver = scene(*lesions)
        found = segmentation.segment(volume, model, structure="lesions", liver=liver)
        assert [flag.code for flag in found.flags] == flagged
    assert found.flags[0].message.startswith("18 parts of lesions, more than 15: on a noisy or low-dose image")


def test_noise_is_no_lesion_and_an_image_of_noise_is_flagged(model):
    """On a noisy CT without contrast medium the network finds its brightest places, and a bright lesion."""
    volume, liver = scene(DEEP)
    hu = np.asarray(volume.array) + np.random.default_rng(1).normal(0, 45, GRID.shape) - 35 * liver.mask("liver")
    noisy = Volume(hu.astype("f4"), GRID, unit="HU")
    options = {"min_volume_ml": 0.1}
    before = found(noisy, model, liver, **options)
    limits = LesionDetectability(least_contrast_hu=16.0)
    careful = replace(model, spec=model.spec.model_copy(update={"detectability": limits}))
    after = found(noisy, careful, liver, **options)
    count = [int(ops.components(one.labels.mask("lesions"), connectivity=26).max()) for one in (before, after)]
    assert count[0] >= 20 and count[1] == 1
    assert (before.removed_as_noise, after.removed_as_noise) == (0, count[0] - 1)
    assert (after.labels.mask("lesions") & ball(*DEEP)).any() and "noise" in after.timings_s
    assert after.volumes_ml["lesions"] == after.labels.volume_ml("lesions") < before.volumes_ml["lesions"]
    assert [flag.code for flag in before.flags] == ["lesions_not_detectable", "many_lesions"]
    assert [flag.code for flag in after.flags] == ["lesions_not_detectable"]
    assert "segment them on the diagnostic image" in after.flags[0].message
    # All that the network finds stays in the probabilities, and all labels of a model are what it finds.
    np.testing.assert_array_equal(after.probabilities["lesions"].array, before.probabilities["lesions"].array)
    # The same image with contrast medium and without noise is neither flagged nor changed.
    assert found(volume, careful, liver).flags == ()
    np.testing.assert_array_equal(found(volume, careful, liver).labels.array, found(volume, model, liver).labels.array)


def test_a_liver_that_can_t_be_used_is_refused(model):
    volume, liver = scene(DEEP)
    with pytest.raises(ModelError, match="the model requires a mask of the liver; add --liver MASK"):
        found(volume, model, None)
    nothing = LabelMap.from_mask(np.zeros(GRID.shape, bool), GRID, name="liver")
    everywhere = replace(
        model,
        spec=model.spec.model_copy(
            update={"preprocessing": model.spec.preprocessing.model_copy(update={"mask": None})}
        ),
    )
    for one in (model, everywhere):
        with pytest.raises(ImageFormatError, match="the liver's mask is empty; use the mask contoured on this"):
            found(volume, one, nothing)
    for z_mm, share in ((900, "0%"), (300, "4[0-9]%")):
        grid = Geometry.from_axes(GRID.shape, spacing_mm=GRID.spacing_mm, origin_mm=(-95, -88, z_mm))
        elsewhere = LabelMap.from_mask(liver.mask("liver"), grid, name="liver")
        with pytest.raises(GeometryError, match=f"of the liver's mask {share} is in the image; use the mask"):
            found(volume, model, elsewhere)
    air = LabelMap.from_mask(ball((-92, -85, 300), 20), GRID, name="liver")
    with pytest.raises(ImageFormatError, match="inside the liver's mask the CT has -1000 HU"):
        found(volume, model, air)


def test_the_mask_stands_in_the_checkpoint(model, tmp_path, monkeypatch):
    monkeypatch.setattr("sirtjax.segmentation._model.check_variables", lambda config, variables, path: None)
    save_model(tmp_path / "model", model)
    assert read_model(tmp_path / "model").spec == model.spec


def test_a_second_patient_compiles_nothing(model, compilations):
    volume, liver = scene(DEEP)
    found(volume, model, liver)
    del compilations[:]
    grid = Geometry.from_axes((60, 71, 45), spacing_mm=(3.3, 2.7, 3.5), origin_mm=(-98, -95, 221))
    volume, liver = scene(EDGE, grid=grid)
    assert found(volume, model, liver).volumes_ml["lesions"] > 1
    assert compilations == []
