"""The uncertainty of the registration of a case, for the translation of image and lesions in the simulations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sirtjax import registration
from sirtjax.errors import ComputationError, ConfigError
from sirtjax.registration import PosteriorMethod, RegistrationPosterior
from sirtjax.workflows._alignment import registration_config
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_uncertainty import RegistrationSourceTable
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._setting import DosimetryContext

AlongAxes = tuple[float, float, float]


@dataclass(frozen=True)
class RegistrationSpread:
    """Standard deviations along x, y and z (LPS), in mm.

    Attributes:
      shift_mm: translation at the centroid of the liver, with the stated floor.
      lesion_shift_mm: further translation of the lesion for which it is largest.
    """

    shift_mm: AlongAxes
    lesion_shift_mm: AlongAxes


def posterior_method(table: RegistrationSourceTable | None) -> PosteriorMethod | None:
    """Returns how the posterior of the registration is computed; None if the case takes none."""
    size = None if table is None else table.size_mm
    return size if size == "laplace" or size == "ensemble" else None


def check_posterior(case: Case, table: RegistrationSourceTable | None) -> None:
    """Raises if the posterior of the registration cannot be computed for a case.

    Args:
      case: the case.
      table: source of the case.

    Raises:
      ConfigError: no registration of two images, or one without a deformation for "laplace".
    """
    method = posterior_method(table)
    if method is None:
        return
    own = case.registration
    if own is None or not own.computed or case.images.diagnostic is None:
        raise ConfigError(
            f'uncertainty.registration.size_mm = "{method}" requires [registration] with method "deformable", '
            '"network", "affine" or "rigid" and a diagnostic image; state the three standard deviations instead'
        )
    if method == "laplace" and own.method not in ("deformable", "network"):
        raise ConfigError(
            f'uncertainty.registration.size_mm = "laplace" requires registration.method = "deformable", got '
            f'"{own.method}"; use "ensemble"'
        )


def registration_spread(
    case: Case, products: AllStepResults, setting: DosimetryContext, table: RegistrationSourceTable | None
) -> RegistrationSpread | None:
    """Returns the uncertainty of the registration at liver and lesions; None if the case states it.

    Args:
      case: the case.
      products: results of the steps, with the registration.
      setting: VOIs of the case.
      table: source of the case.

    Raises:
      ComputationError: the registration was no success, or was replaced by a function of the caller.
      InputError: as `registration.registration_posterior`.
    """
    method = posterior_method(table)
    if method is None or table is None or table.floor_mm is None:
        return None
    found, images, guides = products.registration, products.images, products.registration.guides
    if case.registration is None or guides is None or images.ct is None or images.diagnostic is None:
        raise ComputationError(f'uncertainty.registration.size_mm = "{method}": the case has no registration of images')
    names = ["liver", *(voi.name for voi in setting.vois if voi.kind == "lesion")]
    weights = {voi.name: voi.weight for voi in setting.vois}
    weights["liver"] = setting.mapped.occupancy["liver"]
    points = np.stack([_centroid_mm(weights[name], setting.mapped.geometry.affine) for name in names])
    posterior = registration.registration_posterior(
        images.ct.volume,
        images.diagnostic.volume,
        points,
        config=registration_config(case.registration, guides),
        method=method,
        unseen_mm=table.floor_mm,
        result=found.result,
        reference_masks=guides.reference_masks,
        floating_masks=guides.floating_masks,
        reference_points_mm=guides.reference_points_mm,
        floating_points_mm=guides.floating_points_mm,
    )
    return spread_of(posterior)


def spread_of(posterior: RegistrationPosterior) -> RegistrationSpread:
    """Returns the translation of the first point, and the further translation of the others.

    The simulations take both as independent. The further variance is therefore that of the lesion minus that of the
    first point: together they give the variance of the lesion.

    Args:
      posterior: posterior at the centroid of the liver and at those of the lesions.
    """
    variance = posterior.standard_deviation_mm**2
    further = np.maximum(variance[1:] - variance[0], 0.0).max(axis=0, initial=0.0)
    return RegistrationSpread(shift_mm=_three(np.sqrt(variance[0])), lesion_shift_mm=_three(np.sqrt(further)))


def _three(values: Float[np.ndarray, "3"]) -> AlongAxes:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _centroid_mm(weight: Float[np.ndarray, "i j k"], affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "3"]:
    """Centroid of a VOI in the patient (LPS)."""
    whole = weight.sum(dtype=np.float64)
    middle = [
        (np.arange(n) * weight.sum(axis=tuple(other for other in range(3) if other != axis), dtype=np.float64)).sum()
        for axis, n in enumerate(weight.shape)
    ]
    found: np.ndarray = np.asarray(affine)[:3, :3] @ (np.array(middle) / max(whole, 1e-9)) + np.asarray(affine)[:3, 3]
    return found
