"""Draw the pictures of docs/phantom.md: python docs/make_phantom_figures.py [--seed N] [--preset NAME]."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from sirtjax.phantom import Patient, load_preset, simulate_patient
from sirtjax.volume import Geometry

FOLDER = Path(__file__).parent / "images"
AXIAL_MM = (60, 5, -30, -55, -80, -105, -130)


def plane(array: Any, geometry: Geometry, *, axis: int, at_mm: float) -> tuple[np.ndarray, float]:
    """One slice as a radiologist sees it (patient's right on the left), and its pixel aspect."""
    start, step = geometry.origin_mm[axis], geometry.affine[axis, axis]
    index = int(np.clip(round((at_mm - start) / step), 0, geometry.shape[axis] - 1))
    image = np.take(np.asarray(array), index, axis=axis).T
    spacing = [s for n, s in enumerate(geometry.spacing_mm) if n != axis]
    return (image if axis == 2 else image[::-1]), spacing[1] / spacing[0]


def montage(
    name: str, panels: list[tuple[Any, Geometry, int, float]], *, columns: int, title: str, **show: Any
) -> None:
    """Save panels (array, geometry, axis, position) as one black picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.3 * columns, 2.9 * rows), facecolor="black", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (array, geometry, direction, at_mm) in zip(axes.flat, panels, strict=False):
        image, aspect = plane(array, geometry, axis=direction, at_mm=at_mm)
        axis.imshow(image, aspect=aspect, interpolation="bilinear", **show)
        axis.set_title(f"{'xyz'[direction]} = {at_mm:g} mm", color="0.7", fontsize=7, pad=2)
    figure.suptitle(title, color="0.85", fontsize=10)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.9 if rows == 1 else 0.94, 0.02, 0.06)
    figure.savefig(FOLDER / f"phantom-{name}.png", dpi=75, facecolor="black")
    plt.close(figure)


def image_panels(patient: Patient, name: str, *, axial_mm: tuple[float, ...] = AXIAL_MM) -> list[Any]:
    """Axial slices, two coronal ones and a sagittal one of an image."""
    volume = patient.images[name]
    cuts = [(2, z) for z in axial_mm] + [(1, -25.0), (1, 40.0), (0, -65.0)]
    return [(volume.array, volume.geometry, axis, at) for axis, at in cuts]


def main() -> None:
    """Simulate one patient and draw every modality."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--preset", default="default")
    given = options.parse_args()
    patient = simulate_patient(given.seed, load_preset(given.preset))
    FOLDER.mkdir(exist_ok=True)
    soft = {"cmap": "gray", "vmin": -140, "vmax": 240}
    ct = image_panels(patient, "diagnostic_ct")
    montage("ct", ct, columns=5, title="Contrast-enhanced CT, portal phase (W 380 L 50)", **soft)
    low = image_panels(patient, "spect_ct")
    montage("low-dose-ct", low[1:6] + low[7:], columns=4, title="Low-dose CT of the SPECT/CT, no contrast", **soft)
    mr = image_panels(patient, "mr", axial_mm=(0, -25, -50, -75, -100))
    montage(
        "mr", mr, columns=4, title="T1-weighted MR: bias field, Rician noise, oblique", cmap="gray", vmin=0, vmax=900
    )
    for name, title, quantile in (
        ("spect", "99mTc-MAA SPECT", 0.9995),
        ("y90_pet", "90Y PET", 0.9995),
        ("fdg_pet", "FDG PET", 0.9995),
    ):
        volume = patient.images[name]
        top = float(np.quantile(volume.array, quantile))
        panels = image_panels(patient, name, axial_mm=(60, -30, -55, -80, -105))
        montage(name.replace("_", "-"), panels, columns=4, title=title, cmap="gray_r", vmin=0, vmax=top)
    labels(patient)
    planar(patient)
    motion(patient)


def labels(patient: Patient) -> None:
    """The true label maps over one another."""
    maps = patient.labels["diagnostic_ct"]
    geometry = maps["organs"].geometry
    organs = np.asarray(maps["organs"].array, np.float32)
    cuts = [(2, -30.0), (2, -55.0), (2, -80.0), (2, -105.0), (1, -25.0), (1, 40.0)]
    montage(
        "labels",
        [(organs, geometry, *cut) for cut in cuts]
        + [
            (np.asarray(maps["segments"].array) + 10.0 * (np.asarray(maps["lesions"].array) > 0), geometry, *c)
            for c in cuts
        ],
        columns=6,
        title="Truth: organs (top), Couinaud segments and lesions (bottom)",
        cmap="nipy_spectral",
        vmin=0,
        vmax=20,
    )


def planar(patient: Patient) -> None:
    """Anterior and posterior views."""
    views = [patient.images[f"planar_{side}"] for side in ("anterior", "posterior")]
    top = float(np.quantile(views[0].array, 0.997)) * 0.5
    panels = [(view.array, view.geometry, 1, 0.0) for view in views]
    montage("planar", panels, columns=2, title="Planar, anterior and posterior", cmap="gray_r", vmin=0, vmax=top)


def motion(patient: Patient) -> None:
    """The displacement truth of the SPECT session."""
    field = patient.displacements["spect"]
    components = [(field.array[..., axis], field.geometry, 1, -25.0) for axis in range(3)]
    montage(
        "motion",
        components,
        columns=3,
        title="True displacement to the diagnostic CT: x, y, z (-20 to 20 mm)",
        cmap="coolwarm",
        vmin=-20,
        vmax=20,
    )


if __name__ == "__main__":
    main()
