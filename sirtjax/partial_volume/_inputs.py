from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Real

from sirtjax.errors import InputError
from sirtjax.typing import Array, Numbers

Value: TypeAlias = Numbers | Sequence[float]
# Occupancies are sums of float32 fractions.
OCCUPANCY_TOLERANCE = 1e-4


def known(value: Value) -> bool:
    """Returns whether the values can be read: arrays that JAX traces have none yet."""
    parts = value if isinstance(value, list | tuple) else (value,)
    return not any(isinstance(part, jax.core.Tracer) for part in parts)


def check_array(name: str, array: Real[Array, "..."], *, axes: int) -> None:
    """Checks the number of axes and, unless traced, that all values are finite."""
    if np.ndim(array) != axes:
        raise InputError(f"{name}: expected {axes} axes, got shape {np.shape(array)}")
    if known(array):
        bad = int(np.count_nonzero(~np.isfinite(np.asarray(array))))
        if bad:
            raise InputError(f"{name}: {bad} of {np.size(array)} voxels are NaN or infinite; replace them")


def check_positive(name: str, value: Value) -> None:
    """Checks that all values are finite and above 0, unless traced."""
    if known(value) and not np.all(np.isfinite(np.asarray(value)) & (np.asarray(value) > 0)):
        raise InputError(f"{name}: expected positive, finite numbers, got {np.asarray(value).tolist()}")


def check_spacing(spacing_mm: Value) -> None:
    """Checks a voxel spacing: three positive numbers."""
    if np.shape(spacing_mm) != (3,):
        raise InputError(f"spacing_mm: expected 3 numbers, got shape {np.shape(spacing_mm)}")
    check_positive("spacing_mm", spacing_mm)


def check_fwhm(name: str, fwhm_mm: Value) -> None:
    """Checks a resolution: one positive number, or one per axis."""
    if np.shape(fwhm_mm) not in ((), (3,)):
        raise InputError(f"{name}: expected one number or 3, got shape {np.shape(fwhm_mm)}")
    check_positive(name, fwhm_mm)


def check_masks(masks: Real[Array, "..."], *, disjoint: bool) -> None:
    """Checks occupancies (n, i, j, k): between 0 and 1, none empty, no overlap if `disjoint`."""
    check_array("masks", masks, axes=4)
    if not known(masks):
        return
    values = np.asarray(masks)
    if values.shape[0] == 0:
        raise InputError("masks: no regions; provide at least one")
    if values.min() < -OCCUPANCY_TOLERANCE or values.max() > 1 + OCCUPANCY_TOLERANCE:
        raise InputError(f"masks: expected occupancies from 0 to 1, found {values.min():.4g} to {values.max():.4g}")
    for index, mask in enumerate(values):
        if not np.any(mask > 0):
            raise InputError(f"masks[{index}]: empty; remove it or check its grid")
    if disjoint:
        total = values.sum(axis=0, dtype=np.float64)
        double = int(np.count_nonzero(total > 1 + OCCUPANCY_TOLERANCE))
        if double:
            raise InputError(
                f"masks: regions overlap in {double} voxels (sum of occupancies up to {total.max():.4g}); "
                "subtract one from the other"
            )


def check_same_grid(image: Real[Array, "..."], masks: Real[Array, "..."]) -> None:
    """Checks that masks (n, i, j, k) are on the grid of the image."""
    if np.shape(image) != np.shape(masks)[1:]:
        raise InputError(f"masks: shape {np.shape(masks)[1:]} differs from that of the image, {np.shape(image)}")
