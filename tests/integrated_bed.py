"""The linear-quadratic BED of any dose rates by stepping through time, as an independent judge."""

import numpy as np


def integrated_bed(doses_gy, half_lives_h, starts_h, *, alpha_beta_gy, repair_half_time_h):
    """The linear-quadratic BED of summed decaying dose rates, by stepping the repairable damage through time."""
    step_h = 0.01
    times = np.arange(0.0, max(starts_h) + 12 * max(half_lives_h), step_h) + step_h / 2
    rate = np.zeros_like(times)
    for dose, half, start in zip(doses_gy, half_lives_h, starts_h, strict=True):
        decay = np.log(2) / half
        rate += np.where(times >= start, dose * decay * np.exp(-decay * (times - start)), 0.0)
    repaired = np.exp(-np.log(2) / repair_half_time_h * step_h)
    damage = quadratic = 0.0
    for value in rate:
        quadratic += value * step_h * (damage * repaired**0.5 + value * step_h / 2)
        damage = damage * repaired + value * step_h * repaired**0.5
    return sum(doses_gy) + 2 * quadratic / alpha_beta_gy
