"""The cases of `joint.py`: digital phantoms in two poses, with livers as another network or a person has drawn them.

Each case is a low-dose CT without contrast medium (reference) and a diagnostic CT or MR image (floating) of one patient
in another pose, on 80 x 64 x 64 voxels of 5 mm. The displacement is known. The diagnostic liver is the true one, as
after contouring; the liver of the low-dose CT is the one that the bundled liver model finds. Every fifth case has a
wrong or a missing liver.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sirtjax import segmentation, synthesis
from sirtjax.volume import Geometry, LabelMap, Volume

SHAPE, SPACING_MM = (80, 64, 64), 5.0
GRID = Geometry.from_axes(SHAPE, spacing_mm=(SPACING_MM,) * 3)
# Pairs that share less liver than this show nothing to compare.
LEAST_ML = 400.0
WRONG = (
    "no livers",
    "diagnostic liver shifted by 25 mm",
    "liver of another patient on the low-dose CT",
    "no left lobe",
)
AIR_HU = -1000.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pair of images.

    Attributes:
      seed: seed of the pair.
      modality: "CT" or "MR", of the diagnostic image.
      fault: what is wrong with the livers; empty if nothing is.
      reference, floating: low-dose CT and diagnostic image.
      reference_liver, floating_liver: livers that guide; None if there is none.
      true_reference, true_floating: true occupancy of the livers.
      displacement_mm: (i, j, k, 3) true displacement.
      seen: (i, j, k) voxels that both images show.
    """

    seed: int
    modality: str
    fault: str
    reference: Volume
    floating: Volume
    reference_liver: LabelMap | None
    floating_liver: LabelMap | None
    true_reference: np.ndarray
    true_floating: np.ndarray
    displacement_mm: np.ndarray
    seen: np.ndarray

    def masks(self) -> dict[str, dict[str, LabelMap]]:
        """Returns the livers as arguments of `registration.register`."""
        sides = {"reference_masks": self.reference_liver, "floating_masks": self.floating_liver}
        return {name: {} if liver is None else {"liver": liver} for name, liver in sides.items()}


def cases(bank: Path, *, first: int, count: int) -> Iterator[Case]:
    """Yields cases with held-back liver shapes; the diagnostic image of each third is an MR image."""
    shapes = synthesis.split_bank(*synthesis.load_shape_bank(bank), validation=True)
    model = segmentation.load_model("liver")
    draws = {kind: _draw(kind) for kind in ("CT", "MR")}
    seed, made, others = first, 0, _Others(draws["CT"], shapes)
    while made < count:
        modality = "MR" if made % 3 == 2 else "CT"
        pair = jax.tree.map(np.asarray, draws[modality](jax.random.key(seed), shapes))
        liver_ml = float(((pair.reference_labels > 0) & pair.seen).sum()) * SPACING_MM**3 / 1000.0
        if liver_ml >= LEAST_ML:
            fault = WRONG[made // 5 % len(WRONG)] if made % 5 == 4 else ""
            yield _case(seed, modality, fault, pair, model, others)
            made += 1
        seed += 1


@dataclass(frozen=True)
class _Others:
    """Livers of other patients."""

    draw: Any
    shapes: Any

    def liver(self, seed: int) -> np.ndarray:
        return np.asarray(self.draw(jax.random.key(seed + 500_000), self.shapes).reference_labels) > 0


def _draw(modality: str) -> Any:
    preset = synthesis.load_preset("default")
    shares = {name: float(name == modality.lower()) for name in ("ct", "mr", "random")}
    view = preset.view.model_copy(update={"far": 0.0, "anywhere": 0.0, "cut": 0.1, "whole_grid": 0.5})
    image = preset.model_copy(
        update={
            "shape": SHAPE,
            "spacing_mm": SPACING_MM,
            "modality": preset.modality.model_copy(update=shares),
            "view": view,
        }
    )
    poses = synthesis.load_pair_preset("spect-ct")
    return jax.jit(lambda key, bank: synthesis.random_pair(key, bank, config=image, pair=poses))


def _case(seed: int, modality: str, fault: str, pair: Any, model: Any, others: _Others) -> Case:
    reference = Volume(hounsfield(pair.reference), GRID, unit="HU")
    floating = Volume(hounsfield(pair.floating), GRID, unit="HU")
    if modality == "MR":
        floating = Volume((200.0 * (pair.floating + 1.0)).astype(np.float32), GRID, unit="1")
    found: LabelMap | None = segmentation.segment(reference, model, structure="liver").labels
    drawn = pair.floating_labels > 0
    guide: LabelMap | None = as_labels(drawn)
    match fault:
        case "no livers":
            found = guide = None
        case "diagnostic liver shifted by 25 mm":
            guide = as_labels(np.roll(drawn, 5, axis=1))
        case "liver of another patient on the low-dose CT":
            found = as_labels(others.liver(seed))
        case "no left lobe":
            left = np.arange(SHAPE[0])[:, None, None] > np.percentile(np.nonzero(drawn)[0], 60)
            guide = as_labels(drawn & ~left)
    return Case(
        seed=seed, modality=modality, fault=fault, reference=reference, floating=floating, reference_liver=found,
        floating_liver=guide, true_reference=pair.reference_labels > 0, true_floating=drawn,
        displacement_mm=pair.displacement_mm, seen=pair.seen,
    )  # fmt: skip


def hounsfield(scaled: np.ndarray) -> np.ndarray:
    """Returns the CT numbers of an image that was scaled for a network; air and padding become -1000 HU."""
    low, high = synthesis.CT_WINDOW_HU
    return np.where(scaled <= -0.999, AIR_HU, low + (scaled + 1.0) / 2.0 * (high - low)).astype(np.float32)


def as_labels(mask: np.ndarray) -> LabelMap:
    """Returns a liver mask on the grid of the cases."""
    return LabelMap(mask.astype(np.uint8), GRID, names=((1, "liver"),))
