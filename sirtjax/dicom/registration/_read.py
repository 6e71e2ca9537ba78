"""Reading Spatial and Deformable Spatial Registration objects, ours and other programs'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._parse import parsing, read_dataset
from sirtjax.dicom.registration._write import DEFORMABLE_CLASS, SPATIAL_CLASS
from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.spatial import AffineTransform, DisplacementField, Transform
from sirtjax.volume import Geometry

_KIND = "registration"


@dataclass(frozen=True, kw_only=True, eq=False)
class Registration:
    """A registration object as read.

    Attributes:
      transform: pull, from the fixed frame of reference to the moving one, LPS mm.
      fixed_frame_uid: the frame of the points that the transform accepts.
      moving_frame_uid: the frame that it maps them to; empty if the object names only its images.
    """

    transform: Transform
    fixed_frame_uid: str
    moving_frame_uid: str


def read_registration(
    path: str | Path, *, fixed_frame_uid: str | None = None, moving_frame_uid: str | None = None
) -> Registration:
    """Reads a Spatial or Deformable Spatial Registration as a pull transform.

    The transform maps points of its fixed frame of reference to the moving one.

    Args:
      path: the object.
      fixed_frame_uid: frame of reference of the fixed image. Default: registered frame of the object.
      moving_frame_uid: frame of reference of the moving image. Default: the only other one.

    Raises:
      ImageFormatError: no such object, or damaged, with several frames to choose from, or none that was asked for.
      GeometryError: a matrix or a grid that is not usable, or a deformation that is not defined everywhere.
    """
    path = Path(path)
    dataset = read_dataset(path, _KIND)
    with parsing(path, _KIND):
        sop_class = str(dataset.get("SOPClassUID") or "")
        if sop_class not in (SPATIAL_CLASS, DEFORMABLE_CLASS):
            found = str(dataset.get("Modality") or "") or "unknown"
            raise ImageFormatError(
                f"{path}: expected a Spatial or Deformable Spatial Registration, found modality {found}; "
                "choose another file"
            )
        registered = str(dataset.FrameOfReferenceUID)
        fixed = fixed_frame_uid or registered
        if sop_class == SPATIAL_CLASS:
            return _spatial(path, dataset, registered, fixed, moving_frame_uid)
        return _deformable(path, dataset, registered, fixed, moving_frame_uid)


def _spatial(path: Path, dataset: Dataset, registered: str, fixed: str, moving: str | None) -> Registration:
    items = [(str(item.get("FrameOfReferenceUID") or ""), item) for item in dataset.RegistrationSequence]
    start = next((n for n, (uid, _) in enumerate(items) if uid == fixed), None)
    if start is None and fixed != registered:
        raise ImageFormatError(f"{path}: has no transform for frame of reference {fixed}; choose another registration")
    others = [(uid, item) for n, (uid, item) in enumerate(items) if n != start]
    uid, item = _the_one(path, others, moving)
    registered_from_fixed = np.eye(4) if start is None else _registered_from(path, items[start][1])
    floating_from_reference = np.linalg.inv(_registered_from(path, item)) @ registered_from_fixed
    return Registration(transform=AffineTransform(floating_from_reference), fixed_frame_uid=fixed, moving_frame_uid=uid)


def _deformable(path: Path, dataset: Dataset, registered: str, fixed: str, moving: str | None) -> Registration:
    if fixed != registered:
        raise ImageFormatError(
            f"{path}: starts from frame of reference {registered}, and a deformation goes one way only; "
            f"asked for {fixed}, choose another registration"
        )
    items = [(str(item.SourceFrameOfReferenceUID), item) for item in dataset.DeformableRegistrationSequence]
    # An item without a grid that stands for the registered frame itself says nothing.
    others = [(uid, item) for uid, item in items if uid != registered or item.get("DeformableRegistrationGridSequence")]
    uid, item = _the_one(path, others, moving)
    first, last = (_beside(path, item, f"{when}DeformationMatrixRegistrationSequence") for when in ("Pre", "Post"))
    whole = last @ first
    grids = item.get("DeformableRegistrationGridSequence") or []
    transform: Transform = AffineTransform(whole)
    if grids:
        geometry, vectors = _grid(path, grids[0])
        # The displacement comes after the first matrix; here it comes before all of them.
        back = np.linalg.inv(first[:3, :3])
        if not np.array_equal(back, np.eye(3)):
            vectors = (vectors @ back.T).astype(np.float32)
        plain = np.array_equal(whole, np.eye(4))
        transform = DisplacementField(vectors, geometry, None if plain else whole)
    return Registration(transform=transform, fixed_frame_uid=registered, moving_frame_uid=uid)


def _the_one(path: Path, items: list[tuple[str, Any]], moving: str | None) -> tuple[str, Any]:
    chosen = [(uid, item) for uid, item in items if moving is None or uid == moving]
    if len(chosen) != 1:
        frames = ", ".join(uid or "without a UID" for uid, _ in items) or "none"
        wanted = "one moving frame of reference" if moving is None else f"the moving frame of reference {moving} once"
        raise ImageFormatError(f"{path}: expected {wanted}, found {len(chosen)} ({frames}); specify which to read")
    return chosen[0]


def _registered_from(path: Path, item: Dataset) -> NDArray[np.float64]:
    matrices = item.MatrixRegistrationSequence[0].MatrixSequence
    if len(matrices) != 1:
        raise ImageFormatError(
            f"{path}: {len(matrices)} matrices in a row; expected one, export the registration as a single matrix"
        )
    return _matrix(path, matrices[0])


def _beside(path: Path, item: Dataset, keyword: str) -> NDArray[np.float64]:
    items = item.get(keyword) or []
    return _matrix(path, items[0]) if items else np.eye(4)


def _matrix(path: Path, item: Dataset) -> NDArray[np.float64]:
    values = np.asarray([float(value) for value in item.FrameOfReferenceTransformationMatrix], np.float64)
    matrix = values.reshape(4, 4)
    usable = np.isfinite(matrix).all() and np.array_equal(matrix[3], [0.0, 0.0, 0.0, 1.0])
    if not usable or np.abs(matrix).max() > 1e6 or abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise GeometryError(
            f"{path}: matrix {matrix.tolist()} is not an invertible affine map; export the registration again"
        )
    return matrix


def _grid(path: Path, item: Dataset) -> tuple[Geometry, NDArray[np.float32]]:
    """The deformation grid, its third axis along row x column, and its vectors (i, j, k, 3)."""
    shape = tuple(int(n) for n in item.GridDimensions)
    vectors = np.frombuffer(item.VectorGridData, np.dtype("<f4"))
    if len(shape) != 3 or min(shape) < 1 or vectors.size != 3 * shape[0] * shape[1] * shape[2]:
        raise ImageFormatError(
            f"{path}: a grid of {shape} vectors contains {vectors.size / 3:g} of them; export the registration again"
        )
    if not (np.abs(vectors) < 1e5).all():
        raise GeometryError(
            f"{path}: the deformation is not defined everywhere on its grid (or goes beyond 100 m); export it filled in"
        )
    axes = np.asarray([float(x) for x in item.ImageOrientationPatient], np.float64).reshape(2, 3)
    geometry = Geometry.from_axes(
        shape,
        spacing_mm=[float(x) for x in item.GridResolution],
        origin_mm=[float(x) for x in item.ImagePositionPatient],
        direction=np.column_stack([*axes, np.cross(*axes)]),
    )
    return geometry, np.ascontiguousarray(vectors.reshape(*shape[::-1], 3).transpose(2, 1, 0, 3), np.float32)
