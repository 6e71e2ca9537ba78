from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.compilation_cache import cached_jit
from sirtjax.phantom._anatomy import Sample, paint, shapes_at
from sirtjax.phantom._parameters import Anatomy
from sirtjax.phantom._pose import Pose, identity_pose
from sirtjax.phantom._tissues import TISSUES
from sirtjax.volume import Geometry

# One program serves every grid of every patient: points go through it in pieces of this size.
CHUNK = 1 << 14
CHANNELS = 5
_AWAY_MM = 1e3
_BLOCK = 4

# Two programs rather than one: XLA computes shared distances again for every layer it fuses them into.
_shapes = cached_jit(shapes_at)
_paint = cached_jit(paint)


def evaluate_points(
    anatomy: Anatomy,
    pose: Pose,
    points_mm: Float[np.ndarray, "3 n"],
    *,
    table: Float[np.ndarray, "tissues channels"] | None = None,
    blur_mm: float = 1.0,
    vessels: bool = True,
) -> Sample:
    """Evaluates the anatomy at points (3, n) of a session, with one program for any n. NumPy in and out.

    Args:
      anatomy: the patient.
      pose: position of the patient in this session.
      points_mm: (3, n) positions in the session's frame.
      table: (`TISSUES`, c) values in up to 5 channels; without it only the labels are of use.
      blur_mm: width over which values mix at a surface.
      vessels: whether the vessels inside the liver show in the values.
    """
    count = points_mm.shape[1]
    wide = np.zeros((TISSUES, CHANNELS), np.float32)
    channels = 0 if table is None else table.shape[1]
    if table is not None:
        wide[:, :channels] = table
    anatomy, pose, wide, blur, weight = jax.device_put((anatomy, pose, wide, np.float32(blur_mm), np.float32(vessels)))
    pieces = []
    for start in range(0, count, CHUNK):
        piece = np.ascontiguousarray(points_mm[:, start : start + CHUNK], np.float32)
        short = CHUNK - piece.shape[1]
        if short:
            piece = np.concatenate([piece, np.broadcast_to(piece[:, -1:], (3, short))], axis=1)
        pieces.append(_paint(_shapes(anatomy, pose, piece), wide, blur, weight))
    joined = Sample(
        *(np.concatenate([np.asarray(part) for part in field])[:count] for field in zip(*pieces, strict=True))
    )
    return joined._replace(value=joined.value[:, :channels])


def evaluate_grid(
    anatomy: Anatomy,
    pose: Pose,
    geometry: Geometry,
    *,
    table: Float[np.ndarray, "tissues channels"] | None = None,
    vessels: bool = True,
) -> Sample:
    """Evaluates the anatomy at every voxel of a grid; the fields of the sample have its shape.

    Args:
      anatomy: the patient.
      pose: pose of the patient.
      geometry: the grid.
      table: values of each tissue, see `evaluate_points`.
      vessels: whether to evaluate the vessels, see `evaluate_points`.
    """
    blur_mm = float(np.cbrt(np.prod(geometry.spacing_mm)))
    points = grid_points_mm(geometry)
    near = _may_hold_patient(anatomy, pose, geometry, blur_mm=blur_mm)
    inside = evaluate_points(anatomy, pose, points[:, near], table=table, blur_mm=blur_mm, vessels=vessels)
    air = Sample(*(np.zeros((1, *field.shape[1:]), field.dtype) for field in inside))
    away = np.full(1, _AWAY_MM, np.float32)
    air = air._replace(liver_mm=away, skin_mm=away)
    if table is not None:
        air = air._replace(value=np.asarray(table[:1], np.float32))
    full = []
    for here, outside in zip(inside, air, strict=True):
        field = np.empty((points.shape[1], *here.shape[1:]), here.dtype)
        field[:] = outside
        field[near] = here
        full.append(field.reshape(*geometry.shape, *here.shape[1:]))
    return Sample(*full)


def _may_hold_patient(anatomy: Anatomy, pose: Pose, geometry: Geometry, *, blur_mm: float) -> NDArray[np.bool_]:
    # The skin seen from the middle of every block of 4x4x4 voxels tells which blocks are all air. Half as much
    # again allows for the distance being first order only.
    blocks = [-(-n // _BLOCK) for n in geometry.shape]
    affine = geometry.affine
    affine[:3, 3] = geometry.to_world([(_BLOCK - 1) / 2] * 3)
    affine[:3, :3] *= _BLOCK
    middles = grid_points_mm(Geometry.from_affine(blocks, affine))
    reach_mm = (_BLOCK - 1) / 2 * float(np.linalg.norm(geometry.spacing_mm))
    skin_mm = np.asarray(evaluate_points(anatomy, pose, middles).skin_mm)
    near = (skin_mm < 1.5 * reach_mm + blur_mm).reshape(blocks)
    for axis, count in enumerate(geometry.shape):
        near = np.repeat(near, _BLOCK, axis=axis).take(np.arange(count), axis=axis)
    flat: NDArray[np.bool_] = near.ravel()
    return flat


def grid_points_mm(geometry: Geometry) -> Float[np.ndarray, "3 n"]:
    """Returns the world position (3, n) of every voxel centre, with the last index fastest."""
    affine = geometry.affine
    i, j, k = (np.arange(n, dtype=np.float64) for n in geometry.shape)
    points = np.empty((3, *geometry.shape), np.float32)
    for axis in range(3):
        a, b, c, t = affine[axis]
        points[axis] = (a * i + t)[:, None, None] + (b * j)[None, :, None] + (c * k)[None, None, :]
    return points.reshape(3, -1)


def liver_distance(anatomy: Anatomy) -> Callable[[Float[np.ndarray, "3 n"]], Float[np.ndarray, " n"]]:
    """Computes the signed distance (mm) of points (3, n) to the liver surface, in the diagnostic frame."""
    pose = identity_pose()

    def distance(points_mm: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(evaluate_points(anatomy, pose, points_mm).liver_mm)

    return distance
