"""Claim: 90 % intervals of `sirtjax plan` contain the true dose in 86 to 94 % of digital phantoms.

    python benchmarks/uncertainty_phantoms.py --first 2000 --patients 200 --rows FILE
    python benchmarks/uncertainty_phantoms.py --planar-blur advised --first 2300 --patients 40 --rows OTHER_FILE

With `--planar-blur` the case states the resolution of the planar views with a random error of 20 %. "apply" removes
their blur from the lung shunt of all patients, "advised" of those with the check SJ208.

Each patient passes the whole chain. It is simulated with a SPECT of 99mTc-MAA with Poisson noise, planar images, a
diagnostic CT, and the CT of the SPECT/CT in another pose. Errors are added with SciPy: contours of liver and lesions
and the surface between the territories are displaced by smooth random fields, the SPECT is displaced against its CT,
the stated resolution is wrong, and calibrator, residual and density have errors. Their standard deviations and
correlation lengths are those that `case-uncertainty.toml` states.
The plan then registers, corrects and computes the intervals. It is not told the image noise, the displacement and the
lung shunt. Failed plans are counted.

The case states the activity outside liver and lungs (2 %, standard deviation 1 %; it is 1 to 3 %). With
`--without-outside` the table of rows that were computed without it compares with the doses if no activity were
there. Nothing is computed again for that.

`--parts` compares the errors of lesions with the width of their intervals after the known errors of calibrator and
density are removed from both. What remains is that of image, contours and registration. With `--exact-registration`
the plan gets the true displacement of the diagnostic CT instead. `--errors` adds only some of the errors.

The truth follows in closed form from the true ratios and volumes of the phantom, without dosimetry code. Many lesions
have a cold necrotic core, which the contour includes. The phantom has no true lung mass: lung doses are compared at the
mass of the plan. Seeds with rows in the file are not computed again.

Predicted before measuring: coverage of mean doses of 85 to 90 %, as in uncertainty_coverage.py; lower below 20 mm,
where the registration of a lesion differs from that of the liver.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special
from uncertainty_phantoms_table import averaged, drawn_errors, parts, summary, without_outside

import sirtjax as sj
from sirtjax import phantom
from sirtjax.compilation_cache import set_cache_dir
from sirtjax.errors import SirtjaxError

Row = dict[str, Any]
Floats = NDArray[np.float64]
GY_G_PER_MBQ, DENSITY_G_PER_ML, TARGET_GY = 49.67, 1.05, 205.0
NORMAL_LIMIT_GY, LUNG_LIMIT_GY = 90.0, 30.0
# Largest displacement of a contour.
FARTHEST_MM = 12.0
# The phantoms have even uptake. Intervals do not depend on the budget.
PLANAR_BLUR_ERROR = 0.2
CHANGES = ("uncertainty.uptake.size=0", "uncertainty.budget=none")
# Errors that `--errors` can choose. Calibrator and density are always wrong, and `--parts` removes their errors.
ERRORS = ("lesions", "livers", "territories", "position", "resolution")
# Patients after which compiled programs are dropped: those of many plans exhaust the memory that a process may map.
KEPT_PATIENTS = 10


def smooth(rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: Floats, length_mm: float) -> Floats:
    """Returns a random field with a standard deviation of 1, of which `length_mm` is the FWHM of the filter."""
    sigma = length_mm / spacing_mm / np.sqrt(8.0 * np.log(2.0))
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    found: Floats = field / field.std()
    return found


def grown(mask: NDArray[np.bool_], outward_mm: Floats, spacing_mm: Floats) -> NDArray[np.bool_]:
    """Returns a mask whose surface is displaced outward, by less than `FARTHEST_MM`."""
    where = np.argwhere(mask)
    around = np.ceil(FARTHEST_MM / spacing_mm).astype(int) + 1
    low, high = np.maximum(where.min(axis=0) - around, 0), where.max(axis=0) + 1 + around
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    near = mask[box]
    # The blurred mask places the surface between the centres of voxels: it is the integral of a Gaussian.
    blur_mm = 0.8 * float(spacing_mm.max())
    part = ndimage.gaussian_filter(near.astype(np.float64), blur_mm / spacing_mm)
    signed = blur_mm * special.ndtri(np.clip(part, 1e-3, 1 - 1e-3))
    far = np.abs(signed) > 1.5 * blur_mm
    found = np.zeros_like(mask)
    for side, sign in ((near, 1.0), (~near, -1.0)):
        away, at = ndimage.distance_transform_edt(side, sampling=spacing_mm, return_indices=True)
        signed = np.where(side & far, sign * away + signed[tuple(at)], signed)
    # The blur moves a curved surface inward: back to the same volume.
    level = np.partition(signed.ravel(), -np.count_nonzero(near))[-np.count_nonzero(near)]
    found[box] = signed - level + outward_mm[box] >= 0
    return found


def dividing_surface_mm(labels: NDArray[Any], values: NDArray[Any], spacing_mm: Floats) -> Floats:
    """Returns the signed distance to the surface between two territories, positive in the second."""
    to_first, to_second = (ndimage.distance_transform_edt(labels != value, sampling=spacing_mm) for value in values)
    # One of both is 0 within a territory. The surface is half a voxel before the first centre of the other one.
    away: Floats = to_first - to_second
    return away - np.sign(away) * 0.5 * float(np.cbrt(np.prod(spacing_mm)))


def stated_errors(folder: Path) -> dict[str, tuple[float, float]]:
    """Returns the standard deviation and the correlation length that a case states for its contours, in mm."""
    sizes = tomllib.loads((folder / "case-uncertainty.toml").read_text())["uncertainty"]
    return {name: (sizes[name]["size_mm"], sizes[name]["correlation_mm"]) for name in ("contours", "territories")}


def redraw(folder: Path, seed: int, sizes: dict[str, tuple[float, float]], *, errors: Collection[str] = ERRORS) -> None:
    """Displaces contours and territories of a simulated patient, as another observer would draw them."""
    rng = np.random.default_rng([seed, 1])

    def load(name: str) -> tuple[Any, NDArray[Any], Floats]:
        image = nib.load(folder / "truth" / f"{name}.nii.gz")
        return image, np.asarray(image.dataobj), np.asarray(image.header.get_zooms()[:3], np.float64)

    def store(error: str, name: str, image: Any, labels: NDArray[Any]) -> None:
        if error not in errors:
            return
        drawn = nib.Nifti1Image(labels.astype(image.get_data_dtype()), image.affine, image.header)
        nib.save(drawn, folder / "truth" / f"{name}.nii.gz")

    def displaced(mask: NDArray[np.bool_], spacing: Floats) -> NDArray[np.bool_]:
        size, length = sizes["contours"]
        return grown(mask, size * smooth(rng, mask.shape, spacing, length), spacing)

    for name in ("diagnostic_ct_liver", "spect_liver"):
        image, labels, spacing = load(name)
        store("livers", name, image, displaced(labels > 0, spacing))
    image, labels, spacing = load("diagnostic_ct_lesions")
    drawn = np.zeros_like(labels)
    for value in np.unique(labels[labels > 0]):
        drawn[displaced(labels == value, spacing)] = value
    store("lesions", "diagnostic_ct_lesions", image, drawn)
    image, labels, spacing = load("diagnostic_ct_territories")
    values = np.unique(labels[labels > 0])
    if len(values) == 2:
        size, length = sizes["territories"]
        level = dividing_surface_mm(labels, values, spacing) + size * smooth(rng, labels.shape, spacing, length)
        drawn = np.where(labels > 0, values[(level > 0).astype(int)], 0)
        store("territories", "diagnostic_ct_territories", image, drawn)


def displace(path: Path, shift_mm: Floats) -> None:
    """Moves an image against the others, along the axes of the patient (LPS)."""
    image = nib.load(path)
    affine = image.affine.copy()
    affine[:3, 3] += shift_mm * [-1.0, -1.0, 1.0]
    image.set_sform(affine)
    image.set_qform(affine)
    content = nib.Nifti1Image(np.asarray(image.dataobj), affine, image.header)
    nib.save(content, path)


def true_doses(
    folder: Path, injected_mbq: dict[str, float], *, density: float, lung_g: float
) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
    """Returns the true doses in Gy (V as a fraction) by VOI and metric, and the true radius of each lesion in mm.

    Args:
      folder: simulated patient.
      injected_mbq: activity that left the catheter, by territory.
      density: true density of the liver in g/mL.
      lung_g: mass of the lungs.
    """
    truth = json.loads((folder / "truth.json").read_text())
    maa, volumes = truth["maa"], truth["volumes"]["spect"]
    cores_ml = core_volumes_ml(folder, len(truth["lesions"]))
    to_liver = (1 - maa["extrahepatic_fraction"]) * (1 - maa["lung_shunt_fraction"])
    doses: dict[tuple[str, str], float] = {}
    radii: dict[str, float] = {}
    normal_mbq = 0.0
    for territory, total_mbq in injected_mbq.items():
        parts = []
        for k, one in enumerate(truth["lesions"]):
            if one["territory"] == territory:
                volume = volumes["lesions_ml"][k]
                core = min(cores_ml[k] / volume, 1.0)
                parts.append((one["name"], volume, core, maa["tumour_to_normal"][k], maa["necrosis_to_normal"][k]))
        tissue_ml = volumes["territories_ml"][territory] - sum(part[1] for part in parts)
        relative_ml = tissue_ml + sum(v * ((1 - c) * hot + c * faint) for _, v, c, hot, faint in parts)
        per_ml = total_mbq * to_liver / relative_ml  # MBq/mL in normal liver
        gy = GY_G_PER_MBQ / density * per_ml
        normal_mbq += per_ml * tissue_ml
        for name, volume, core, hot, faint in parts:
            doses[name, "mean"] = gy * ((1 - core) * hot + core * faint)
            # A lesion has two doses. The core is the colder one.
            doses[name, "D70"] = gy * (hot if core <= 0.3 else faint)
            doses[name, "V"] = (1 - core) * (gy * hot >= TARGET_GY) + core * (gy * faint >= TARGET_GY)
            radii[name] = float(np.cbrt(volume * 3000 / (4 * np.pi)))
    normal_ml = sum(volumes["territories_ml"].values()) - sum(volumes["lesions_ml"])
    doses["normal liver", "mean"] = GY_G_PER_MBQ / density * normal_mbq / normal_ml
    to_lungs = (1 - maa["extrahepatic_fraction"]) * maa["lung_shunt_fraction"]
    doses["lungs", "mean"] = GY_G_PER_MBQ * sum(injected_mbq.values()) * to_lungs / lung_g
    return doses, radii


def core_volumes_ml(folder: Path, lesions: int) -> list[float]:
    """Returns the volume of the necrotic core of each lesion."""
    image = nib.load(folder / "truth" / "spect_necrosis.nii.gz")
    labels = np.asarray(nib.load(folder / "truth" / "spect_lesions.nii.gz").dataobj)
    cold = np.asarray(image.dataobj) > 0
    voxel_ml = float(np.prod(image.header.get_zooms()[:3])) / 1000
    return [float(np.sum(cold & (labels == k + 1))) * voxel_ml for k in range(lesions)]


def planned(case: Path, changes: list[str], *, planar_blur: str | None, fwhm_mm: float) -> Any:
    """Returns the result of a plan; with `planar_blur` it states the resolution of the planar views."""
    if planar_blur is None:
        return sj.plan(case, overrides=changes).result
    blur = [f"lung_shunt.planar_fwhm_mm={fwhm_mm:.3f}", f"lung_shunt.planar_fwhm_uncertainty={PLANAR_BLUR_ERROR}"]
    if planar_blur == "advised":
        result = sj.plan(case, overrides=[*changes, *blur, 'lung_shunt.planar_blur="show"']).result
        if not any(check.code == "SJ208" for check in result.checks):
            return result
    return sj.plan(case, overrides=[*changes, *blur, 'lung_shunt.planar_blur="apply"']).result


def rows_of(
    seed: int,
    preset: str,
    folder: Path,
    *,
    planar_blur: str | None = None,
    exact_registration: bool = False,
    errors: Collection[str] = ERRORS,
) -> list[Row]:
    """Returns one row per dose with an interval, or one row with the reason why there is no plan."""
    simulated = sj.simulate(seed=seed, preset=preset, sessions=["diagnostic_ct", "spect"])
    phantom.write_patient(simulated, folder)
    stated = tomllib.loads((folder / "case-uncertainty.toml").read_text())
    sizes, lengths = stated["uncertainty"], stated_errors(folder)
    drawn = drawn_errors(seed)
    fwhm_mm = stated["images"]["activity"]["resolution_fwhm_mm"]
    if "resolution" in errors:
        fwhm_mm *= np.exp(sizes["resolution"]["size"] * drawn.fwhm)
    truth_folder = folder / "exact"
    shutil.copytree(folder / "truth", truth_folder / "truth")
    shutil.copy(folder / "truth.json", truth_folder)
    redraw(folder, seed, lengths, errors=errors)
    if "position" in errors:
        displace(folder / "images" / "spect.nii.gz", sizes["registration"]["floor_mm"] * drawn.shift)
    start = time.perf_counter(), time.process_time()
    try:
        changes = [f"images.activity.resolution_fwhm_mm={fwhm_mm:.3f}", *CHANGES]
        if exact_registration:
            changes.append('registration={method="file", path="truth/spect_displacement.nii.gz"}')
        wrong = np.exp(PLANAR_BLUR_ERROR * np.random.default_rng([seed, 3]).normal())
        planar_mm = phantom.load_preset(preset).planar.fwhm_mm * wrong
        case = folder / "case-uncertainty.toml"
        result = planned(case, changes, planar_blur=planar_blur, fwhm_mm=planar_mm)
    except SirtjaxError as error:
        return [{"seed": seed, "dose": "no plan", "reason": str(error)}]
    seconds = {"wall_s": time.perf_counter() - start[0], "cpu_s": time.process_time() - start[1]}
    found = result.uncertainty
    if found is None or found.status != "intervals":
        return [{"seed": seed, "dose": "no intervals", "reason": found.message if found else ""}]
    used = {source.name: source.sizes[0] for source in found.sources}
    factor = np.exp(np.hypot(used["calibration"], used["residual"]) * drawn.activity)
    injected = {one.territory: one.activity_mbq * factor for one in result.injections}
    density = DENSITY_G_PER_ML * np.exp(used["density"] * drawn.density)
    truth, radii = true_doses(truth_folder, injected, density=density, lung_g=result.lung_mass_g)
    codes = sorted({check.code for check in result.checks if check.severity != "info"})
    rows: list[Row] = []

    def add(name: str, true: float, one: Any, **more: Any) -> None:
        between = one.interval
        row = {
            "seed": seed,
            "dose": name,
            "truth": float(true),
            "uncorrected": one.value if "radius_mm" in more else None,
        }
        row |= {
            "estimate": more.pop("estimate"),
            "median": between.median,
            "lower": between.lower,
            "upper": between.upper,
        }
        rows.append(row | more | seconds | {"checks": codes})

    for row in found.rows:
        if row.interval is None or (row.voi, row.metric) not in truth:
            continue
        more = {"radius_mm": radii[row.voi]} if row.voi in radii else {}
        kind = row.metric if row.voi in radii else row.voi
        add(kind, truth[row.voi, row.metric], row, estimate=row.corrected, **more)
    if len(result.injections) == 1:
        [total] = [one for one in found.activities if one.territory is None]
        strictest = min(NORMAL_LIMIT_GY / truth["normal liver", "mean"], LUNG_LIMIT_GY / truth["lungs", "mean"])
        if total.interval is not None:
            add("largest activity", total.value_mbq * strictest, total, estimate=total.corrected_mbq)
    return rows


def main() -> None:
    """Plans every patient whose seed is not in the file of rows, and prints the table of all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=500, help="first seed")
    parser.add_argument("--patients", type=int, default=40, help="number of patients")
    parser.add_argument("--seeds", help="seeds, separated by commas, instead of a range")
    parser.add_argument("--planar-blur", choices=["apply", "advised"], help="state the resolution of the planar views")
    parser.add_argument("--exact-registration", action="store_true", help="register by the true displacement")
    parser.add_argument("--errors", default=",".join(ERRORS), help="errors to add, separated by commas, or none")
    parser.add_argument("--preset", default="default", help="preset of the digital phantom")
    parser.add_argument("--rows", type=Path, required=True, help="file of rows, one JSON object per line")
    parser.add_argument("--programs", type=Path, help="folder to keep compiled programs in")
    parser.add_argument("--without-outside", action="store_true", help="compare without activity outside both organs")
    parser.add_argument("--parts", action="store_true", help="also compare errors and widths without the calibrator's")
    arguments = parser.parse_args()
    if arguments.programs:
        arguments.programs.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(arguments.programs.resolve()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        set_cache_dir(arguments.programs.resolve())
    errors = [] if arguments.errors == "none" else arguments.errors.split(",")
    if not set(errors) <= set(ERRORS):
        parser.error(f"--errors: expected none, or some of {', '.join(ERRORS)}; got {arguments.errors}")
    known = arguments.rows.read_text().splitlines() if arguments.rows.exists() else []
    rows: list[Row] = [json.loads(line) for line in known]
    done = {row["seed"] for row in rows}
    seeds = list(range(arguments.first, arguments.first + arguments.patients))
    if arguments.seeds:
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
    for number, seed in enumerate(seeds):
        if seed not in done:
            with tempfile.TemporaryDirectory() as temporary:
                added = rows_of(
                    seed, arguments.preset, Path(temporary), planar_blur=arguments.planar_blur,
                    exact_registration=arguments.exact_registration, errors=errors,
                )  # fmt: skip
            if number % KEPT_PATIENTS == KEPT_PATIENTS - 1:
                jax.clear_caches()
            rows += added
            with arguments.rows.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in added)
            print(seed, added[-1].get("wall_s", added[-1].get("reason")), flush=True)
    if arguments.without_outside:
        rows = without_outside(rows, arguments.preset)
    summary(rows)
    if arguments.parts:
        parts(rows)
        averaged(rows)


if __name__ == "__main__":
    main()
