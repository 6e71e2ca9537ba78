"""Draws docs/images/joint_cases.png: five cases of `joint.py` with the liver carried by a registration, and its grid.

    python benchmarks/joint_pictures.py --bank shape_bank.npz --preset network-refined --out docs/images/joint_cases.png

One row per case, coronal, head up and the patient's right on the left: the diagnostic image, the low-dose CT with the
true liver (green) and the liver as it lies before (orange), the same with the carried liver (blue), and the grid of the
registration, which shows where the points of a regular grid of the low-dose CT lie in the diagnostic image.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from joint import target_error_mm
from joint_cases import GRID, SPACING_MM, Case, as_labels, cases
from joint_robustness import carried_dsc
from PIL import Image

from sirtjax import registration, spatial
from sirtjax.spatial import Transform

GREEN, ORANGE, BLUE = "#2ca02c", "#ff7f0e", "#1f77b4"
LINES = 4


def plane(volume: np.ndarray, j: int) -> np.ndarray:
    """Returns a coronal plane with the head up and the right of the patient on the left."""
    return np.asarray(volume[:, j, :]).T


def draw(axes: Any, case: Case, transform: Transform) -> None:
    """Draws one row."""
    true = case.true_reference & case.seen
    j = int(np.round(np.argwhere(true).mean(axis=0))[1])
    extent = (0.0, GRID.shape[0] * SPACING_MM, 0.0, GRID.shape[2] * SPACING_MM)
    carried = np.asarray(spatial.occupancy(as_labels(case.true_floating), "liver", GRID, transform=transform))
    images = (case.floating.array, case.reference.array, case.reference.array, case.reference.array)
    for panel, image in zip(axes, images, strict=True):
        array = np.asarray(image)
        low, high = (-160.0, 240.0) if array.min() < -500 else (0.0, float(np.percentile(array, 99.5)))
        panel.imshow(plane(array, j), cmap="gray", vmin=low, vmax=high, origin="lower", extent=extent)
        panel.set_xticks([])
        panel.set_yticks([])

    def outline(panel: Any, mask: np.ndarray, colour: str) -> None:
        x, z = (SPACING_MM * (np.arange(n) + 0.5) for n in (GRID.shape[0], GRID.shape[2]))
        panel.contour(x, z, plane(mask.astype(float), j), levels=[0.5], colors=[colour], linewidths=1.6)

    outline(axes[0], case.true_floating, GREEN)
    for panel, other, colour in ((axes[1], case.true_floating, ORANGE), (axes[2], carried > 0.5, BLUE)):
        outline(panel, true, GREEN)
        outline(panel, other, colour)
    grid(axes[3], transform, j)
    before = carried_dsc(case, spatial.identity())
    error = target_error_mm(case, transform)
    axes[0].set_ylabel(f"{case.modality}, seed {case.seed}", fontsize=9)
    axes[1].set_title(f"before: DSC {before:.3f}", fontsize=9)
    axes[2].set_title(f"after: DSC {carried_dsc(case, transform):.3f}, TRE {error:.1f} mm", fontsize=9)


def grid(panel: Any, transform: Transform, j: int) -> None:
    """Draws where the lines of a regular grid of one plane lie in the diagnostic image, projected to the plane."""
    points = np.asarray(spatial.voxel_centres_mm(GRID)).reshape(*GRID.shape, 3)[:, j]
    moved = np.asarray(spatial.transform_points(transform, points.reshape(-1, 3))).reshape(points.shape)
    start = np.asarray(GRID.origin_mm)[[0, 2]] - SPACING_MM / 2
    x, z = moved[..., 0] - start[0], moved[..., 2] - start[1]
    for line in range(0, GRID.shape[0], LINES):
        panel.plot(x[line], z[line], color="#ffd92f", linewidth=0.6)
    for line in range(0, GRID.shape[2], LINES):
        panel.plot(x[:, line], z[:, line], color="#ffd92f", linewidth=0.6)
    panel.set_xlim(0, GRID.shape[0] * SPACING_MM)
    panel.set_ylim(0, GRID.shape[2] * SPACING_MM)


def main() -> None:
    """Registers five cases and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bank", type=Path, required=True, help="file of liver shapes")
    parser.add_argument("--preset", default="network-refined", help="registration preset")
    parser.add_argument("--first", type=int, default=8000, help="first seed")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    options = parser.parse_args()
    config = registration.load_preset(options.preset)
    figure, panels = plt.subplots(5, 4, figsize=(11, 12.2), constrained_layout=True)
    for row, case in zip(panels, cases(options.bank, first=options.first, count=5), strict=True):
        result = registration.register(case.reference, case.floating, config=config, **case.masks())
        draw(row, case, result.transform)
    panels[0][0].set_title("diagnostic image, liver", fontsize=9)
    panels[0][3].set_title("grid of the registration", fontsize=9)
    figure.savefig(options.out, dpi=80)
    with Image.open(options.out) as drawn:
        # A palette is a third of the size and looks the same.
        drawn.convert("RGB").quantize(192).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
