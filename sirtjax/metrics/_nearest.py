from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.metrics._surface_mesh import SurfaceMesh

Floats = NDArray[np.float64]

# Facets whose centres are the nearest, among which the nearest facet is looked for; points at a time.
_CANDIDATES = 4
_CHUNK = 20_000


def distance_to_surface_mm(points_mm: Float[np.ndarray, "n 3"], surface: SurfaceMesh) -> Float[np.ndarray, " n"]:
    """Computes the distance of each point (n, 3) to the nearest point of a surface, (n,).

    Exact to the triangles of the facets whose centres are the nearest, which for facets as long as wide is the
    distance to the surface itself except for a small part of a facet's size.
    """
    wanted = min(_CANDIDATES, len(surface.corners_mm))
    result = np.empty(len(points_mm))
    for start in range(0, len(points_mm), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        points = points_mm[chunk]
        _, nearest = surface.centre_tree.query(points, k=wanted)
        corners = surface.corners_mm[nearest.reshape(len(points), wanted)]
        a, b, c, d = (corners[:, :, n] - points[:, None] for n in range(4))
        squared = np.minimum(_squared_to_triangle(a, b, c), _squared_to_triangle(a, c, d))
        result[chunk] = np.sqrt(squared.min(axis=1))
    return result


def _squared_to_triangle(a: Floats, b: Floats, c: Floats) -> Floats:
    """Squared distance of the origin to triangles, corners (..., 3)."""
    normal = np.cross(b - a, c - a)
    length = _dot(normal, normal)
    # The foot of the perpendicular is inside the triangle if it is on the inner side of all three edges.
    inner = [_dot(np.cross(q - p, -p), normal) >= 0 for p, q in ((a, b), (b, c), (c, a))]
    over = inner[0] & inner[1] & inner[2] & (length > 0)
    to_plane = _dot(a, normal) ** 2 / np.where(length > 0, length, 1)
    to_edges = np.minimum(np.minimum(_squared_to_edge(a, b), _squared_to_edge(b, c)), _squared_to_edge(c, a))
    return np.where(over, np.minimum(to_plane, to_edges), to_edges)


def _squared_to_edge(a: Floats, b: Floats) -> Floats:
    along = b - a
    length = _dot(along, along)
    place = np.clip(-_dot(a, along) / np.where(length > 0, length, 1), 0, 1)
    nearest = a + place[..., None] * along
    return _dot(nearest, nearest)


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("...x,...x->...", a, b))
