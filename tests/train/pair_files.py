"""Small pairs of CT images on the disk: a body with a liver at a known place, in a RAS file."""

import csv

import nibabel
import numpy as np

SHAPE, SPACING_MM = (40, 32, 30), 6.0
ORIGIN_RAS_MM = np.array([-130.0, -90.0, -80.0])


def positions_ras():
    return ORIGIN_RAS_MM + SPACING_MM * np.stack(np.indices(SHAPE), axis=-1)


def save(path, array):
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = ORIGIN_RAS_MM
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def write_side(folder, name, liver_lps_mm, *, hu=60.0, body_lps_mm=(0.0, 0.0, 0.0), seed=0):
    """An image and a mask; returns the number of liver voxels."""
    x = positions_ras() * np.array([-1.0, -1.0, 1.0])
    body = np.linalg.norm((x - np.asarray(body_lps_mm)) / np.array([95.0, 75.0, 70.0]), axis=-1) < 1
    liver = np.linalg.norm(x - np.asarray(liver_lps_mm), axis=-1) < 40.0
    image = np.where(body, -20.0, -1000.0) + (hu + 20.0) * (liver & body)
    image = image + np.random.default_rng(seed).normal(0, 3, SHAPE)
    save(folder / f"{name}.nii.gz", image.astype(np.float32))
    save(folder / f"{name}_liver.nii.gz", (liver & body).astype(np.uint8))
    return int((liver & body).sum())


def write_table(folder, rows, *, columns=None):
    path = folder / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_pairs(folder, count, *, masks=True):
    """A table of pairs, whose livers are at different places."""
    rows = []
    for number in range(count):
        write_side(folder, f"r{number}", (-20.0 + 4 * number, 5.0, 4.0), seed=2 * number)
        write_side(folder, f"f{number}", (-8.0, -6.0 + 3 * number, 10.0), hu=120.0, seed=2 * number + 1)
        row = {"reference": f"r{number}.nii.gz", "floating": f"f{number}.nii.gz"}
        if masks:
            row |= {"reference_liver": f"r{number}_liver.nii.gz", "floating_liver": f"f{number}_liver.nii.gz"}
        rows.append({**row, "split": "train" if number else "validation"})
    return write_table(folder, rows)
