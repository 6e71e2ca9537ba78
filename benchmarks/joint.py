"""Claim: liver masks on a low-dose CT are better from a diagnostic image that is registered than from the CT itself.

The table of RegSegNet (DSC, FNR, FPR, MSD, time), with target error and folding, for systems that segment, register, or
do both, on digital phantoms in two poses that no network was trained with. For the registrations the true diagnostic
liver is carried; the two-phase methods get the diagnostic liver of the case, which is wrong in some. FNR is the missed
part of the true liver, FPR the wrong part of the found one. Paired tests compare the DSC with the liver model and with
the affine start.

    python benchmarks/joint.py --bank shape_bank.npz --elastix /path/to/python --rows rows.jsonl

Values measured on digital phantom pairs apply only to digital phantom pairs. Rows of cases and systems that are in the
file already are not computed again. The first case is run twice, so that times contain no compilation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from joint_cases import GRID, SPACING_MM, Case, cases
from joint_systems import Answer, answer, systems

from sirtjax import metrics, spatial
from sirtjax.spatial import Transform

AGAINST = ("liver model only", "affine (start)")


def measure(case: Case, given: Answer) -> dict[str, Any]:
    """Returns the figures of an answer: overlap in what both images show, surfaces in mm, target error, folding."""
    row: dict[str, Any] = {
        "seed": case.seed, "modality": case.modality, "fault": case.fault, "status": given.status,
        "flagged": given.flagged, "wall_s": given.wall_s, "cpu_s": given.cpu_s,
    }  # fmt: skip
    if given.liver is None:
        return row
    found, true = given.liver & case.seen, case.true_reference & case.seen
    if not found.any():
        return {**row, "dsc": 0.0, "fnr": 1.0, "fpr": 0.0}
    both = float((found & true).sum())
    row["dsc"] = 2.0 * both / float(found.sum() + true.sum())
    row["fnr"], row["fpr"] = 1.0 - both / float(true.sum()), 1.0 - both / max(float(found.sum()), 1.0)
    meshes = [metrics.extract_surface(mask, GRID.affine) for mask in (found, true)]
    row["msd_mm"] = metrics.mean_surface_distance_mm(*meshes)
    if given.transform is not None:
        row["tre_mm"] = target_error_mm(case, given.transform)
        row["folding"] = folding(given.transform, true)
    return row


def target_error_mm(case: Case, transform: Transform) -> float:
    """Returns the mean distance to the true position over the liver that both images show."""
    inside = case.true_reference & case.seen
    points = np.asarray(spatial.voxel_centres_mm(GRID)).reshape(*GRID.shape, 3)[inside]
    moved = np.asarray(spatial.transform_points(transform, points))
    return float(np.linalg.norm(moved - points - case.displacement_mm[inside], axis=-1).mean())


def folding(transform: Transform, inside: np.ndarray) -> float:
    """Returns the fraction of the liver in which the map turns space inside out, by differences between voxels."""
    points = np.asarray(spatial.voxel_centres_mm(GRID)).reshape(*GRID.shape, 3)
    moved = np.asarray(spatial.transform_points(transform, points.reshape(-1, 3))).reshape(points.shape)
    edges = np.stack([np.gradient(moved, SPACING_MM, axis=axis) for axis in range(3)], axis=-1)
    return float((np.linalg.det(edges[inside]) <= 0).mean())


def table(rows: Mapping[str, list[dict[str, Any]]]) -> str:
    """Returns the table of all systems, over the cases with right livers and over those with wrong ones."""
    head = "| system | DSC mean (lowest) | FNR | FPR | MSD mm | TRE mm (largest) | folding % | CPU s | wall s | p | "
    lines = [head + "wrong livers: DSC of each, * with a warning |", "|" + "---|" * 11]
    for name, own in rows.items():
        right = [row for row in own if not row["fault"] and "dsc" in row]
        text = [
            name,
            _figures(right, "dsc", min, 3),
            *(_figures(right, key, None, 2) for key in ("fnr", "fpr", "msd_mm")),
        ]
        text += [_figures(right, "tre_mm", max, 1), _figures(right, "folding", None, 2, 100.0)]
        text += [f"{np.median([row[key] for row in own]):.2f}" for key in ("cpu_s", "wall_s")]
        text.append(", ".join(_compared(rows, name, other) for other in AGAINST if other in rows and other != name))
        wrong = [f"{row['dsc']:.2f}" if "dsc" in row else "none" for row in own if row["fault"]]
        marks = ["*" if row["flagged"] else "" for row in own if row["fault"]]
        text.append(", ".join(value + mark for value, mark in zip(wrong, marks, strict=True)))
        lines.append("| " + " | ".join(text) + " |")
    return "\n".join(lines)


def _figures(rows: list[dict[str, Any]], key: str, extreme: Any, digits: int, factor: float = 1.0) -> str:
    values = [factor * row[key] for row in rows if key in row]
    if not values:
        return ""
    worst = "" if extreme is None else f" ({extreme(values):.{digits}f})"
    return f"{np.mean(values):.{digits}f}{worst}"


def _compared(rows: Mapping[str, list[dict[str, Any]]], name: str, other: str) -> str:
    """The p value of the DSC against another system, over the cases with right livers that both answered."""
    sides = [
        {row["seed"]: row["dsc"] for row in rows[each] if not row["fault"] and "dsc" in row} for each in (name, other)
    ]
    common = sorted(set(sides[0]) & set(sides[1]))
    if len(common) < 3:
        return f"{other}: too few"
    test = metrics.paired_test(*([side[seed] for seed in common] for side in sides))
    return f"{other}: {test.p:.1g} ({test.test}, {test.count})"


def check_same_case(case: Case, known: list[dict[str, Any]]) -> None:
    """Refuses rows of another case with the same seed: modality and wrong livers depend on the place in the series.

    Raises:
      SystemExit: the rows were computed with another first seed.
    """
    others = {(r["modality"], r["fault"]) for r in known if r["seed"] == case.seed} - {(case.modality, case.fault)}
    if others:
        raise SystemExit(
            f"--rows: the rows of seed {case.seed} are of another case ({others} instead of "
            f"{(case.modality, case.fault)}); use the same --first, or another file"
        )


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bank", type=Path, required=True, help="file of liver shapes")
    parser.add_argument("--first", type=int, default=8000, help="first seed")
    parser.add_argument("--cases", type=int, default=20, help="number of cases")
    parser.add_argument("--rows", type=Path, required=True, help="JSON lines to read and extend")
    for name in ("regsegnet", "velocity", "deepmedic"):
        parser.add_argument(f"--{name}", type=Path, help=f"folder of the model ({name})")
    parser.add_argument("--elastix", type=Path, help="Python with itk-elastix")
    parser.add_argument("--systems", nargs="*", help="only these systems")
    options = parser.parse_args()
    found = systems(
        regsegnet=options.regsegnet, velocity=options.velocity, deepmedic=options.deepmedic, elastix=options.elastix
    )
    if options.systems:
        found = {name: system for name, system in found.items() if name in options.systems}
    known = [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows.exists() else []
    done = {(row["system"], row["seed"]) for row in known}
    warm: set[str] = set()
    for case in cases(options.bank, first=options.first, count=options.cases):
        check_same_case(case, known)
        for name, system in found.items():
            if (name, case.seed) in done:
                continue
            if name not in warm:
                system(case)
                warm.add(name)
            row = {"system": name, **measure(case, answer(system, case))}
            known.append(row)
            with options.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(name, case.seed, {key: row[key] for key in ("dsc", "tre_mm", "status") if key in row}, flush=True)
    names = list(dict.fromkeys(row["system"] for row in known))
    print(table({name: [row for row in known if row["system"] == name] for name in names}))


if __name__ == "__main__":
    main()
