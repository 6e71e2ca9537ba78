from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.phantom._shapes import capsule_distance
from sirtjax.typing import Array

FIELD_SHAPE = (136, 108, 112)
FIELD_SPACING_MM = 2.0
# Every tree is padded to this many segments, so that no patient compiles anything new.
MAX_SEGMENTS = 160
# A segment is rasterised inside a window of this many voxels, which bounds its length.
_WINDOW = 24
_MAX_MM = (_WINDOW - 10) * FIELD_SPACING_MM
FAR_MM = 50.0


@dataclass(frozen=True)
class Tree:
    """A branching vessel: straight pieces that narrow from start to end.

    Attributes:
      start_mm: (n, 3) start of each piece.
      end_mm: (n, 3) end of each piece.
      radius_mm: (n, 2) radius at start and end.
    """

    start_mm: Float[np.ndarray, "n 3"]
    end_mm: Float[np.ndarray, "n 3"]
    radius_mm: Float[np.ndarray, "n 2"]


def grow_tree(
    random: np.random.Generator,
    supplied_mm: Float[np.ndarray, "n 3"],
    *,
    trunk_mm: Float[np.ndarray, "t 3"],
    trunk_radius_mm: float,
    smallest_radius_mm: float,
    levels: int,
) -> Tree:
    """Generates a vessel tree that fills a cloud of points by repeated division.

    Each branch runs towards the middle of the points it supplies and splits them along their longest axis; the
    radii of the daughters follow Murray's law (r^3 = r1^3 + r2^3) by the points supplied.

    Args:
      random: random number generator.
      supplied_mm: (n, 3) points inside the organ.
      trunk_mm: (t, 3) the trunk's centre line from outside to its first division.
      trunk_radius_mm: radius of the trunk.
      smallest_radius_mm: thinner branches are drawn with this radius.
      levels: number of divisions from the trunk to the smallest branches.

    Reference:
      Murray, The physiological principle of minimum work, PNAS 1926, doi:10.1073/pnas.12.3.207.
    """
    pieces: list[tuple[NDArray[np.float64], NDArray[np.float64], float, float]] = []
    for a, b in pairwise(trunk_mm):
        pieces.append((a, b, trunk_radius_mm, trunk_radius_mm))

    def divide(node: NDArray[np.float64], points: NDArray[np.float64], radius: float, level: int) -> None:
        if level == levels or len(points) < 8:
            return
        middle = points.mean(axis=0)
        axis = np.linalg.svd(points - middle, full_matrices=False)[2][0]
        axis = axis + random.normal(scale=0.15, size=3)
        along = (points - middle) @ axis
        cut = np.quantile(along, random.uniform(0.38, 0.62))
        for part in (points[along <= cut], points[along > cut]):
            share = len(part) / len(points)
            thin = max(radius * share ** (1 / 3), smallest_radius_mm)
            reach = random.uniform(0.5, 0.62)
            tip = node + reach * (part.mean(axis=0) - node) + random.normal(scale=1.5, size=3)
            bend = (node + tip) / 2 + random.normal(scale=0.06 * np.linalg.norm(tip - node), size=3)
            pieces.append((node, bend, min(radius, 1.1 * thin), thin))
            pieces.append((bend, tip, thin, thin))
            divide(tip, part, thin, level + 1)

    divide(trunk_mm[-1], supplied_mm, trunk_radius_mm, 0)
    short = [part for piece in pieces for part in _cut(*piece)]
    return Tree(
        np.array([a for a, _, _, _ in short]),
        np.array([b for _, b, _, _ in short]),
        np.array([(r, s) for _, _, r, s in short]),
    )


def _cut(
    a: NDArray[np.float64], b: NDArray[np.float64], r: float, s: float
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], float, float]]:
    count = max(1, int(np.ceil(float(np.linalg.norm(b - a)) / _MAX_MM)))
    at = np.linspace(0.0, 1.0, count + 1)
    return [(a + (b - a) * t, a + (b - a) * u, r + (s - r) * t, r + (s - r) * u) for t, u in pairwise(at)]


def pad_tree(tree: Tree) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n 2"]]:
    """Returns start, end and radii of `MAX_SEGMENTS` segments, thickest first, padded with the trunk."""
    order = np.argsort(-tree.radius_mm.max(axis=1), kind="stable")[:MAX_SEGMENTS]
    order = np.concatenate([order, np.full(MAX_SEGMENTS - len(order), order[0])])
    start, end, radius = (array[order].astype(np.float32) for array in (tree.start_mm, tree.end_mm, tree.radius_mm))
    return start, end, radius


def vessel_field(
    start_mm: Float[jax.Array, "trees segments 3"],
    end_mm: Float[jax.Array, "trees segments 3"],
    radius_mm: Float[jax.Array, "trees segments 2"],
    origin_mm: Float[jax.Array, "3"],
) -> Float[jax.Array, "i j k trees"]:
    """Computes the signed distance to vessel trees on a grid, (i, j, k, trees), capped at `FAR_MM`.

    Each piece is drawn only in a window around it, so the cost does not grow with the grid.

    Args:
      start_mm: (trees, segments, 3) start of each segment.
      end_mm: (trees, segments, 3) end of each segment.
      radius_mm: (trees, segments, 2) radius at start and end of each segment.
      origin_mm: (3,) position of voxel (0, 0, 0).
    """
    window = jnp.stack(jnp.meshgrid(*[jnp.arange(_WINDOW)] * 3, indexing="ij")).reshape(3, -1)
    limit = jnp.array(FIELD_SHAPE) - _WINDOW

    def draw(field: jax.Array, piece: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        start, end, radius = piece
        middle = ((start + end) / 2 - origin_mm) / FIELD_SPACING_MM
        corner = jnp.clip(jnp.round(middle).astype(jnp.int32) - _WINDOW // 2, 0, limit)
        points = origin_mm[:, None] + (corner[:, None] + window) * FIELD_SPACING_MM
        distance = capsule_distance(points, start[None], end[None], radius[None]).reshape((_WINDOW,) * 3)
        old = jax.lax.dynamic_slice(field, corner, (_WINDOW,) * 3)
        return jax.lax.dynamic_update_slice(field, jnp.minimum(old, distance), corner), None

    empty = jnp.full(FIELD_SHAPE, FAR_MM, jnp.float32)
    trees = [jax.lax.scan(draw, empty, (start_mm[t], end_mm[t], radius_mm[t]))[0] for t in range(start_mm.shape[0])]
    return jnp.stack(trees, axis=-1)


def sample_field(
    field_mm: Float[Array, "i j k c"], origin_mm: Float[Array, "3"], points_mm: Float[jax.Array, "3 n"]
) -> Float[jax.Array, "c n"]:
    """Interpolates a vessel field (i, j, k, c) at points (3, n): (c, n); `FAR_MM` outside its grid."""
    size = jnp.array(FIELD_SHAPE)[:, None]
    at = (points_mm - origin_mm[:, None]) / FIELD_SPACING_MM
    inside = jnp.all((at >= 0) & (at <= size - 1), axis=0)
    low = jnp.clip(jnp.floor(at).astype(jnp.int32), 0, size - 2)
    t = jnp.clip(at - low, 0.0, 1.0)
    flat = field_mm.reshape(-1, field_mm.shape[-1])
    base = (low[0] * FIELD_SHAPE[1] + low[1]) * FIELD_SHAPE[2] + low[2]
    total = jnp.zeros((points_mm.shape[1], field_mm.shape[-1]), field_mm.dtype)
    for corner in range(8):
        i, j, k = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = jnp.where(i, t[0], 1 - t[0]) * jnp.where(j, t[1], 1 - t[1]) * jnp.where(k, t[2], 1 - t[2])
        total += weight[:, None] * flat[base + (i * FIELD_SHAPE[1] + j) * FIELD_SHAPE[2] + k]
    return jnp.where(inside[None], total.T, FAR_MM)
