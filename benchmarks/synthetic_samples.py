"""Draw a page of random training samples, and say what one costs.

    python benchmarks/synthetic_samples.py --labels FOLDER --bank build/shape_bank.npz --out samples.png

The bank of liver shapes is made from the label maps in FOLDER once and kept.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path

import jax
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from sirtjax.synthesis import (
    FIRST_NEIGHBOUR,
    NEIGHBOURS,
    build_shape_bank,
    load_preset,
    load_shape_bank,
    random_sample,
    save_shape_bank,
    split_bank,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, help="folder of liver label maps, needed where there is no bank")
    parser.add_argument("--licence", default="not stated", help="of the label maps, kept in the bank")
    parser.add_argument("--bank", type=Path, default=Path("build/shape_bank.npz"))
    parser.add_argument("--preset", default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if not options.bank.exists():
        if options.labels is None:
            parser.error(f"{options.bank} does not exist; name a folder of label maps with --labels")
        paths = sorted(options.labels.glob("*.nii.gz"), key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)])
        options.bank.parent.mkdir(parents=True, exist_ok=True)
        built, names = build_shape_bank(paths, report=print)
        save_shape_bank(options.bank, built, names, licence=options.licence)
    bank, names = load_shape_bank(options.bank)
    config = load_preset(options.preset)
    train = jax.device_put(split_bank(bank, names))
    draw = jax.jit(random_sample, static_argnames="config")
    start = time.perf_counter()
    jax.block_until_ready(draw(jax.random.key(0), train, config=config))
    compiled_s = time.perf_counter() - start
    samples, wall_s, cpu_s = [], [], []
    for seed in range(options.seed, options.seed + options.count):
        wall, cpu = time.perf_counter(), time.process_time()
        image, labels = jax.block_until_ready(draw(jax.random.key(seed), train, config=config))
        wall_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)
        samples.append((np.asarray(image), np.asarray(labels)))
    page(samples, options.out)
    voxel_ml = config.spacing_mm**3 / 1000
    report = {
        "shape": config.shape,
        "first_s": round(compiled_s, 1),
        "wall_s": round(float(np.median(wall_s)), 3),
        "cpu_s": round(float(np.median(cpu_s)), 3),
        "liver_ml": [round(float(np.isin(labels, (1, 2)).sum() * voxel_ml)) for _, labels in samples],
        "lesion_ml": [round(float((labels == 2).sum() * voxel_ml)) for _, labels in samples],
    }
    print(json.dumps(report))


def page(samples: list[tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Three planes through the middle of each sample's liver: outlines of liver, lesions and masses next to it."""
    columns = 4
    rows = -(-len(samples) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(5.2 * columns, 2.1 * rows), squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for axis, (image, labels) in zip(axes.ravel(), samples, strict=False):
        liver = (labels == 1) | (labels == 2)
        middle = [int(np.mean(index)) for index in np.nonzero(liver)] if liver.any() else [n // 2 for n in image.shape]
        i, j, k = middle
        planes = [(a[:, :, k].T, a[:, j, ::-1].T, a[i, :, ::-1].T) for a in (image, labels)]
        height = max(p.shape[0] for p in planes[0])
        views = [
            np.concatenate([np.pad(p, ((0, height - p.shape[0]), (0, 2)), constant_values=-1) for p in part], axis=1)
            for part in planes
        ]
        axis.imshow(views[0], cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        mass = FIRST_NEIGHBOUR + NEIGHBOURS.index("mass")
        for values, colour in (((1, 2), "tab:red"), ((2,), "gold"), ((mass,), "tab:cyan")):
            inside = np.isin(views[1], values)
            if inside.any():
                axis.contour(inside, levels=[0.5], colors=colour, linewidths=0.7)
    figure.tight_layout(pad=0.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=75, facecolor="black")
    plt.close(figure)


if __name__ == "__main__":
    main()
