"""Write nnunet_preprocess.npz: what nnU-Net's own preprocessing makes of small images.

Made with nnunetv2 2.8.1, scipy 1.15.3, scikit-image 0.26.0.

Run: python tests/reference/nnunet_preprocess.py
"""

import sys
from pathlib import Path

import numpy as np

PROPERTIES = {"mean": 40.0, "std": 55.0, "percentile_00_5": -110.0, "percentile_99_5": 190.0}


def image(seed, shape):
    """Steps and noise in a body, zeros around it; (i, j, k)."""
    random = np.random.default_rng(seed)
    coarse = random.normal(40, 120, [n // 4 + 2 for n in shape])
    at = [np.linspace(0, n - 1.001, m) for n, m in zip(coarse.shape, shape, strict=True)]
    grid = [np.floor(axis).astype(int) for axis in at]
    values = coarse[np.ix_(*grid)] + random.normal(0, 10, shape)
    body = np.zeros(shape, bool)
    body[2:-1, 1:-3, 1:] = True
    body[: shape[0] // 3, : shape[1] // 2] = False  # a corner of the box is outside
    values[~body] = 0
    values[shape[0] // 2, shape[1] // 2, shape[2] // 2] = 0  # a hole
    return values.astype(np.float32)


# name: shape and spacing of i, j, k; transposition, spacing of the network, scheme, mask, resampling
CASES = {
    "even": ((21, 18, 16), (1.1, 0.9, 1.3), (0, 1, 2), (1.5, 1.2, 1.0), "CTNormalization", False, {}),
    "separate": ((19, 22, 8), (0.8, 0.8, 5.0), (0, 1, 2), (3.5, 1.0, 0.9), "CTNormalization", False, {}),
    "turned": ((9, 20, 17), (4.0, 0.7, 1.0), (2, 0, 1), (2.0, 1.0, 1.0), "ZScoreNormalization", True, {}),
    "whole": ((15, 12, 18), (1.0, 1.0, 1.0), (1, 2, 0), (1.4, 0.8, 1.0), "ZScoreNormalization", False, {"order": 1}),
    "rescaled": ((15, 12, 11), (1.0, 2.0, 1.0), (0, 1, 2), (1.0, 1.0, 1.0), "RescaleTo01Normalization", False, {}),
    "as_is": ((8, 9, 10), (1.0, 2.0, 3.0), (0, 1, 2), (3.0, 2.0, 1.0), "NoNormalization", False, {}),
    "two_coarse": ((8, 12, 10), (3.0, 0.5, 3.0), (0, 1, 2), (2.0, 0.7, 2.0), "NoNormalization", False, {}),
    "torch": ((14, 16, 9), (0.9, 0.9, 4.0), (0, 1, 2), (2.9, 1.1, 1.1), "CTNormalization", False, {"torch": True}),
}


def plans(transpose, spacing, scheme, mask, resampling):
    """The plans of a case, as nnU-Net writes them."""
    name = "resample_torch_fornnunet" if resampling.get("torch") else "resample_data_or_seg_to_shape"
    kwargs = {} if resampling.get("torch") else {"order": 3, "order_z": 0} | resampling
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8, 8, 8],
        "median_image_size_in_voxels": [16, 16, 16],
        "spacing": list(spacing),
        "normalization_schemes": [scheme],
        "use_mask_for_norm": [mask],
        "resampling_fn_data": name,
        "resampling_fn_data_kwargs": kwargs | {"is_seg": False, "force_separate_z": None},
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": name,
        "resampling_fn_probabilities_kwargs": (kwargs | ({} if resampling.get("torch") else {"order": 1}))
        | {"is_seg": False, "force_separate_z": None},
        "architecture": {},
        "batch_dice": True,
    }
    return {
        "dataset_name": "Dataset001_Test",
        "plans_name": "nnUNetPlans",
        "transpose_forward": list(transpose),
        "transpose_backward": np.argsort(transpose).tolist(),
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": PROPERTIES},
        "configurations": {"3d_fullres": configuration},
    }


DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "lesion": 2},
    "numTraining": 1,
    "file_ending": ".nii.gz",
}


def previous_labels(shape):
    """The result of a first stage: two labels, one of them reaching outside the body; (i, j, k)."""
    labels = np.zeros(shape, np.int16)
    labels[: shape[0] // 2, 3:-4, 2:] = 1
    labels[3 : shape[0] // 3, 4:-5, 3:-1] = 2
    return labels


def run(name, *, cascade=False):
    """(image in the network's axes, labels there, properties, logits brought back as labels) by nnU-Net itself."""
    import torch
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    shape, spacing, transpose, new_spacing, scheme, mask, resampling = CASES[name]
    manager = PlansManager(plans(transpose, new_spacing, scheme, mask, resampling))
    configuration = manager.get_configuration("3d_fullres")
    values = np.ascontiguousarray(image(1, shape).transpose(2, 1, 0))[None]
    seg = np.ascontiguousarray(previous_labels(shape).transpose(2, 1, 0))[None] if cascade else None
    properties = {"spacing": list(spacing)[::-1]}
    preprocessor = DefaultPreprocessor(verbose=False)
    preprocessor._sample_foreground_locations = lambda *_, **__: {}
    data, labels, properties = preprocessor.run_case_npy(values, seg, properties, manager, configuration, DATASET)
    logits = random_logits(data.shape[1:])
    back = convert_predicted_logits_to_segmentation_with_correct_shape(
        torch.from_numpy(logits), manager, configuration, manager.get_label_manager(DATASET), properties
    )
    return data[0], labels[0], np.asarray(back).transpose(2, 1, 0)


def random_logits(shape):
    """(3, i, j, k) logits on the network's grid."""
    return np.random.default_rng(2).normal(size=(3, *shape)).astype(np.float32)


if __name__ == "__main__":
    found = {}
    for case in CASES:
        data, _, back = run(case)
        found[f"{case}_image"], found[f"{case}_labels"] = data, back.astype(np.uint8)
    for case in ("even", "separate", "turned"):
        _, labels, _ = run(case, cascade=True)
        found[f"{case}_previous"] = labels.astype(np.int8)
    target = Path(__file__).with_suffix(".npz")
    np.savez_compressed(target, **found)
    print(f"{target}: {target.stat().st_size} bytes", file=sys.stderr)
