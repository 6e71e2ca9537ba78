"""Claim: an imported nnU-Net v2 answers as in nnU-Net's own predictor, without nnU-Net or PyTorch.

Trained folders of random weights are made, and each is run on the same oblique, anisotropic image by nnU-Net and by
sirtjax: plain and residual networks, anisotropic kernels, slices resampled by themselves, transposed axes, readers that
reorient, regions, two folds, flips, and a cascade. nnU-Net runs twice: as it is, its sums of tiles in half precision,
and with those sums in single precision, its weights of tiles the same.

What is expected: with single-precision sums logits within 1e-4 and labels equal on at least 99.99 % of the voxels. As
it is, nnU-Net differs from itself by more: a float16 has 11 bits, so that each of up to 64 sums of a voxel is rounded
by 5e-4 of it, and near the borders of an image, where the Gaussian weights of tiles are below 6e-5, float16 has no full
11 bits left. Labels are then equal on at least 99.7 %; random weights, whose classes are never far apart, are hardest.

    pip install nnunetv2 torch==2.13.0
    python benchmarks/nnunet_agreement.py --json benchmarks/results/nnunet_agreement.json
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io as text
import json
import platform
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sirtjax import formats, segmentation

SCRIPT = Path(__file__).parents[1] / "tests" / "reference" / "nnunet_folders.py"
LOGITS_WITHIN, LABELS_EQUAL, LABELS_EQUAL_STOCK = 1e-4, 0.9999, 0.997


def load_script() -> Any:
    """What makes and runs nnU-Net folders; the tests use the same."""
    found = importlib.util.spec_from_file_location("nnunet_folders", SCRIPT)
    if found is None or found.loader is None:
        raise SystemExit(f"{SCRIPT}: is missing; run the benchmark in a checkout")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """nnU-Net prints on stdout and warns of its own old formats."""
    with contextlib.redirect_stdout(text.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def compare(folders: Any, name: str, *, root: Path, scale: float, seed: int) -> dict[str, Any]:
    """One model, by nnU-Net twice and by sirtjax twice (the second time compiled)."""
    with quiet():
        trained = folders.build(root, name, seed=seed)
        file = root / f"{name}.nii.gz"
        folders.write_image(file, name, scale=scale)
        began = time.perf_counter()
        stock_logits, stock_labels = folders.predict(trained, file)
        stock_s = time.perf_counter() - began
        with folders.float32_sums():
            logits, labels = folders.predict(trained, file)
    model = segmentation.import_nnunet(list(trained.values())[-1])
    image = formats.read_image(file).volume
    segmentation.predict_nnunet([image], model)
    began = time.perf_counter()
    found = segmentation.predict_nnunet([image], model)
    ours_s = time.perf_counter() - began
    ours = np.moveaxis(found.logits, -1, 0)
    array = np.asarray(found.labels.array)
    itself = np.abs(stock_logits - logits)
    return {
        "model": name,
        "voxels": list(image.geometry.shape),
        "logits_std": float(logits.std()),
        "logits_max_difference": float(np.abs(ours - logits).max()),
        "labels_equal": float((array == labels).mean()),
        "stock_logits_max_difference": float(np.abs(ours - stock_logits).max()),
        "stock_labels_equal": float((array == stock_labels).mean()),
        "stock_from_itself_in_float32": {
            "max": float(itself.max()),
            "median": float(np.median(itself)),
            "p99": float(np.percentile(itself, 99)),
            "labels_equal": float((stock_labels == labels).mean()),
        },
        "ours_s": ours_s,
        # nnU-Net predicts twice there: for the logits, and for the labels.
        "nnunet_s": stock_s / 2,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", help="some of plain, old, residual, cascade")
    parser.add_argument("--scale", type=float, default=2.0, help="size of the images, along each axis")
    parser.add_argument("--seed", type=int, default=7, help="of the random weights")
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    folders = load_script()
    rows = []
    for name in options.models or folders.MODELS:
        with tempfile.TemporaryDirectory() as root:
            row = compare(folders, name, root=Path(root), scale=options.scale, seed=options.seed)
        rows.append(row)
        size = "x".join(map(str, row["voxels"]))
        exact, equal = row["logits_max_difference"], 100 * row["labels_equal"]
        stock_exact, stock_equal = row["stock_logits_max_difference"], 100 * row["stock_labels_equal"]
        print(f"{name:9s} {size:12s} float32 sums: logits {exact:.1e}, labels {equal:.4f} %")
        print(f"{'':22s} as it is:     logits {stock_exact:.1e}, labels {stock_equal:.3f} %")
        print(f"{'':22s} {row['ours_s']:.2f} s, nnU-Net {row['nnunet_s']:.2f} s")
    good = all(r["logits_max_difference"] <= LOGITS_WITHIN and r["labels_equal"] >= LABELS_EQUAL for r in rows)
    stock = min(row["stock_labels_equal"] for row in rows)
    print(f"as claimed: {good}; stock nnU-Net agrees on at least {100 * stock:.3f} % of the voxels of a model")
    if options.json is not None:
        versions = {name: version(name) for name in ("nnunetv2", "torch", "jax", "numpy", "scipy")}
        told = {"scale": options.scale, "seed": options.seed, "models": rows, "versions": versions}
        told |= {"machine": platform.platform(), "as_claimed": good, "stock_labels_equal_least": stock}
        options.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
