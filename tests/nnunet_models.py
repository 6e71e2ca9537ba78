"""The nnU-Net folders of tests/reference, unpacked, and what nnU-Net found with them."""

import importlib.util
import zipfile
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).parent / "reference"
_spec = importlib.util.spec_from_file_location("nnunet_folders", REFERENCE / "nnunet_folders.py")
folders = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(folders)

CASCADE, FULL, LOW, MODELS = folders.CASCADE, folders.FULL, folders.LOW, folders.MODELS
image, plans, write_image = folders.image, folders.plans, folders.write_image


def unpack(root):
    """Every trained folder, below `root`."""
    with zipfile.ZipFile(REFERENCE / "nnunet_folders.zip") as packed:
        packed.extractall(root)


def trained_folder(root, name):
    """The last stage of a model."""
    return folders.trained_folder(root, name, CASCADE if name == "cascade" else FULL)


def expected(name):
    """(shape of the logits, some of them, all labels (i, j, k)) by nnU-Net's own predictor, its sums in float32."""
    with np.load(REFERENCE / "nnunet_folders.npz") as stored:
        return tuple(stored[f"{name}_shape"]), stored[f"{name}_logits"], stored[f"{name}_labels"]


def same_logits(logits):
    """Those of (i, j, k, class) logits that are stored."""
    return np.moveaxis(logits, -1, 0)[:, ::3, ::2, ::3]
