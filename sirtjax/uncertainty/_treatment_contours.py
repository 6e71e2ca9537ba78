"""Dependence of the doses of a treatment on its contours, through partial-volume correction and calibration."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.typing import Array
from sirtjax.uncertainty._contours import PATCH_MM2, ContourMetric, ContourSensitivity, contour_sensitivity
from sirtjax.uncertainty._estimate import deposited_dose_gy, recovered_concentration
from sirtjax.uncertainty._regions import regions_of, territory_shares
from sirtjax.uncertainty._treatment import TreatmentData


def treatment_contour_sensitivity(
    image: Float[Array, "i j k"],
    distance_mm: Float[Array, "m i j k"],
    lung_shunt_fraction: Float[Array, " t"],
    data: TreatmentData,
    metrics: Sequence[ContourMetric],
    *,
    regions: Float[Array, "q i j k"] | None = None,
    patch_mm2: float = PATCH_MM2,
) -> ContourSensitivity:
    """Computes how the corrected doses of lesions change if the contours of a treatment move.

    Every step depends on the contours: the correction of the partial-volume effect, the calibration of a relative image
    to the activity of each territory, and the VOI itself. Image, resolution, activity and lung shunt are held fixed.

    Args:
      image: (i, j, k) measured concentration, aligned with the contours.
      distance_mm: (n + t + 1, i, j, k) signed distances as in `treatment_intervals`.
      lung_shunt_fraction: (t,) lung shunt of each injection.
      data: constants of the patient.
      metrics: doses to differentiate; `voi` is the index of a region: a lesion, or n + the index of a territory for its
        normal tissue.
      regions: (q, i, j, k) weight of each region of displaced contours; default one region, everywhere.
      patch_mm2: area of the patch.

    Raises:
      InputError: as `contour_sensitivity`.
    """
    args = (jnp.asarray(image), jnp.asarray(lung_shunt_fraction), data)
    return contour_sensitivity(
        _dose_and_tissue, distance_mm, data.spacing_mm, metrics, args=args, regions=regions, patch_mm2=patch_mm2
    )


def _dose_and_tissue(
    distance_mm: jax.Array, image: jax.Array, lung_shunt_fraction: jax.Array, data: TreatmentData
) -> tuple[jax.Array, jax.Array]:
    regions = regions_of(distance_mm, data.spacing_mm, lesions=data.lesions)
    shares = territory_shares(distance_mm, data.spacing_mm, lesions=data.lesions)
    recovered = recovered_concentration(image, regions, data)
    dose_gy = deposited_dose_gy(recovered, 1.0 - regions[-1], shares, lung_shunt_fraction, data)
    return dose_gy, regions[:-1]
