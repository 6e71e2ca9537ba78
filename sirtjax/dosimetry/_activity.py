from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from jaxtyping import Float, Real, Shaped

from sirtjax.errors import ConfigError
from sirtjax.ops import namespace
from sirtjax.typing import Array, Numbers, Scalar

_LN2 = 0.6931471805599453


def decay_factor(elapsed_h: Numbers, *, half_life_h: Numbers) -> Numbers:
    """Computes the fraction of nuclei after a time, 2^(-t/T); above 1 for a time before the reference.

    Args:
      elapsed_h: hours after the reference time; negative is earlier.
      half_life_h: physical half-life in hours.

    Examples:
      >>> from sirtjax import dosimetry
      >>> yttrium = dosimetry.get_nuclide("y90-icrp107")
      >>> round(float(dosimetry.decay_factor(2 * 64.1, half_life_h=yttrium.half_life_h)), 4)  # two half-lives
      0.25
    """
    xp = namespace(elapsed_h, half_life_h)
    result: Numbers = xp.exp(-_LN2 * xp.asarray(elapsed_h) / half_life_h)
    return result


def cumulated_activity_mbq_h(activity_mbq: Numbers, *, half_life_h: Numbers) -> Numbers:
    """Decays to come, in MBq h, of activity that stays where it is: A T / ln 2.

    Microspheres are trapped for good, so that the effective half-life is the physical one.
    """
    result: Numbers = namespace(activity_mbq, half_life_h).asarray(activity_mbq) * half_life_h / _LN2
    return result


def relative_activity_mbq(
    counts: Real[Array, "*grid"], region: Shaped[Array, "*grid"], *, injected_activity_mbq: Scalar
) -> Float[Array, "*grid"]:
    """Scales counts so that the region contains the injected activity (patient-relative calibration).

    Independent of the camera's sensitivity and, for images of one nuclide, of decay. Counts outside the
    region are taken to be scatter or noise: they get no activity.

    Args:
      counts: (i, j, k) counts, or any quantity proportional to activity, not negative.
      region: (i, j, k) weights in [0, 1]; ones for the whole image.
      injected_activity_mbq: activity that the region received, at the time from which the dose calculation starts.

    Returns:
      (i, j, k) MBq per voxel, float32; its sum is `injected_activity_mbq`. NaN if the region holds no counts.

    Reference:
      Chiesa et al., EANM dosimetry committee series, EJNMMI Phys 8:77, 2021, doi:10.1186/s40658-021-00394-3.
    """
    xp = namespace(counts, region, injected_activity_mbq)
    inside = xp.asarray(counts * region)
    result: Float[Array, "*grid"] = xp.asarray(inside * (injected_activity_mbq / xp.sum(inside)), np.float32)
    return result


def absolute_activity_mbq(
    concentration_bq_per_ml: Real[Array, "*grid"], *, voxel_volume_ml: Scalar, elapsed_h: Scalar, half_life_h: Scalar
) -> Float[Array, "*grid"]:
    """Corrects a quantitative image for decay to the time of injection (absolute calibration).

    Args:
      concentration_bq_per_ml: (i, j, k) activity concentration at the image's own reference time (that to
        which its scanner corrected decay: the start of the series, or already the injection).
      voxel_volume_ml: volume of one voxel.
      elapsed_h: hours from the injection to the image's reference time; 0 if they are the same.
      half_life_h: physical half-life in hours.

    Returns:
      (i, j, k) MBq per voxel at the time of injection, float32.
    """
    now_mbq = concentration_bq_per_ml * (voxel_volume_ml * 1e-6)
    at_injection_mbq = now_mbq / decay_factor(elapsed_h, half_life_h=half_life_h)
    result: Float[Array, "*grid"] = namespace(at_injection_mbq).asarray(at_injection_mbq, np.float32)
    return result


def hours_between(start: datetime, end: datetime) -> float:
    """Hours from `start` to `end`; negative if `end` is earlier.

    Times with a time zone are compared in UTC, so a change of daylight saving time between them is counted.

    Raises:
      ConfigError: one time has a time zone and the other has none.
    """
    if (start.tzinfo is None) != (end.tzinfo is None):
        raise ConfigError(
            f"times {start.isoformat()} and {end.isoformat()} can't be compared: one has a time zone, "
            "the other has none; give both with a time zone or both without"
        )
    if start.tzinfo is not None:
        # Python subtracts the wall clocks of two times in the same zone.
        start, end = start.astimezone(UTC), end.astimezone(UTC)
    return (end - start).total_seconds() / 3600.0
