"""What the sum of the BEDs of two treatments neglects if they are close in time."""

from __future__ import annotations

import math


def overlapping_fraction(
    interval_h: float, *, half_life_h: float, next_half_life_h: float, repair_half_time_h: float
) -> float:
    """Computes how much of the cross term of two treatments the sum of their BEDs neglects.

    The cross term `2 D1 D2 / (alpha/beta) G` of two decaying dose rates with exponential repair has, for a second
    injection `t` after the first, `G = L1 L2 ((exp(-L1 t) / (L1 + L2) - exp(-m t) / (m + L2)) / (m - L1)
    + exp(-L1 t) / ((L1 + L2) (L1 + m)))` with the decay constants `L1`, `L2` and the repair constant `m`.

    Args:
      interval_h: hours from the first to the second injection, not negative.
      half_life_h: half-life of the nuclide of the first.
      next_half_life_h: half-life of the nuclide of the second.
      repair_half_time_h: half-time of sublethal damage repair.

    Returns:
      G divided by its value for a simultaneous second injection: 1 at 0 h, falling to 0.

    Reference:
      Dale, Br J Radiol 58:515, 1985, doi:10.1259/0007-1285-58-690-515, for the model; G is integrated here.
    """
    if math.isclose(repair_half_time_h, half_life_h, rel_tol=1e-6):
        # G is continuous there, but its form above is 0 / 0.
        repair_half_time_h *= 1.0 + 1e-5
    first, second, repair = (math.log(2.0) / hours for hours in (half_life_h, next_half_life_h, repair_half_time_h))

    def cross(hours: float) -> float:
        left, repaired = math.exp(-first * hours), math.exp(-repair * hours)
        before = (left / (first + second) - repaired / (repair + second)) / (repair - first)
        return before + left / ((first + second) * (first + repair))

    return cross(interval_h) / cross(0.0)
