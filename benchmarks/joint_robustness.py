"""Claim: registrations from far away succeed: 60 mm and 30 degrees between the frames of two images of one patient.

The diagnostic image of each case of `joint_cases.py` is moved by a shift of 60 mm in a random direction and a rotation
by 30 degrees about a random axis through the centre of its grid, without masks. A registration succeeds if the true
diagnostic liver, carried by it, has a DSC of at least 0.94 with the true liver, or 0.02 less than from the frames that
agree, whichever is lower. A status other than success of a registration that is right, and success of a wrong one, are
counted separately.

    python benchmarks/joint_robustness.py --bank shape_bank.npz --rows rows.jsonl --cases 100
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from joint import target_error_mm
from joint_cases import GRID, Case, as_labels, cases
from scipy.spatial.transform import Rotation

from sirtjax import registration, spatial
from sirtjax.spatial import Transform
from sirtjax.volume import Geometry, Volume

SHIFT_MM, TURN_DEG = 60.0, 30.0
GOOD_DSC, SLACK = 0.94, 0.02


def far_frame(seed: int) -> np.ndarray:
    """Returns the rigid map (4, 4) from the frame of the diagnostic image to another one."""
    rng = np.random.default_rng(seed)
    axis, direction = rng.standard_normal((2, 3))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(TURN_DEG) * axis / np.linalg.norm(axis)).as_matrix()
    centre = np.asarray(GRID.centre_mm)
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + SHIFT_MM * direction / np.linalg.norm(direction)
    return matrix


def moved(case: Case, frame: np.ndarray) -> Volume:
    """Returns the diagnostic image in the other frame; its voxels stay as they are."""
    return replace(case.floating, geometry=Geometry.from_affine(GRID.shape, frame @ GRID.affine))


def carried_dsc(case: Case, transform: Transform) -> float:
    """Returns the DSC of the carried liver, within what both images show."""
    share = spatial.occupancy(as_labels(case.true_floating), "liver", GRID, transform=transform)
    found, true = (np.asarray(share) > 0.5) & case.seen, case.true_reference & case.seen
    return float(2.0 * (found & true).sum() / (found.sum() + true.sum()))


def main() -> None:
    """Registers all cases from both frames and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bank", type=Path, required=True, help="file of liver shapes")
    parser.add_argument("--rows", type=Path, required=True, help="JSON lines to read and extend")
    parser.add_argument("--cases", type=int, default=100, help="number of cases")
    parser.add_argument("--first", type=int, default=9000, help="first seed")
    parser.add_argument("--presets", nargs="+", default=["network-refined", "image"], help="presets to compare")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows.exists() else []
    done = {(row["preset"], row["seed"]) for row in rows}
    for case in cases(options.bank, first=options.first, count=options.cases):
        frame = far_frame(case.seed)
        back = spatial.AffineTransform(np.linalg.inv(frame))
        for preset in options.presets:
            if (preset, case.seed) in done:
                continue
            config = registration.load_preset(preset)
            row: dict[str, Any] = {"preset": preset, "seed": case.seed, "modality": case.modality}
            for name, floating in (("near", case.floating), ("far", moved(case, frame))):
                begun = time.process_time()
                result = registration.register(case.reference, floating, config=config)
                row[f"{name}_cpu_s"] = time.process_time() - begun
                home = result.transform if name == "near" else spatial.compose(back, result.transform)
                row[f"{name}_dsc"], row[f"{name}_tre_mm"] = carried_dsc(case, home), target_error_mm(case, home)
                row[f"{name}_status"] = result.status.name.lower().replace("_", " ")
            rows.append(row)
            with options.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
    for preset in options.presets:
        print(summary(preset, [row for row in rows if row["preset"] == preset]))


def summary(preset: str, rows: list[dict[str, Any]]) -> str:
    """Returns the counts of one preset in a line."""
    right = np.array([row["far_dsc"] >= min(GOOD_DSC, row["near_dsc"] - SLACK) for row in rows])
    success = np.array([row["far_status"] == "success" for row in rows])
    dsc, tre_mm, cpu_s = (np.array([row[f"far_{key}"] for row in rows]) for key in ("dsc", "tre_mm", "cpu_s"))
    return (
        f"{preset}: {right.sum()} of {len(rows)} right; right without success {(right & ~success).sum()}, wrong with "
        f"success {(success & ~right).sum()}; DSC mean {dsc.mean():.3f}, lowest {dsc.min():.3f}, TRE median "
        f"{np.median(tre_mm):.1f} mm, CPU median {np.median(cpu_s):.1f} s"
    )


if __name__ == "__main__":
    main()
