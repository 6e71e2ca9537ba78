"""The parts of dose_evidence.py on real patients, recovery and partial-volume correction: see there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import integrate

from sirtjax import partial_volume

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SIGMA_PER_FWHM = 0.42466090014400953
# Published table of patient 1 by the 3D Slicer extension Taranis: volume (mL) and mean dose (Gy); the PET in MBq.
PUBLISHED = {
    "liver": (1490.8, 43.63),
    "Tumor 1": (15.62, 89.25),
    "Tumor 2": (208.7, 215.9),
    "Tumor 3": (0.15, 87.0),
    "Tumor 4": (0.53, 361.0),
    "Tumor 5": (0.66, 250.3),
    "Tumor 6": (1.47, 31.6),
}
PUBLISHED_MBQ = 1470.92
# Recovery of spheres in 90Y PET: Gnesin et al., EJNMMI Res 7:94, 2017, 0.52 and 26.5 mL.
SPHERES_MM = (10.0, 13.0, 17.0, 22.0, 28.0, 37.0)
GNESIN = {10.0: 0.20, 37.0: 0.86}
FWHM_MM = (6.0, 7.0, 8.0, 8.4)
CORRECTIONS = ("recovery", "gtm", "rbv", "richardson-lucy")


def run(command: str, case: Path, output: Path, *options: str) -> dict[str, Any]:
    """Returns results.json of a command of the installed program; checks that are errors do not stop it."""
    program = [str(Path(sys.executable).parent / "sirtjax"), "--quiet", command, str(case), "-o", str(output)]
    done = subprocess.run([*program, "--force", "--no-pdf", *options], stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 1) or not (output / "results.json").is_file():
        raise SystemExit(f"{command} {case} ended with {done.returncode}")
    found: dict[str, Any] = json.loads((output / "results.json").read_text())
    return found


def patients() -> list[dict[str, Any]]:
    """Prints the 90Y PET patient next to the published table of another program, with the kernel next to it."""
    with tempfile.TemporaryDirectory() as folder:
        result = run("verify", EXAMPLES / "y90-pet.toml", Path(folder) / "pet")
    vois = {voi["name"]: voi for voi in result["vois"]}
    total = result["image_activity_mbq"]
    print(
        f"activity of the PET {total:.2f} MBq, published {PUBLISHED_MBQ} ({100 * (total / PUBLISHED_MBQ - 1):+.3f} %)"
    )
    print(f"{'VOI':10}{'mL':>9}{'published':>11}{'Gy local':>10}{'published':>11}{'diff %':>8}{'kernel/local':>14}")
    rows: list[dict[str, Any]] = []
    for name, (volume_ml, dose_gy) in PUBLISHED.items():
        voi = vois[name]
        difference = 100 * (voi["mean_gy"] / dose_gy - 1)
        ratio = voi["other_dose"]["mean_gy"] / voi["mean_gy"]
        rows.append(
            {
                "voi": name,
                "volume_ml": voi["volume_ml"],
                "published_ml": volume_ml,
                "mean_gy": voi["mean_gy"],
                "published_gy": dose_gy,
                "difference_percent": difference,
                "kernel_over_local": ratio,
            }
        )
        print(
            f"{name:10}{voi['volume_ml']:9.2f}{volume_ml:11.2f}{voi['mean_gy']:10.2f}{dose_gy:11.2f}"
            f"{difference:+8.1f}{ratio:14.3f}"
        )
    return rows


def quadrature(radius_mm: float, fwhm_mm: float) -> float:
    """Recovery of a ball: its overlap with itself at a distance, integrated over the Gaussian by SciPy."""
    sigma = fwhm_mm * SIGMA_PER_FWHM

    def integrand(r: float) -> float:
        overlap = 1 - 0.75 * r / radius_mm + r**3 / (16 * radius_mm**3)
        density = np.sqrt(2 / np.pi) * r * r / sigma**3 * np.exp(-r * r / (2 * sigma * sigma))
        return float(density * overlap)

    return float(integrate.quad(integrand, 0, 2 * radius_mm)[0])


def recovery() -> list[dict[str, Any]]:
    """Prints the recovery of spheres for several resolutions next to quadrature and to published 90Y PET."""
    rows: list[dict[str, Any]] = []
    print(f"{'FWHM mm':>8}{'diameter mm':>13}{'recovery':>10}{'quadrature':>12}{'published':>11}{'difference':>12}")
    for fwhm in FWHM_MM:
        for diameter in SPHERES_MM:
            found = float(partial_volume.sphere_recovery(diameter / 2, fwhm))
            exact, published = quadrature(diameter / 2, fwhm), GNESIN.get(diameter)
            rows.append({"fwhm_mm": fwhm, "diameter_mm": diameter, "recovery": found, "quadrature": exact})
            rows[-1]["published"] = published
            other = "" if published is None else f"{published:11.2f}{found - published:+12.2f}"
            print(f"{fwhm:8.1f}{diameter:13.0f}{found:10.4f}{exact:12.4f}{other}")
    return rows


def corrected() -> list[dict[str, Any]]:
    """Prints the doses of digital phantoms after correction next to the true ones, for ten seeds."""
    rows: list[dict[str, Any]] = []
    print(
        f"{'seed':>5} {'VOI':14}{'mL':>8}{'true Gy':>9}{'uncorrected':>13}" + "".join(f"{m:>17}" for m in CORRECTIONS)
    )
    for seed in range(50, 60):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            simulate = [str(Path(sys.executable).parent / "sirtjax"), "--quiet", "simulate", "--preset", "small"]
            sessions = ["--session", "diagnostic_ct", "--session", "spect", "--seed", str(seed)]
            patient = folder / "patient"
            subprocess.run([*simulate, *sessions, "-o", str(patient)], check=True, stdout=subprocess.DEVNULL)
            options = [
                "--set", f"partial_volume.methods={json.dumps(list(CORRECTIONS))}",
                "--set", "registration.method=file",
                "--set", "registration.path=truth/spect_displacement.nii.gz",
                "--unset", "registration.reference_masks",
            ]  # fmt: skip
            result = run("plan", patient / "case.toml", folder / "plan", *options)
            truth = true_doses(patient, result)
        for row in result["partial_volume"]["rows"]:
            exact, volume = truth[row["name"]]
            doses = {"uncorrected": row["mean_gy"]} | {m: row["corrected"][m]["mean_gy"] for m in CORRECTIONS}
            error = {m: 100 * (dose / exact - 1) for m, dose in doses.items()}
            rows.append(
                {"seed": seed, "voi": row["name"], "volume_ml": volume, "true_gy": exact, "error_percent": error}
            )
            print(
                f"{seed:5d} {row['name']:14}{volume:8.1f}{exact:9.1f}{error['uncorrected']:+12.1f}%"
                + "".join(f"{error[m]:+16.1f}%" for m in CORRECTIONS)
            )
    for kind in ("lesion", "normal"):
        some = [row["error_percent"] for row in rows if row["voi"].startswith(kind)]
        means = {m: (np.mean([e[m] for e in some]), np.std([e[m] for e in some], ddof=1)) for m in some[0]}
        shown = ", ".join(f"{m} {mean:+.1f} ({sd:.1f})" for m, (mean, sd) in means.items())
        print(f"{kind}: {len(some)}; mean (sd) of the error in %: {shown}")
    return rows


def true_doses(patient: Path, result: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Returns the mean dose (Gy) and volume (mL) of lesions and normal tissue from the activity of the phantom."""
    numbers = json.loads((patient / "truth.json").read_text())["maa"]

    def labels(name: str) -> NDArray[Any]:
        return np.asarray(nibabel.load(patient / "truth" / f"spect_{name}.nii.gz").dataobj)

    array, territories, necrosis = labels("lesions"), labels("territories"), labels("necrosis") > 0
    affine = nibabel.load(patient / "truth" / "spect_lesions.nii.gz").affine
    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    concentration = np.ones(array.shape)
    for index, ratio in enumerate(numbers["tumour_to_normal"], start=1):
        inside = array == index
        concentration[inside] = ratio
        concentration[inside & necrosis] = numbers["necrosis_to_normal"][index - 1]
    found: dict[str, tuple[float, float]] = {}
    for injection in result["injections"]:
        region = territories == ("right", "left").index(injection["territory"]) + 1
        arrived = injection["activity_mbq"] * (1 - injection["lung_shunt_fraction"])
        gy = 49.77 / 1.05 * arrived / float(concentration[region].sum() * voxel_ml)
        normal = region & (array == 0)
        found[f"normal {injection['territory']}"] = (gy, float(normal.sum()) * voxel_ml)
        for value in range(1, int(array.max()) + 1):
            inside = array == value
            if (inside & region).sum() > 0.5 * inside.sum():
                found[f"lesion{value}"] = (gy * float(concentration[inside].mean()), float(inside.sum()) * voxel_ml)
    return found
