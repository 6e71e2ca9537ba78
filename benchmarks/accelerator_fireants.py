"""FireANTs' side of `accelerator.py`: one pair of files, affine and then greedy diffeomorphic registration.

    python benchmarks/accelerator_fireants.py FOLDER [--repeats 3] [--small]

reads reference.nii.gz and floating.nii.gz of FOLDER, registers them by images with the schedule of FireANTs' own
examples, and prints seconds with and without reading, and DSC of the livers, as JSON. CT numbers are cut to the window
of the other tools. Nothing of sirtjax is imported here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch
from fireants.io import BatchedImages, Image
from fireants.registration.affine import AffineRegistration
from fireants.registration.greedy import GreedyRegistration
from registration_peers import WINDOW_HU

SCALES = [4, 2, 1]
AFFINE_STEPS, GREEDY_STEPS = [200, 100, 50], [200, 100, 25]


def read(path: Path, device: str, *, mask: bool = False) -> BatchedImages:
    """An image between 0 and 1, or a mask."""
    image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    if not mask:
        image = sitk.IntensityWindowing(image, *WINDOW_HU, 0.0, 1.0)
    return BatchedImages([Image(image, device=device)])


def register(fixed: BatchedImages, moving: BatchedImages, *, small: bool) -> GreedyRegistration:
    """Affine, then greedy registration by local correlation."""
    affine_steps, greedy_steps = ([2, 1, 1], [2, 1, 1]) if small else (AFFINE_STEPS, GREEDY_STEPS)
    affine = AffineRegistration(
        SCALES, affine_steps, fixed, moving, optimizer="Adam", optimizer_lr=3e-3, cc_kernel_size=5
    )
    affine.optimize()
    greedy = GreedyRegistration(
        SCALES,
        greedy_steps,
        fixed,
        moving,
        deformation_type="compositive",
        optimizer="adam",
        optimizer_lr=0.5,
        cc_kernel_size=5,
        smooth_grad_sigma=1,
        init_affine=affine.get_affine_matrix().detach(),
    )
    greedy.optimize()
    return greedy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a few steps, to test the script")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    times: list[tuple[float, float, float]] = []
    found: Any = None
    # FireANTs writes about its progress; the result has to be the only line.
    with contextlib.redirect_stdout(sys.stderr):
        for _ in range(1 + options.repeats):
            at, cpu = time.perf_counter(), time.process_time()
            sides = [read(options.folder / f"{side}.nii.gz", device) for side in ("reference", "floating")]
            ready = time.perf_counter()
            found = register(*sides, small=options.small)
            if device == "cuda":
                torch.cuda.synchronize()
            end = time.perf_counter()
            times.append((end - ready, end - at, time.process_time() - cpu))
        masks = [read(options.folder / f"{side}_liver.nii.gz", device, mask=True) for side in ("reference", "floating")]
        with torch.no_grad():
            moved = found.evaluate(*masks) > 0.5
        liver = masks[0]() > 0.5
        dsc = 2 * (moved & liver).sum() / (moved.sum() + liver.sum())
    # The first run compiles and allocates.
    solve_s, wall_s, cpu_s = (statistics.median(column) for column in zip(*times[1:], strict=True))
    facts = {"version": metadata.version("fireants"), "device": device, "liver_dsc": float(dsc)}
    print(json.dumps({"solve_s": solve_s, "wall_s": wall_s, "cpu_s": cpu_s, **facts}))


if __name__ == "__main__":
    main()
