"""Claim: the liver of a CT of 512 x 512 x 200 voxels takes at most 25 s and 3 GB on 2 cores, from file to file.

Writes the contrast CT of a digital patient at 0.78 x 0.78 x 1.5 mm with noise in each voxel, as NIfTI (gzip) and as a
DICOM series, and runs `sirtjax segment liver` on both, each run in a process of its own:

  first   with empty caches: programs are compiled;
  next    the same again, as from the second patient on.

Prints wall and processor seconds, the peak memory of the process, the share of each stage (where other programs spend
their time: resampling and argmax) and DSC against the truth. Peer: the thesis' networks took 17 s on a large Xeon
processor and 1 s on a GPU (chapter 8); what is compared is absolute.

    python benchmarks/segmentation_time.py -o benchmarks/results/segmentation_time.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from sirtjax import dicom, formats, io, metrics, phantom, spatial
from sirtjax.volume import Geometry, LabelMap, Volume

SHAPE, SPACING_MM = (512, 512, 200), (0.78, 0.78, 1.5)
NOISE_HU, SEED = 12.0, 900
LIMITS = {"wall_s": 25.0, "peak_mb": 3000.0}


def patient(folder: Path) -> tuple[dict[str, Path], LabelMap]:
    """The CT as files by format, and the true liver."""
    scan = phantom.simulate_patient(SEED, phantom.load_preset("default"), sessions=("diagnostic_ct",))
    coarse, liver = scan.images["diagnostic_ct"], scan.labels["diagnostic_ct"]["liver"]
    centre = coarse.geometry.to_world((np.asarray(coarse.geometry.shape) - 1) / 2)
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = centre - np.asarray(SPACING_MM) * (np.asarray(SHAPE) - 1) / 2
    geometry = Geometry.from_affine(SHAPE, affine)
    fine = np.asarray(spatial.resample(coarse, geometry, fill=-1000.0).array)
    noise = np.random.default_rng(SEED).normal(0, NOISE_HU, SHAPE).astype(np.float32)
    image = Volume(np.clip(np.rint(fine + noise), -1024, 3071).astype(np.float32), geometry, unit="HU")
    files = {"NIfTI": folder / "ct.nii.gz", "DICOM": folder / "dicom"}
    io.write_nifti(files["NIfTI"], image)
    study = dicom.StudyIdentity(seed="segmentation time", patient_id="large", begun=datetime(2026, 1, 5, 9))
    written = {"modality": "CT", "study": study, "series_description": "large", "acquired": study.begun}
    dicom.write_dicom_series(image, files["DICOM"], **written)
    return files, spatial.resample_labels(liver, geometry)


def run(image: Path, output: Path, caches: Path) -> dict[str, Any]:
    """One run of the verb: what it took, and its own account of the stages."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(caches), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [str(Path(sys.executable).parent / "sirtjax"), "--quiet", "segment", "liver", str(image)]
    command += ["--modality", "CT", "-o", str(output), "--force", "--json"]
    # Forked from this large process, the child would begin with its memory as the peak.
    code = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([json.loads(done.stdout), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6]))"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *command], env=environment, check=True, capture_output=True, text=True
    )
    wall_s = time.perf_counter() - start
    answer, cpu_s, peak_mb = json.loads(done.stdout)
    return {"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": peak_mb, "stages_s": answer["timings_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files, truth = patient(folder)
        for kind, file in files.items():
            caches = folder / f"caches {kind}"
            for which in ("first", "next"):
                row = run(file, folder / "liver.nii.gz", caches)
                found = formats.read_masks(folder / "liver.nii.gz")["liver"]
                row["dsc"] = float(metrics.dice(found.mask("liver"), truth.mask("liver")))
                rows.append({"file": kind, "run": which, **row, "within": all(row[k] <= LIMITS[k] for k in LIMITS)})
                print(describe(rows[-1]), flush=True)
    if options.output:
        facts = {"claim": __doc__.split("\n")[0], "processor": platform.processor() or platform.machine()}
        table = {**facts, "cores": os.cpu_count(), "limits": LIMITS, "runs": rows}
        options.output.write_text(json.dumps(table, indent=1) + "\n")


def describe(row: dict[str, Any]) -> str:
    """A run in two lines."""
    inside = sum(row["stages_s"].values())
    shares = ", ".join(f"{stage} {100 * seconds / inside:.0f} %" for stage, seconds in row["stages_s"].items())
    return (
        f"{row['file']}, {row['run']}: {row['wall_s']:.1f} s, {row['cpu_s']:.1f} CPU s, {row['peak_mb']:.0f} MB, "
        f"DSC {row['dsc']:.3f}\n  of {inside:.1f} s after loading: {shares}"
    )


if __name__ == "__main__":
    main()
