from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import InputError
from sirtjax.volume import bounding_box

if TYPE_CHECKING:
    from scipy.spatial import KDTree  # loaded on first use, because it takes a fifth of a second

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
_Passages = tuple[Indices, Floats, Floats]

# Largest number of parts into which a facet is divided along a side.
_MAX_PARTS = 16

# Taubin's smoothing: a step towards the mean of the neighbours, then one away from it, which gives back what the
# first took from shapes wider than about 20 vertices: 1/0.5 - 1/0.513 = 0.05 is where the two cancel.
_INWARD, _OUTWARD = 0.5, 0.513
_ROUNDS = 25
_FARTHEST_VOXELS = 0.5
# Narrower shapes shrink. They are then moved back by their mean distance from the passages, taken over neighbourhoods
# wider than a terrace: the standard deviation of 60 means of a vertex and its neighbours is about 4 vertices.
_RETURNS, _MEANS = 6, 60


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceMesh:
    """A surface of quadrilateral facets, each divided into two triangles along its corners 0 and 2.

    Attributes:
      corners_mm: (n, 4, 3) corners of each facet, in order around it.
    """

    corners_mm: Float64[np.ndarray, "n 4 3"]

    @cached_property
    def areas_mm2(self) -> Float64[np.ndarray, " n"]:
        """Area of each facet, (n,)."""
        a, b, c, d = np.moveaxis(self.corners_mm, 1, 0)
        one, two = np.cross(b - a, c - a), np.cross(c - a, d - a)
        return np.asarray((np.linalg.norm(one, axis=-1) + np.linalg.norm(two, axis=-1)) / 2)

    @cached_property
    def centres_mm(self) -> Float64[np.ndarray, "n 3"]:
        """A point on each facet: the middle of the diagonal that its two triangles share, (n, 3)."""
        return np.asarray((self.corners_mm[:, 0] + self.corners_mm[:, 2]) / 2)

    @cached_property
    def centre_tree(self) -> KDTree:
        """The points of `centres_mm`, ready to be searched."""
        from scipy.spatial import KDTree

        return KDTree(self.centres_mm)


def extract_surface(values: ArrayLike, affine: ArrayLike) -> SurfaceMesh:
    """Extracts the surface of a mask, or of an occupancy at one half, with sub-voxel accuracy.

    Between two neighbouring voxel centres of which one is inside, the surface passes where the linearly
    interpolated value is 0.5: half-way for a mask. Each cell between eight voxel centres has one vertex, the
    mean of the passages on its edges; around each passage the vertices of the four cells that share the edge
    make a facet (surface nets). The terraces that voxels leave on a slanted surface are smoothed away, each vertex by
    no more than half a voxel along each axis. The smoothed surface is on average where the passages are, over about
    ten voxels along the surface. So parts one voxel wide retain their width, but edges and corners are rounded, and
    blocks of two or three voxels become balls of about their volume. Long facets, as on anisotropic grids, are divided.
    Voxels outside the array are background.

    Args:
      values: (i, j, k) booleans, or occupancies from 0 to 1.
      affine: (4, 4) map from voxel index to mm.

    Raises:
      InputError: the mask is empty (no voxel reaches 0.5), or is not three-dimensional.

    Reference:
      Gibson S. Constrained elastic surface nets. MICCAI 1998. Taubin G. A signal processing approach to fair surface
      design. SIGGRAPH 1995.
    """
    array = np.asarray(values)
    if array.ndim != 3:
        raise InputError(f"a surface needs a mask of three dimensions, got shape {array.shape}")
    inside = array if array.dtype == bool else array >= 0.5
    if not inside.any():
        raise InputError("the mask is empty (no voxel reaches 0.5), so it has no surface; check the label")
    padded, origin = _with_background(array, inside)
    passages = [_passages(padded, axis) for axis in range(3)]
    cells, vertices = _cell_vertices(padded.shape, passages)
    quads = [
        np.searchsorted(cells, _cells_around(padded.shape, edges, axis)) for axis, (edges, _, _) in enumerate(passages)
    ]
    places, turns = (np.concatenate([passage[n] for passage in passages]) for n in (1, 2))
    vertices = _relaxed(vertices, np.concatenate(quads), places, turns)
    matrix = np.asarray(affine, np.float64)
    points = (vertices + origin) @ matrix[:3, :3].T + matrix[:3, 3]
    steps_mm = np.linalg.norm(matrix[:3, :3], axis=0)
    pieces = [_cut(points[quads[axis]], *steps_mm[_others(axis)]) for axis in range(3)]
    return SurfaceMesh(corners_mm=np.concatenate(pieces))


def _with_background(array: NDArray[np.generic], inside: NDArray[np.bool_]) -> tuple[Floats, Indices]:
    """The box of the mask with the values next to it, at least one voxel on each side; and where it begins."""
    start, stop = bounding_box(inside, margin=1)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    return np.pad(array[box].astype(np.float64), 1), np.asarray(start) - 1


def _others(axis: int) -> list[int]:
    return [a for a in range(3) if a != axis]


def _passages(values: Floats, axis: int) -> _Passages:
    """The crossings of the surface with edges along an axis.

    First ends of the edges (n, 3), places of the crossings (n, 3), and 1 if the order of `_cells_around` runs
    counter-clockwise when seen from outside, otherwise -1, (n,).
    """
    first = values[tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))]
    second = values[tuple(slice(1, None) if a == axis else slice(None) for a in range(3))]
    edges = np.argwhere((first >= 0.5) != (second >= 0.5))
    ends = tuple(edges.T)
    places = edges.astype(np.float64)
    places[:, axis] += (0.5 - first[ends]) / (second[ends] - first[ends])
    # i x k points against j.
    return edges, places, np.where((first[ends] >= 0.5) == (axis != 1), 1.0, -1.0)


def _cells_around(shape: tuple[int, ...], edges: Indices, axis: int) -> Indices:
    """Flat indices of the four cells that share each edge, in order around it, (n, 4)."""
    one, two = _others(axis)
    strides = (shape[1] * shape[2], shape[2], 1)
    here = edges @ np.asarray(strides)
    around = [-strides[one] - strides[two], -strides[two], 0, -strides[one]]
    return np.asarray(here[:, None] + np.asarray(around))


def _cell_vertices(shape: tuple[int, ...], passages: list[_Passages]) -> tuple[Indices, Floats]:
    """Cells with a passage on one of their edges, ascending, and the mean of the passages of each, (n, 3)."""
    owners, positions = [], []
    for axis, (edges, places, _) in enumerate(passages):
        owners.append(_cells_around(shape, edges, axis).ravel())
        positions.append(np.repeat(places, 4, axis=0))
    cells, cell_of = np.unique(np.concatenate(owners), return_inverse=True)
    summed = np.stack([np.bincount(cell_of, weights=x) for x in np.concatenate(positions).T], axis=-1)
    return cells, summed / np.bincount(cell_of)[:, None]


def _relaxed(vertices: Floats, quads: Indices, places: Floats, turns: Floats) -> Floats:
    """The vertices with the terraces of the voxels smoothed, none farther than half a voxel from where it was.

    Args:
      vertices: (n, 3) vertices.
      quads: (m, 4) vertices of the facets.
      places: (m, 3) the passage in the middle of each facet.
      turns: (m,) 1 for facets that are counter-clockwise when seen from outside, otherwise -1.
    """
    from scipy import sparse

    following = np.roll(quads, -1, axis=1)
    first, second = np.concatenate([quads, following]).ravel(), np.concatenate([following, quads]).ravel()
    count = len(vertices)
    linked = sparse.csr_matrix((np.ones(first.size), (first, second)), shape=(count, count))
    linked.data[:] = 1.0  # two facets share an edge, which counts once
    share = 1 / np.asarray(linked.sum(axis=1))
    facets = sparse.csr_matrix(
        (np.ones(quads.size), (quads.ravel(), np.repeat(np.arange(len(quads)), 4))), shape=(count, len(quads))
    )
    facet_share = 1 / np.asarray(facets.sum(axis=1))
    low, high = vertices - _FARTHEST_VOXELS, vertices + _FARTHEST_VOXELS
    moved = vertices
    for _ in range(_ROUNDS):
        for step in (_INWARD, -_OUTWARD):
            moved = moved + step * (share * (linked @ moved) - moved)
        moved = np.clip(moved, low, high)
    for _ in range(_RETURNS):
        a, b, c, d = np.moveaxis(moved[quads], 1, 0)
        normals = _unit(np.cross(c - a, d - b) * turns[:, None])
        shortfall = np.einsum("fx,fx->f", places - (a + b + c + d) / 4, normals)
        outward = facet_share * (facets @ shortfall[:, None])
        for _ in range(_MEANS):
            outward = (outward + share * (linked @ outward)) / 2
        moved = np.clip(moved + outward * _unit(facets @ normals), low, high)
    return moved


def _unit(vectors: Floats) -> Floats:
    """Vectors (n, 3) divided by their length; zero where they vanish."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 1e-12, length, np.inf))


def _cut(corners: Floats, length_mm: float, width_mm: float) -> Floats:
    """Facets cut into pieces about as long as wide; their sides lie along the two given steps of the grid."""
    parts_u = int(np.clip(round(length_mm / width_mm), 1, _MAX_PARTS))
    parts_v = int(np.clip(round(width_mm / length_mm), 1, _MAX_PARTS))
    if parts_u == parts_v == 1:
        return corners
    u, v = np.linspace(0, 1, parts_u + 1)[:, None, None], np.linspace(0, 1, parts_v + 1)[:, None]
    a, b, c, d = (x[:, None, None] for x in np.moveaxis(corners, 1, 0))
    net = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c)
    pieces = np.stack([net[:, :-1, :-1], net[:, 1:, :-1], net[:, 1:, 1:], net[:, :-1, 1:]], axis=3)
    return np.asarray(pieces.reshape(-1, 4, 3))
