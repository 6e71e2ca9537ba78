"""Small datasets on the disk: bright boxes with darker ones in them (liver, tumour), in several layouts."""

import csv
import json

import nibabel
import numpy as np


def case(number, *, shape=(22, 18, 12)):
    draw = np.random.default_rng(number)
    labels = np.zeros(shape, np.uint8)
    a = draw.integers(3, 6, 3)
    labels[a[0] : a[0] + 11, a[1] : a[1] + 8, a[2] - 2 : a[2] + 4] = 1
    labels[a[0] + 3 : a[0] + 6, a[1] + 2 : a[1] + 5, a[2] : a[2] + 2] = 2
    image = np.array([-60.0, 110.0, 30.0])[labels] + draw.normal(0, 8, shape)
    return image.astype("f4"), labels


AFFINE = np.array([[-2.0, 0, 0, 10], [0, -2.0, 0, 20], [0, 0, 4.0, -30], [0, 0, 0, 1]])


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), path)


def nnunet(folder, count=5):
    for number in range(count):
        image, labels = case(number)
        save(folder / "imagesTr" / f"case_{number}_0000.nii.gz", image)
        save(folder / "labelsTr" / f"case_{number}.nii.gz", labels)
    described = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1, "tumour": 2},
        "numTraining": count,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def decathlon(folder, count=3):
    listed = []
    for number in range(count):
        image, labels = case(number)
        save(folder / "imagesTr" / f"liver_{number}.nii.gz", image)
        save(folder / "labelsTr" / f"liver_{number}.nii.gz", labels)
        name = f"liver_{number}.nii.gz"
        listed.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    described = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "liver"}, "training": listed, "test": []}
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def table(folder, count=3):
    with_rows = folder / "cases.csv"
    rows = []
    for number in range(count):
        image, labels = case(number)
        save(folder / f"i{number}.nii.gz", image)
        save(folder / f"l{number}.nii.gz", labels)
        split = "validation" if number == 0 else ""
        row = {"case": f"c{number}", "image": f"i{number}.nii.gz", "label": f"l{number}.nii.gz"}
        rows.append({**row, "modality": "MR" if number else "CT", "split": split})
    with with_rows.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return with_rows


def training(path, cache, **changes):
    data = {
        "kind": "files",
        "path": str(path),
        "cache": str(cache),
        "patch_shape": [16, 16, 16],
        "threads": 1,
        "validation": 0.4,
        "augmentation": {
            "flip": [0.5, 0.0, 0.0],
            "rotation_deg": [0, 0, 10],
            "shift": {"mean_hu": -10, "std_hu": 10},
        },
        "preprocessing": {
            "spacing_mm": [3.0, 2.5, 4.0],
            "intensities": [{"modality": "CT", "window": [-200.0, 200.0]}],
        },
    }
    table = {
        "schema": 2,
        "task": "liver",
        "classes": [{"name": "liver", "values": [1, 2]}],
        "network": {
            "architecture": "plain-conv-unet",
            "classes": 2,
            "features": [4, 8],
            "convolutions": [1, 1],
            "decoder_convolutions": [1],
            "deep_supervision": False,
        },
        "data": data,
        "loss": {"terms": [{"kind": "soft-dice"}]},
        "optimiser": {"kind": "adam", "learning_rate": 0.01},
        "trainer": {"epochs": 2, "batch_size": 2},
    }
    for key, value in changes.items():
        table[key] = {**table[key], **value} if isinstance(value, dict) and key in table else value
    return table
