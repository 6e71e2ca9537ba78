import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from sirtjax import networks, segmentation
from sirtjax.errors import ModelError
from sirtjax.networks import PlainConvUNetConfig
from sirtjax.preprocess import ChannelNormalisation, FixedPreprocessing, IntensityScale, NnunetPreprocessing

NETWORK = PlainConvUNetConfig(channels=1, classes=2, features=(2, 3), deep_supervision=False)
FIXED = FixedPreprocessing(spacing_mm=(3, 3, 4), intensities=(IntensityScale(modality="CT", window=(-200, 200)),))


def spec(**changes):
    given = {
        "name": "tiny",
        "task": "liver",
        "modalities": ("CT",),
        "labels": {"liver": 1},
        "network": NETWORK,
        "preprocessing": FIXED,
        "tiles": segmentation.Tiles(shape=(8, 8, 8)),
        "licence": "CC0-1.0",
        "postprocess": [{"kind": "largest-component"}],
    }
    return segmentation.ModelSpec(**(given | changes))


@pytest.fixture(scope="module")
def model():
    folds = tuple(jax.tree.map(np.asarray, networks.initialise(NETWORK, seed=seed)) for seed in range(11))
    return segmentation.Model(spec=spec(), folds=folds)


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.setenv("SIRTJAX_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_a_model_comes_back_as_it_was(tmp_path, model):
    segmentation.save_model(tmp_path / "m", model, licence_text="free")
    back = segmentation.read_model(tmp_path / "m")
    assert back.spec == model.spec and len(back.folds) == 11
    for a, b in zip(model.folds, back.folds, strict=True):  # fold 10 after fold 9
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_cascade_carries_its_first_stage(tmp_path, model):
    first = segmentation.Model(spec=spec(name="first"), folds=model.folds[:1])
    network = NETWORK.model_copy(update={"channels": 2})
    second = spec(name="second", network=network, previous=first.spec, previous_values=(1,))
    folds = (jax.tree.map(np.asarray, networks.initialise(network, seed=0)),)
    segmentation.save_model(tmp_path / "m", segmentation.Model(spec=second, folds=folds, previous=first))
    back = segmentation.read_model(tmp_path / "m")
    assert back.previous is not None and back.previous.spec == first.spec and back.spec.previous == first.spec
    jax.tree.map(np.testing.assert_array_equal, back.previous.folds[0], first.folds[0])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "a/b"}, "String should match pattern"),
        ({"labels": {"a": 1, "b": 1}}, "`labels` must have distinct values"),
        ({"mirror_axes": (0, 0)}, "`mirror_axes` must name each axis once"),
        ({"labels": {"liver": 1, "lesion": 2}}, "the network has 2 classes, expected 3 for these labels"),
        ({"activation": "sigmoid"}, "the network has 2 classes, expected 1 for these labels"),
        ({"channels": ("CT", "PT")}, "the network takes 1 channels, expected 2 for these images"),
        ({"previous_values": (1,)}, "the network takes 1 channels, expected 2"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"tiles": {"shape": (8, 8, 0)}}, "greater than or equal to 1"),
        (
            {
                "preprocessing": NnunetPreprocessing(
                    spacing_mm=(1, 1, 1), channels=(ChannelNormalisation(scheme="NoNormalization"),) * 2
                )
            },
            "`preprocessing` is for 2 of 1 channels",
        ),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        spec(**changes)


def test_stages_and_their_labels_go_together():
    with pytest.raises(ValueError, match="`previous` and `previous_values` must be used together"):
        spec(previous=spec(name="first"))


@pytest.mark.slow
def test_weights_of_another_network_are_refused(tmp_path, model):
    other = NETWORK.model_copy(update={"features": (2, 4)})
    segmentation.save_model(tmp_path / "m", replace(model, spec=spec(network=other)))
    with pytest.raises(ModelError, match=r"m: its weights are not the network's: .* expected") as told:
        segmentation.read_model(tmp_path / "m")
    assert "\n" not in str(told.value)


def test_a_checkpoint_of_something_else_is_refused(tmp_path, model):
    from sirtjax import io

    io.save_checkpoint(tmp_path / "m", {"w": np.ones(2)}, {"epoch": 3})
    with pytest.raises(ModelError, match="is a checkpoint, but not of a segmentation model"):
        segmentation.read_model(tmp_path / "m")
    table = {"spec": spec().model_dump(mode="json") | {"task": 3}}
    io.save_checkpoint(tmp_path / "n", {"w": np.ones(2)}, table)
    with pytest.raises(ModelError, match="its description is not usable: task: Input should be a valid string"):
        segmentation.read_model(tmp_path / "n")
    io.save_checkpoint(tmp_path / "o", {"w": np.ones(2)}, {"spec": spec().model_dump(mode="json")})
    with pytest.raises(ModelError, match="lacks the weights of a network"):
        segmentation.read_model(tmp_path / "o")


def test_models_are_found_by_name_and_by_folder(library, model, tmp_path, monkeypatch):
    segmentation.save_model(library / "tiny", model, licence_text="free for all")
    (library / "broken").mkdir()
    (library / ".hidden").mkdir()
    found = [entry for entry in segmentation.list_models() if not entry.bundled]
    assert [entry.name for entry in found] == ["broken", "tiny"]
    broken, tiny = found
    assert broken.spec is None and "is not a sirtjax checkpoint" in broken.problem
    assert tiny.spec == model.spec and tiny.licence_text == "free for all" and len(tiny.sha256) == 64
    # a folder of that name in the working folder is not in the way
    (tmp_path / "here" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert segmentation.load_model("tiny").spec == model.spec
    assert segmentation.load_model(library / "tiny").spec == model.spec
    assert segmentation.load_model(str(library / "tiny")).spec == model.spec
    monkeypatch.chdir(library)
    assert segmentation.load_model("tiny").spec == model.spec


def test_what_is_not_installed_is_told_with_what_is(library, model):
    with pytest.raises(ModelError, match=r"no model is named 'other'; installed: .*sirtjax models import adds one"):
        segmentation.load_model("other")
    with pytest.raises(ModelError, match="no model folder found"):
        segmentation.load_model(library / "other")
    with pytest.raises(ModelError, match="no model folder found"):
        segmentation.load_model(f"{library}/other")


def test_the_users_models_hide_those_of_the_package(library, model, tmp_path, monkeypatch):
    package = tmp_path / "package"
    segmentation.save_model(package / "models" / "tiny", model)
    segmentation.save_model(package / "models" / "liver", model)
    monkeypatch.setattr("sirtjax.segmentation._model_library.resources.files", lambda _: package)
    segmentation.save_model(library / "tiny", model)
    assert {entry.name: entry.bundled for entry in segmentation.list_models()} == {"liver": True, "tiny": False}


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"SIRTJAX_MODELS": "/site"}, "/site"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/sirtjax/models"),
        ("linux", {"HOME": "/home/x"}, "/home/x/.local/share/sirtjax/models"),
        ("darwin", {"HOME": "/Users/x"}, "/Users/x/Library/Application Support/sirtjax/models"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/sirtjax/models"),
    ],
)
def test_models_lie_where_the_system_keeps_data(platform, variables, expected, monkeypatch):
    for name in ("SIRTJAX_MODELS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert str(segmentation.models_folder()) == expected


def test_equal_networks_are_one_function():
    other = PlainConvUNetConfig.model_validate(json.loads(NETWORK.model_dump_json()))
    assert segmentation.network_function(NETWORK) is segmentation.network_function(other)
