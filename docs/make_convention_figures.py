"""Draw the figures of docs/conventions.md: `python docs/make_convention_figures.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse, Polygon

from sirtjax.territories import divide_liver, fit_surface
from sirtjax.volume import Geometry, LabelMap

IMAGES = Path(__file__).parent / "images"
BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#d9661f", "#2e8540", "#7a7a7a"


def _arrow(axes: Any, start: Any, end: Any, text: str, color: str, **offset: Any) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2.2, "mutation_scale": 18})
    axes.text(*end, f" {text} ", color=color, fontsize=11, weight="bold", **offset)


def _abdomen(axes: Any) -> None:
    """An axial slice as it hangs on a light box: the patient's right is on the left, the front is up."""
    angle = np.linspace(0, 2 * np.pi, 200)
    liver_radius = 1 + 0.18 * np.cos(angle) - 0.12 * np.sin(2 * angle)
    shapes = [
        Ellipse((0, 0), 340, 240, fc="#ece7e1", ec="#8d8378", lw=1.5),
        Polygon(
            np.stack([-70 + 78 * liver_radius * np.cos(angle), -8 + 72 * liver_radius * np.sin(angle)], axis=1),
            fc="#cfa08c",
            ec="#8a5a44",
            lw=1.2,
        ),
        Ellipse((88, 28), 52, 78, angle=25, fc="#b9a3c4", ec="#74597f", lw=1.0),
        Ellipse((78, -48), 86, 52, angle=-15, fc="#dfd3a8", ec="#948552", lw=1.0),
        Ellipse((0, 70), 48, 42, fc="#ffffff", ec="#8d8378", lw=1.2),
        Ellipse((14, 38), 20, 20, fc="#d98a8a", ec="#974b4b", lw=1.0),
    ]
    for shape in shapes:
        axes.add_patch(shape)
    for x, y, name in [(-58, -62, "liver"), (92, 30, "spleen"), (80, -50, "stomach"), (0, 70, "spine")]:
        axes.text(x, y, name, ha="center", va="center", fontsize=9, color="#4b4038")
    axes.set_xlim(-225, 225)
    axes.set_ylim(175, -155)
    axes.set_aspect("equal")
    axes.axis("off")


def draw_axes() -> None:
    """The world frame and a voxel grid on an axial slice; a pull transform beside it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.6), width_ratios=(1.15, 1.0))
    _abdomen(left)
    for x, y, text in [(-192, 0, "R"), (192, 0, "L"), (0, -138, "A"), (0, 140, "P")]:
        left.text(x, y, text, fontsize=15, ha="center", va="center", color=GREY, weight="bold")
    x, y = 118, 112
    _arrow(left, (x, y), (x + 60, y), "x (L)", BLUE, va="center")
    _arrow(left, (x, y), (x, y + 50), "y (P)", BLUE, va="bottom")
    left.plot(x, y, "o", ms=13, mfc="white", mec=BLUE, mew=2)
    left.plot(x, y, "x", ms=8, mew=2, color=BLUE)
    left.text(x - 12, y + 8, "z (S), away from\nthe viewer", color=BLUE, fontsize=10, ha="right", va="top")
    turn = np.radians(-14)
    i_axis = 26 * np.array([np.cos(turn), np.sin(turn)])
    j_axis = 26 * np.array([-np.sin(turn), np.cos(turn)])
    corner = np.array([-150.0, -28.0])
    for n in range(6):
        for start, end in [(n * j_axis, 5 * i_axis + n * j_axis), (n * i_axis, 5 * j_axis + n * i_axis)]:
            line = corner + np.stack([start, end])
            left.plot(*line.T, color=ORANGE, lw=0.9, alpha=0.8)
    first = corner + (i_axis + j_axis) / 2
    left.plot(*first, "o", color=ORANGE, ms=7)
    left.text(-158, -66, "voxel (0, 0, k)", color=ORANGE, fontsize=10, ha="right", va="bottom")
    _arrow(left, first, first + 2.6 * i_axis, "i", ORANGE, va="bottom")
    _arrow(left, first, first + 2.6 * j_axis, "j", ORANGE, va="top")
    left.set_title(
        "World: LPS, mm.  Voxel axes: as the file's affine says\n(axial slice, seen from the feet)",
        fontsize=12,
    )
    _draw_pull(right)
    figure.tight_layout()
    figure.savefig(IMAGES / "conventions-axes.png", dpi=110)
    plt.close(figure)


def _draw_pull(axes: Any) -> None:
    axes.set_xlim(0, 100)
    axes.set_ylim(86, -6)
    axes.set_aspect("equal")
    axes.axis("off")
    for n in range(6):
        axes.plot([5, 35], [30 + 6 * n] * 2, color=BLUE, lw=1)
        axes.plot([5 + 6 * n] * 2, [30, 60], color=BLUE, lw=1)
    turn = np.radians(12)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for n in range(8):
        for line in (np.array([[0, 5 * n], [35, 5 * n]]), np.array([[5 * n, 0], [5 * n, 35]])):
            axes.plot(*(np.array([62, 24]) + line @ turned.T).T, color=GREEN, lw=1)
    point, image = np.array([20.0, 45.0]), np.array([75.0, 45.0])
    axes.plot(*point, "o", color=BLUE, ms=8)
    axes.plot(*image, "o", color=GREEN, ms=8)
    axes.annotate(
        "",
        image,
        point,
        arrowprops={
            "arrowstyle": "-|>",
            "color": ORANGE,
            "lw": 2.4,
            "mutation_scale": 20,
            "connectionstyle": "arc3,rad=-0.35",
        },
    )
    axes.text(47, 19, "floating_from_reference", color=ORANGE, fontsize=11, weight="bold", ha="center")
    axes.text(20, 67, "reference grid\n(the output)", color=BLUE, fontsize=11, ha="center", va="center")
    axes.text(74, 74, "floating image\n(the input)", color=GREEN, fontsize=11, ha="center", va="center")
    axes.text(50, 2, "For each voxel of the output: where in the input is its value?", fontsize=10, ha="center")
    axes.set_title("Transforms pull", fontsize=12)


def draw_territories() -> None:
    """Lines on four slices, the surface through them, and the two territories it makes."""
    geometry = Geometry.from_axes((100, 84, 84), spacing_mm=(2.0, 2.0, 2.0), origin_mm=(-99.0, -83.0, -83.0))
    x, y, z = np.moveaxis(geometry.to_world(np.moveaxis(np.indices(geometry.shape), 0, -1)), -1, 0)
    lobe = ((x + 25) / 68) ** 2 + ((y - 8) / 68) ** 2 + ((z + 5) / 76) ** 2 < 1
    left_lobe = ((x - 35) / 58) ** 2 + ((y + 22) / 36) ** 2 + ((z - 12) / 48) ** 2 < 1
    liver = LabelMap.from_mask(lobe | left_lobe, geometry, name="liver")
    along = np.linspace(-55, 40, 9)
    generator = np.random.default_rng(3)
    slices_mm = (-45.0, -15.0, 15.0, 45.0)
    lines = []
    for z_mm in slices_mm:
        across = 8 - 0.28 * along + along**2 / 260 - z_mm**2 / 300 + generator.normal(0, 1.0, along.shape)
        lines.append(np.stack([across, along, np.full(along.shape, z_mm)], axis=1))
    territories = divide_liver(liver, [fit_surface(lines)], names=("right", "left"))
    figure, panels = plt.subplots(1, 5, figsize=(14, 3.3))
    for panel, z_mm, line in zip(panels, (*slices_mm, None), (*lines, None), strict=True):
        extent = (-100, 100, 85, -85)
        if z_mm is None:
            labels = np.asarray(territories.array)[:, 42]
            panel.imshow(_coloured(labels).transpose(1, 0, 2), extent=(-100, 100, -84, 84), origin="lower")
            for height in slices_mm:
                panel.axhline(height, color="black", lw=0.8, ls=":")
            panel.set_title("coronal, y = 1 mm", fontsize=10)
        else:
            k = round(float(geometry.to_voxel([0.0, 0.0, z_mm])[2]))
            panel.imshow(_coloured(np.asarray(territories.array)[:, :, k]).transpose(1, 0, 2), extent=extent)
            panel.plot(line[:, 0], line[:, 1], "o-", color="black", ms=3, lw=1)
            panel.set_title(f"axial, z = {z_mm:.0f} mm", fontsize=10)
        panel.text(-92, panel.get_ylim()[1] * 0.86, "R", color=GREY, weight="bold", va="center")
        panel.text(84, panel.get_ylim()[1] * 0.86, "L", color=GREY, weight="bold", va="center")
        panel.set_xticks([])
        panel.set_yticks([])
    figure.tight_layout()
    figure.savefig(IMAGES / "conventions-territories.png", dpi=110)
    plt.close(figure)


def _coloured(labels: Any) -> Any:
    palette = np.array([[1.0, 1.0, 1.0], [0.62, 0.74, 0.88], [0.96, 0.77, 0.58]])
    return palette[labels]


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    draw_axes()
    draw_territories()
