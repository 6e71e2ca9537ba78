import copy
import json
from pathlib import Path

import pytest
from nnunet_models import MODELS, plans

from sirtjax.errors import ModelError
from sirtjax.segmentation._nnunet_plans import read_plans

FULL = "3d_fullres"


def written(folder, tables):
    for name, table in zip(("plans.json", "dataset.json"), tables, strict=True):
        (folder / name).write_text(json.dumps(table))
    return folder


def test_new_plans_are_read(tmp_path):
    found = read_plans(written(tmp_path, plans(MODELS["plain"])), configuration=FULL)
    assert found.dataset == "Dataset987_Test" and found.architecture == "PlainConvUNet"
    assert found.patch_shape == (8, 20, 16) and found.channels == ("CT",)
    assert found.labels == {"liver": 1, "tumor": 2} and not found.regions and found.classes == 3
    assert found.options["kernel_sizes"][0] == (1, 3, 3)
    how = found.preprocessing
    assert how.spacing_mm == (3.0, 1.2, 1.0) and how.channels[0].percentile_99_5 == 240.0
    assert (how.image_resampling.order, how.label_resampling.order, how.logit_resampling.order) == (3, 1, 1)
    assert how.image_resampling.separate_z is None


def test_old_plans_and_regions_are_read(tmp_path):
    found = read_plans(written(tmp_path, plans(MODELS["old"])), configuration=FULL)
    assert found.options["features_per_stage"] == [3, 5, 5]  # doubled, and no more than the maximum
    assert found.options["n_conv_per_stage"] == [1, 2, 1]
    assert found.regions and found.labels == {"whole": 1, "core": 2} and found.classes == 2
    assert found.preprocessing.transpose_forward == (2, 0, 1)
    assert found.preprocessing.channels[0].mask


def test_a_configuration_inherits_and_a_cascade_takes_labels(tmp_path):
    found = read_plans(written(tmp_path, plans(MODELS["cascade"])), configuration="3d_cascade_fullres")
    assert found.previous == "3d_lowres" and found.patch_shape == (16, 16, 16)
    assert found.inputs == 3 and found.foreground == (1, 2)


def test_torchs_resampling_is_linear(tmp_path):
    how = read_plans(written(tmp_path, plans(MODELS["residual"])), configuration=FULL).preprocessing
    assert how.image_resampling.order == how.logit_resampling.order == 1


def test_labels_are_in_the_order_of_the_classes(tmp_path):
    tables = plans(MODELS["plain"])
    tables[1]["labels"] = {"tumor": 2, "background": 0, "liver": 1, "ignore": 3}
    found = read_plans(written(tmp_path, tables), configuration=FULL)
    assert list(found.labels.items()) == [("liver", 1), ("tumor", 2)] and found.classes == 3


def change(*keys, to):
    def changed(tables):
        *folders, last = keys
        place = tables[0 if folders and folders[0] == "plans" else 1]
        for key in folders[1:]:
            place = place[key]
        if to is None:
            del place[last]
        else:
            place[last] = to

    return changed


CONFIGURATION = ("plans", "configurations", FULL)
ARGUMENTS = (*CONFIGURATION, "architecture", "arch_kwargs")


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (
            change(*CONFIGURATION, "patch_overlap", to=1),
            r"configuration '3d_fullres' has unknown keys \(patch_overlap\)",
        ),
        (change(*CONFIGURATION, "patch_size", to=[64, 64]), "configuration '3d_fullres' is 2D; import a 3D"),
        (
            change(*CONFIGURATION, "preprocessor_name", to="Mine"),
            "preprocessor_name 'Mine' is unknown; only nnU-Net's own",
        ),
        (change("plans", "label_manager", to="Mine"), "label_manager 'Mine' is unknown"),
        (
            change(*CONFIGURATION, "architecture", "network_class_name", to="my.nets.UMamba"),
            "architecture 'UMamba' is unknown",
        ),
        (change(*CONFIGURATION, "inherits_from", to="2d"), "has no configuration '2d'; it has 3d_fullres"),
        (change(*CONFIGURATION, "inherits_from", to=FULL), "configuration '3d_fullres' inherits from itself"),
        (change(*CONFIGURATION, "normalization_schemes", to=["Mine"]), "scheme: Input should be 'CTNormalization'"),
        (change(*CONFIGURATION, "normalization_schemes", to=[]), "0 normalisation schemes for 1 channels"),
        (change(*CONFIGURATION, "spacing", to=[1, -1, 1]), r"spacing_mm.1: Input should be greater than 0; got -1"),
        (change(*CONFIGURATION, "spacing", to=None), r"plans.json or the dataset.json next to it: no 'spacing'"),
        (
            change(*CONFIGURATION, "resampling_fn_data", to="mine"),
            "resampling_fn_data 'mine' is unknown; expected resample_",
        ),
        (
            change(*CONFIGURATION, "resampling_fn_seg_kwargs", to={"gamma": 1}),
            "resampling_fn_seg 'resample_data_or_seg_to_shape' with gamma is unknown",
        ),
        (change("plans", "transpose_backward", to=[0, 2, 1]), "transpose_backward .* does not undo"),
        (change("plans", "image_reader_writer", to="Tiff3DIO"), "reader: Input should be 'SimpleITKIO'"),
        (
            change(*ARGUMENTS, "norm_op", to="torch.nn.BatchNorm3d"),
            "norm_op 'BatchNorm3d' is unknown; networks with 'Inst",
        ),
        (change(*ARGUMENTS, "nonlin_kwargs", to={"negative_slope": 0.2}), "slope of the nonlin 0.2 is unknown"),
        (change(*ARGUMENTS, "strides", to="abc"), "plans.json: is not in nnU-Net v2's format"),
        (change("dataset", "labels", to={"liver": 1}), "labels must name a background of value 0, got None"),
        (change("dataset", "labels", to={"background": 0, "liver": 5}), "labels must be numbered 1, 2, 3 .* got"),
        (change("dataset", "labels", to={"background": 0, "all": [1, 2]}), "1 regions require a regions_class_order"),
    ],
)
def test_what_the_library_does_not_do_is_refused_in_one_line(tmp_path, edit, complaint):
    tables = copy.deepcopy(plans(MODELS["plain"]))
    edit(tables)
    with pytest.raises(ModelError, match=complaint) as told:
        read_plans(written(tmp_path, tables), configuration=FULL)
    assert str(told.value).startswith(str(tmp_path)) and "\n" not in str(told.value)


def test_other_modes_of_torchs_resampling_are_refused(tmp_path):
    tables = plans(MODELS["residual"])
    tables[0]["configurations"][FULL]["resampling_fn_data_kwargs"]["mode"] = "bicubic"
    with pytest.raises(ModelError, match=r"in the modes \('bicubic', 'nearest-exact'\) is unknown"):
        read_plans(written(tmp_path, tables), configuration=FULL)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "plans.json: is missing; expected the folder"), ("{", "is damaged"), ("[1]", "contains no table")],
)
def test_missing_and_damaged_files_are_named(tmp_path: Path, text, complaint):
    written(tmp_path, plans(MODELS["plain"]))
    if text is None:
        (tmp_path / "plans.json").unlink()
    else:
        (tmp_path / "plans.json").write_text(text)
    with pytest.raises(ModelError, match=complaint):
        read_plans(tmp_path, configuration=FULL)
