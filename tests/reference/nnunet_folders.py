"""Make trained nnU-Net folders of random weights, and what nnU-Net's own predictor finds with them.

nnunet_folders.zip and nnunet_folders.npz were made with nnunetv2 2.8.1 and PyTorch 2.13.0.

Run: python tests/reference/nnunet_folders.py
"""

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
FULL, LOW, CASCADE = "3d_fullres", "3d_lowres", "3d_cascade_fullres"
STATISTICS = {"mean": 60.0, "std": 70.0, "percentile_00_5": -150.0, "percentile_99_5": 240.0}
LIVER = {"background": 0, "liver": 1, "tumor": 2}

# name: what is special about a model. Sizes are in the network's axes: k, j, i before the transposition.
MODELS = {
    "plain": {
        "configurations": {FULL: {"spacing": (3.0, 1.2, 1.0), "patch": (8, 20, 16)}},
        "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        "folds": ("0", "1"),
        "mirror": (0, 1, 2),
        "seed": 3,
    },
    "old": {
        "configurations": {FULL: {"spacing": (1.1, 1.5, 1.3), "patch": (16, 12, 16)}},
        "kernels": [[3, 3, 3]] * 3,
        "strides": [[1, 1, 1], [2, 2, 2], [2, 1, 2]],
        "folds": ("all",),
        "transpose": (2, 0, 1),
        "reader": "NibabelIOWithReorient",
        "scheme": ("ZScoreNormalization", True),
        "channel": "T1",
        "labels": {"background": 0, "whole": [1, 2], "core": 2},
        "order": [1, 2],
        "old": True,
        "seed": 26,
    },
    "residual": {
        "configurations": {FULL: {"spacing": (1.5, 1.5, 1.5), "patch": (16, 16, 16)}},
        "network": "ResidualEncoderUNet",
        "kernels": [[3, 3, 3]] * 3,
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 1]],
        "folds": ("0",),
        "mirror": (1,),
        "resampling": "resample_torch_fornnunet",
    },
    "cascade": {
        "configurations": {
            LOW: {"spacing": (2.6, 2.6, 2.6), "patch": (8, 12, 12)},
            FULL: {"spacing": (1.4, 1.4, 1.4), "patch": (16, 16, 16)},
            CASCADE: {"inherits_from": FULL, "previous_stage": LOW},
        },
        "kernels": [[3, 3, 3]] * 2,
        "strides": [[1, 1, 1], [2, 2, 2]],
        "folds": ("0",),
        "mirror": (0, 2),
    },
}


def image(name, *, scale=1):
    """(voxels (i, j, k), RAS affine): an oblique, anisotropic body with air around it, `scale` times as large."""
    shape, spacing, axes = {
        "plain": ((30, 34, 9), (0.8, 0.8, 5.0), np.eye(3)),
        "old": ((22, 13, 26), (1.0, 2.0, 1.0), np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]])),
        "residual": ((26, 21, 23), (1.1, 1.0, 1.9), np.diag([-1, -1, 1])),
        "cascade": ((25, 22, 14), (1.0, 1.1, 2.0), np.eye(3)),
    }[name]
    shape = tuple(round(n * scale) for n in shape)
    random = np.random.default_rng(sorted(MODELS).index(name))
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt(sum((x / a) ** 2 for x, a in zip(grid, (0.9, 0.8, 1.4), strict=True)))
    waves = sum(np.sin(5 * x * random.uniform(0.5, 1.5) + random.uniform(0, 6)) for x in grid)
    values = np.where(radius < 1, 60 + 60 * waves + random.normal(0, 15, shape), 0 if name == "old" else -1000)
    if name != "old":
        values[0] = values[:, -2:] = 0  # padding that nnU-Net crops away
    turn = _rotation(0.15, -0.1, 0.2)
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes * spacing
    affine[:3, 3] = (-20, 30, -45)
    return np.round(values).astype(np.int16), affine


def _rotation(a, b, c):
    turns = []
    for axis, angle in enumerate((a, b, c)):
        u, v = (n for n in range(3) if n != axis)
        turn = np.eye(3)
        turn[u, u] = turn[v, v] = np.cos(angle)
        turn[u, v], turn[v, u] = -np.sin(angle), np.sin(angle)
        turns.append(turn)
    return turns[0] @ turns[1] @ turns[2]


def write_image(path, name, *, scale=1):
    """The image as NIfTI."""
    import nibabel

    values, affine = image(name, scale=scale)
    written = nibabel.Nifti1Image(values, affine)
    written.set_qform(affine, 1)
    written.set_sform(affine, 1)
    nibabel.save(written, path)


def plans(model):
    """plans.json and dataset.json, as nnU-Net writes them."""
    features = [3, 4, 6][: len(model["strides"])]
    scheme, mask = model.get("scheme", ("CTNormalization", False))
    resampling = model.get("resampling", "resample_data_or_seg_to_shape")
    by_torch = resampling != "resample_data_or_seg_to_shape"
    configurations = {}
    for name, own in model["configurations"].items():
        if "inherits_from" in own:
            configurations[name] = dict(own)
            continue
        table = {
            "data_identifier": f"nnUNetPlans_{name}",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2,
            "patch_size": list(own["patch"]),
            "median_image_size_in_voxels": [20.0, 30.0, 30.0],
            "spacing": list(own["spacing"]),
            "normalization_schemes": [scheme],
            "use_mask_for_norm": [mask],
            "batch_dice": True,
        }
        for what, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
            is_default = what == "seg" or not by_torch
            table[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape" if is_default else resampling
            table[f"resampling_fn_{what}_kwargs"] = {"is_seg": what == "seg", "force_separate_z": None} | (
                {"order": order, "order_z": 0} if is_default else {}
            )
        configurations[name] = table | (_old_network(model) if model.get("old") else _network(model, features))
    result = {
        "dataset_name": "Dataset987_Test",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [20, 30, 30],
        "image_reader_writer": model.get("reader", "SimpleITKIO"),
        "transpose_forward": list(model.get("transpose", (0, 1, 2))),
        "transpose_backward": np.argsort(model.get("transpose", (0, 1, 2))).tolist(),
        "configurations": configurations,
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": STATISTICS},
    }
    dataset = {
        "channel_names": {"0": model.get("channel", "CT")},
        "labels": model.get("labels", LIVER),
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    return result, dataset | ({"regions_class_order": model["order"]} if "order" in model else {})


def _network(model, features):
    name = model.get("network", "PlainConvUNet")
    counts = "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage"
    stages = len(features)
    arguments = {
        "n_stages": stages,
        "features_per_stage": features,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": model["kernels"],
        "strides": model["strides"],
        counts: [1, 2, 1][:stages],
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    module = {"PlainConvUNet": "unet", "ResidualEncoderUNet": "unet"}[name]
    return {
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.{module}.{name}",
            "arch_kwargs": arguments,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        }
    }


def _old_network(model):
    return {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 3,
        "n_conv_per_stage_encoder": [1, 2, 1],
        "n_conv_per_stage_decoder": [1, 1],
        "num_pool_per_axis": [2, 1, 2],
        "pool_op_kernel_sizes": model["strides"],
        "conv_kernel_sizes": model["kernels"],
        "unet_max_num_features": 5,
    }


def trained_folder(root, name, configuration):
    """Where a configuration of a model lies, as nnU-Net lays it out."""
    return Path(root) / name / "Dataset987_Test" / f"nnUNetTrainer__nnUNetPlans__{configuration}"


def build(root, name, *, seed=0):
    """Write the trained folders of a model; returns them by configuration. Needs nnunetv2."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    model = MODELS[name]
    tables = plans(model)
    folders = {}
    for configuration in model["configurations"]:
        if configuration == FULL and CASCADE in model["configurations"]:
            continue  # the cascade inherits from it; it is not trained itself
        folder = folders[configuration] = trained_folder(root, name, configuration)
        manager = PlansManager(json.loads(json.dumps(tables[0])))
        chosen = manager.get_configuration(configuration)
        heads = manager.get_label_manager(tables[1]).num_segmentation_heads
        for number, fold in enumerate(model["folds"]):
            torch.manual_seed(seed + model.get("seed", 0) + 10 * number + len(folders))
            network = get_network_from_plans(
                chosen.network_arch_class_name,
                chosen.network_arch_init_kwargs,
                chosen.network_arch_init_kwargs_req_import,
                determine_num_input_channels(manager, chosen, tables[1]),
                heads,
                deep_supervision=True,
            )
            for key, parameter in network.named_parameters():
                if "norm" in key:
                    torch.nn.init.normal_(parameter, mean=1.0 if key.endswith("weight") else 0.0, std=0.4)
                if "seg_layers" in key:
                    torch.nn.init.normal_(parameter, std=1.0 if key.endswith("weight") else 0.1)
            (folder / f"fold_{fold}").mkdir(parents=True, exist_ok=True)
            torch.save(
                {
                    "network_weights": network.state_dict(),
                    "optimizer_state": None,
                    "grad_scaler_state": None,
                    "logging": {"mean_fg_dice": [np.float64(0.5), 0.75]},
                    "_best_ema": np.float64(0.8125),
                    "current_epoch": 1000,
                    "init_args": {"configuration": configuration, "fold": fold, "device": torch.device("cpu")},
                    "trainer_name": "nnUNetTrainer",
                    "inference_allowed_mirroring_axes": model.get("mirror"),
                },
                folder / f"fold_{fold}" / "checkpoint_final.pth",
            )
        for file, table in zip(("plans.json", "dataset.json"), tables, strict=True):
            (folder / file).write_text(json.dumps(table, indent=1) + "\n")
    return folders


@contextmanager
def float32_sums():
    """nnU-Net's predictor with its sums in single instead of half precision; its weights stay as they are."""
    import torch
    from nnunetv2.inference import predict_from_raw_data

    class Proxy:
        half = torch.float32

        def __getattr__(self, name):
            return getattr(torch, name)

    with mock.patch.object(predict_from_raw_data, "torch", Proxy()):
        yield


def predict(folders, file):
    """(logits (class, ...) on the network's grid of the last stage, labels (i, j, k)) by nnU-Net's own predictor."""
    import torch
    from nnunetv2.inference.data_iterators import PreprocessAdapterFromNpy
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    labels = logits = None
    for folder in folders.values():
        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        folds = [path.name.removeprefix("fold_") for path in sorted(folder.glob("fold_*"))]
        predictor.initialize_from_trained_model_folder(str(folder), folds, "checkpoint_final.pth")
        values, properties = predictor.plans_manager.image_reader_writer_class().read_images([str(file)])
        reorients = "Reorient" in predictor.plans_manager.plans["image_reader_writer"]
        previous = None if labels is None else labels[None].astype(np.float32)  # as its readers give it
        adapter = PreprocessAdapterFromNpy(
            [values], [previous], [dict(properties)], [None], predictor.plans_manager, predictor.dataset_json,
            predictor.configuration_manager,
        )  # fmt: skip
        logits = predictor.predict_logits_from_preprocessed_data(next(adapter)["data"]).float().numpy()
        labels = predictor.predict_single_npy_array(values, dict(properties), previous)
        if reorients:
            out = Path(file).with_name("labels.nii.gz")
            predictor.plans_manager.image_reader_writer_class().write_seg(labels, str(out), properties)
    if reorients:
        import nibabel

        return logits, np.asarray(nibabel.load(out).dataobj)
    return logits, labels.transpose(2, 1, 0)


if __name__ == "__main__":
    import tempfile
    import zipfile

    found = {}
    packed = zipfile.ZipFile(HERE / "nnunet_folders.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9)
    root = Path(tempfile.mkdtemp())
    for one in MODELS:
        folders = build(root, one)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "case_0000.nii.gz"
            write_image(file, one)
            with float32_sums():
                logits, labels = predict(folders, file)
            stock = predict(folders, file)[1]
        found[f"{one}_shape"] = logits.shape
        found[f"{one}_logits"] = logits[:, ::3, ::2, ::3]
        found[f"{one}_labels"] = labels.astype(np.uint8)
        print(one, logits.shape, logits.std(), np.bincount(labels.ravel()), (stock == labels).mean(), file=sys.stderr)
    for path in sorted(root.rglob("*")):
        if path.is_file():
            packed.write(path, path.relative_to(root))
    packed.close()
    np.savez_compressed(HERE / "nnunet_folders.npz", **found)
