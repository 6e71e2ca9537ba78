"""An initial displacement field for the deformable stage, as coefficients of its splines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sirtjax import spatial
from sirtjax.errors import ConfigError
from sirtjax.registration._config import RegistrationConfig
from sirtjax.spatial import AffineTransform, DisplacementField
from sirtjax.volume import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Singular values below this fraction of the largest are omitted: the splines fade at the faces of the lattice.
_LEAST_SINGULAR = 1e-2


def affine_of_start(start: DisplacementField) -> AffineTransform:
    """Returns the affine map that follows an initial displacement; the identity without one."""
    return AffineTransform(np.asarray(spatial.affine_part(start), np.float64))


def without_affine_stage(config: RegistrationConfig) -> RegistrationConfig:
    """Returns a preset for an initial displacement, whose affine part stays as it is.

    Args:
      config: preset with a deformable stage.

    Raises:
      ConfigError: the preset has no splines of a displacement.
    """
    if config.deformable.model != "displacement":
        raise ConfigError(
            f"preset {config.name} cannot start from a displacement field: its deformable model is "
            f'"{config.deformable.model}", "displacement" is needed'
        )
    affine = config.affine.model_copy(update={"model": "none"})
    return config.model_copy(update={"affine": affine})


def affine_stage_of(config: RegistrationConfig) -> RegistrationConfig:
    """Returns a preset with only the affine stage of this one."""
    deformable = config.deformable.model_copy(update={"model": "none"})
    return config.model_copy(update={"deformable": deformable, "network": None})


def start_coefficients(
    start: DisplacementField, lattice: Geometry, config: RegistrationConfig
) -> tuple[tuple[Float[np.ndarray, "_ _ _ 3"], ...], Float[np.ndarray, "i j k 3"]]:
    """Fits the splines of the deformable stage to a displacement by least squares, from coarse to fine.

    Each finer grid fits what the coarser ones leave.

    Args:
      start: displacement of the reference.
      lattice: working lattice of the reference.
      config: preset.

    Returns:
      The coefficients (a, b, c, 3) of each level in mm, and the part (i, j, k, 3) of the displacement in mm that the
      splines do not represent.
    """
    rest = _on_lattice(start, lattice)
    found = []
    for level in config.deformable.levels:
        matrices = [
            spatial.bspline_matrix(n, controls, taper=config.lattice.edge_taper).astype(np.float64)
            for n, controls in zip(lattice.shape, level.control_points, strict=True)
        ]
        a, b, c = (np.linalg.pinv(matrix, rcond=_LEAST_SINGULAR) for matrix in matrices)
        own = np.einsum("ai,bj,ck,ijkx->abcx", a, b, c, rest, optimize=True)
        rest = rest - np.einsum("ia,jb,kc,abcx->ijkx", *matrices, own, optimize=True)
        found.append(own.astype(np.float32))
    return tuple(found), rest.astype(np.float32)


def _on_lattice(start: DisplacementField, lattice: Geometry) -> NDArray[np.float64]:
    """The displacement (i, j, k, 3) at the nodes of the lattice."""
    if not spatial.are_aligned(start.geometry, lattice):
        nodes = spatial.voxel_centres_mm(lattice)
        sampled = np.asarray(spatial.sample_displacement(start, nodes), np.float64)
        return np.asarray(sampled.reshape(*lattice.shape, 3))
    sampling = spatial.aligned_sampling(start.geometry, lattice, antialias=False)
    parts = [spatial.sample_aligned(np.asarray(start.array)[..., axis], sampling, fill=0.0) for axis in range(3)]
    return np.stack(parts, axis=-1).astype(np.float64)
