"""The lung shunt fraction from planar views and from SPECT/CT."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

Array = Any


def geometric_mean_counts(
    anterior_counts: Array,
    posterior_counts: Array,
    *,
    anterior_background_counts: Array = 0.0,
    posterior_background_counts: Array = 0.0,
) -> Array:
    """Geometric mean of the conjugate-view counts of a ROI, background subtracted per view.

    The background is the total expected under the ROI (background per pixel times pixels of the ROI). A view
    that falls below its background counts as zero. Attenuation is not corrected: the geometric mean takes out
    the depth of the source but not the thickness and density of the body, which differ between lung and
    liver; planar LSF therefore overestimates (by 2.7 percentage points on average against SPECT/CT).

    Args:
      anterior_counts: counts in the ROI on the anterior view.
      posterior_counts: counts in the mirrored ROI on the posterior view.
      anterior_background_counts: background under the ROI, anterior.
      posterior_background_counts: background under the ROI, posterior.

    Returns:
      Counts.

    Reference:
      Bastiaannet et al., planar against SPECT/CT LSF (bias); EANM guideline 2022,
      doi:10.1007/s00259-021-05600-z.
    """
    anterior = jnp.maximum(anterior_counts - anterior_background_counts, 0.0)
    posterior = jnp.maximum(posterior_counts - posterior_background_counts, 0.0)
    return jnp.sqrt(anterior * posterior)


def lung_shunt_fraction(lung_counts: Array, liver_counts: Array) -> Array:
    """LSF = lung / (lung + liver), from geometric-mean counts or from the counts of a SPECT/CT in both VOIs.

    Args:
      lung_counts: counts (or activity) in both lungs.
      liver_counts: counts (or activity) in the liver.

    Returns:
      Fraction.
    """
    return lung_counts / (lung_counts + liver_counts)


def combined_lung_shunt_fraction(activity_mbq: Array, lung_shunt_fractions: Array) -> Array:
    """LSF of several injections together: the mean weighted by activity.

    Args:
      activity_mbq: (n,) per injection.
      lung_shunt_fractions: (n,) per injection.

    Returns:
      Fraction.
    """
    activity_mbq = jnp.asarray(activity_mbq)
    return jnp.sum(activity_mbq * jnp.asarray(lung_shunt_fractions)) / jnp.sum(activity_mbq)
