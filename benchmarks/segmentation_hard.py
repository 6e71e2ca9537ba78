"""Claim: the liver model finds livers with unusual anatomy, and warns where it does not.

Forty digital phantoms with liver shapes that no training saw (`sirtjax.synthesis`, 4 mm, three of four CT), ten of each
kind: a mass of at least 100 mL next to the liver, a tumour of at least 30 mL that bulges out of it, a resected or
remodelled and nodular liver, and a small or truncated field of view.

    python benchmarks/segmentation_hard.py --bank shape_bank.npz [--model FOLDER] [--pictures FOLDER] -o rows.jsonl

Each model adds its rows, so that several can be compared in pairs. `--validation` draws the same kinds with other seeds
and with training shapes, for choosing between weights. synthetic_samples.py makes the bank.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from segmentation_cases import Case, draw

from sirtjax import metrics, segmentation, synthesis
from sirtjax.errors import SirtjaxError
from sirtjax.volume import Geometry, LabelMap, Volume

FIRST_SEED = {"held-out": 40_000, "validation": 60_000}
MIN_LIVER_ML, MIN_MASS_ML, MIN_TUMOUR_ML = 400.0, 100.0, 30.0
TOLERANCE_MM = 3.0
MR_SIGNAL, AIR_HU = 1000.0, -1000.0
NOTHING = {
    name: 0.0
    for name in synthesis.UnusualAnatomy.model_fields
    if name.endswith("_fraction") and name != "similar_mass_fraction"
}
# What every patient of a kind has; the rest of the preset `hard` is absent.
KINDS: dict[str, dict[str, Any]] = {
    "adjacent mass": {"unusual": {"mass_fraction": 1.0, "mass_radius_mm": (26.0, 62.0)}},
    "bulging tumour": {"unusual": {"bulging_fraction": 1.0, "bulging_radius_mm": (25.0, 65.0)}},
    "resection or cirrhosis": {
        "unusual": {"remodelled_fraction": 0.8, "nodular_fraction": 0.6},
        "resection_fraction": 0.5,
    },
    "truncated": {"unusual": {"small_field_fraction": 0.6}, "view": {"cut": 0.6, "whole_grid": 0.0}},
}


def cases(bank: synthesis.ShapeBank, kind: str, count: int, first: int) -> Iterator[tuple[int, Case]]:
    """The first phantoms of a kind that show enough of it, with their seeds."""
    config = config_of(kind)
    grid = Geometry.from_affine(config.shape, np.diag([config.spacing_mm] * 3 + [1.0]))
    sample = jax.jit(synthesis.random_sample, static_argnames="config")
    voxel_ml, found, seed = config.spacing_mm**3 / 1000, 0, first
    while found < count:
        image, labels = (np.asarray(part) for part in sample(jax.random.key(seed), bank, config=config))
        mass = synthesis.FIRST_NEIGHBOUR + synthesis.NEIGHBOURS.index("mass")
        liver_ml, lesion_ml, mass_ml = (float(np.isin(labels, one).sum() * voxel_ml) for one in ((1, 2), 2, mass))
        enough = liver_ml >= MIN_LIVER_ML
        enough &= kind != "adjacent mass" or mass_ml >= MIN_MASS_ML
        enough &= kind != "bulging tumour" or lesion_ml >= MIN_TUMOUR_ML
        if enough:
            found += 1
            yield seed, case_of(image, np.isin(labels, (1, 2)), grid, kind, seed)
        seed += 1


def config_of(kind: str) -> synthesis.SynthesisConfig:
    """The preset `hard` with only the anatomy of a kind."""
    preset, changes = synthesis.load_preset("hard"), KINDS[kind]
    assert preset.unusual is not None
    view = {"far": 0.0, "anywhere": 0.0, "cut": 0.0, "whole_grid": 0.4} | changes.get("view", {})
    update = {
        "modality": preset.modality.model_copy(update={"ct": 0.75, "mr": 0.25, "random": 0.0}),
        "view": preset.view.model_copy(update=view),
        "unusual": preset.unusual.model_copy(update=NOTHING | changes["unusual"]),
        "real_fraction": 1.0,
        "lesion_fraction": 0.4 if kind != "bulging tumour" else 0.0,
        "resection_fraction": changes.get("resection_fraction", 0.0),
    }
    return preset.model_copy(update=update)


def case_of(image: np.ndarray, liver: np.ndarray, grid: Geometry, kind: str, seed: int) -> Case:
    """A sample as an image in HU or signal."""
    mr = bool((image > 1.0001).any())
    low, high = synthesis.CT_WINDOW_HU
    hu = np.where(image <= -1, AIR_HU, (image + 1) / 2 * (high - low) + low)
    array = np.maximum((image + 1) / 2 * MR_SIGNAL, 0) if mr else hu
    return Case(
        group=kind,
        name=str(seed),
        truth="exact",
        modality="MR" if mr else "CT",
        image=Volume(array.astype(np.float32), grid, unit="1" if mr else "HU"),
        liver=LabelMap.from_mask(liver, grid, name="liver"),
    )


def measured(case: Case, model: segmentation.Model, pictures: Path | None) -> dict[str, Any]:
    """The agreement of the model's liver with the true one, and its warnings."""
    assert case.liver is not None
    truth = case.liver.mask("liver")
    try:
        found = segmentation.segment(case.image, model, structure="liver", modality=case.modality)
    except SirtjaxError as error:
        return {"dsc": 0.0, "error": str(error)}
    mask = found.labels.mask("liver")
    quality = metrics.evaluate_segmentation(mask, truth, case.image.geometry, tolerance_mm=TOLERANCE_MM)
    if pictures is not None:
        draw(case, truth=truth, found=mask, path=pictures / f"{case.group} {case.name}.png")
    row = {"dsc": float(quality.dsc), "hd95_mm": float(quality.hd95_mm), "flags": [flag.code for flag in found.flags]}
    if found.quality is not None:
        estimate = found.quality
        row |= {"estimate": float(estimate.dsc), "low": float(estimate.low), "high": float(estimate.high)}
    return row | {"true_ml": case.liver.volume_ml("liver"), "found_ml": found.volumes_ml["liver"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--model", default="liver", help="name or folder of the model")
    parser.add_argument("--count", type=int, default=10, help="phantoms of each kind")
    parser.add_argument("--validation", action="store_true", help="other seeds and training shapes")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    bank, names = synthesis.load_shape_bank(options.bank)
    series = "validation" if options.validation else "held-out"
    shapes = jax.device_put(synthesis.split_bank(bank, names, validation=not options.validation))
    model = segmentation.load_model(options.model)
    rows = []
    for number, kind in enumerate(KINDS):
        for seed, case in cases(shapes, kind, options.count, FIRST_SEED[series] + 1000 * number):
            about = {"series": series, "model": model.spec.name, "kind": kind, "seed": seed, "modality": case.modality}
            rows.append(about | measured(case, model, options.pictures))
            with options.output.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(rows[-1]) + "\n")
    for kind in (*KINDS, "all"):
        some = [row for row in rows if kind in ("all", row["kind"])]
        print(f"{kind}: {summary(some)}")


def summary(rows: list[dict[str, Any]]) -> str:
    """The agreement of several livers, and how often warnings were right."""
    dsc = np.array([row["dsc"] for row in rows])
    warned = sum(bool(row.get("flags")) or "error" in row for row in rows if row["dsc"] < 0.85)
    false = sum("quality" in row.get("flags", ()) for row in rows if row["dsc"] > 0.93)
    return (
        f"{len(dsc)} livers, DSC mean {dsc.mean():.3f}, lowest {dsc.min():.3f}; warned of {warned} of "
        f"{int((dsc < 0.85).sum())} below 0.85; quality warning for {false} of {int((dsc > 0.93).sum())} above 0.93"
    )


if __name__ == "__main__":
    main()
