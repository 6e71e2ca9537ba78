"""Claim: the dose-kernel convolution is no slower on two CPU cores than SciPy's float32 `fftconvolve`.

Contenders, on the same Y-90 activity in the same run, interleaved, the best of several repeats each:

  sirtjax   `octant_kernel` and `convolve_octant`, jitted together: the voxel kernel is computed anew from the
            spacing every time, NumPy in and out.
  scipy     `scipy.signal.fftconvolve(mode="same")` in float32, the voxel kernel given.
  loop      the voxel-S sum, one shifted multiply-add in NumPy per kernel entry that is not zero.

Peak memory is that of a process of its own for each (`ru_maxrss`), less what it held before the first call.
Quality is the largest difference from SciPy in float64, as a share of the largest value.

Predicted before measuring, N voxels and kernel radius R per axis: two real transforms of (N + R)^3 against
SciPy's three of (N + 2 R)^3, so 0.67 of its time by operations alone, down to 0.33 with a second core, which
SciPy leaves idle; the loop does (2 R + 1)^3 multiply-adds a voxel, about 1500 operations at R = 4 against some
120 of the transforms, so 10 to 20 times SciPy's time.

Measured on two cores that other work shared (load 1 to 2.4), 3 mm voxels, R = 4: 0.37, 0.61, 0.69 and 0.52 of
SciPy's time at 128, 192, 256 and 320 voxels a side, at R = 8 0.69, 0.54 and 0.61 at 128 to 256; added memory 0.6
to 0.95 of SciPy's; the loop 13 to 33 times SciPy's time, more than predicted where the volume leaves the cache. The
kernel itself takes 1.5 ms (R = 4), the two transforms all but a few percent of the rest, on both cores.

Considered and not built, as no prediction favours them: a sum of separable kernels (about 10 terms of 27
multiply-adds for 1e-4, so no fewer operations than the transforms and an error they don't have), and direct
summation in compiled code (1500 operations a voxel).

    python benchmarks/dose_convolution.py --sizes 128 192 256 320 --json out.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Convolution = Callable[[NDArray[np.float32]], NDArray[np.float32]]
CONTENDERS = ("sirtjax", "scipy", "loop")
MEDIUM_G_PER_ML = 1.04


def activity(size: int) -> NDArray[np.float32]:
    """Blobs of activity over a low background, in float32."""
    rng = np.random.default_rng(size)
    axes = np.meshgrid(*(np.linspace(-1, 1, size, dtype=np.float32),) * 3, indexing="ij", sparse=True)
    volume = 0.05 * rng.random((size,) * 3, np.float32)
    for _ in range(8):
        centre, width = rng.uniform(-0.7, 0.7, 3), rng.uniform(0.02, 0.2)
        squared = sum((axis - np.float32(c)) ** 2 for axis, c in zip(axes, centre, strict=True))
        volume += np.exp(np.float32(-0.5 / width**2) * squared)
    return volume


def full_kernel(spacing_mm: tuple[float, float, float]) -> NDArray[np.float32]:
    from sirtjax.dosimetry import get_radial_kernel, kernel_radius_voxels, voxel_kernel

    radial = get_radial_kernel("y90-graves2019-water")
    radius = kernel_radius_voxels(spacing_mm, radial=radial, medium_density_g_per_ml=MEDIUM_G_PER_ML)
    return np.array(
        voxel_kernel(
            np.asarray(spacing_mm, np.float32),
            radial=radial,
            medium_density_g_per_ml=MEDIUM_G_PER_ML,
            radius_voxels=radius,
        )
    )


def ours(spacing_mm: tuple[float, float, float]) -> Convolution:
    import jax

    from sirtjax.dosimetry import convolve_octant, get_radial_kernel, kernel_radius_voxels, octant_kernel

    radial = get_radial_kernel("y90-graves2019-water")
    radius = kernel_radius_voxels(spacing_mm, radial=radial, medium_density_g_per_ml=MEDIUM_G_PER_ML)
    kernel = partial(octant_kernel, radial=radial, medium_density_g_per_ml=MEDIUM_G_PER_ML, radius_voxels=radius)
    convolve = jax.jit(lambda source, spacing: convolve_octant(source, kernel(spacing)))
    spacing = np.asarray(spacing_mm, np.float32)
    return lambda source: np.asarray(convolve(source, spacing))


def scipys(kernel: NDArray[np.float32]) -> Convolution:
    from scipy.signal import fftconvolve

    return lambda source: fftconvolve(source, kernel, mode="same")


def voxel_s_loop(kernel: NDArray[np.float32]) -> Convolution:
    radius = [n // 2 for n in kernel.shape]

    def convolve(source: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(source, [(r, r) for r in radius])
        total = np.zeros_like(source)
        for offset in zip(*np.nonzero(kernel), strict=True):
            window = tuple(slice(o, o + n) for o, n in zip(offset, source.shape, strict=True))
            total += kernel[offset] * padded[window]
        return total

    return convolve


def contender(name: str, spacing_mm: tuple[float, float, float]) -> Convolution:
    if name == "sirtjax":
        return ours(spacing_mm)
    return (scipys if name == "scipy" else voxel_s_loop)(full_kernel(spacing_mm))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(name: str, size: int, spacing_mm: tuple[float, float, float]) -> dict[str, float]:
    source = activity(size)
    convolve = contender(name, spacing_mm)
    convolve(source[:16, :16, :16].copy())  # imports and thread pools are not the convolution's
    before = peak_mb()
    convolve(source)
    return {"peak_mb": peak_mb(), "added_mb": peak_mb() - before}


def measure_time(names: list[str], size: int, spacing_mm: tuple[float, float, float], repeats: int) -> dict[str, Any]:
    from scipy.signal import fftconvolve

    source = activity(size)
    convolutions = {name: contender(name, spacing_mm) for name in names}
    exact = fftconvolve(source.astype(np.float64), full_kernel(spacing_mm).astype(np.float64), mode="same")
    rows: dict[str, Any] = {}
    for name, convolve in convolutions.items():
        start = time.perf_counter()
        result = convolve(source)
        first_s = time.perf_counter() - start
        rows[name] = {"first_s": first_s, "max_difference": float(np.abs(result - exact).max() / exact.max())}
        # Seconds long: once is enough, and its first call has nothing to warm.
        rows[name]["best_s"] = first_s if name == "loop" else float("inf")
    del exact, result
    for _ in range(repeats):
        for name in names:
            if name != "loop":
                start = time.perf_counter()
                convolutions[name](source)
                rows[name]["best_s"] = min(rows[name]["best_s"], time.perf_counter() - start)
    return rows


def in_a_process_of_its_own(arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, *arguments]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return result


def run(
    sizes: list[int], spacing_mm: tuple[float, float, float], repeats: int, loop_up_to: int
) -> list[dict[str, Any]]:
    spacing = [str(step) for step in spacing_mm]
    rows = []
    for size in sizes:
        names = [name for name in CONTENDERS if name != "loop" or size <= loop_up_to]
        common = ["--sizes", str(size), "--spacing-mm", *spacing, "--repeats", str(repeats)]
        times = in_a_process_of_its_own([*common, "--time", *names])
        for name in names:
            memory = in_a_process_of_its_own([*common, "--memory", name])
            ratio = times[name]["best_s"] / times["scipy"]["best_s"]
            row = {"size": size, "contender": name, **times[name], **memory, "time_over_scipy": ratio}
            rows.append(row)
            print(
                f"{size:4d}^3  {name:8s} {row['best_s'] * 1e3:9.1f} ms  {ratio:6.2f} x scipy  "
                f"+{row['added_mb']:6.0f} MB  difference {row['max_difference']:.1e}",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 192, 256, 320], help="voxels a side")
    parser.add_argument("--spacing-mm", type=float, nargs=3, default=[3.0, 3.0, 3.0], help="voxel spacing")
    parser.add_argument("--repeats", type=int, default=7, help="interleaved repeats; the best is reported")
    parser.add_argument("--loop-up-to", type=int, default=320, help="largest size for the slow loop")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--time", nargs="+", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--memory", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    i, j, k = options.spacing_mm
    spacing_mm = (i, j, k)
    if options.time:
        print(json.dumps(measure_time(options.time, options.sizes[0], spacing_mm, options.repeats)))
        return
    if options.memory:
        print(json.dumps(measure_memory(options.memory, options.sizes[0], spacing_mm)))
        return
    rows = run(options.sizes, spacing_mm, options.repeats, options.loop_up_to)
    if options.json:
        facts = {"cpu_count": os.cpu_count(), "spacing_mm": spacing_mm, "numpy": np.__version__}
        options.json.write_text(json.dumps({**facts, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
