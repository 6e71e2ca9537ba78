"""The dose of one MBq in each territory, and of several activities together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Real

from sirtjax import dosimetry, spatial
from sirtjax.dosimetry import ConeExtent, Nuclide
from sirtjax.errors import InputError
from sirtjax.ops import namespace
from sirtjax.pipeline._records import CONE_EXTENT, Shape
from sirtjax.typing import Array, Scalar, Vector


def relative_activity(
    counts: Real[Array, "I J K"], region: Float[Array, "I J K"], *, name: str
) -> Float[Array, "I J K"]:
    """Returns the fraction of a territory's activity in each voxel.

    The fractions are proportional to the counts and add up to 1.

    Args:
      counts: activity image on the dose grid.
      region: fraction of each voxel in the territory.
      name: name of the territory, for the message.

    Raises:
      InputError: the image has no counts in the territory (not for traced arrays, which give NaN).

    Examples:
      >>> import numpy as np
      >>> from sirtjax import pipeline
      >>> counts = np.array([300.0, 100.0, 500.0]).reshape(3, 1, 1)
      >>> territory = np.array([1.0, 1.0, 0.0]).reshape(3, 1, 1)
      >>> pipeline.relative_activity(counts, territory, name="right").ravel().tolist()
      [0.75, 0.25, 0.0]
    """
    if spatial.is_traced(counts, region):
        inside = counts * region
        return inside / jnp.sum(inside)
    found = np.asarray(counts, np.float32) * region
    total = float(found.sum(dtype=np.float64))
    if total <= 0:
        raise InputError(
            f"the activity image shows no counts in the territory {name!r}; check that the mask belongs to this image"
        )
    return (found / np.float32(total)).astype(np.float32)


def per_full_voxel(values: Real[Array, "I J K"], holder: Real[Array, "I J K"]) -> Float[Array, "I J K"]:
    """Returns what each voxel would hold if the part of it that holds something were the whole voxel.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import pipeline
      >>> values, holder = np.array([[[10.0, 5.0, 0.0]]]), np.array([[[1.0, 0.5, 0.0]]])
      >>> pipeline.per_full_voxel(values, holder).tolist()
      [[[10.0, 10.0, 0.0]]]
    """
    if namespace(values, holder) is np:
        full: Array = np.divide(values, holder, out=np.zeros_like(values), where=holder > 0)
        return full
    filled = holder > 0
    return jnp.where(filled, values / jnp.where(filled, holder, 1.0), 0.0)


def filled_fraction(
    liver: Float[Array, "I J K"], territories: Sequence[Float[Array, "I J K"]]
) -> Float[Array, "I J K"]:
    """Returns the fraction of each voxel that holds the activity of a relative calibration.

    It is the liver, or the injected territories together if they fill more of the voxel. Masks on different grids, or
    sampled more or less finely, differ at the edge of the liver by a few percent of a voxel. Divided by a liver of
    0.3 % of a voxel, the activity of a territory of 4 % would give 13 times the dose. Two territories of 4 % and 3 %
    both bring their activity into the voxel, so it is spread over 7 %.

    Args:
      liver: fraction of each voxel in the liver.
      territories: fraction of each voxel in each injected territory.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import pipeline
      >>> liver, right, left = np.array([[[1.0, 0.25]]]), np.array([[[0.5, 0.5]]]), np.array([[[0.5, 0.25]]])
      >>> pipeline.filled_fraction(liver, [right, left]).tolist()
      [[[1.0, 0.75]]]
    """
    xp = namespace(liver, *territories)
    together: Array = xp.zeros_like(xp.asarray(liver))
    for territory in territories:
        together = together + territory
    filled: Array = xp.maximum(liver, xp.minimum(together, 1.0))
    return filled


def voxel_dose_gy(
    activity_mbq: Float[Array, "I J K"],
    density_g_per_ml: Float[Array, "I J K"],
    lung: Float[Array, "I J K"],
    spacing_mm: Vector,
    *,
    nuclide: Nuclide,
    method: Literal["kernel", "local", "cone"],
    soft_tissue_g_per_ml: Scalar,
    kernel_scale: Scalar = 1.0,
    kernel_radius: Shape | None = None,
    cone_extent: ConeExtent = CONE_EXTENT,
    holder: Float[Array, "I J K"] | None = None,
) -> Float[Array, "I J K"]:
    """Returns the absorbed dose in Gy of activity that decays in place.

    Local deposition gives the energy to the part of each voxel that holds the activity, so that the dose at the edge of
    the liver does not fall with the fraction of the voxel in the liver. A kernel spreads it over the voxel.

    Args:
      activity_mbq: activity per voxel.
      density_g_per_ml: density of each voxel.
      lung: fraction of each voxel that is lung.
      spacing_mm: voxel spacing of the dose grid.
      nuclide: record of the nuclide.
      method: "kernel", "local" or "cone".
      soft_tissue_g_per_ml: density of the tissue of the kernel.
      kernel_scale: factor on the range of the kernel.
      kernel_radius: extent of the kernel in voxels, for traced arrays.
      cone_extent: extent of kernel and rays in voxels, for traced arrays and "cone".
      holder: fraction of each voxel that holds its activity, for "local"; the whole voxel by default.
    """
    if method == "local" and holder is not None:
        activity_mbq = per_full_voxel(activity_mbq, holder)
        # Only the rest of such a voxel is lung.
        xp = namespace(activity_mbq, density_g_per_ml, lung, holder)
        tissue = xp.asarray(soft_tissue_g_per_ml, density_g_per_ml.dtype)
        density_g_per_ml = xp.where((holder > 0) & (lung > 0), tissue, density_g_per_ml)
    # A kernel for a medium of lower density reaches further, in proportion.
    medium = soft_tissue_g_per_ml / kernel_scale
    if method == "cone":
        # Rays see lighter tissue, too; the dose is per unit of the true mass.
        density_g_per_ml = density_g_per_ml / kernel_scale
        activity_mbq = activity_mbq / kernel_scale
    if not spatial.is_traced(activity_mbq, density_g_per_ml, lung, spacing_mm, medium):
        return dosimetry.absorbed_dose_gy(
            activity_mbq,
            density_g_per_ml,
            [float(step) for step in spacing_mm],
            nuclide=nuclide,
            method=method,
            lung=lung,
            medium_density_g_per_ml=float(medium),
        )
    spacing = jnp.asarray(spacing_mm, jnp.float32)
    constant = jnp.float32(nuclide.dose_constant_gy_kg_per_gbq)
    if method == "local":
        mass_g = dosimetry.voxel_mass_g(jnp.asarray(density_g_per_ml, jnp.float32), spacing)
        return jnp.asarray(dosimetry.local_deposition_dose_gy(activity_mbq, mass_g, constant=constant))
    radial = dosimetry.get_radial_kernel(str(nuclide.radial_kernel))
    if method == "cone":
        rays = dosimetry.cone_dose_gy(
            activity_mbq,
            jnp.asarray(density_g_per_ml, jnp.float32),
            spacing,
            constant=constant,
            radial=radial,
            medium_density_g_per_ml=jnp.asarray(medium, jnp.float32),
            extent=cone_extent,
        )
        return jnp.maximum(rays, 0.0)
    dose = dosimetry.kernel_dose_gy(
        activity_mbq,
        jnp.asarray(density_g_per_ml, jnp.float32),
        jnp.asarray(lung, jnp.float32),
        spacing,
        constant=constant,
        radial=radial,
        medium_density_g_per_ml=jnp.asarray(medium, jnp.float32),
        radius_voxels=kernel_radius or (4, 4, 4),
    )
    # Rounding of the transform; the derivative is that of the dose without it.
    return jnp.maximum(dose, 0.0)


def superpose(unit: Sequence[Float[Array, "I J K"]], amounts: Real[Array, " injections"]) -> Float[Array, "I J K"]:
    """Returns the sum of maps per unit, each times its amount.

    Args:
      unit: one map per injection.
      amounts: one amount per injection.
    """
    if not spatial.is_traced(unit, amounts):
        total = np.zeros_like(unit[0])
        for amount, one in zip(np.asarray(amounts).astype(np.float32), unit, strict=True):
            total += amount * one
        return total
    traced = jnp.zeros_like(unit[0])
    for index, one in enumerate(unit):
        traced = traced + amounts[index] * one
    return traced


def grid_spacing_mm(world_from_dose_voxel: Float[Array, "4 4"]) -> Float[Array, "3"]:
    """Returns the distance between neighbouring voxel centres along each axis, (3,) mm."""
    if spatial.is_traced(world_from_dose_voxel):
        return jnp.sqrt(jnp.sum(world_from_dose_voxel[:3, :3] ** 2, axis=0))
    spacing: Array = np.linalg.norm(np.asarray(world_from_dose_voxel, np.float64)[:3, :3], axis=0)
    return spacing


def lung_spill_gy(
    activity_mbq: Float[Array, "I J K"],
    lung_absorbed: Float[Array, "I J K"],
    *,
    nuclide: Nuclide,
    lung_mass_g: Scalar,
) -> Scalar:
    """Returns the mean lung dose of the betas that leave the liver.

    Args:
      activity_mbq: activity per voxel of the liver.
      lung_absorbed: fraction of the energy of a decay in each voxel that the lungs absorb
        (`dosimetry.lung_absorbed_map`).
      nuclide: record of the nuclide.
      lung_mass_g: mass of both lungs.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import dosimetry, pipeline
      >>> yttrium = dosimetry.get_nuclide("y90-icrp107")
      >>> activity, absorbed = np.array([[[400.0, 100.0]]]), np.array([[[0.0, 0.1]]])
      >>> round(float(pipeline.lung_spill_gy(activity, absorbed, nuclide=yttrium, lung_mass_g=1000.0)), 3)
      0.498
    """
    xp = namespace(activity_mbq, lung_absorbed)
    energy = xp.sum(xp.asarray(activity_mbq * lung_absorbed, np.float32))
    spill: Scalar = float(nuclide.dose_constant_gy_kg_per_gbq) * xp.maximum(energy, 0.0) / lung_mass_g
    return spill


def lung_gy_per_mbq(
    nuclide: Nuclide, lung_shunt_fraction: Scalar | Real[Array, " injections"], lung_mass_g: Scalar
) -> Scalar | Float[Array, " injections"]:
    """Returns the mean lung dose per MBq injected: K times the lung shunt fraction over the lung mass.

    Examples:
      >>> from sirtjax import dosimetry, pipeline
      >>> yttrium = dosimetry.get_nuclide("y90-icrp107")
      >>> round(1000.0 * pipeline.lung_gy_per_mbq(yttrium, 0.1, 1000.0), 2)  # 1 GBq, a tenth of it to 1 kg of lung
      4.98
    """
    return float(nuclide.dose_constant_gy_kg_per_gbq) * lung_shunt_fraction / lung_mass_g
