"""A case is prepared in training as a model of the run prepares it in segmentation: the same bits."""

import dataset
import jax
import numpy as np
import pytest

from sirtjax import formats, inference, io, networks, train
from sirtjax.preprocess import to_range
from sirtjax.segmentation import Model, ModelSpec
from sirtjax.segmentation._fixed_model import prepare, run
from sirtjax.train._cache import prepare_cases
from sirtjax.train._cases import table_cases
from sirtjax.train._export import _preparation
from sirtjax.train._file_source import _prepare, predicted
from sirtjax.volume import Geometry, LabelMap, Volume


def grid(degrees):
    turn = np.radians(degrees)
    direction = np.array([[np.cos(turn), 0, np.sin(turn)], [0, -1, 0], [np.sin(turn), 0, -np.cos(turn)]])
    return Geometry.from_axes((40, 36, 14), spacing_mm=(2.5, 2.2, 7.0), direction=direction, origin_mm=(-40, 30, 200))


def written(folder, *, degrees, modality):
    """A body with a liver (1) and a lesion (2) on an anisotropic grid, as a table of one case and as what is in it."""
    geometry = grid(degrees)
    i, j, k = np.indices(geometry.shape)
    labels = np.zeros(geometry.shape, np.uint8)
    labels[((i - 18) / 11) ** 2 + ((j - 17) / 9) ** 2 + ((k - 7) / 4) ** 2 < 1] = 1
    labels[((i - 22) / 4) ** 2 + ((j - 17) / 3) ** 2 + ((k - 7) / 2) ** 2 < 1] = 2
    body = ((i - 20) / 18) ** 2 + ((j - 18) / 16) ** 2 < 1
    values = np.where(body, np.array([20.0, 110.0, 50.0])[labels], -900.0)
    values += np.random.default_rng(3).normal(0, 12, geometry.shape)
    values = values.astype("f4") if modality == "CT" else (np.maximum(values, -100) + 107).astype("f4")
    image = Volume(values, geometry, unit="HU" if modality == "CT" else "1")
    io.write_nifti(folder / "image.nii.gz", image)
    io.write_nifti(folder / "labels.nii.gz", LabelMap(labels, geometry, names=((1, "liver"), (2, "lesion"))))
    (folder / "cases.csv").write_text(f"case,image,label,modality\na,image.nii.gz,labels.nii.gz,{modality}\n")
    return folder / "cases.csv"


def config(cases, cache, **data):
    table = dataset.training(cases, cache, data=data, task="lesions", classes=[{"name": "lesion", "values": [2]}])
    return train.training_from_dict(table, source="test")


SCALES = {"CT": {"window": [-200.0, 200.0]}, "MR": {"percentiles": [1.0, 99.0]}}


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [0, 3, 30])
@pytest.mark.parametrize(
    ("modality", "changes"),
    [
        ("CT", {"mask": {"values": [1, 2], "margin_mm": 6.0}}),
        ("CT", {"median": True}),
        ("MR", {"mask": {"values": [1, 2], "margin_mm": 9.5}, "median": True}),
        ("MR", {"mask": {"values": [1, 2], "margin_mm": 6.0}, "scale": {"organ": {"reach": 0.8, "relative": True}}}),
    ],
)
def test_the_same_bits_in_training_and_in_segmentation(tmp_path, degrees, modality, changes):
    cases = written(tmp_path, degrees=degrees, modality=modality)
    changes = dict(changes)
    intensities = [{"modality": modality, **changes.pop("scale", SCALES[modality])}]
    how = {"spacing_mm": [3.0, 2.5, 6.0], "intensities": intensities}
    made = config(cases, tmp_path / "cache", preprocessing=how, overlap=0.25, augmentation={}, **changes)
    data = made.data
    (case,) = prepare_cases(
        table_cases(cases),
        preprocessing=data.prepared,
        organ=() if data.mask is None else data.mask.values,
        cache=tmp_path / "cache",
    )
    preprocessing, tiles = _preparation(made)

    # As a user has it: the image and a mask of the liver in files of their own.
    image = formats.read_image(tmp_path / "image.nii.gz", modality=modality).volume
    masks = formats.read_masks(tmp_path / "labels.nii.gz")
    whole = masks["liver"].mask("liver") | masks["lesion"].mask("lesion")
    organ = LabelMap.from_mask(whole, image.geometry, name="liver") if "mask" in changes else None
    ready = prepare(image, preprocessing, modality=modality, organ=organ)

    # What training reads, cut into patches as large as the case, not varied.
    patch = {
        "image": np.asarray(case.image)[None],
        "labels": np.asarray(case.labels)[None],
        "low": np.asarray([case.low], "f4"),
        "high": np.asarray([case.high], "f4"),
        "ct": np.asarray([modality == "CT"], "f4"),
    }
    seen, _ = _prepare(made, data)(jax.random.key(0), patch, np.arange(1))
    part = tuple(ready.box) if organ is None else (slice(None),) * 3
    np.testing.assert_allclose(np.asarray(seen[0])[part], ready.image, atol=1e-6)  # XLA may round once less

    # And what it validates on, to the last bit: image, tiles, logits.
    judged = to_range(np.asarray(case.image), case.low, case.high, output=data.output)
    np.testing.assert_array_equal(judged[part], ready.image)
    if organ is None:
        return
    variables = networks.initialise(made.network, seed=1)
    logits = predicted(variables, case, made, data)
    expected = inference.combine([logits], activation="softmax").probabilities
    spec = ModelSpec(
        name="x", task="lesions", labels={"lesion": 1}, network=made.network, preprocessing=preprocessing, tiles=tiles
    )
    found = run(Model(spec=spec, folds=(variables,)), ready).probabilities
    np.testing.assert_array_equal(found[ready.box], expected)
    assert found.shape != expected.shape and (found[0, 0, 0] == [1, 0]).all()
