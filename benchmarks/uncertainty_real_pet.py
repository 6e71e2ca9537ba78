"""Claim: on a real 90Y PET, what programs, methods and voxel sizes make of the lesion doses is inside the intervals.

Runs `sirtjax verify` with intervals on the patient of docs/example-real-sirt.md. Then computes the mean doses of the
lesions again from the raw files with SciPy alone: region-based voxel-wise correction (RBV), geometric transfer matrix
(GTM) and Richardson-Lucy deconvolution, each on the voxels of the PET, of 2 mm and of 3 mm. Both shift the PET by what
the program proposes. Doses without correction, and those of Richardson-Lucy, which recovers only a part, are printed
too: they estimate another quantity, and no interval is meant for them.

    python benchmarks/uncertainty_real_pet.py --data FOLDER --json FILE

FOLDER contains patient_1_Y90_PET.nrrd and patient_1_Segmentation.seg.nrrd.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from typer.testing import CliRunner

from sirtjax.cli.main import app
from sirtjax.workflows import _uncertainty_rows

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "y90-pet.toml"
# Constants of the published table; half-life and time are those of the case file.
GY_PER_BQ_PER_ML = 1e-6 * 2 ** (25.0 / 64.2) * 49.67 / 1.05
FWHM_MM = 6.2
# What `propose_shift` finds in this patient: the PET is -4.2 +- 1.2 mm from the contours along the body.
SHIFT_MM = (0.69, 0.86, -4.22)
ITERATIONS = 20
SUBSAMPLES = 4
PUBLISHED_GY = {
    "Tumor 1": 89.25,
    "Tumor 2": 215.9,
    "Tumor 3": 87.0,
    "Tumor 4": 361.0,
    "Tumor 5": 250.3,
    "Tumor 6": 31.6,
}
SOURCES = """
[partial_volume]
methods = ["rbv"]
propose_shift = true

[uncertainty]
samples = 64
counts = { noise_fraction = 0.15, correlation_fwhm_mm = 6.0, evidence = "assumed", origin = "benchmark" }
calibration = { size = 0.05, evidence = "assumed", origin = "benchmark" }
residual = { size = 0.0, evidence = "assumed", origin = "benchmark" }
lung_shunt = { size = 0.0, evidence = "assumed", origin = "benchmark" }
resolution = { size = 0.1, evidence = "assumed", origin = "benchmark" }
registration = { size_mm = "alignment", floor_mm = [1.0, 1.0, 2.0], evidence = "measured", origin = "benchmark" }
contours = { size_mm = 1.6, correlation_mm = 20.0, evidence = "assumed", origin = "benchmark" }
kernel = { size = 0.0, evidence = "assumed", origin = "benchmark" }
density = { size = 0.02, evidence = "assumed", origin = "benchmark" }
half_life = { size = 0.0, evidence = "assumed", origin = "benchmark" }
uptake = { size = 0.15, correlation_fwhm_mm = 15.0, evidence = "assumed", origin = "benchmark" }
"""


def program_doses(data: Path) -> dict[str, dict[str, Any]]:
    """Returns intervals and doses with and without correction of each lesion, by the program."""
    # A report has no interval below this radius. The widths of the small lesions are wanted here.
    vars(_uncertainty_rows)["SMALLEST_RADIUS_MM"] = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shift = f"shift_mm = {list(SHIFT_MM)}\n"
        text = EXAMPLE.read_text().replace("[images.activity]\n", f"[images.activity]\n{shift}")
        (folder / "case.toml").write_text(text + SOURCES)
        (folder / "taranis-samples").symlink_to(data.resolve(), target_is_directory=True)
        found = CliRunner().invoke(app, ["verify", str(folder / "case.toml"), "-o", str(folder / "out"), "--no-pdf"])
        if found.exit_code != 0:
            raise SystemExit(found.output or str(found.exception))
        result = json.loads((folder / "out" / "results.json").read_text())
    lesions: dict[str, dict[str, Any]] = {}
    for row in result["uncertainty"]["rows"]:
        if row["kind"] == "lesion" and row["metric"] == "mean" and row["voi"] in PUBLISHED_GY:
            interval = row["interval"]
            ends = {key: interval[key] for key in ("lower", "median", "upper")}
            lesions[row["voi"]] = {"interval": ends, "uncorrected": {"program": row["value"]}, "corrected": {}}
    for voi in result["vois"]:
        if voi["name"] in lesions:
            lesions[voi["name"]]["volume_ml"] = voi["volume_ml"]
    for row in result["partial_volume"]["rows"]:
        if row["name"] in lesions:
            values = row["corrected"]["rbv"]
            lesions[row["name"]]["corrected"] |= {
                "program, RBV, local": values["mean_gy"],
                "program, RBV, kernel": values["kernel_mean_gy"],
            }
    return lesions


def regions_of(labels: sitk.Image, grid: sitk.Image) -> dict[str, np.ndarray]:
    """Returns the fraction of each voxel of a grid in each lesion, in the rest of the liver, and outside."""
    layers = sitk.GetArrayFromImage(labels)
    masks = {"liver": layers[..., 0] == 1} | {f"Tumor {n}": layers[..., 1] == n for n in range(1, 7)}
    # Both grids run along the world's axes, in either direction.
    steps = [np.diag(np.reshape(one.GetDirection(), (3, 3))) * one.GetSpacing() for one in (grid, labels)]
    origins = [np.asarray(one.GetOrigin()) for one in (grid, labels)]
    found = {name: np.zeros(grid.GetSize()[::-1]) for name in masks}
    for shift in np.ndindex(SUBSAMPLES, SUBSAMPLES, SUBSAMPLES):
        indices = []
        for axis in range(3):
            at = np.arange(grid.GetSize()[axis]) + (shift[axis] + 0.5) / SUBSAMPLES - 0.5
            there = (origins[0][axis] + at * steps[0][axis] - origins[1][axis]) / steps[1][axis]
            indices.append(np.rint(there).astype(int))
        inside = [(index >= 0) & (index < size) for index, size in zip(indices, labels.GetSize(), strict=True)]
        i, j, k = (np.clip(index, 0, size - 1) for index, size in zip(indices, labels.GetSize(), strict=True))
        valid = inside[2][:, None, None] & inside[1][:, None] & inside[0]
        for name, mask in masks.items():
            found[name] += valid * mask[np.ix_(k, j, i)]
    found = {name: total / SUBSAMPLES**3 for name, total in found.items()}
    tumours = sum(weight for name, weight in found.items() if name != "liver")
    found["liver"] = np.clip(found["liver"] - tumours, 0.0, 1.0)
    found["outside"] = np.clip(1.0 - tumours - found["liver"], 0.0, 1.0)
    return found


def corrected_means(image: sitk.Image, labels: sitk.Image) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Returns the mean concentration of each lesion, uncorrected and by three corrections, with SciPy."""
    values = np.maximum(sitk.GetArrayFromImage(image).astype(np.float64), 0.0)
    weights = regions_of(labels, image)
    # Where the tissues of a voxel are mixed, RBV is low: the region with the largest part has the whole voxel.
    largest = np.argmax(np.stack(list(weights.values())), axis=0)
    whole = {name: (largest == n).astype(float) for n, name in enumerate(weights)}
    sigma = [FWHM_MM / 2.3548 / spacing for spacing in image.GetSpacing()[::-1]]

    def blurred(x: np.ndarray) -> np.ndarray:
        return np.asarray(ndimage.gaussian_filter(x, sigma, mode="nearest"))

    def mean(x: np.ndarray, name: str, masks: dict[str, np.ndarray] = weights) -> float:
        return float((x * masks[name]).sum() / masks[name].sum())

    def transfer(masks: dict[str, np.ndarray]) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
        spread = {name: blurred(weight) for name, weight in masks.items()}
        matrix = np.array([[mean(spread[source], name, masks) for source in masks] for name in masks])
        found = np.linalg.solve(matrix, np.array([mean(values, name, masks) for name in masks]))
        # A region cannot have less than no activity.
        level = dict(zip(masks, np.maximum(found, 0.0), strict=True))
        sharp = sum(level[name] * weight for name, weight in masks.items())
        return level, np.asarray(sharp), np.asarray(sum(level[name] * one for name, one in spread.items()))

    gtm, _, _ = transfer(weights)
    _, sharp, smooth = transfer(whole)
    rbv = values * sharp / np.maximum(smooth, 1e-9 * smooth.max())
    deconvolved = values.copy()
    for _ in range(ITERATIONS):
        ratio = values / np.maximum(blurred(deconvolved), 1e-6 * values.max())
        deconvolved = deconvolved * blurred(ratio)
    names = [name for name in weights if name in PUBLISHED_GY]
    found = {
        name: {"GTM": gtm[name], "RBV": mean(rbv, name, whole), "Richardson-Lucy": mean(deconvolved, name)}
        for name in names
    }
    return {name: mean(values, name) for name in names}, found


def on_voxels(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Returns the image on cubic voxels of the same field, linearly interpolated."""
    size = [round(n * s / spacing_mm) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    return sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), [spacing_mm] * 3, image.GetDirection(), 0.0,
        sitk.sitkFloat64,
    )  # fmt: skip


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--json", type=Path, help="file to write the doses to")
    options = parser.parse_args()
    lesions = program_doses(options.data)
    image = sitk.ReadImage(str(options.data / "patient_1_Y90_PET.nrrd"))
    image.SetOrigin([at + shift for at, shift in zip(image.GetOrigin(), SHIFT_MM, strict=True)])
    labels = sitk.ReadImage(str(options.data / "patient_1_Segmentation.seg.nrrd"), sitk.sitkVectorUInt8)
    grids = {"voxels of the PET": image, "2 mm": on_voxels(image, 2.0), "3 mm": on_voxels(image, 3.0)}
    for grid_name, grid in grids.items():
        plain, corrected = corrected_means(grid, labels)
        for name, one in lesions.items():
            one["uncorrected"][grid_name] = GY_PER_BQ_PER_ML * plain[name]
            for method, value in corrected[name].items():
                kind = "partly corrected" if method == "Richardson-Lucy" else "corrected"
                one.setdefault(kind, {})[f"SciPy, {method}, {grid_name}"] = GY_PER_BQ_PER_ML * value
    for name, one in lesions.items():
        one["uncorrected"]["published"] = PUBLISHED_GY[name]
        ends, values = one["interval"], one["corrected"].values()
        one["inside"] = int(sum(ends["lower"] <= value <= ends["upper"] for value in values))
        partly = one["partly corrected"].values()
        print(
            f"{name} {one['volume_ml']:7.2f} mL  uncorrected {min(one['uncorrected'].values()):6.1f} to "
            f"{max(one['uncorrected'].values()):6.1f} Gy, Richardson-Lucy "
            f"{min(partly):6.1f} to {max(partly):6.1f} Gy, corrected {min(values):6.1f} to {max(values):6.1f} Gy, "
            f"interval {ends['lower']:6.1f} to {ends['upper']:6.1f} Gy, inside {one['inside']} of {len(values)}"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(lesions, indent=1) + "\n")


if __name__ == "__main__":
    main()
