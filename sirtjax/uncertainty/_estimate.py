"""The corrected dose of VOIs from an activity image and contours, as one pure function."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax import dosimetry
from sirtjax.partial_volume import gaussian_blur
from sirtjax.typing import Array, Scalar
from sirtjax.uncertainty._histogram import histogram_points
from sirtjax.uncertainty._regions import regions_of, second_difference, territory_shares
from sirtjax.uncertainty._treatment import DoseMetrics, TreatmentData

# Below this fraction of the largest blurred concentration the ratio of the voxel-wise correction is not formed.
DARK = 1e-6


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
    recovered = recovered_concentration(image, regions, data)
    return doses_of_concentration(recovered, regions, shares, lung_shunt_fraction, data)


def doses_of_concentration(
    recovered: Float[Array, "i j k"],
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
      regions: (r, i, j, k) occupancies as of `regions_of`.
      shares: (t, i, j, k) part of each voxel that each territory supplies.
      lung_shunt_fraction: (t,) lung shunt of each injection.
      data: constants of the patient.
      kernel: factor on the range of the dose kernel.
    """
    dose_gy = deposited_dose_gy(recovered, 1.0 - regions[-1], shares, lung_shunt_fraction, data, kernel=kernel)
    # Averages over voxels: the activity and the contour once each, and the kernel at both of its ends.
    averages = 2 if np.size(data.octant) == 1 else 4
    return dose_metrics(
        without_voxel_average(dose_gy, averages=averages, order=4),
        without_voxel_average(recovered, averages=2, order=4),
        regions,
        lung_shunt_fraction,
        data,
        # The higher order would overshoot next to an edge, which mean values do not see.
        histogram_gy=without_voxel_average(dose_gy, averages=averages, order=2),
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
    image: Float[Array, "i j k"], regions: Float[Array, "r i j k"], data: TreatmentData
) -> Float[jax.Array, "i j k"]:
    """Corrects an image voxel by voxel with the transfer-matrix means of its regions (RBV).

    The blurred regions are computed once, for the matrix and for the ratio.

    Args:
      image: (i, j, k) measured concentration.
      regions: (r, i, j, k) occupancies that add up to 1.
      data: constants of the patient.

    Reference:
      Rousset, Ma and Evans, J Nucl Med 39:904-911, 1998; Thomas et al., Eur J Nucl Med Mol Imaging 38:1104-1119, 2011.
    """
    blurred = jax.lax.map(lambda one: gaussian_blur(one, data.spacing_mm, data.fwhm_mm), jnp.asarray(regions))
    volume = jnp.maximum(jnp.sum(regions, axis=(1, 2, 3)), 1e-3)
    matrix = jnp.tensordot(regions, blurred, axes=((1, 2, 3), (1, 2, 3))) / volume[:, None]
    matrix = matrix + 1e-5 * jnp.eye(len(matrix), dtype=matrix.dtype)  # a region can be empty
    means = jnp.maximum(jnp.linalg.solve(matrix, jnp.tensordot(regions, image, axes=3) / volume), 0.0)
    synthetic = jnp.tensordot(means, regions, axes=1)
    spread = jnp.tensordot(means, blurred, axes=1)
    usable = spread > DARK * jnp.max(spread)
    found: jax.Array = jnp.asarray(image) * jnp.where(usable, synthetic / jnp.where(usable, spread, 1.0), 0.0)
    return found


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
    mbq_per_ml = jnp.tensordot(jnp.where(absolute > 0, absolute, relative), inside, axes=1)
    octant = data.octant + (kernel - 1.0) * jnp.asarray(data.octant_slope)
    found: jax.Array = dosimetry.convolve_octant(mbq_per_ml, octant) * jnp.asarray(data.gy_ml_per_mbq)
    return found


def dose_metrics(
    dose_gy: Float[Array, "i j k"],
    recovered: Float[Array, "i j k"],
    regions: Float[Array, "r i j k"],
    lung_shunt_fraction: Float[Array, " t"],
    data: TreatmentData,
    *,
    histogram_gy: Float[Array, "i j k"] | None = None,
) -> DoseMetrics:
    """Computes the metrics of a dose in the VOIs of a patient.

    Args:
      dose_gy: (i, j, k) dose.
      recovered: (i, j, k) concentration, for T/N.
      regions: (r, i, j, k) occupancies as of `regions_of`.
      lung_shunt_fraction: (t,) fraction of each activity that goes to the lungs.
      data: constants of the patient.
      histogram_gy: (i, j, k) dose at the voxel centres for D_x, V and BED; None uses `dose_gy`.
    """
    points_gy = jnp.asarray(dose_gy if histogram_gy is None else histogram_gy)
    tissue, members = regions[:-1], jnp.asarray(data.members)
    volume = jnp.maximum(members @ jnp.sum(tissue, axis=(1, 2, 3)), 1e-3)

    def mean(values: Array) -> jax.Array:
        found: jax.Array = members @ jnp.tensordot(tissue, values, axes=3) / volume
        return found

    level = jnp.maximum(jnp.asarray(recovered), 0.0)
    mean_gy, normal = mean(dose_gy), mean(level)[jnp.asarray(data.normal_of)]
    lesions = tissue[: data.lesions]
    lesion = jnp.tensordot(lesions, level, axes=3) / jnp.maximum(jnp.sum(lesions, axis=(1, 2, 3)), 1e-3)
    near = jnp.asarray(data.near)
    padded = near < 0
    doses = jnp.where(padded, 0.0, points_gy.ravel()[jnp.maximum(near, 0)])
    occupancy = jnp.tensordot(members, tissue, axes=1).reshape(len(members), -1)
    weights = jnp.where(padded, 0.0, jnp.take_along_axis(occupancy, jnp.maximum(near, 0), axis=1))
    d_gy, v_fraction = jax.vmap(histogram_points, (0, 0, None, 0))(
        doses, weights, jnp.asarray(data.fractions), jnp.asarray(data.threshold_gy)
    )
    return DoseMetrics(
        mean_gy=mean_gy,
        d_gy=d_gy,
        v_fraction=v_fraction,
        bed_gy=mean_gy + jnp.asarray(data.bed_per_gy) * mean(points_gy**2),
        tn_ratio=lesion / jnp.where(normal > 0, normal, 1.0),
        lung_gy=jnp.asarray(data.lung_gy_per_mbq) * jnp.asarray(data.activity_mbq) * jnp.asarray(lung_shunt_fraction),
    )
