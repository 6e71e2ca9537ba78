"""Claim: after reassignment of blurred counts the lung shunt of a SPECT is within 3 %, the basal lung dose within 4 %.

The resolution, the breathing and the alignment must be right; the other conditions show what they cost.

Digital phantoms: true activity on a grid of 2.4 mm, blurred by SciPy (12 mm FWHM), 4.8 mm voxels, Poisson noise of 6e6
counts, true masks. Voxels that a surface divides have the activity of their organ, so that activity and masks agree.
The true dose of the lung within 30 mm of the liver is by the Monte Carlo with electron transport (liver 1.05, lung
0.26 g/mL). The cone dose of each image is compared with it. All have the same activity in liver and lungs.

Conditions: the resolution known, 20 % too small and too large; breathing of 10 mm (sinusoid, peak to peak) not stated
and stated; all masks 5 mm too low against the image.

    python benchmarks/lung_blur.py --seeds 300 301 302 303 304 --json lung.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from electron_transport import transport_electrons
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import dosimetry, phantom, spatial
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import _organ_counts as organ_counts

Array = NDArray[np.float64]

FWHM_MM, BREATHING_MM, MISALIGNED_MM, COUNTS = 12.0, 10.0, 5.0, 6e6
TRUTH = {"shape": (168, 128, 168), "spacing_mm": (2.4, 2.4, 2.4)}
LIVER_G_PER_ML, LUNG_G_PER_ML, BASAL_MM, DECAYS = 1.05, 0.26, 30.0, 200_000
CONSTANT = 49.77


def simulate(seed: int) -> tuple[Volume, dict[str, Any], float]:
    """Returns true activity, masks on its grid, and the true lung shunt fraction."""
    config = phantom.load_preset("default")
    fine = {name: getattr(config, name).model_copy(update=TRUTH) for name in ("spect", "spect_ct")}
    patient = phantom.simulate_patient(seed, config.model_copy(update=fine), sessions=("spect",))
    given, masks = patient.activity["spect"], dict(patient.labels["spect"])
    liver, lungs = (np.asarray(masks[name].mask(name)) for name in ("liver", "lungs"))
    true = np.asarray(given.array, np.float64)
    for organ in (liver, lungs, ~(liver | lungs)):
        # The nearest voxel that no surface divides.
        whole = ndimage.binary_erosion(organ, iterations=1, border_value=1)
        nearest = ndimage.distance_transform_edt(~whole, return_distances=False, return_indices=True)
        edge = organ & ~whole
        true[edge] = np.asarray(given.array)[tuple(nearest)][edge]
    shunt = true[lungs].sum() / true[liver | lungs].sum()
    return Volume(true.astype(np.float32), given.geometry, unit="MBq/mL"), masks, float(shunt)


def spect(true: Volume, seed: int, *, breathing_mm: float) -> Volume:
    """Returns the image of a scanner: blur, breathing, voxels of 4.8 mm and noise."""
    seen: Array = np.asarray(true.array, np.float64)
    if breathing_mm:
        phases = (np.arange(16) + 0.5) / 16 * 2 * np.pi
        moved = [ndimage.shift(seen, (0, 0, breathing_mm / 2 * np.sin(phase) / 2.4), order=1) for phase in phases]
        seen = np.mean(moved, axis=0)
    seen = ndimage.gaussian_filter(seen, FWHM_MM * 0.42466 / 2.4)
    i, j, k = seen.shape
    seen = seen.reshape(i // 2, 2, j // 2, 2, k // 2, 2).mean(axis=(1, 3, 5))
    noisy = np.random.default_rng(seed).poisson(seen / seen.sum() * COUNTS).astype(np.float32)
    affine = np.array(true.geometry.affine)
    affine[:3, 3] += affine[:3, :3] @ [0.5, 0.5, 0.5]
    affine[:3, :3] *= 2
    return Volume(noisy, Geometry.from_affine(noisy.shape, affine), unit="counts")


def basal(liver: NDArray[np.bool_], lungs: Array, spacing_mm: float) -> Array:
    near = ndimage.distance_transform_edt(~liver, sampling=spacing_mm) <= BASAL_MM
    result: Array = lungs * near
    return result


def true_basal_gy(true: Volume, masks: dict[str, LabelMap], seed: int) -> float:
    """Returns the dose of the basal lung per MBq in liver and lungs, by electron transport."""
    liver, lungs = (np.asarray(masks[name].mask(name)) for name in ("liver", "lungs"))
    mbq = np.asarray(true.array, np.float64)
    mbq = mbq / mbq[liver | lungs].sum()
    region = basal(liver, lungs.astype(float), 2.4) > 0
    away = ndimage.distance_transform_edt(~region, sampling=2.4)
    density = np.where(lungs, LUNG_G_PER_ML, LIVER_G_PER_ML)
    # Activity beyond the range of its betas is left out.
    source = mbq * (away < np.where(lungs, 55.0, 15.0))
    case = SimpleNamespace(density=density, spacing_mm=(2.4, 2.4, 2.4))
    absorbed = transport_electrons(source, case, DECAYS, seed=seed)
    return CONSTANT * float(absorbed[region].sum() / (density[region].sum() * 2.4**3 * 1e-3))


@partial(jax.jit, static_argnames=("radial", "extent"))
def gradient(weight: Any, density: Any, spacing: Any, *, radial: Any, extent: Any) -> jax.Array:
    """Returns the weighted dose by the cone method per MBq in each voxel."""

    def mean(activity: jax.Array) -> jax.Array:
        gy = dosimetry.cone_dose_gy(
            activity,
            density,
            spacing,
            constant=CONSTANT,
            radial=radial,
            medium_density_g_per_ml=LIVER_G_PER_ML,
            extent=extent,
        )
        return (gy * weight).sum()

    return jax.grad(mean)(weight * 0)


def basal_gy_per_mbq(organs: organ_counts.OrganImage) -> Array:
    """Returns the mean dose of the basal lung per MBq in each voxel by the cone method."""
    radial = dosimetry.get_radial_kernel("y90-graves2019-water")
    lung = organs.lungs >= 0.5
    density = np.where(lung, LUNG_G_PER_ML, LIVER_G_PER_ML).astype(np.float32)
    weight = basal(organs.liver >= 0.5, lung.astype(float), organ_counts.SPACING_MM) * density
    weight = (weight / weight.sum()).astype(np.float32)
    spacing = np.asarray(organs.geometry.spacing_mm, np.float32)
    extent = dosimetry.cone_extent(spacing.tolist(), radial=radial, medium_density_g_per_ml=LIVER_G_PER_ML)
    return np.asarray(gradient(weight, density, spacing, radial=radial, extent=extent))


def placed(masks: dict[str, LabelMap]) -> list[Any]:
    """Returns liver, lungs, lesions and territories."""

    def all_of(name: str) -> list[Any]:
        return [(label, masks[name], None) for _, label in masks[name].names]

    return [all_of("liver")[0], all_of("lungs")[0], all_of("lesions"), all_of("territories")]


def raised(image: Volume, up_mm: float) -> Volume:
    """Returns the image moved towards the head."""
    affine = np.array(image.geometry.affine)
    affine[2, 3] += up_mm
    return Volume(image.array, Geometry.from_affine(image.geometry.shape, affine), unit=image.unit)


def evaluate(seed: int) -> list[dict[str, Any]]:
    """Returns shunt and basal dose of a phantom in each condition, next to the truth."""
    true, masks, shunt = simulate(seed)
    gy = true_basal_gy(true, masks, seed)
    still, moving = (spect(true, seed, breathing_mm=mm) for mm in (0.0, BREATHING_MM))
    known: dict[Geometry, tuple[organ_counts.OrganImage, Array]] = {}
    rows: list[dict[str, Any]] = []
    # Image, then resolution and breathing as stated, None for the image as it is.
    conditions: tuple[tuple[str, Volume, dict[str, tuple[float, float] | None]], ...] = (
        ("still", still, {"none": None, "12 mm": (12.0, 0), "9.6 mm": (9.6, 0), "14.4 mm": (14.4, 0)}),
        ("breathing 10 mm", moving, {"none": None, "not stated": (12.0, 0), "stated": (12.0, BREATHING_MM)}),
        ("masks 5 mm too low", raised(still, MISALIGNED_MM), {"none": None, "12 mm": (12.0, 0)}),
    )
    for condition, image, stated in conditions:
        if image.geometry not in known:
            made = organ_counts.organ_image(image, *placed(masks))
            known[image.geometry] = (made, basal_gy_per_mbq(made))
        organs, per_mbq = known[image.geometry]
        organs = replace(organs, counts=np.asarray(spatial.resample(image, organs.geometry, order="linear").array))
        for name, width in stated.items():
            pair = organs.measured
            if width is not None:
                pair = organ_counts.reassigned_counts(organs, organ_counts.effective_fwhm_mm(*width))
            both = sum(map(organ_counts.whole_voxels, pair, (organs.liver, organs.lungs)))
            found = organ_counts.shunt_fraction(*pair)
            dose = float(np.vdot(per_mbq, both)) / float(both.sum(dtype=np.float64))
            row: dict[str, Any] = {"seed": seed, "condition": condition, "correction": name, "shunt": found}
            row |= {"true_shunt": shunt, "shunt_error_percent": 100 * (found / shunt - 1)}
            rows.append(row | {"true_mgy_per_mbq": 1000 * gy, "basal_error_percent": 100 * (dose / gy - 1)})
            last = rows[-1]
            print(
                f"{seed} {condition:20}{name:12} shunt {100 * found:6.2f} % (true {100 * shunt:.2f})"
                f"{last['shunt_error_percent']:+7.1f} %  basal dose{last['basal_error_percent']:+7.1f} %",
                flush=True,
            )
    return rows


def summary(rows: list[dict[str, Any]]) -> None:
    """Prints mean, standard deviation and largest error of each condition."""
    for key in dict.fromkeys((row["condition"], row["correction"]) for row in rows):
        mine = [row for row in rows if (row["condition"], row["correction"]) == key]
        parts = []
        for what in ("shunt_error_percent", "basal_error_percent"):
            values = np.array([row[what] for row in mine])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            parts.append(f"{values.mean():+.1f} ({spread:.1f}), largest {values[np.abs(values).argmax()]:+.1f}")
        print(f"{key[0]:20}{key[1]:12} shunt {parts[0]}; basal dose {parts[1]}")


def main() -> None:
    """Evaluates the seeds and appends their rows to the file of --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(300, 310)))
    parser.add_argument("--json", type=Path, help="file of results; rows of other seeds are kept")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if options.json and options.json.exists():
        rows = [row for row in json.loads(options.json.read_text()) if row["seed"] not in options.seeds]
    for seed in options.seeds:
        rows += evaluate(seed)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n")
    summary(rows)


if __name__ == "__main__":
    main()
