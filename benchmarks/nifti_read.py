"""Claim: `io.read_nifti` reads a packed CT of 512 x 512 x 200 voxels in less time than nibabel and SimpleITK.

    python benchmarks/nifti_read.py

The file is a digital phantom with noise, which compresses as a CT does. Each program returns float32 voxels. sirtjax
and nibabel also turn them, so that the last axis is fastest, as every further step needs them. SimpleITK keeps the
order of the file, and sirtjax computes the SHA-256 of the file. "Two at once" reads two files with two threads.

Predicted before measuring SimpleITK: as fast as sirtjax, because it unpacks with zlib, which is slower, but does not
turn the voxels.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import segmentation_time
import SimpleITK
from numpy.typing import NDArray

from sirtjax import io

Floats = NDArray[np.float32]


def with_sirtjax(path: Path) -> Floats:
    """Reads with sirtjax."""
    return np.asarray(io.read_nifti(path, unit="HU").volume.array)


def with_nibabel(path: Path) -> Floats:
    """Reads with nibabel and turns the voxels."""
    return np.ascontiguousarray(nibabel.load(path).dataobj, np.float32)


def with_simpleitk(path: Path) -> Floats:
    """Reads with SimpleITK, in the order of the file."""
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path), SimpleITK.sitkFloat32)).T


def seconds(read: Callable[[Path], Floats], path: Path, runs: int, *, threads: int = 1) -> tuple[float, float]:
    """The median wall and CPU seconds of one file."""
    taken = []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(read, [path] * threads):
                pass
        taken.append(((time.perf_counter() - wall) / threads, (time.process_time() - cpu) / threads))
    first, second = np.median(taken, axis=0)
    return float(first), float(second)


def main() -> None:
    """Prints the times of the three programs and whether their voxels are equal."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    programs = {"sirtjax": with_sirtjax, "nibabel": with_nibabel, "SimpleITK": with_simpleitk}
    with tempfile.TemporaryDirectory() as folder:
        path = segmentation_time.patient(Path(folder))[0]["NIfTI"]
        expected = with_nibabel(path)
        print(f"{path.stat().st_size / 1e6:.0f} MB, {expected.shape}")
        print(f"{'':12} {'wall s':>8} {'CPU s':>8} {'ratio':>6}  two at once: {'wall s':>8} {'CPU s':>8}")
        first = None
        for name, read in programs.items():
            np.testing.assert_array_equal(read(path), expected)
            wall, cpu = seconds(read, path, arguments.runs)
            both = seconds(read, path, arguments.runs, threads=2)
            first = wall if first is None else first
            print(f"{name:12} {wall:8.2f} {cpu:8.2f} {wall / first:6.2f}  {'':12} {both[0]:8.2f} {both[1]:8.2f}")


if __name__ == "__main__":
    main()
