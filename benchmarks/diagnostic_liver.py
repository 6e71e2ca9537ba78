"""Claim: a liver warped from a diagnostic image and corrected is better than one found on the low-dose CT.

Registers pairs of one patient by the preset `image` and compares three livers on the low-dose CT with the true one:
the one the bundled model finds, the warped one and the corrected one. It then flags deliberately wrong masks of the
diagnostic image, and registers the diagnostic image of the next patient.

    python benchmarks/diagnostic_liver.py random --bank shape_bank.npz --seeds 4000 4030 --out held.json
    python benchmarks/diagnostic_liver.py phantom --seeds 201 207

`random` draws random pairs on voxels of 5 mm. Many of their registrations are refused, so their transforms are
measured too. `phantom` draws the pairs ct-lowdose of registration_cases.py on voxels of 3 mm.
Parameters and limits were chosen on the random pairs 2000 to 2035 and the digital phantoms 1 to 6.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from registration_cases import make_case
from scipy import ndimage

from sirtjax import registration, segmentation, spatial, synthesis
from sirtjax.errors import SirtjaxError
from sirtjax.registration import RegistrationResult, Status
from sirtjax.segmentation._liver_agreement import DIAGNOSTIC, LOW_DOSE, AgreementLimits, agreement_flags
from sirtjax.volume import Geometry, LabelMap, Volume

SHAPE, SPACING_MM = (80, 64, 64), 5.0
LEAST_ML = 100.0
# The scale of a random CT, inverted: -1 to 1 is this window.
WINDOW_HU = (-200.0, 300.0)
APART_MM = 20.0
# A registration with a warped liver below this is wrong, whatever its status.
CORRECT_DSC = 0.85
# Shifts of a mask, and what a mask lacks: the patient's left side, as the left lobe and its lateral part.
SHIFTS_MM, LACKING = (15.0, 25.0), {"left lobe missing (33 %)": 0.33, "left part missing (17 %)": 0.17}
DIRECTIONS = [(axis, sign) for axis in range(3) for sign in (-1, 1)]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A low-dose CT and a diagnostic image of one patient, each with the true liver."""

    name: str
    image: Volume
    diagnostic: Volume
    image_liver: LabelMap
    diagnostic_liver: LabelMap


def random_pairs(bank_file: Path, seeds: range) -> Iterator[Pair]:
    """Draws random pairs of two CTs, whose grids are shifted against each other."""
    bank = synthesis.split_bank(*synthesis.load_shape_bank(bank_file), validation=True)
    config = synthesis.load_preset("default")
    modality = config.modality.model_copy(update={"ct": 1.0, "mr": 0.0, "random": 0.0})
    view = config.view.model_copy(update={"far": 0.0, "anywhere": 0.0, "cut": 0.1, "whole_grid": 0.5})
    config = config.model_copy(update={"shape": SHAPE, "spacing_mm": SPACING_MM, "modality": modality, "view": view})
    draw = jax.jit(partial(synthesis.random_pair, config=config, pair=synthesis.load_pair_preset("spect-ct")))
    for seed in seeds:
        pair = jax.tree.map(np.asarray, draw(jax.random.key(seed), bank))
        if ((pair.reference_labels > 0) & pair.seen).sum() * SPACING_MM**3 / 1000 < LEAST_ML:
            continue
        apart = np.random.default_rng(seed).uniform(-APART_MM, APART_MM, 3)
        grids = [Geometry.from_axes(SHAPE, spacing_mm=(SPACING_MM,) * 3, origin_mm=o) for o in ((0, 0, 0), apart)]
        hu = [np.interp(one, (-1, 1), WINDOW_HU).astype(np.float32) for one in (pair.reference, pair.floating)]
        images = [Volume(one, grid, unit="HU") for one, grid in zip(hu, grids, strict=True)]
        masks = [pair.reference_labels > 0, pair.floating_labels > 0]
        livers = [LabelMap.from_mask(one, grid, name="liver") for one, grid in zip(masks, grids, strict=True)]
        yield Pair(
            name=f"random {seed}",
            image=images[0],
            diagnostic=images[1],
            image_liver=livers[0],
            diagnostic_liver=livers[1],
        )


def phantom_pairs(seeds: range) -> Iterator[Pair]:
    """Draws contrast CTs and low-dose CTs of digital phantoms."""
    for seed in seeds:
        case = make_case("ct-lowdose", seed)
        yield Pair(
            name=f"phantom {seed}",
            image=case.reference,
            diagnostic=case.floating,
            image_liver=case.reference_masks["liver"],
            diagnostic_liver=case.floating_masks["liver"],
        )


def dsc(one: LabelMap, other: LabelMap) -> float:
    """Returns the Dice similarity of two livers on one grid."""
    a, b = one.mask("liver"), other.mask("liver")
    return 2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


def wrong_masks(liver: LabelMap, other: LabelMap, *, number: int) -> Iterator[tuple[str, LabelMap]]:
    """Yields wrong masks of the diagnostic image: shifted, incomplete, or another patient's.

    Args:
      liver: the correct mask.
      other: liver of another patient.
      number: number of the pair, which selects two of the six directions of a shift.
    """
    mask, spacing_mm = liver.mask("liver"), liver.geometry.spacing_mm
    made = partial(LabelMap.from_mask, geometry=liver.geometry, name="liver")
    for size_mm in SHIFTS_MM:
        for axis, sign in (DIRECTIONS[number % 6], DIRECTIONS[(number + 3) % 6]):
            yield f"shifted by {size_mm:g} mm", made(np.roll(mask, sign * round(size_mm / spacing_mm[axis]), axis))
    share = np.cumsum(mask.sum((1, 2))) / mask.sum()  # along LPS: the patient's left is last
    for name, lacking in LACKING.items():
        part = mask.copy()
        part[np.searchsorted(share, 1 - lacking) :] = False
        yield name, made(part)
    foreign = other.mask("liver")
    yield "another patient's liver", made(foreign)
    shift = np.subtract(ndimage.center_of_mass(mask), ndimage.center_of_mass(foreign))
    yield "another patient's liver, centred", made(ndimage.shift(foreign.astype(np.float32), shift, order=1) > 0.5)


def flagged(mask: LabelMap, found: LabelMap, limits: AgreementLimits) -> tuple[bool, tuple[float, float, float]]:
    """Returns whether a mask is flagged, and its agreement with the liver of the model."""
    agreement = segmentation.liver_agreement(mask, found)
    flags = agreement_flags(agreement, limits, code="", what="")
    return bool(flags), (agreement.dsc, agreement.lacking, agreement.excess)


def measure(pair: Pair, following: Pair, model: segmentation.Model, *, number: int) -> dict[str, Any]:
    """Returns the scores of a pair, and the flags of wrong masks and of the wrong patient."""
    config = registration.load_preset("image")
    kept: list[RegistrationResult] = []

    def register(*images: Volume, **options: Any) -> RegistrationResult:
        kept.append(kept[-1] if kept else registration.register(*images, **options))
        return kept[-1]

    def forced(*images: Volume, **options: Any) -> RegistrationResult:
        return replace(register(*images, **options), status=Status.SUCCESS)

    use: Callable[..., Any] = partial(segmentation.segment_liver_by_diagnostic, pair.image, model=model, config=config)
    row: dict[str, Any] = {"name": pair.name, "refused": ""}
    try:
        done = use(pair.diagnostic, liver=pair.diagnostic_liver, register=register)
    except SirtjaxError as error:
        row["refused"] = str(error)[:60]
        if not kept:
            return row
        done = use(pair.diagnostic, liver=pair.diagnostic_liver, register=forced)  # measured all the same
    row["status"] = kept[-1].status.name
    for name, labels in (("found", done.check.labels), ("warped", done.warped), ("corrected", done.found.labels)):
        row[name] = dsc(labels, pair.image_liver)
    row["masks"] = []
    for name, mask in (
        ("correct", pair.diagnostic_liver),
        *wrong_masks(pair.diagnostic_liver, following.diagnostic_liver, number=number),
    ):
        warped = spatial.resample_labels(mask, pair.image.geometry, transform=kept[-1].transform)
        if not warped.mask("liver").any():
            continue
        on_image, figures = flagged(warped, done.check.labels, LOW_DOSE)
        on_diagnostic, others = flagged(mask, done.diagnostic.labels, DIAGNOSTIC)
        row["masks"].append(
            {"mask": name, "image": on_image, "diagnostic": on_diagnostic, "figures": (*figures, *others)}
        )
    try:
        other = use(following.diagnostic, liver=following.diagnostic_liver)
        score = dsc(other.found.labels, pair.image_liver)
        row["next patient"] = f"{'flagged' if other.found.flags else 'not noticed'}: DSC {score:.3f}"
    except SirtjaxError as error:
        row["next patient"] = f"refused: {str(error)[:60]}"
    return row


def report(rows: list[dict[str, Any]]) -> None:
    """Prints the tables."""
    valid = [row for row in rows if "warped" in row]
    for title, of in (
        ("status success", [row for row in valid if row["status"] == "SUCCESS"]),
        ("accepted", [row for row in valid if not row["refused"]]),
        ("correct transform", [row for row in valid if row["warped"] >= CORRECT_DSC]),
    ):
        print(f"{title}: {len(of)} of {len(rows)} pairs")
        for name in ("found", "warped", "corrected"):
            scores = np.array([row[name] for row in of])
            if scores.size:
                print(f"  {name:10} DSC mean {scores.mean():.4f}, smallest {scores.min():.4f}")
        gains = np.array([row["corrected"] - row["warped"] for row in of])
        if gains.size:
            print(f"  correction: better in {(gains > 0).sum()}, change {gains.min():+.4f} to {gains.max():+.4f}")
    wrong = [row for row in valid if row["warped"] < CORRECT_DSC]
    print(f"wrong transforms: {len(wrong)}, refused {sum(bool(row['refused']) for row in wrong)}")
    print(f"  flagged {sum(row['masks'][0]['image'] for row in wrong)}")
    counts = defaultdict(list)
    for row in valid:
        if not row["refused"]:
            for one in row["masks"]:
                counts[one["mask"]].append((one["image"], one["diagnostic"], one["image"] or one["diagnostic"]))
    print(f"{'flagged, of accepted pairs':36} on the image, on the diagnostic image, by either")
    for name, found in counts.items():
        print(f"  {name:34}", *(f"{sum(column):4d}/{len(found)}" for column in zip(*found, strict=True)))
    ends = [str(row["next patient"]).split(":")[0] for row in valid]
    print("diagnostic image of the next patient:", {end: ends.count(end) for end in sorted(set(ends))})


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("kind", choices=("random", "phantom"))
    parser.add_argument("--bank", type=Path, help="file of liver shapes, for random pairs")
    parser.add_argument("--seeds", type=int, nargs=2, required=True, help="first seed, and the one after the last")
    parser.add_argument("--out", type=Path, help="file for the figures of each pair (JSON)")
    options = parser.parse_args()
    seeds = range(*options.seeds)
    pairs = phantom_pairs(seeds) if options.kind == "phantom" else random_pairs(options.bank, seeds)
    model = segmentation.load_model("liver")
    # The estimated quality is not compared here, and takes most of the time.
    model = replace(model, spec=model.spec.model_copy(update={"quality": None}))
    first = before = next(pairs)
    rows = []
    for pair in (*pairs, first):
        rows.append(measure(before, pair, model, number=len(rows)))
        print({key: value for key, value in rows[-1].items() if key != "masks"}, flush=True)
        before = pair
    report(rows)
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
