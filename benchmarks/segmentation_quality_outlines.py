"""Outlines of livers with a ball attached or a part cut off: masks that are wrong though no network doubts them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import ops
from sirtjax.segmentation import LiverShapes, centred_distance_mm, fit_liver_shapes, outline_evidence
from sirtjax.synthesis import VALIDATION_SHAPES, ShapeBank

BANK_MM, STEP_MM, GRID_MM = 4.0, 0.25, 5.0
MODES, SEED = 10, 0
SPACING_MM = (GRID_MM, GRID_MM, GRID_MM)
KINDS = ("none", "ball", "ball", "cut")
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def shape_modes(steps: NDArray[np.int8]) -> LiverShapes:
    """The modes of outlines of a bank."""
    spacing = (BANK_MM, BANK_MM, BANK_MM)
    distances = [centred_distance_mm(one.astype(np.float32) * STEP_MM, spacing) for one in steps]
    return fit_liver_shapes(np.array(distances), modes=MODES)


def spoiled_outlines(bank: ShapeBank, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Every second outline, four times: as a network might draw it, twice with a ball, once with a part cut off.

    The modes they are compared with are those of the outlines between them.
    """
    random = np.random.default_rng(SEED)
    modes = shape_modes(bank.distance_step[1::2])
    for number in range(0, bank.count, 2):
        distance = ndimage.zoom(bank.distance_step[number].astype(np.float32) * STEP_MM, BANK_MM / GRID_MM, order=1)
        padded = np.pad(distance, 8, constant_values=30)
        for kind in KINDS:
            mask, true = _spoiled(random, padded, kind)
            both = mask.sum() + true.sum()
            yield {
                "outline": names[number],
                "held_out": names[number] in VALIDATION_SHAPES,
                "kind": kind,
                "dsc": float(2 * (mask & true).sum() / both),
                "evidence": outline_evidence(mask, SPACING_MM, modes),
            }


def _spoiled(random: np.random.Generator, distance: NDArray[np.float32], kind: str) -> tuple[Mask, Mask]:
    """The mask and the true liver, stretched by a few percent; the mask's contour is uneven by a voxel."""
    stretch = np.exp(random.normal(0, 0.07, 3))
    offset = (np.array(distance.shape) - 1) / 2 * (1 - 1 / stretch)
    stretched = ndimage.affine_transform(distance, 1 / stretch, offset, order=1, cval=30)
    uneven = ndimage.gaussian_filter(random.standard_normal(distance.shape), 2.0) * 2 * random.uniform(2, 12)
    true, mask = stretched < 0, stretched + uneven < 0
    if kind == "ball":
        mask = mask | _ball(random, true)
    if kind == "cut":
        share, normal = random.uniform(0.15, 0.6), random.normal(size=3)
        along = np.tensordot(normal / np.linalg.norm(normal), np.indices(mask.shape), axes=1)
        mask = mask & (along > np.quantile(along[mask], share))
    return ops.binary_fill_holes(ops.largest_component(mask)), true


def _ball(random: np.random.Generator, liver: Mask) -> Mask:
    """An ellipsoid of 100 to 800 mL pressed into the surface of the liver, most often from below or from the left."""
    volume_mm3 = np.exp(random.uniform(np.log(100), np.log(800))) * 1000
    radius = (volume_mm3 * 3 / 4 / np.pi) ** (1 / 3)
    surface = np.argwhere(liver & ~ndimage.binary_erosion(liver))
    gradient = np.stack(np.gradient(ndimage.gaussian_filter(liver.astype(float), 2)), -1)
    outward = -gradient[tuple(surface.T)]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-9
    weight = np.maximum(outward @ np.array([0.3, 0.2, -0.8]), 0.02) ** 2
    at = random.choice(len(surface), p=weight / weight.sum())
    axes, pressed = np.exp(random.normal(0, 0.2, 3)), random.uniform(0.1, 0.8)
    middle = surface[at] + outward[at] * radius / GRID_MM * (1 - pressed)
    grid = np.indices(liver.shape)
    inside: Mask = sum(((grid[a] - middle[a]) * GRID_MM / (radius * axes[a])) ** 2 for a in range(3)) < 1
    return inside
