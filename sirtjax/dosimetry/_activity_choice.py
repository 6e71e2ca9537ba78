"""The formulas by which dose limits become activities, for NumPy (`prescribe`) and for JAX (`sirtjax.pipeline`).

Dose is linear in activity along a ray of activities, so that each objective is met at one multiple of the ray.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Real

from sirtjax.ops import namespace
from sirtjax.typing import Array, Numbers, Scalar

Strategy = Literal["upper", "lower", "fixed", "ntcp", "max-utcp"]
# Strategies that select a multiple of the activities of "upper" by TCP and NTCP.
OUTCOME_STRATEGIES: tuple[Strategy, ...] = ("ntcp", "max-utcp")


def activity_multiple(room_gy: Numbers, gy_per_unit: Numbers) -> Real[Array, "..."]:
    """Returns the multiple of a ray of activities at which an objective is just met.

    Args:
      room_gy: dose of the objective less that of earlier treatments, at least 0; any shape.
      gy_per_unit: dose of one unit of the ray, same shape.

    Returns:
      Multiples; infinite if the ray gives no dose.
    """
    xp = namespace(room_gy, gy_per_unit)
    reached = gy_per_unit > 0
    result: Real[Array, "..."] = xp.where(reached, room_gy / xp.where(reached, gy_per_unit, 1.0), xp.inf)
    return result


def split_proportions(
    upper_mbq: Real[Array, " territories"], lower_mbq: Real[Array, " territories"]
) -> tuple[Real[Array, " territories"], bool | Bool[Array, ""]]:
    """Returns in which proportions several territories feed one target, and whether they are usable.

    Args:
      upper_mbq: (territories,) upper bounds; used if all are finite and above 0.
      lower_mbq: (territories,) lower bounds, used otherwise if all are finite and above 0.
    """
    xp = namespace(upper_mbq, lower_mbq)
    by_upper = xp.all(xp.isfinite(upper_mbq) & (upper_mbq > 0))
    by_lower = xp.all(xp.isfinite(lower_mbq) & (lower_mbq > 0))
    return xp.where(by_upper, upper_mbq, lower_mbq), by_upper | by_lower


def lowest_start(
    lower_mbq: Real[Array, " territories"],
    shares: Real[Array, " territories"] | None,
    needed: Bool[Array, " territories"],
) -> Real[Array, " territories"]:
    """Returns the lower bounds, or with `shares` what the neediest territory needs in proportion.

    Args:
      lower_mbq: (territories,) lower bounds.
      shares: (territories,) proportions of the activities, or None.
      needed: (territories,) bool, those whose lower bound counts with `shares`.
    """
    if shares is None:
        return lower_mbq
    xp = namespace(lower_mbq, shares)
    counted = needed & (lower_mbq > 0)
    result: Real[Array, " territories"] = shares * xp.max(xp.where(counted, lower_mbq / shares, 0.0))
    return result


def upper_start(
    upper_mbq: Real[Array, " territories"],
    lower_mbq: Real[Array, " territories"],
    unlimited: Bool[Array, " territories"],
    shares: Real[Array, " territories"] | None,
) -> Real[Array, " territories"]:
    """Returns the activities before the joint reduction for the choice "upper".

    Args:
      upper_mbq: (territories,) upper bounds.
      lower_mbq: (territories,) lower bounds, used if no limit acts on the liver.
      unlimited: (territories,) whether no limit on the liver acts.
      shares: (territories,) proportions of the activities, or None.
    """
    xp = namespace(upper_mbq, lower_mbq)
    if shares is None:
        result: Real[Array, " territories"] = xp.where(unlimited, lower_mbq, upper_mbq)
    else:
        result = xp.where(xp.any(unlimited), lowest_start(lower_mbq, shares, unlimited), shares)
    return result


def joint_scale(smallest_multiple: Scalar, *, free: bool | Bool[Array, ""]) -> Real[Array, ""]:
    """Returns the factor on the activities at start by which every limit holds for the superposed dose.

    Args:
      smallest_multiple: smallest multiple of the activities at start that reaches a limit.
      free: whether the start gives only proportions, so that the factor may be above 1.
    """
    xp = namespace(smallest_multiple)
    result: Real[Array, ""] = xp.where(free, smallest_multiple, xp.minimum(1.0, smallest_multiple))
    return result


def even_dose_activity_mbq(own_gy_per_mbq: Real[Array, " territories"]) -> Real[Array, " territories"]:
    """Returns activities that give each territory a mean of 1 Gy, (territories,) MBq."""
    return 1.0 / own_gy_per_mbq
