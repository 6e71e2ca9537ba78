"""The measurement of a known treatment with its errors, and the estimate from it: one sample of the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NotRequired, TypedDict

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.partial_volume import gaussian_blur
from sirtjax.typing import Array, Scalar
from sirtjax.uncertainty._estimate import apply_model, doses_of_concentration, region_model
from sirtjax.uncertainty._realign import Realignment, realigned_shift_mm
from sirtjax.uncertainty._regions import displaced_distances, moved, regions_of, territory_shares
from sirtjax.uncertainty._treatment import DoseMetrics, TreatmentData
from sirtjax.uncertainty._uptake import UptakeTexture, sampled_uptake

# Smallest and largest volume fraction whose logit is formed: 0 and 1 have none.
EDGE = 0.01
# Smallest dose whose logarithm is formed, Gy.
SMALLEST_GY = 1e-6


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True, eq=False)
class KnownTreatment:
    """A treatment that is simulated: its activity, anatomy and doses are known.

    Attributes:
      concentration: (i, j, k) true concentration, in units of the image.
      distance_mm: (m, i, j, k) signed distances to the true surfaces, as in `regions_of`.
      lung_shunt_fraction: (t,) true lung shunt of each injection.
      truth: true doses of `concentration`.
      noise_fwhm_mm: width of the correlation of the noise of the reconstruction (FWHM).
      noise_scale: standard deviation of the noise over the root of the concentration, for blurred white noise.
      data: constants of the patient.
      texture: uneven uptake, of which each simulation samples another one; None simulates `concentration` itself.
      alignment: alignment of the contours to the image, which each simulation repeats; None does not align them.
      estimate: doses that are estimated from the measured image; None if they are those of `concentration`.
    """

    concentration: Float[Array, "i j k"]
    distance_mm: Float[Array, "m i j k"]
    lung_shunt_fraction: Float[Array, " t"]
    truth: DoseMetrics
    noise_fwhm_mm: Scalar
    noise_scale: Scalar
    data: TreatmentData
    texture: UptakeTexture | None = None
    alignment: Realignment | None = None
    estimate: DoseMetrics | None = None


class MeasurementErrors(TypedDict):
    """The errors of one measurement, as values of sources.

    `shift_mm` (3,) translation of the image relative to the contours, after an alignment if there is one;
    `lesion_shift_mm` (n, 3) further translation of each lesion's contour; `boundary_mm` (n + 1, a, b, c) outward
    displacement of the contours of lesions and liver on a coarse lattice; `territory_mm` (3, d, e, f) that of the
    dividing surfaces. The others are factors about 1, stated over true: `resolution` of the image (true over stated),
    `calibration`, `half_life`, `density` (inverse), `kernel` (range), `lung_mass` (inverse), `residual` (t,) delivered
    part, `shunt` (t,) or one number for all injections, `outside` (all activity over that in liver and lungs). `noise`
    and `uptake` (i, j, k) are independent standard normal numbers; `uptake` is required only for a treatment with a
    `texture`, and `outside` is 1 if it is absent.
    """

    shift_mm: Float[Array, "3"]
    lesion_shift_mm: Float[Array, "n 3"]
    boundary_mm: Float[Array, "b a b_ c"]
    territory_mm: Float[Array, "3 d e f"]
    resolution: Scalar
    calibration: Scalar
    half_life: Scalar
    density: Scalar
    kernel: Scalar
    lung_mass: Scalar
    residual: Float[Array, " t"]
    shunt: Float[Array, " t"] | Scalar
    noise: Float[Array, "i j k"]
    uptake: NotRequired[Float[Array, "i j k"]]
    outside: NotRequired[Scalar]


def known_treatment(
    recovered: Float[Array, "i j k"],
    distance_mm: Float[Array, "m i j k"],
    lung_shunt_fraction: Float[Array, " t"],
    data: TreatmentData,
    *,
    noise_fwhm_mm: Scalar,
    noise_fraction: Scalar,
    texture: UptakeTexture | None = None,
) -> KnownTreatment:
    """Prepares a treatment for many simulated measurements, with what no error changes.

    Args:
      recovered: (i, j, k) true concentration, in units of the image.
      distance_mm: (m, i, j, k) signed distances to the true surfaces, as in `regions_of`.
      lung_shunt_fraction: (t,) true lung shunt of each injection.
      data: constants of the patient.
      noise_fwhm_mm: width of the correlation of the noise (FWHM).
      noise_fraction: standard deviation of the noise at the mean concentration of the liver, relative to it.
      texture: uneven uptake, of which each simulation samples another one.
    """
    regions = regions_of(distance_mm, data.spacing_mm, lesions=data.lesions)
    shares = territory_shares(distance_mm, data.spacing_mm, lesions=data.lesions)
    in_liver = 1.0 - regions[-1]
    image = gaussian_blur(recovered, data.spacing_mm, data.fwhm_mm)
    mean = jnp.sum(image * in_liver) / jnp.maximum(jnp.sum(in_liver), 1e-3)
    # The variance of blurred white noise is the sum of squares of the kernel, away from the faces.
    point = jnp.zeros(image.shape).at[tuple(n // 2 for n in image.shape)].set(1.0)
    kernel = gaussian_blur(point, data.spacing_mm, noise_fwhm_mm)
    return KnownTreatment(
        concentration=recovered,
        distance_mm=distance_mm,
        lung_shunt_fraction=lung_shunt_fraction,
        truth=doses_of_concentration(recovered, distance_mm, regions, shares, lung_shunt_fraction, data),
        noise_fwhm_mm=noise_fwhm_mm,
        noise_scale=noise_fraction * jnp.sqrt(jnp.maximum(mean, 0.0) / jnp.sum(kernel**2)),
        data=data,
        texture=texture,
    )


def log_ratios(errors: MeasurementErrors, known: KnownTreatment) -> DoseMetrics:
    """Computes the logarithm of estimate over truth for one simulated measurement of a known treatment.

    The true activity is blurred, displaced and gets the noise of the reconstruction. The contours are displaced. The
    estimate then treats both as it treats the measured ones. Pass this function to `propagate`, with the treatment as
    `args`. For the volume fraction the result is the difference of the logits.

    Args:
      errors: values of the sources.
      known: the treatment that is simulated.
    """
    data = known.data
    concentration, truth = _sampled_truth(errors, known)
    # An alignment would undo a displacement of the image: it is then added to the contours, after the alignment.
    shift_mm = errors["shift_mm"] if known.alignment is None else None
    image = gaussian_blur(concentration, data.spacing_mm, data.fwhm_mm * errors["resolution"], shift_mm=shift_mm)
    white = gaussian_blur(jnp.asarray(errors["noise"]), data.spacing_mm, known.noise_fwhm_mm)
    # The root has no derivative at 0, which would make the linear propagation NaN for images without background.
    image = image + known.noise_scale * jnp.sqrt(jnp.maximum(image, 1e-12)) * white
    contours = displaced_distances(
        known.distance_mm,
        data.spacing_mm,
        boundary_mm=errors["boundary_mm"],
        lesion_shift_mm=errors["lesion_shift_mm"],
        territory_mm=errors["territory_mm"],
        nodes=data.lattice_nodes,
    )
    regions, shares, model = _modelled(image, contours, data)
    if known.alignment is not None:
        found_mm = realigned_shift_mm(known.alignment, image - model[1])
        steps = (found_mm - errors["shift_mm"]) / jnp.asarray(data.spacing_mm)
        contours = jax.lax.map(lambda one: moved(one, steps), contours)
        regions, shares, model = _modelled(image, contours, data)
    shunt = jnp.asarray(known.lung_shunt_fraction) * errors["shunt"]
    factor = errors["calibration"] * errors["half_life"]
    stated = replace(
        data,
        activity_mbq=data.activity_mbq * factor * errors["residual"] * errors.get("outside", 1.0),
        image_mbq_per_unit=data.image_mbq_per_unit * factor,
        gy_ml_per_mbq=data.gy_ml_per_mbq * errors["density"],
        lung_gy_per_mbq=data.lung_gy_per_mbq * errors["lung_mass"],
    )
    recovered = apply_model(image, *model)
    found = doses_of_concentration(recovered, contours, regions, shares, shunt, stated, kernel=errors["kernel"])
    here, true = transformed(found), transformed(truth)
    return DoseMetrics(*(a - b for a, b in zip(here, true, strict=True)))


def _modelled(
    image: Array, contours: Array, data: TreatmentData
) -> tuple[jax.Array, jax.Array, tuple[jax.Array, jax.Array]]:
    """Regions, territories, and the concentration that fits an image with its blurred image."""
    regions = regions_of(contours, data.spacing_mm, lesions=data.lesions)
    shares = territory_shares(contours, data.spacing_mm, lesions=data.lesions)
    return regions, shares, region_model(image, regions, data, shares=shares)


def _sampled_truth(errors: MeasurementErrors, known: KnownTreatment) -> tuple[Array, DoseMetrics]:
    """The concentration of one simulation and its doses."""
    if known.texture is None:
        return known.concentration, known.truth
    data, distance = known.data, jnp.asarray(known.distance_mm)
    concentration = sampled_uptake(known.concentration, known.texture, errors["uptake"])
    regions = regions_of(distance, data.spacing_mm, lesions=data.lesions)
    shares = territory_shares(distance, data.spacing_mm, lesions=data.lesions)
    doses = doses_of_concentration(concentration, distance, regions, shares, known.lung_shunt_fraction, data)
    return concentration, doses


def transformed(doses: DoseMetrics) -> DoseMetrics:
    """Returns logarithms of doses and logits of volume fractions, whose errors are close to normal."""
    logs = (jnp.log(jnp.maximum(jnp.asarray(values), SMALLEST_GY)) for values in doses)
    part = jnp.clip(jnp.asarray(doses.v_fraction), EDGE, 1.0 - EDGE)
    return DoseMetrics(*logs)._replace(v_fraction=jnp.log(part / (1.0 - part)))
