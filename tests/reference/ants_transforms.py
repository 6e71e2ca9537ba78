"""Writes ants_transforms.npz: images and points as ANTs carries them through transform files of this package.

Run in an environment that has both: `pip install antspyx pandas`, then `python tests/reference/ants_transforms.py`.
The file holds the inputs too, so that the test needs neither ANTs nor this script. ANTsPy 0.6.3 made it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import ants
import numpy as np
import pandas
from scipy import ndimage

from sirtjax.io import write_transform
from sirtjax.spatial import AffineTransform, DisplacementField, compose, rigid_matrix
from sirtjax.volume import Geometry

SUFFIXES = ("tfm", "h5", "nii.gz")


def turned(shape, spacing_mm, angles_rad, centre_mm) -> Geometry:
    """An oblique grid; the second axis runs backwards."""
    direction = rigid_matrix(angles_rad, (0, 0, 0), (0, 0, 0))[:3, :3] @ np.diag([1, -1, 1])
    origin = centre_mm - direction @ (np.asarray(spacing_mm) * (np.asarray(shape) - 1) / 2)
    return Geometry.from_axes(shape, spacing_mm=spacing_mm, origin_mm=origin, direction=direction)


SHEAR = np.array([[1.05, 0.1, 0, 0], [0, 0.95, 0.05, 0], [0, 0, 1.1, 0], [0, 0, 0, 1.0]])


def about(centre_mm, *matrices) -> np.ndarray:
    """The product of the matrices, applied about a point."""
    there = rigid_matrix((0, 0, 0), centre_mm, (0, 0, 0))
    return np.linalg.multi_dot([there, *matrices, np.linalg.inv(there)])


def smooth(shape, size, *, seed) -> np.ndarray:
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (2, 2, 2, 0)[: len(shape)])
    return (values * size / np.abs(values).max()).astype(np.float32)


def ants_image(array, geometry):
    return ants.from_numpy(
        np.asarray(array, np.float32), origin=geometry.origin_mm, spacing=geometry.spacing_mm,
        direction=geometry.direction,
    )  # fmt: skip


def main() -> None:
    centre = np.array([-20.0, 15.0, 700.0])
    reference = turned((17, 15, 13), (2.0, 3.0, 4.5), (0.4, -0.3, 0.6), centre)
    # The field covers a part of the reference alone, on a grid of another spacing and direction.
    box = turned((11, 9, 10), (3.0, 3.5, 4.0), (0.1, 0.2, 0.5), np.add(centre, (4.0, -3.0, 5.0)))
    matrix = about(centre, rigid_matrix((0.06, -0.1, 0.08), (13.0, -24.0, 12.5), (0, 0, 0)), SHEAR)
    before = about(centre, rigid_matrix((0.1, 0.05, -0.05), (2.0, 1.0, -1.0), (0, 0, 0)), np.diag([1, 1.1, 0.9, 1]))
    floating = turned((26, 20, 26), (2.5, 3.5, 2.5), (-0.2, 0.5, 0.1), (matrix @ [*centre, 1])[:3])
    image = smooth(floating.shape, 100.0, seed=0)
    displacement = smooth((*box.shape, 3), 5.0, seed=1)
    field = DisplacementField(displacement, box, matrix)
    transforms = {
        "affine": AffineTransform(matrix),
        "field": DisplacementField(displacement, box),
        "field_then_affine": field,
        "sheared": compose(field, AffineTransform(before)),
    }
    points = reference.to_world(np.random.default_rng(2).uniform(0, 12, (40, 3)))
    kept = {
        "reference_shape": reference.shape, "reference_affine": reference.affine,
        "floating_affine": floating.affine, "image": image, "points_mm": points, "version": ants.__version__,
        "box_affine": box.affine, "displacement": displacement, "matrix": matrix, "before": before,
    }  # fmt: skip
    fixed, moving = ants_image(np.zeros(reference.shape), reference), ants_image(image, floating)
    table = pandas.DataFrame(points, columns=["x", "y", "z"])
    with tempfile.TemporaryDirectory() as folder:
        for name, transform in transforms.items():
            for suffix in SUFFIXES:
                path = Path(folder) / f"{name}.{suffix}"
                write_transform(path, transform, reference=reference)
                carried = ants.apply_transforms(fixed, moving, [str(path)], interpolator="linear", defaultvalue=-50)
                moved = ants.apply_transforms_to_points(3, table, [str(path)])
                kept[f"image_{name}_{suffix}"] = carried.numpy().astype(np.float32)
                kept[f"points_{name}_{suffix}"] = moved[["x", "y", "z"]].to_numpy()
        chain = [str(Path(folder) / name) for name in ("field_then_affine.h5", "before.tfm")]
        write_transform(chain[1], AffineTransform(before))
        carried = ants.apply_transforms(fixed, moving, chain, interpolator="linear", defaultvalue=-50)
        kept["image_chain"] = carried.numpy().astype(np.float32)
        kept["points_chain"] = ants.apply_transforms_to_points(3, table, chain)[["x", "y", "z"]].to_numpy()
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **kept)


if __name__ == "__main__":
    main()
