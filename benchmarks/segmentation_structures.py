"""Claim: the liver model also finds the structures around the liver, except masses.

    python benchmarks/segmentation_structures.py structures --bank shape_bank.npz -o structures.json
    python benchmarks/segmentation_structures.py usual --bank shape_bank.npz [--model FOLDER] -o usual.json

`structures` compares all classes of the model with 24 digital phantoms of unusual anatomy (preset `hard`, seeds from
90000) whose liver shapes no training saw. `usual` compares only the liver, with 40 phantoms of the preset `default`
(seeds from 50000) that show at least 400 mL of it; weights were chosen with them. synthetic_samples.py makes the bank.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from segmentation_cases import Case
from segmentation_hard import MIN_LIVER_ML, case_of

from sirtjax import metrics, segmentation, synthesis
from sirtjax.segmentation import Model
from sirtjax.volume import Geometry

MIN_STRUCTURE_ML = 5.0
USUAL, STRUCTURES = (50_000, 40), (90_000, 24)
Row = dict[str, Any]
Array = np.ndarray[Any, Any]


def config_of(step: str) -> synthesis.SynthesisConfig:
    """The phantoms of a step, on 96 x 80 x 80 voxels of 4 mm, which the whole upper abdomen fits into."""
    preset = synthesis.load_preset("default" if step == "usual" else "hard")
    view = {"far": 0.0, "anywhere": 0.0, "cut": 0.0, "whole_grid": 0.5 if step == "usual" else 1.0}
    ct = 0.7 if step == "usual" else 0.75
    update = {
        "shape": (96, 80, 80),
        "spacing_mm": 4.0,
        "modality": preset.modality.model_copy(update={"ct": ct, "mr": 1 - ct, "random": 0.0}),
        "view": preset.view.model_copy(update=view),
        "real_fraction": 1.0 if step == "usual" else preset.real_fraction,
    }
    return preset.model_copy(update=update)


def phantoms(step: str, bank: synthesis.ShapeBank, *, count: int, first: int) -> Iterator[tuple[int, Array, Case]]:
    """The first phantoms of a step that show enough of the liver: seed, labels and case."""
    config = config_of(step)
    grid = Geometry.from_affine(config.shape, np.diag([config.spacing_mm] * 3 + [1.0]))
    sample = jax.jit(synthesis.random_sample, static_argnames="config")
    voxel_ml, seed, done = config.spacing_mm**3 / 1000, first, 0
    while done < count:
        image, labels = (np.asarray(part) for part in sample(jax.random.key(seed), bank, config=config))
        liver = np.isin(labels, (1, 2))
        if step == "structures" or liver.sum() * voxel_ml >= MIN_LIVER_ML:
            done += 1
            yield seed, labels, case_of(image, liver, grid, step, seed)
        seed += 1


def rows_of(step: str, model: Model, bank: synthesis.ShapeBank) -> Iterator[Row]:
    """DSC of each structure in each phantom."""
    first, count = USUAL if step == "usual" else STRUCTURES
    voxel_ml = config_of(step).spacing_mm ** 3 / 1000
    for seed, labels, case in phantoms(step, bank, count=count, first=first):
        wanted = "liver" if step == "usual" else None
        found = segmentation.segment(case.image, model, structure=wanted, modality=case.modality)
        for name, truth in truths(step, labels, np.isin(labels, (1, 2))):
            if truth.sum() * voxel_ml >= MIN_STRUCTURE_ML:
                dsc = float(metrics.dice(found.labels.mask(name), truth))
                yield {"seed": seed, "modality": case.modality, "structure": name, "dsc": dsc}


def truths(step: str, labels: np.ndarray, liver: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The true structures of a phantom by name."""
    yield "liver", liver
    if step == "structures":
        for value, name in enumerate(synthesis.NEIGHBOURS, synthesis.FIRST_NEIGHBOUR):
            yield name, labels == value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("structures", "usual"))
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--model", default="liver", help="name or folder of the model")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    bank, names = synthesis.load_shape_bank(options.bank)
    shapes = jax.device_put(synthesis.split_bank(bank, names, validation=True))
    rows = list(rows_of(options.step, segmentation.load_model(options.model), shapes))
    options.output.write_text(json.dumps({"claim": (__doc__ or "").splitlines()[0], "rows": rows}, indent=1) + "\n")
    for name in dict.fromkeys(row["structure"] for row in rows):
        for modality in ("CT", "MR"):
            dsc = [row["dsc"] for row in rows if row["structure"] == name and row["modality"] == modality]
            if dsc:
                print(f"{name} {modality}: {len(dsc)}, mean {np.mean(dsc):.3f}, {np.median(dsc):.3f} ({min(dsc):.3f})")


if __name__ == "__main__":
    main()
