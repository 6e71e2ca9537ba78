"""The corrected dose of VOIs from an activity image and contours, as one pure function."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax import dosimetry
from sirtjax.ops import full_precision
from sirtjax.partial_volume import gaussian_blur
from sirtjax.typing import Array, Scalar
from sirtjax.uncertainty._histogram import histogram_points
from sirtjax.uncertainty._points import DosePoints, dose_points
from sirtjax.uncertainty._regions import regions_of, second_difference, territory_shares
from sirtjax.uncertainty._treatment import DoseMetrics, TreatmentData

# Below this fraction of the largest blurred concentration the ratio of the voxel-wise correction is not formed.
DARK = 1e-6
# Occupancy from which a voxel counts as undivided.
WHOLE = 0.99


def estimated_doses(
    image: Float[Array, "i j k"],
    distance_mm: Float[Array, "m i j k"],
    lung_shunt_fraction: Float[Array, " t"],
    data: TreatmentData,
) -> DoseMetrics:
    """Estimates doses from a measured image and contours, with partial-volume correction.

    Args:
      image: (i, j, k) measured concentration, aligned with the contours.
      distance_mm: (n + t + 1, i, j, k) signed distances as in `regions_of`.
      lung_shunt_fraction: (t,) lung shunt of each injection.
      data: constants of the patient.
    """
    regions = regions_of(distance_mm, data.spacing_mm, lesions=data.lesions)
    shares = territory_shares(distance_mm, data.spacing_mm, lesions=data.lesions)
    recovered = recovered_concentration(image, regions, data, shares=shares)
    return doses_of_concentration(recovered, distance_mm, regions, shares, lung_shunt_fraction, data)


@full_precision
def doses_of_concentration(
    recovered: Float[Array, "i j k"],
    distance_mm: Float[Array, "m i j k"],
    regions: Float[Array, "r i j k"],
    shares: Float[Array, "t i j k"],
    lung_shunt_fraction: Float[Array, " t"],
    data: TreatmentData,
    *,
    kernel: Scalar = 1.0,
) -> DoseMetrics:
    """Computes the doses of a concentration in given regions.

    Args:
      recovered: (i, j, k) concentration without partial-volume effect, in units of the image.
      distance_mm: (n + t + 1, i, j, k) signed distances as in `regions_of`.
      regions: (r, i, j, k) occupancies as of `regions_of`.
      shares: (t, i, j, k) part of each voxel that each territory supplies.
      lung_shunt_fraction: (t,) lung shunt of each injection.
      data: constants of the patient.
      kernel: factor on the range of the dose kernel.
    """
    inside, factor = _delivered(recovered, 1.0 - regions[-1], shares, lung_shunt_fraction, data)
    lesions, gy = jnp.sum(regions[: data.lesions], axis=0), jnp.asarray(data.gy_ml_per_mbq)
    octant = _octant(data, kernel)
    activity = jnp.stack([gy * jnp.tensordot(factor, inside, axes=1), lesions, 1.0 - regions[-1]])
    # Averages over voxels: the activity and the contour once each, and the kernel at both of its ends.
    averages = 2 if np.size(data.octant) == 1 else 4

    def deposited(one: jax.Array) -> jax.Array:
        return without_voxel_average(dosimetry.convolve_octant(one, octant), averages=averages, order=4)

    dose_gy, of_lesions, of_liver = jax.lax.map(deposited, activity)
    step, tissue = _steps(recovered, regions, shares, factor * gy, data)
    return dose_metrics(
        dose_gy,
        without_voxel_average(recovered, averages=2, order=4),
        regions,
        lung_shunt_fraction,
        data,
        points=dose_points(dose_gy, of_lesions, of_liver, step, tissue, regions, distance_mm, data, kernel=kernel),
        shares=shares,
    )


def without_voxel_average(values: Float[Array, "i j k"], *, averages: int, order: int) -> Float[jax.Array, "i j k"]:
    """Reverses averages over voxels, which lower the mean of a structure in colder surroundings.

    A voxel at a surface has the mean activity of both sides. Weighted by its occupancy, its dose is averaged once more.
    With voxels of 4 mm a sphere of 8 mm radius and a fifth of its activity around it loses 15 % of its mean dose. The
    Fourier transform of an average over a voxel is sinc(w / 2), and its inverse power is expanded in second
    differences along each axis.

    Args:
      values: (i, j, k) averaged values.
      averages: number of averages over a voxel to reverse.
      order: order of the expansion, 2 or 4.
    """
    found = jnp.asarray(values)
    for axis in range(3):
        second = second_difference(found, axis)
        changed = found - averages / 24.0 * second
        if order == 4:
            fourth = averages**2 / 1152.0 + averages / 2880.0 + averages / 288.0
            changed = changed + fourth * second_difference(second, axis)
        found = changed
    return found


def recovered_concentration(
    image: Float[Array, "i j k"],
    regions: Float[Array, "r i j k"],
    data: TreatmentData,
    *,
    shares: Float[Array, "t i j k"] | None = None,
) -> Float[jax.Array, "i j k"]:
    """Corrects an image voxel by voxel with the transfer-matrix means of its regions (RBV).

    The blurred regions are computed once, for the matrix and for the ratio. A lesion that several territories supply
    is not uniform, because each territory has another activity. Its ratio to normal tissue is taken as uniform instead,
    as in the partition model; what the image shows beyond that is the ratio of the voxel-wise correction.

    Args:
      image: (i, j, k) measured concentration.
      regions: (r, i, j, k) occupancies that add up to 1.
      data: constants of the patient.
      shares: (t, i, j, k) part of each voxel that each territory supplies; None does not divide lesions.

    Reference:
      Rousset, Ma and Evans, J Nucl Med 39:904-911, 1998; Thomas et al., Eur J Nucl Med Mol Imaging 38:1104-1119, 2011.
    """
    return apply_model(image, *region_model(image, regions, data, shares=shares))


@full_precision
def region_model(
    image: Float[Array, "i j k"],
    regions: Float[Array, "r i j k"],
    data: TreatmentData,
    *,
    shares: Float[Array, "t i j k"] | None = None,
    relative_uptake: Float[Array, "n i j k"] | None = None,
) -> tuple[Float[jax.Array, "i j k"], Float[jax.Array, "i j k"]]:
    """Fits the concentration of regions, by default uniform within each of them, to an image.

    Args:
      image: (i, j, k) measured concentration.
      regions: (r, i, j, k) occupancies that add up to 1.
      data: constants of the patient.
      shares: (t, i, j, k) part of each voxel that each territory supplies; None does not divide lesions.
      relative_uptake: (n, i, j, k) known shape of the uptake within each lesion; None for uniform lesions.

    Returns:
      (i, j, k) concentration of the regions, and the same with the blur of the image.
    """
    filled = jnp.asarray(regions)
    if relative_uptake is not None:
        filled = filled.at[: data.lesions].multiply(relative_uptake)
    blurred = jax.lax.map(lambda one: gaussian_blur(one, data.spacing_mm, data.fwhm_mm), filled)
    volume = jnp.maximum(jnp.sum(regions, axis=(1, 2, 3)), 1e-3)
    matrix = jnp.tensordot(regions, blurred, axes=((1, 2, 3), (1, 2, 3))) / volume[:, None]
    matrix = matrix + 1e-5 * jnp.eye(len(matrix), dtype=matrix.dtype)  # a region can be empty
    means = jnp.maximum(jnp.linalg.solve(matrix, jnp.tensordot(regions, image, axes=3) / volume), 0.0)
    synthetic = jnp.tensordot(means, filled, axes=1)
    spread = jnp.tensordot(means, blurred, axes=1)
    if shares is None or len(shares) == 1 or data.lesions == 0:
        return synthetic, spread
    n, share = data.lesions, jnp.asarray(shares)
    supplied = jnp.tensordot(regions[:n], share, axes=((1, 2, 3), (1, 2, 3)))  # voxels of each lesion by territory
    parts = means[:n, None] * lesion_profile(means[n:-2], supplied)
    synthetic = jnp.tensordot(means[n:], regions[n:], axes=1) + jnp.einsum(
        "nt,nijk,tijk->ijk", parts, filled[:n], share
    )
    return synthetic, gaussian_blur(synthetic, data.spacing_mm, data.fwhm_mm)


def lesion_profile(tissue: Float[Array, " t"], supplied: Float[Array, "n t"]) -> Float[jax.Array, "n t"]:
    """Computes the concentration of each lesion in each territory, relative to the mean of the lesion.

    Args:
      tissue: (t,) concentration of the normal tissue of each territory.
      supplied: (n, t) volume of each lesion in each territory.
    """
    level = jnp.asarray(tissue)[None]
    volume = jnp.sum(jnp.asarray(supplied), axis=1, keepdims=True)
    mean = jnp.sum(level * supplied, axis=1, keepdims=True) / jnp.maximum(volume, 1e-6)
    found: jax.Array = jnp.where(mean > 0, level / jnp.where(mean > 0, mean, 1.0), 1.0)
    return found


def apply_model(
    image: Float[Array, "i j k"], synthetic: Float[Array, "i j k"], spread: Float[Array, "i j k"]
) -> Float[jax.Array, "i j k"]:
    """Corrects an image by the ratio of a concentration to its blurred image.

    Args:
      image: (i, j, k) measured concentration.
      synthetic: (i, j, k) concentration of `region_model`.
      spread: (i, j, k) the same with the blur of the image.
    """
    whole, blurred = jnp.asarray(synthetic), jnp.asarray(spread)
    usable = blurred > DARK * jnp.max(blurred)
    found: jax.Array = jnp.asarray(image) * jnp.where(usable, whole / jnp.where(usable, blurred, 1.0), 0.0)
    return found


@full_precision
def deposited_dose_gy(
    recovered: Float[Array, "i j k"],
    in_liver: Float[Array, "i j k"],
    shares: Float[Array, "t i j k"],
    lung_shunt_fraction: Float[Array, " t"],
    data: TreatmentData,
    *,
    kernel: Scalar = 1.0,
) -> Float[jax.Array, "i j k"]:
    """Computes the dose of the injections, each distributed over its territory as the concentration.

    Args:
      recovered: (i, j, k) concentration in units of the image.
      in_liver: (i, j, k) occupancy of the liver with its lesions.
      shares: (t, i, j, k) part of each voxel that each territory supplies.
      lung_shunt_fraction: (t,) fraction of each activity that goes to the lungs.
      data: constants of the patient.
      kernel: factor on the range of the dose kernel.
    """
    inside, factor = _delivered(recovered, in_liver, shares, lung_shunt_fraction, data)
    mbq_per_ml = jnp.tensordot(factor, inside, axes=1)
    found: jax.Array = dosimetry.convolve_octant(mbq_per_ml, _octant(data, kernel)) * jnp.asarray(data.gy_ml_per_mbq)
    return found


def _octant(data: TreatmentData, kernel: Scalar) -> jax.Array:
    found: jax.Array = jnp.asarray(data.octant) + (kernel - 1.0) * jnp.asarray(data.octant_slope)
    return found


def _delivered(
    recovered: Array, in_liver: Array, shares: Array, lung_shunt_fraction: Array, data: TreatmentData
) -> tuple[jax.Array, jax.Array]:
    """The (t, i, j, k) concentration of each territory, and the (t,) MBq/mL per unit of it."""
    voxel_ml = jnp.prod(jnp.asarray(data.spacing_mm)) / 1000.0
    # A voxel at the surface of the liver already has the mean of both sides: only the part from outside is removed.
    beyond = 1.0 - jnp.asarray(in_liver)
    far = jnp.where(beyond > 0.999, 1.0, 0.0)
    around = jnp.sum(recovered * far) / jnp.maximum(jnp.sum(far), 1.0)
    tissue = jnp.where(beyond < 1.0, jnp.maximum(recovered - around * beyond, 0.0), 0.0)
    inside = tissue[None] * shares
    total = jnp.sum(inside, axis=(1, 2, 3)) * voxel_ml
    in_liver_mbq = jnp.asarray(data.activity_mbq) * (1.0 - jnp.asarray(lung_shunt_fraction))
    relative = in_liver_mbq / jnp.where(total > 0, total, 1.0)
    absolute = jnp.asarray(data.image_mbq_per_unit)
    return inside, jnp.where(absolute > 0, absolute, relative)


@full_precision
def _steps(
    recovered: Array, regions: Array, shares: Array, factor: jax.Array, data: TreatmentData
) -> tuple[jax.Array, jax.Array]:
    """Local doses (n, i, j, k) of the lesions minus that of normal tissue, and (i, j, k) of normal tissue.

    The concentrations of normal tissue are those of undivided voxels, and the one of a lesion is fitted to all of its
    voxels by least squares. The ratio of a voxel to this model is the variation within the regions.
    """
    n, values, share = data.lesions, jnp.asarray(recovered), jnp.asarray(shares)
    whole = regions[n:-2] * jnp.where(regions[n:-2] > WHOLE, 1.0, 0.0)
    level = jnp.sum(whole * values[None], axis=(1, 2, 3)) / jnp.maximum(jnp.sum(whole, axis=(1, 2, 3)), 1e-3)
    rest = jnp.tensordot(level, regions[n:-2], axes=1)
    supplied = jnp.tensordot(regions[:n], share, axes=((1, 2, 3), (1, 2, 3)))
    profile = lesion_profile(level, supplied)

    def of_lesion(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        occupied, relative = row
        basis = occupied * jnp.tensordot(relative, share, axes=1)
        return jnp.maximum(jnp.sum(basis * (values - rest)) / jnp.maximum(jnp.sum(basis**2), 1e-3), 0.0) * relative

    lesion = jax.lax.map(of_lesion, (regions[:n], profile))  # (n, t)
    fitted = rest + jnp.einsum("nt,nijk,tijk->ijk", lesion, regions[:n], share)
    usable = fitted > DARK * jnp.max(fitted)
    ratio = jnp.where(usable, values / jnp.where(usable, fitted, 1.0), 0.0)
    tissue = jnp.tensordot(level * factor, share, axes=1)
    step = jnp.tensordot(lesion * factor[None], share, axes=1) - tissue[None]
    return ratio[None] * step, ratio * tissue


@full_precision
def dose_metrics(
    dose_gy: Float[Array, "i j k"],
    recovered: Float[Array, "i j k"],
    regions: Float[Array, "r i j k"],
    lung_shunt_fraction: Float[Array, " t"],
    data: TreatmentData,
    *,
    points: DosePoints | None = None,
    shares: Float[Array, "t i j k"] | None = None,
) -> DoseMetrics:
    """Computes the metrics of a dose in the VOIs of a patient.

    Args:
      dose_gy: (i, j, k) dose.
      recovered: (i, j, k) concentration, for T/N.
      regions: (r, i, j, k) occupancies as of `regions_of`.
      lung_shunt_fraction: (t,) fraction of each activity that goes to the lungs.
      data: constants of the patient.
      points: doses within the voxels, for D_x, V and BED; None uses `dose_gy` at the centres of the voxels.
      shares: (t, i, j, k) part of each voxel that each territory supplies. T/N of a lesion then refers to the normal
        tissue of each territory, weighted by the volume of the lesion in it. None refers to `data.normal_of`.
    """
    tissue, members = regions[:-1], jnp.asarray(data.members)
    volume = jnp.maximum(members @ jnp.sum(tissue, axis=(1, 2, 3)), 1e-3)

    def mean(values: Array) -> jax.Array:
        found: jax.Array = members @ jnp.tensordot(tissue, values, axes=3) / volume
        return found

    level = jnp.maximum(jnp.asarray(recovered), 0.0)
    mean_gy, lesions = mean(dose_gy), tissue[: data.lesions]
    if shares is None:
        normal = mean(level)[jnp.asarray(data.normal_of)]
    else:
        supplied = jnp.tensordot(lesions, jnp.asarray(shares), axes=((1, 2, 3), (1, 2, 3)))
        beside = tissue[data.lesions : -1]
        around = jnp.tensordot(beside, level, axes=3) / jnp.maximum(jnp.sum(beside, axis=(1, 2, 3)), 1e-3)
        normal = supplied @ around / jnp.maximum(jnp.sum(supplied, axis=1), 1e-3)
    lesion = jnp.tensordot(lesions, level, axes=3) / jnp.maximum(jnp.sum(lesions, axis=(1, 2, 3)), 1e-3)
    if points is None:
        near = jnp.asarray(data.near)
        padded, used = near < 0, jnp.maximum(near, 0)
        occupancy = jnp.tensordot(members, tissue, axes=1).reshape(len(members), -1)
        weights = jnp.where(padded, 0.0, jnp.take_along_axis(occupancy, used, axis=1))
        points = DosePoints(jnp.where(padded, 0.0, jnp.asarray(dose_gy).ravel()[used]), weights)
    covered = jnp.maximum(jnp.sum(points.weight, axis=1), 1e-3)
    square = jnp.sum(points.weight * points.dose_gy**2, axis=1) / covered
    d_gy, v_fraction = jax.vmap(histogram_points, (0, 0, None, 0))(
        points.dose_gy, points.weight, jnp.asarray(data.fractions), jnp.asarray(data.threshold_gy)
    )
    return DoseMetrics(
        mean_gy=mean_gy,
        d_gy=d_gy,
        v_fraction=v_fraction,
        bed_gy=mean_gy + jnp.asarray(data.bed_per_gy) * square,
        tn_ratio=lesion / jnp.where(normal > 0, normal, 1.0),
        lung_gy=jnp.asarray(data.lung_gy_per_mbq) * jnp.asarray(data.activity_mbq) * jnp.asarray(lung_shunt_fraction),
    )
