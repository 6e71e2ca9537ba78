"""Sizes and goals of the workloads of `accelerator.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networks as network_tasks

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The size of each workload.

    Attributes:
      matmul: rows of the square matrices whose product measures the peak of the device.
      copy_mb: megabytes of the array whose copy measures the bandwidth.
      repeats: timed calls; their median is reported.
      batch_repeats: the same for registrations in one program.
      case_mm: voxel size of the phantom pairs.
      preset: overrides of the registration preset.
      pairs: different pairs; larger batches repeat them.
      batches: registrations in one program.
      volume: network and shape of the 3 mm U-Net.
      patch: network and shape of nnU-Net's plain U-Net.
      ct: voxels of a CT file, or None for the CT of the small phantom.
      ct_files: CTs that are segmented from files.
      dose: voxels of a dose map.
      maps: dose maps in one timed call.
      samples: uncertainty samples, a power of two from 64.
      sample_batch: samples that are computed together.
      sample_shape: voxels of the patient of the samples.
    """

    matmul: int
    copy_mb: int
    repeats: int
    batch_repeats: int
    case_mm: float
    preset: tuple[str, ...]
    pairs: int
    batches: tuple[int, ...]
    volume: tuple[dict[str, Any], Shape]
    patch: tuple[dict[str, Any], Shape]
    ct: Shape | None
    ct_files: int
    dose: Shape
    maps: int
    samples: int
    sample_batch: int
    sample_shape: Shape


FULL = Sizes(
    matmul=8192,
    copy_mb=2048,
    repeats=5,
    batch_repeats=2,
    case_mm=3.0,
    preset=(),
    pairs=8,
    batches=(32, 256),
    volume=(network_tasks.LOW, (189, 162, 162)),
    patch=(network_tasks.PLAIN6, (128, 128, 128)),
    ct=(512, 512, 200),
    ct_files=32,
    dose=(256, 256, 192),
    maps=20,
    samples=1024,
    sample_batch=64,
    sample_shape=(60, 48, 56),
)
# For a CPU: every program runs, and nothing about its speed follows.
SMALL = Sizes(
    matmul=512,
    copy_mb=64,
    repeats=1,
    batch_repeats=1,
    case_mm=9.0,
    preset=(
        "lattice.shape=[48,36,36]",
        "lattice.min_spacing_mm=8.0",
        "affine.steps=6",
        "affine.samples=512",
        "affine.levels=[{blur_mm=12.0,step_mm=2.0}]",
        "deformable.steps=6",
        "deformable.samples=512",
        "deformable.levels=[{control_points=[4,4,4],blur_mm=1.0,mask_blur_mm=6.0,step_mm=1.0}]",
    ),
    pairs=2,
    batches=(2,),
    volume=({**network_tasks.LOW, "features": [4, 8, 8]}, (54, 45, 45)),
    patch=({**network_tasks.PLAIN6, "features": [4, 8, 8]}, (24, 24, 24)),
    ct=None,
    ct_files=2,
    dose=(40, 40, 32),
    maps=2,
    samples=64,
    sample_batch=2,
    sample_shape=(24, 20, 24),
)

# At most this many seconds, or at least this many per second, on one H100. The PyTorch ratios are to its AMP.
GOALS: dict[str, dict[str, float]] = {
    "registration, solve": {"wall_s": 0.5},
    "registration, including reading": {"wall_s": 1.5},
    "registration, 32 together": {"s_per_patient": 0.06},
    "registration, 256 together": {"s_per_patient": 0.03},
    "registration, end to end": {"patients_per_s": 8.0},
    "3 mm U-Net, whole volume": {"volumes_per_s": 50.0},
    "liver from CT files": {"ct_per_s": 4.0},
    "nnU-Net patch": {"wall_s": 0.012, "wall_over_torch_amp": 1.0},
    "training step, 3 mm U-Net": {"wall_over_torch_amp": 1.0},
    "dose by kernel": {"maps_per_s": 200.0},
    "uncertainty samples": {"wall_s": 5.0},
}
