"""The measurement of a known activity with its errors, and the estimate from it: one sample of the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.partial_volume import gaussian_blur
from sirtjax.typing import Array, Scalar
from sirtjax.uncertainty._estimate import (
    DoseMetrics,
    TreatmentData,
    deposited_dose_gy,
    dose_metrics,
    recovered_concentration,
    regions_of,
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True, eq=False)
class KnownTreatment:
    """A treatment that is simulated: its activity and anatomy are known.

    Attributes:
      concentration: (i, j, k) true concentration, in any unit.
      distance_mm: (m, i, j, k) signed distance to the true surfaces of the lesions and, last, of the liver.
      lung_shunt_fraction: true lung shunt.
      noise_fwhm_mm: width of the correlation of the noise of the reconstruction (FWHM).
      noise_fraction: standard deviation of the noise at the mean concentration of the liver, relative to it.
      data: constants of the patient.
    """

    concentration: Float[Array, "i j k"]
    distance_mm: Float[Array, "m i j k"]
    lung_shunt_fraction: Scalar
    noise_fwhm_mm: Scalar
    noise_fraction: Scalar
    data: TreatmentData


class MeasurementErrors(TypedDict):
    """The errors of one measurement, as values of sources.

    `shift_mm` (3,) translation of the image relative to the contours; `boundary_mm` (m, a, b, c) displacement of each
    contour on a coarse lattice, outward; `resolution` true over stated resolution; `calibration` measured over true
    activity; `shunt` measured over true lung shunt; `density` assumed over true density, inverse; `noise` (i, j, k)
    independent standard normal numbers.
    """

    shift_mm: Float[Array, "3"]
    boundary_mm: Float[Array, "m a b c"]
    resolution: Scalar
    calibration: Scalar
    shunt: Scalar
    density: Scalar
    noise: Float[Array, "i j k"]


def log_ratios(errors: MeasurementErrors, known: KnownTreatment) -> DoseMetrics:
    """Computes the logarithm of estimate over truth for one simulated measurement of a known treatment.

    The true activity is blurred, displaced and gets the noise of the reconstruction. The contours are displaced. The
    estimate then treats both as it treats the measured ones. Pass this function to `propagate`, with the treatment as
    `args`.

    Args:
      errors: values of the sources.
      known: the treatment that is simulated.
    """
    data = known.data
    regions = regions_of(known.distance_mm, data.spacing_mm)
    truth = dose_metrics(
        deposited_dose_gy(known.concentration, 1.0 - regions[-1], known.lung_shunt_fraction, data),
        regions,
        known.lung_shunt_fraction,
        data,
    )
    image = gaussian_blur(
        known.concentration, data.spacing_mm, data.fwhm_mm * errors["resolution"], shift_mm=errors["shift_mm"]
    )
    image = image + _noise(errors["noise"], image, 1.0 - regions[-1], known)
    field = boundary_field(errors["boundary_mm"], known.distance_mm.shape[1:])
    # A contour is never wrong by more than half of the depth of its structure: small lesions do not vanish.
    limit = 0.5 * jnp.max(-known.distance_mm, axis=(1, 2, 3), keepdims=True)
    contours = known.distance_mm - limit * jnp.tanh(field / limit)
    drawn = regions_of(contours, data.spacing_mm)
    shunt = known.lung_shunt_fraction * errors["shunt"]
    recovered = recovered_concentration(image, drawn, data)
    dose_gy = deposited_dose_gy(recovered, 1.0 - drawn[-1], shunt, data)
    found = dose_metrics(dose_gy * errors["calibration"] * errors["density"], drawn, shunt, data)
    found = found._replace(lung_gy=found.lung_gy * errors["calibration"])
    return DoseMetrics(*(_log_ratio(a, b) for a, b in zip(found, truth, strict=True)))


def boundary_field(lattice: Float[Array, "m a b c"], shape: tuple[int, ...]) -> Float[jax.Array, "m i j k"]:
    """Interpolates displacements on a coarse lattice to the grid, with the same variance everywhere.

    Linear interpolation between independent numbers has less variance between the nodes. Each weight is therefore
    divided by the root of the sum of squares of the weights.

    Args:
      lattice: (m, a, b, c) independent displacements; the outermost nodes are at the faces of the grid.
      shape: (3,) shape of the grid.
    """
    found: jax.Array = jnp.asarray(lattice)
    for axis, size in enumerate(shape):
        weights = _weights(found.shape[axis + 1], size)
        found = jnp.moveaxis(jnp.tensordot(found, weights, axes=((axis + 1,), (1,))), -1, axis + 1)
    return found


def _weights(nodes: int, size: int) -> np.ndarray:
    position = np.linspace(0.0, nodes - 1.0, size)[:, None]
    hat = np.maximum(0.0, 1.0 - np.abs(position - np.arange(nodes)))
    unit: np.ndarray = hat / np.sqrt((hat**2).sum(axis=1, keepdims=True))
    return unit.astype(np.float32)


def _noise(white: Array, image: jax.Array, in_liver: jax.Array, known: KnownTreatment) -> jax.Array:
    """Correlated noise whose variance is proportional to the image, as of counts."""
    spacing = known.data.spacing_mm
    blurred = gaussian_blur(jnp.asarray(white), spacing, known.noise_fwhm_mm)
    # The variance of blurred white noise is the sum of squares of the kernel, away from the faces.
    point = jnp.zeros_like(image).at[tuple(n // 2 for n in image.shape)].set(1.0)
    kernel = gaussian_blur(point, spacing, known.noise_fwhm_mm)
    unit = blurred / jnp.sqrt(jnp.sum(kernel**2))
    mean = jnp.sum(image * in_liver) / jnp.sum(in_liver)
    found: jax.Array = jnp.sqrt(jnp.maximum(image, 0.0) * mean) * unit * jnp.asarray(known.noise_fraction)
    return found


def _log_ratio(found: Scalar | Array, truth: Scalar | Array) -> jax.Array:
    return jnp.log(jnp.maximum(jnp.asarray(found), 1e-6)) - jnp.log(jnp.maximum(jnp.asarray(truth), 1e-6))
