import json
import shutil

import nnunet_models
import numpy as np
import pytest

from sirtjax import segmentation
from sirtjax.errors import ModelError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nnunet")
    nnunet_models.unpack(folder)
    return folder


@pytest.fixture
def folder(root, tmp_path):
    """A copy of a trained folder that a test may damage."""

    def copy(name):
        return shutil.copytree(root / name, tmp_path / name) / nnunet_models.trained_folder(root, name).relative_to(
            root / name
        )

    return copy


def test_what_a_folder_says_is_kept(root, tmp_path):
    model = segmentation.import_nnunet(nnunet_models.trained_folder(root, "plain"), licence="Apache-2.0")
    spec = model.spec
    assert (spec.name, spec.task, spec.modalities) == ("Dataset987_Test-3d_fullres", "lesions", ("CT",))
    assert spec.labels == {"liver": 1, "tumor": 2} and spec.mirror_axes == (0, 1, 2)
    assert spec.tiles.shape == (8, 20, 16) and spec.tiles.blending == "nnunet" and spec.licence == "Apache-2.0"
    assert spec.source == "nnU-Net v2 (nnUNetTrainer): Dataset987_Test, 3d_fullres, folds 0, 1"
    assert len(model.folds) == 2 and model.previous is None
    segmentation.save_model(tmp_path / "m", model)
    assert segmentation.read_model(tmp_path / "m").spec == spec


def test_a_cascade_brings_its_first_stage(root, tmp_path):
    model = segmentation.import_nnunet(nnunet_models.trained_folder(root, "cascade"), name="my cascade")
    assert model.spec.name == "my-cascade" and model.spec.network.channels == 3
    assert model.previous.spec.name == "Dataset987_Test-3d_lowres"
    assert model.spec.previous == model.previous.spec and model.spec.previous_values == (1, 2)
    segmentation.save_model(tmp_path / "m", model)
    assert segmentation.read_model(tmp_path / "m").previous.spec == model.previous.spec


def test_folds_can_be_chosen(root):
    folder = nnunet_models.trained_folder(root, "plain")
    both, second = segmentation.import_nnunet(folder), segmentation.import_nnunet(folder, folds=["1"])
    assert len(second.folds) == 1
    a, b = (fold["params"]["encoder"]["0"]["units"]["0"]["conv"]["w"] for fold in (both.folds[1], second.folds[0]))
    np.testing.assert_array_equal(a, b)
    # a fold of all cases is taken where it is the only one
    assert len(segmentation.import_nnunet(nnunet_models.trained_folder(root, "old")).folds) == 1


def test_a_data_sets_folder_will_do(root):
    assert segmentation.import_nnunet(root / "residual").spec.network.architecture == "residual-encoder-unet"
    chosen = segmentation.import_nnunet(root / "cascade", configuration="3d_lowres")
    assert chosen.spec.name == "Dataset987_Test-3d_lowres"
    with pytest.raises(
        ModelError, match=r"contains several trained configurations .*3d_cascade_fullres.*; choose one of"
    ):
        segmentation.import_nnunet(root / "cascade")
    with pytest.raises(ModelError, match="0 trained folders are of 2d; it contains"):
        segmentation.import_nnunet(root / "cascade", configuration="2d")


def test_no_such_folder(tmp_path):
    with pytest.raises(ModelError, match="is not a folder; expected one trained by nnU-Net v2"):
        segmentation.import_nnunet(tmp_path / "none")
    with pytest.raises(ModelError, match=r"has no plans\.json"):
        segmentation.import_nnunet(tmp_path)


def test_missing_folds_and_checkpoints_are_told(folder):
    trained = folder("plain")
    with pytest.raises(ModelError, match=r"fold 4 has no checkpoint_final\.pth; there are 0, 1"):
        segmentation.import_nnunet(trained, folds=["0", "4"])
    with pytest.raises(ModelError, match=r"no fold has a checkpoint_best\.pth"):
        segmentation.import_nnunet(trained, checkpoint="checkpoint_best.pth")
    (trained / "fold_1" / "checkpoint_final.pth").unlink()
    assert len(segmentation.import_nnunet(trained).folds) == 1


def test_damaged_and_foreign_checkpoints_are_one_line(folder):
    trained = folder("residual")
    file = trained / "fold_0" / "checkpoint_final.pth"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="is truncated"):
        segmentation.import_nnunet(trained)
    shutil.copy(nnunet_models.REFERENCE / "torch_checkpoint.pth", file)
    with pytest.raises(ModelError, match=r"its weights are not those of the plans: the tensors do not belong") as told:
        segmentation.import_nnunet(trained)
    assert str(told.value).startswith(str(trained.parent)) and "\n" not in str(told.value)


def test_a_checkpoint_that_is_not_of_nnunet(folder, tmp_path, monkeypatch):
    trained = folder("residual")
    monkeypatch.setattr("sirtjax.segmentation._import_nnunet.read_torch_file", lambda path: {"state_dict": {}, "e": 1})
    with pytest.raises(ModelError, match="is not a checkpoint of nnU-Net v2: it has no network_weights, but e, st"):
        segmentation.import_nnunet(trained)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"network_weights": 3}, "its network_weights are not a dictionary"),
        ({"inference_allowed_mirroring_axes": (0, 3)}, r"mirroring axes \(0, 3\) are not those of a 3D image"),
        ({"inference_allowed_mirroring_axes": ([0],)}, "are not those of a 3D image"),
        ({"init_args": {"configuration": "3d_other"}}, "has no configuration '3d_other'; it has 3d_fullres"),
    ],
)
def test_odd_contents_are_one_line(changed, complaint, root, monkeypatch):
    from sirtjax import io

    original = io.read_torch_file
    monkeypatch.setattr("sirtjax.segmentation._import_nnunet.read_torch_file", lambda path: original(path) | changed)
    with pytest.raises(ModelError, match=complaint):
        segmentation.import_nnunet(nnunet_models.trained_folder(root, "residual"))


def test_the_folders_name_tells_what_an_old_checkpoint_does_not(folder, monkeypatch):
    from sirtjax import io

    original = io.read_torch_file
    without = lambda path: {key: value for key, value in original(path).items() if key != "init_args"}  # noqa: E731
    monkeypatch.setattr("sirtjax.segmentation._import_nnunet.read_torch_file", without)
    trained = folder("residual")
    assert segmentation.import_nnunet(trained).spec.name == "Dataset987_Test-3d_fullres"
    with pytest.raises(ModelError, match="neither the file nor the folder states its configuration"):
        segmentation.import_nnunet(trained.rename(trained.with_name("renamed")))


def test_folds_that_differ_in_kind_are_refused(folder, monkeypatch):
    from sirtjax import io

    trained, original = folder("plain"), io.read_torch_file

    def changed(key, value):
        def read(path):
            return original(path) | ({key: value} if path.parent.name == "fold_1" else {})

        monkeypatch.setattr("sirtjax.segmentation._import_nnunet.read_torch_file", read)

    changed("inference_allowed_mirroring_axes", None)
    with pytest.raises(ModelError, match="its folds are mirrored along different axes"):
        segmentation.import_nnunet(trained)
    changed("init_args", {"configuration": "3d_lowres"})
    with pytest.raises(ModelError, match=r"its folds are of several configurations \(3d_fullres, 3d_lowres\)"):
        segmentation.import_nnunet(trained)


def test_a_cascade_without_its_first_stage_is_refused(folder):
    trained = folder("cascade")
    shutil.rmtree(trained.with_name("nnUNetTrainer__nnUNetPlans__3d_lowres"))
    with pytest.raises(ModelError, match="expected its first, nnUNetTrainer__nnUNetPlans__3d_lowres, next to it"):
        segmentation.import_nnunet(trained)


@pytest.mark.parametrize(
    ("previous", "complaint"),
    [
        ("3d_cascade_fullres", "is the first stage of a cascade and has a first stage itself"),
        ("../other", "previous_stage '../other' cannot be the first stage"),
    ],
)
def test_a_cascade_that_has_no_end_is_refused(folder, previous, complaint):
    trained = folder("cascade")
    plans = json.loads((trained / "plans.json").read_text())
    plans["configurations"]["3d_cascade_fullres"]["previous_stage"] = previous
    (trained / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ModelError, match=complaint):
        segmentation.import_nnunet(trained)


def test_plans_of_another_network_are_refused(folder):
    trained = folder("plain")
    plans = json.loads((trained / "plans.json").read_text())
    arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [3, 4, 7]
    (trained / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ModelError, match=r"its weights are not those of the plans: .* expected"):
        segmentation.import_nnunet(trained)
    arguments["features_per_stage"] = [3, 4]
    (trained / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ModelError, match=r"plans.json: its network cannot be built: .*2"):
        segmentation.import_nnunet(trained)


@pytest.mark.parametrize(
    ("channel", "modalities"),
    [("CT", ("CT",)), ("T2w", ("MR",)), ("PET", ("PT",)), ("SPECT", ("NM",)), ("noise", ("CT",))],
)
def test_modalities_are_known_by_the_channels(folder, channel, modalities):
    trained = folder("residual")
    dataset = json.loads((trained / "dataset.json").read_text()) | {"channel_names": {"0": channel}}
    (trained / "dataset.json").write_text(json.dumps(dataset))
    # CT's normalisation tells what an odd name does not
    assert segmentation.import_nnunet(trained).spec.modalities == modalities


@pytest.mark.parametrize(
    ("names", "task"),
    [
        (("liver", "tumor"), "lesions"),
        (("liver", "spleen"), "total"),
        (("spleen", "kidney"), "other"),
    ],
)
def test_tasks_are_known_by_the_labels(folder, names, task):
    trained = folder("residual")
    dataset = json.loads((trained / "dataset.json").read_text())
    dataset["labels"] = {"background": 0} | {name: value for value, name in enumerate(names, start=1)}
    (trained / "dataset.json").write_text(json.dumps(dataset))
    assert segmentation.import_nnunet(trained).spec.task == task
    assert segmentation.import_nnunet(trained, task="mine").spec.task == "mine"


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("features_per_stage", None, "no 'features_per_stage'"),
        ("n_conv_per_stage", None, "no 'n_conv_per_stage'"),
        ("n_conv_per_stage_decoder", None, "no 'n_conv_per_stage_decoder'"),
        ("n_conv_per_stage", ["x", 2, 2], "is not in nnU-Net v2's format"),
        ("n_conv_per_stage", [2, 2.5e308, 2], "plans.json: "),
        ("n_conv_per_stage", 10**6, "less than or equal to 256"),
        ("features_per_stage", 0, "greater than or equal to 1; .*; and [0-9]+ more"),
        ("features_per_stage", ["0" * 5000] * 3, "its network cannot be built"),
        ("kernel_sizes", [[float("inf")] * 3] * 3, "is not in nnU-Net v2's format"),
        ("nonlin", "x\n" * 500, "nonlin .* is unknown; networks with 'LeakyReLU' can be imported"),
    ],
)
def test_a_damaged_description_of_the_network_is_one_line(folder, key, value, complaint):
    trained = folder("plain")
    plans = json.loads((trained / "plans.json").read_text())
    arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    if value is None:
        del arguments[key]
    else:
        arguments[key] = value
    (trained / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ModelError, match=complaint) as raised:
        segmentation.import_nnunet(trained)
    assert "plans.json" in str(raised.value) and "\n" not in str(raised.value)
    assert len(str(raised.value)) - len(str(trained)) < 330
