"""An analytic upper abdomen, rendered on any grid, and presets small enough to compile in seconds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sirtjax import registration
from sirtjax.spatial import transform_points, voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap, Volume

LIVER_MM, RADII_MM = np.array([12.0, -8.0, 40.0]), np.array([48.0, 40.0, 36.0])
LESION_MM, LESION_RADIUS_MM = np.array([22.0, -14.0, 46.0]), 12.0


def turn(x, y, z):
    """The rotation matrix about x, then y, then z, in degrees."""
    (a, b, c), eye = np.deg2rad([x, y, z]), np.eye(3)
    rx, ry, rz = eye.copy(), eye.copy(), eye.copy()
    rx[1:, 1:] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    ry[::2, ::2] = [[np.cos(b), np.sin(b)], [-np.sin(b), np.cos(b)]]
    rz[:2, :2] = [[np.cos(c), -np.sin(c)], [np.sin(c), np.cos(c)]]
    return rz @ ry @ rx


def grid(shape, spacing_mm, *, direction=None, centre_mm=LIVER_MM):
    """A grid of any direction about a centre."""
    direction = np.eye(3) if direction is None else direction
    origin = np.asarray(centre_mm) - direction @ (np.asarray(spacing_mm) * (np.asarray(shape) - 1) / 2)
    return Geometry.from_axes(shape, spacing_mm=spacing_mm, origin_mm=origin, direction=direction)


# Straight, and oblique, flipped and coarser along the body; neither has a cubic voxel.
STRAIGHT = grid((56, 44, 40), (3.0, 3.5, 4.0))
OBLIQUE = grid((52, 54, 38), (3.5, 3.0, 5.0), direction=turn(8, -6, 15) @ np.diag([-1.0, 1.0, -1.0]))


def rounded(distance_mm, width_mm=2.0):
    """1 inside, 0 outside, with an edge of this width."""
    return 1 / (1 + np.exp(np.clip(distance_mm / width_mm, -60, 60)))


def density(points_mm):
    """HU of a body with a lumpy liver, a lesion and a spine, at any world points (..., 3)."""
    x, y, z = np.moveaxis(points_mm, -1, 0)
    body = rounded((np.sqrt(((x - 5) / 90) ** 2 + ((y + 2) / 70) ** 2) - 1) * 80)
    liver = rounded((liver_radius(points_mm) - 1) * 40)
    lumps = 50 * np.sin(x / 6 + 0.5) * np.sin(y / 6 + z / 20) + 40 * np.cos(z / 6 - x / 15)
    lesion = rounded(np.linalg.norm(points_mm - LESION_MM, axis=-1) - LESION_RADIUS_MM)
    spine = rounded(np.hypot(x, y - 48) - 14)
    return -400 + body * (350 + 110 * liver + lumps * liver - 60 * lesion + 150 * spine + 25 * np.sin(z / 15 + x / 20))


def liver_radius(points_mm):
    """1 on the surface of the liver, less inside."""
    away = (points_mm - LIVER_MM) / RADII_MM
    bulge = 1 + 0.15 * np.sin(3 * away[..., 0] + 1) * np.cos(2.5 * away[..., 2]) + 0.1 * away[..., 1]
    return np.linalg.norm(away, axis=-1) / bulge


def still(points_mm):
    return points_mm


def image(geometry, moved=still, *, unit="HU", contrast=None):
    """The patient on a grid, seen through a map of its points to the patient's."""
    values = density(moved(voxel_centres_mm(geometry)))
    if contrast is not None:
        values = contrast(values)
    return Volume(values.astype(np.float32), geometry, unit=unit)


def masks(geometry, moved=still, *, lesion=True, lesion_radius_mm=LESION_RADIUS_MM):
    """Liver and lesion on a grid."""
    points = moved(voxel_centres_mm(geometry))
    found = {"liver": liver_radius(points) <= 1}
    if lesion:
        found["lesion1"] = np.linalg.norm(points - LESION_MM, axis=-1) <= lesion_radius_mm
    return {name: LabelMap.from_mask(mask, geometry, name=name) for name, mask in found.items()}


def through(matrix):
    """A map of points by a (4, 4) matrix."""
    matrix = np.asarray(matrix, np.float64)
    return lambda points: points @ matrix[:3, :3].T + matrix[:3, 3]


def about(linear, shift_mm, *, centre_mm=LIVER_MM):
    """The (4, 4) matrix that turns and stretches about a centre and then shifts."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = np.asarray(centre_mm) - linear @ np.asarray(centre_mm) + shift_mm
    return matrix


def wave(points_mm):
    """A smooth deformation of the liver by up to 9 mm, which dies away outside it."""
    x, y, z = np.moveaxis(points_mm, -1, 0)
    size = 7 * np.exp(-0.5 * (np.linalg.norm(points_mm - LIVER_MM, axis=-1) / 40) ** 2)
    return points_mm + size[..., None] * np.stack([np.sin(z / 30), np.cos(x / 40), np.sin(y / 35 + 0.5)], axis=-1)


def liver_points_mm(step_mm=8.0):
    """Points (n, 3) all over the liver."""
    axes = [np.arange(c - 1.3 * r, c + 1.3 * r, step_mm) for c, r in zip(LIVER_MM, RADII_MM, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return points[liver_radius(points) <= 1]


def slopes(transform, points_mm, *, step_mm=2.0):
    """The derivative (n, 3, 3) of a transform at points, by central differences."""
    ways = [transform_points(transform, points_mm + side * e) for e in step_mm * np.eye(3) for side in (1, -1)]
    return np.stack([(ways[n] - ways[n + 1]) / (2 * step_mm) for n in (0, 2, 4)], axis=-1)


AFFINE = {
    "model": "affine",
    "sample_stride": 2,
    "samples": 1024,
    "steps": 80,
    "levels": [{"blur_mm": 6.0, "step_mm": 1.5}],
}
DEFORMABLE_LEVEL = {"control_points": [8, 8, 8], "blur_mm": 2.0, "mask_blur_mm": 4.0, "step_mm": 0.8}
DEFORMABLE = {"model": "displacement", "sample_stride": 2, "samples": 1024, "steps": 80, "levels": [DEFORMABLE_LEVEL]}
ONLY_AFFINE, ONLY_DEFORMATION = {"deformable": {"model": "none"}}, {"affine": {"model": "none"}}


def preset(*, guided="liver", **tables):
    """A preset on a lattice of 32 x 28 x 24 nodes; `tables` change or add values of its tables."""
    free = guided == "none"
    table = {
        "schema": 2,
        "description": "small",
        "lattice": {
            "shape": [32, 28, 24], "min_spacing_mm": 3.0, "region": "images" if free else "liver",
            "margin_mm": 0.0 if free else 25.0, "edge_taper": 0.1,
        },
        "intensity": {"window_hu": [-150.0, 250.0], "percentiles": [1.0, 99.7]},
        "guidance": {"masks": guided},
        "similarity": {"kind": "ssd", "bins": 16, "region": "everywhere"},
        "affine": {**AFFINE, "match": "image" if free else "both"},
        "deformable": DEFORMABLE,
        "weights": {
            "image": 100.0, "masks": 0.0 if free else 1.0, "landmarks": 0.0, "regularisation": 0.02, "folding": 1.0,
            "volume": 0.0,
        },
        "regularisation": {"kind": "spring", "stride": 2},
    }  # fmt: skip
    for name, values in tables.items():
        table[name] = {**table.get(name, {}), **values}
    return registration.config_from_dict(table, name="small")


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two images of the patient with their masks, and the map between them."""

    reference: Volume
    floating: Volume
    reference_masks: dict
    floating_masks: dict
    true: Callable

    def register(self, config, **given):
        return registration.register(
            self.reference, self.floating, config=config,
            **{"reference_masks": self.reference_masks, "floating_masks": self.floating_masks, **given},
        )  # fmt: skip

    def missed_mm(self, transform):
        """By how much a transform misses, all over the liver."""
        points = liver_points_mm()
        return np.linalg.norm(transform_points(transform, points) - self.true(points), axis=-1)


def case(true=still, *, reference=STRAIGHT, floating=OBLIQUE, lesion=True, **options):
    """The reference is the floating image looked at through `true`, which is thus what registration has to find."""
    return Case(
        reference=image(reference, true, **options), floating=image(floating),
        reference_masks=masks(reference, true, lesion=lesion), floating_masks=masks(floating, lesion=lesion), true=true,
    )  # fmt: skip


# A turn, a stretch, a shear and a shift; the patients of this map differ by 15 mm, up to 22 mm.
MATRIX = about(
    turn(3, -5, 7) @ np.diag([1.05, 0.96, 1.03]) + np.array([[0, 0.04, 0], [0, 0, 0.03], [0.02, 0, 0]]),
    [9.0, -7.0, 12.0],
)


def bent_and_moved(points_mm):
    return through(MATRIX)(wave(points_mm))


# One structure for most tests, compiled once: every kind of guidance, both stages.
FULL = preset(guided="liver and landmarks")
