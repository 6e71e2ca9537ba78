from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from sirtjax.compilation_cache import cached_jit
from sirtjax.dosimetry._cone import ConeExtent, cone_dose_gy, cone_extent, lightest_lung_g_per_ml
from sirtjax.dosimetry._convolution import kernel_dose_gy
from sirtjax.dosimetry._kernels import Radius, kernel_radius_voxels
from sirtjax.dosimetry._local import local_deposition_dose_gy, voxel_mass_g
from sirtjax.dosimetry._nuclides import Nuclide
from sirtjax.dosimetry._radial import RadialKernel, get_radial_kernel
from sirtjax.errors import ConfigError, InputError

Method = Literal["kernel", "local", "cone"]


def absorbed_dose_gy(
    activity_mbq: ArrayLike,
    density_g_per_ml: ArrayLike,
    spacing_mm: Sequence[float],
    *,
    nuclide: Nuclide,
    method: Method,
    lung: ArrayLike | None = None,
    medium_density_g_per_ml: float | None = None,
) -> Float[np.ndarray, "i j k"]:
    """Computes the dose of every voxel (NumPy), compiled once per grid shape and kernel size step.

    Args:
      activity_mbq: (i, j, k) MBq per voxel at the start, all of which decays in place; finite, not negative.
      density_g_per_ml: (i, j, k) mass density, or one number for all voxels; finite, not negative.
      spacing_mm: voxel spacing along i, j, k, on orthogonal axes.
      nuclide: the record whose dose constant and point kernel to use.
      method: "kernel" for the dose kernel with the lungs by local deposition (`kernel_dose_gy`), "local" for
        local deposition everywhere (`local_deposition_dose_gy`), "cone" for rays through the densities, lungs included
        (`cone_dose_gy`).
      lung: (i, j, k) fraction of each voxel that is lung, in [0, 1]; zeros if the field contains no lung. The kernel
        method needs it, as a soft-tissue kernel must not give a lung dose.
      medium_density_g_per_ml: density of the tissue that the kernel is for; "kernel" and "cone" need it.

    Returns:
      (i, j, k) Gy, not negative, float32.

    Raises:
      ConfigError: the method is unknown, one of its inputs is missing, or the nuclide has no point kernel.
      InputError: an array has the wrong shape or values.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import dosimetry
      >>> activity = np.array([0.0, 1.0, 2.0], np.float32).reshape(3, 1, 1)  # MBq per voxel of 1 mL
      >>> yttrium = dosimetry.get_nuclide("y90-icrp107")
      >>> dose = dosimetry.absorbed_dose_gy(activity, 1.0, (10.0, 10.0, 10.0), nuclide=yttrium, method="local")
      >>> [round(float(value), 2) for value in dose.ravel()]  # MBq per gram times 49.77
      [0.0, 49.77, 99.54]
    """
    activity = _checked("activity_mbq", activity_mbq, None)
    density = _checked("density_g_per_ml", density_g_per_ml, activity.shape)
    spacing = np.asarray(spacing_mm, np.float32)
    if spacing.shape != (3,) or not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise InputError(f"spacing_mm must be three positive numbers of millimetres, got {spacing_mm}")
    constant = np.float32(nuclide.dose_constant_gy_kg_per_gbq)
    if method == "local":
        return np.asarray(_local(activity, density, spacing, constant))
    if method not in ("kernel", "cone"):
        raise ConfigError(f"unknown dose method '{method}'; choose kernel, local or cone")
    radial = _point_kernel(nuclide)
    missing = []
    if lung is None and method == "kernel":
        missing.append(
            "the lung mask, since a soft-tissue kernel must not give a lung dose: pass lung (zeros where the field "
            "holds no lung) or use local deposition"
        )
    if medium_density_g_per_ml is None or not medium_density_g_per_ml > 0:
        missing.append(f"a positive medium_density_g_per_ml (soft tissue is about 1.04), got {medium_density_g_per_ml}")
    if medium_density_g_per_ml is None or missing:
        raise ConfigError(f"the {method} method needs {'; and '.join(missing)}")
    share = np.zeros_like(activity) if lung is None else _checked("lung", lung, activity.shape)
    if share.max(initial=0.0) > 1:
        raise InputError(
            f"lung: fractions up to {share.max():g}, expected 0 to 1; provide the fraction of each voxel that is lung"
        )
    medium = np.float32(medium_density_g_per_ml)
    if method == "cone":
        extent = cone_extent(
            spacing_mm,
            radial=radial,
            medium_density_g_per_ml=medium_density_g_per_ml,
            lightest_g_per_ml=lightest_lung_g_per_ml(density),
        )
        dose = _cone(activity, density, spacing, constant, medium, radial=radial, extent=extent)
    else:
        radius = kernel_radius_voxels(spacing_mm, radial=radial, medium_density_g_per_ml=medium_density_g_per_ml)
        dose = _kernel(activity, density, share, spacing, constant, medium, radial=radial, radius_voxels=radius)
    # Rounding in the transform leaves values of about -1e-6 of the maximum where there is no dose.
    clipped: NDArray[np.float32] = np.maximum(np.asarray(dose), np.float32(0))
    return clipped


def _point_kernel(record: Nuclide) -> RadialKernel:
    if record.radial_kernel is None:
        raise ConfigError(
            f"nuclide '{record.name}' ({record.symbol}) has no point kernel, so the kernel "
            "and cone methods can't be used; choose method 'local' (local deposition)"
        )
    return get_radial_kernel(record.radial_kernel)


def _checked(name: str, values: ArrayLike, shape: tuple[int, ...] | None) -> NDArray[np.float32]:
    array = np.asarray(values, np.float32)
    if shape is not None and array.ndim == 0:
        array = np.full(shape, array)
    if array.ndim != 3 or (shape is not None and array.shape != shape):
        expected = "a volume (i, j, k)" if shape is None else f"the activity's shape {shape}"
        raise InputError(f"{name} has shape {array.shape}, expected {expected}; resample it on the same grid")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(f"{name} holds {count} NaN or infinite voxels; expected finite values, correct the image")
    if array.size and array.min() < 0:
        raise InputError(f"{name} is negative (lowest {array.min():g}); expected values of zero or above")
    return array


@cached_jit
def _local(activity: jax.Array, density: jax.Array, spacing: jax.Array, constant: jax.Array) -> jax.Array:
    return jnp.asarray(local_deposition_dose_gy(activity, voxel_mass_g(density, spacing), constant=constant))


@partial(cached_jit, static_argnames=("radial", "radius_voxels"))
def _kernel(
    activity: jax.Array,
    density: jax.Array,
    lung: jax.Array,
    spacing: jax.Array,
    constant: jax.Array,
    medium: jax.Array,
    *,
    radial: RadialKernel,
    radius_voxels: Radius,
) -> jax.Array:
    return jnp.asarray(
        kernel_dose_gy(
            activity,
            density,
            lung,
            spacing,
            constant=constant,
            radial=radial,
            medium_density_g_per_ml=medium,
            radius_voxels=radius_voxels,
        )
    )


@partial(cached_jit, static_argnames=("radial", "extent"))
def _cone(
    activity: jax.Array,
    density: jax.Array,
    spacing: jax.Array,
    constant: jax.Array,
    medium: jax.Array,
    *,
    radial: RadialKernel,
    extent: ConeExtent,
) -> jax.Array:
    return cone_dose_gy(
        activity,
        density,
        spacing,
        constant=constant,
        radial=radial,
        medium_density_g_per_ml=medium,
        extent=extent,
    )
