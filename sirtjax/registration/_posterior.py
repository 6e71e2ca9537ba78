"""The uncertainty of a registration at points: its displacement and the covariance of its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sirtjax import spatial
from sirtjax.errors import ComputationError, InputError
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._ensemble import ensemble_displacements, second_moment
from sirtjax.registration._laplace import curvature_of, point_basis
from sirtjax.registration._pair import ImagePair
from sirtjax.registration._prepare import Masks
from sirtjax.registration._ready import NO_MASKS, make_ready
from sirtjax.registration._register import register
from sirtjax.registration._result import RegistrationResult, Status
from sirtjax.registration._solve import weights_from_config
from sirtjax.spatial import DisplacementField
from sirtjax.volume import Geometry, Volume

PosteriorMethod = Literal["laplace", "ensemble"]
# Before the images are seen, a control value has this standard deviation: where nothing guides, the posterior is wide.
PRIOR_MM = 20.0
# Neighbouring voxels are not independent. The volume that counts as one independent sample, and the factor on the
# standard deviation of an ensemble, make the root mean square of error over standard deviation 1 on 36 pairs with known
# displacement (benchmarks/registration_posterior.py, seeds 1 to 12 and 101 to 124).
INDEPENDENT_MM3 = 6300.0
ENSEMBLE_FACTOR = 4.6
MEMBERS = 8
# Fewer independent samples than this do not determine a deformation.
FEWEST_SAMPLES = 50.0


@dataclass(frozen=True, kw_only=True, eq=False)
class RegistrationPosterior:
    """The displacement of a registration at points, and how uncertain it is.

    Attributes:
      points_mm: (n, 3) points of the reference.
      displacement_mm: (n, 3) displacement to the floating image.
      covariance_mm2: (n, 3, n, 3) covariance of its error, in the reference's frame, with the stated motion.
      unseen_mm: (3,) stated standard deviation of motion that no image shows.
      method: "laplace" or "ensemble".
      independent_samples: number of independent samples that "laplace" counts, otherwise None.
    """

    points_mm: Float[np.ndarray, "n 3"]
    displacement_mm: Float[np.ndarray, "n 3"]
    covariance_mm2: Float[np.ndarray, "n 3 n 3"]
    unseen_mm: Float[np.ndarray, "3"]
    method: PosteriorMethod
    independent_samples: float | None

    @property
    def covariance_at_points_mm2(self) -> Float[np.ndarray, "n 3 3"]:
        """Covariance of each point."""
        return np.stack([self.covariance_mm2[n, :, n, :] for n in range(len(self.points_mm))])

    @property
    def standard_deviation_mm(self) -> Float[np.ndarray, "n 3"]:
        """Standard deviation of each point along each axis."""
        found: np.ndarray = np.sqrt(np.diagonal(self.covariance_at_points_mm2, axis1=1, axis2=2))
        return found


def registration_posterior(
    reference: Volume,
    floating: Volume,
    points_mm: ArrayLike,
    *,
    config: RegistrationConfig,
    method: PosteriorMethod,
    unseen_mm: ArrayLike,
    result: RegistrationResult | None = None,
    reference_masks: Masks = NO_MASKS,
    floating_masks: Masks = NO_MASKS,
    reference_points_mm: ArrayLike | None = None,
    floating_points_mm: ArrayLike | None = None,
    members: int = MEMBERS,
    seed: int = 0,
) -> RegistrationPosterior:
    """Computes the displacement of a registration at points and the covariance of its error.

    "laplace" is a normal approximation at the result. The objective times the number of independent samples is taken as
    minus the logarithm of the posterior density. "ensemble" repeats the registration with other samples, starts and
    weights of the parts of the image. The volume of an independent sample, and the factor from the scatter of an
    ensemble to the error, were found on other pairs with known displacement.

    Neither sees errors of the masks that guide, nor motion that no image shows, such as breathing between CT and SPECT.

    Args:
      reference: image whose space stays unchanged.
      floating: image registered to the reference.
      points_mm: (n, 3) points of the reference, LPS mm, such as the centroids of lesions and liver.
      config: preset of the registration.
      method: "laplace" for a preset with a displacement, or "ensemble".
      unseen_mm: standard deviation along each axis, one number or three, of motion that no image shows.
      result: result of `register` with the same input; None registers first.
      reference_masks: masks of the reference image, by name.
      floating_masks: masks of the floating image, by name.
      reference_points_mm: (m, 3) landmark points that guided.
      floating_points_mm: (m, 3) the same points in the floating image.
      members: number of registrations of the ensemble.
      seed: seed of the random samples.

    Raises:
      GeometryError: input that cannot be registered, as `register`.
      ComputationError: the status of the registration is not a success, or the images determine no deformation.
      InputError: points, `unseen_mm`, number of members or method that cannot be used.
    """
    points = _points(points_mm)
    unseen = _unseen(unseen_mm)
    if method not in ("laplace", "ensemble"):
        raise InputError(f'method: expected "laplace" or "ensemble", got {method!r}')
    if method == "laplace":
        _check_laplace(config)
    elif members < 4:
        raise InputError(f"members: expected at least 4 registrations, got {members}")
    if result is None:
        result = register(
            reference,
            floating,
            config=config,
            reference_masks=reference_masks,
            floating_masks=floating_masks,
            reference_points_mm=reference_points_mm,
            floating_points_mm=floating_points_mm,
            seed=seed,
        )
    if result.status is not Status.SUCCESS:
        raise ComputationError(
            f"registration status {result.status.name}: {result.status.cause}, so its error is unknown; "
            f"{result.status.remedy}"
        )
    ready = make_ready(
        reference,
        floating,
        config=config,
        reference_masks=reference_masks,
        floating_masks=floating_masks,
        reference_points_mm=reference_points_mm,
        floating_points_mm=floating_points_mm,
        start=result.affine,
    )
    _check_inside(points, ready.pair)
    affine = np.asarray(result.affine.floating_from_reference, np.float64)
    to_reference = np.linalg.inv(affine[:3, :3])
    displacement = np.asarray(spatial.transform_points(result.transform, points), np.float64) - points
    nodes = None
    if method == "laplace":
        covariance, nodes = _laplace(
            ready.pair, ready.lattice, affine, points, displacement, to_reference, config, seed
        )
    else:
        keys = jax.random.split(jax.random.key(seed), members)
        found = ensemble_displacements(
            ready.pair, weights_from_config(config.weights), keys, points.astype(np.float32), config=config.structure()
        )
        spread = second_moment(np.asarray(found, np.float64) @ to_reference.T, displacement @ to_reference.T)
        covariance = ENSEMBLE_FACTOR**2 * spread
    if not np.isfinite(covariance).all():
        raise ComputationError(f"the {method} of the registration is NaN or infinite; state the displacement instead")
    # Unseen motion is common to all points.
    covariance = covariance + np.diag(unseen**2)[None, :, None, :]
    return RegistrationPosterior(
        points_mm=points,
        displacement_mm=displacement,
        covariance_mm2=covariance,
        unseen_mm=unseen,
        method=method,
        independent_samples=nodes,
    )


def _laplace(
    pair: ImagePair,
    lattice: Geometry,
    affine: Float[np.ndarray, "4 4"],
    points: Float[np.ndarray, "n 3"],
    displacement: Float[np.ndarray, "n 3"],
    to_reference: Float[np.ndarray, "3 3"],
    config: RegistrationConfig,
    seed: int,
) -> tuple[Float[np.ndarray, "n 3 n 3"], float]:
    _, key = jax.random.split(jax.random.key(seed))
    found = curvature_of(
        pair, affine.astype(np.float32), weights_from_config(config.weights), key, config=config.structure()
    )
    nodes = float(found.compared) * float(np.prod(pair.reference_pitch_mm)) / INDEPENDENT_MM3
    if nodes < FEWEST_SAMPLES:
        raise ComputationError(
            f"laplace: the images have {nodes:.0f} independent samples, at least {FEWEST_SAMPLES:.0f} are needed; "
            "check both images, or state the displacement"
        )
    # The objective is w_I L_I + ...; times nodes / w_I its first term is minus a log-likelihood of the images.
    scale = nodes * float(found.scale) / config.weights.image
    image, others = (np.asarray(one, np.float64) for one in (found.image, found.others))
    precision = nodes * image + scale * (others + others.T) / 2 + np.eye(len(image)) / PRIOR_MM**2
    basis = point_basis(points, pair, config)
    rows = np.kron(np.eye(3), basis)  # (3 n, 3 c), axis first
    covariance = rows @ _solve_positive(precision, rows.T)
    n = len(points)
    spread = covariance.reshape(3, n, 3, n).transpose(1, 0, 3, 2)
    u = DisplacementField(np.asarray(found.displacement_mm), lattice, affine)
    away = (spatial.transform_points(u, points) - points - displacement) @ to_reference.T
    return spread + np.einsum("ia,jb->iajb", away, away), nodes


def _solve_positive(matrix: Float[np.ndarray, "c c"], right: Float[np.ndarray, "c m"]) -> Float[np.ndarray, "c m"]:
    # A barrier against folding can bend down; no direction may be surer than the others allow, nor unbounded.
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    found: np.ndarray = vectors @ ((vectors.T @ right) / np.maximum(values, 1.0 / PRIOR_MM**2)[:, None])
    return found


def _check_laplace(config: RegistrationConfig) -> None:
    if config.deformable.model != "displacement":
        raise InputError(
            f'method "laplace": preset {config.name} has deformable.model {config.deformable.model!r}, expected '
            '"displacement"; use method "ensemble"'
        )
    if config.similarity.kind == "normalised_mutual_information" or not config.weights.image > 0:
        raise InputError(
            f'method "laplace": the objective of preset {config.name} cannot be read as a log-likelihood; '
            'use method "ensemble"'
        )


def _check_inside(points: Float[np.ndarray, "n 3"], pair: ImagePair) -> None:
    """Refuses points whose surroundings were not compared: there the deformation is only continued."""
    near = np.asarray(pair.reference_near)
    index = np.round((points - np.asarray(pair.reference_origin_mm)) / np.asarray(pair.reference_pitch_mm)).astype(int)
    for number, at in enumerate(index):
        if not all(0 <= i < n for i, n in zip(at, near.shape, strict=True)) or near[tuple(at)] <= 0:
            raise InputError(
                f"points_mm: point {number} at {points[number].round(1).tolist()} mm is outside the region that the "
                "registration compared; choose points in the liver"
            )


def _points(points_mm: ArrayLike) -> Float[np.ndarray, "n 3"]:
    points = np.asarray(points_mm, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points) or not np.isfinite(points).all():
        raise InputError(f"points_mm: expected finite numbers (n, 3), got shape {points.shape}")
    return points


def _unseen(unseen_mm: ArrayLike) -> Float[np.ndarray, "3"]:
    values = np.asarray(unseen_mm, np.float64)
    if values.shape not in ((), (3,)) or not np.isfinite(values).all() or (values < 0).any():
        raise InputError(f"unseen_mm: expected one or three finite numbers of at least 0, got {values.tolist()}")
    return np.broadcast_to(values, (3,)).copy()
