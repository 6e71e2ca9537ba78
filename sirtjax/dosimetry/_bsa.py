"""The body-surface-area method of the resin microspheres."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sirtjax.errors import InputError
from sirtjax.typing import Numbers

# DuBois & DuBois 1916 in m, kg, m2. The source of the method prints 0.2024; its last digit is
# unverified there.
DUBOIS_FACTOR = 0.20247


def body_surface_area_m2(height_m: Numbers, weight_kg: Numbers) -> Numbers:
    """Computes the body surface area of DuBois: 0.20247 h^0.725 w^0.425.

    Args:
      height_m: body height in metres.
      weight_kg: body weight.

    Returns:
      Area in m2.

    Reference:
      DuBois and DuBois, Arch Intern Med 1916;17:863. van Roekel, thesis Utrecht, p. 30, prints the factor as
      0.2024 (0.03 % less).
    """
    return DUBOIS_FACTOR * height_m**0.725 * weight_kg**0.425


def bsa_activity_mbq(
    height_m: Numbers, weight_kg: Numbers, tumour_volume_ml: Numbers, normal_volume_ml: Numbers
) -> Numbers:
    """Computes the whole-liver activity by the BSA method: A[GBq] = BSA - 0.2 + V_T / (V_T + V_N).

    The tumour involvement is a fraction (some web pages print it as a percentage). The result is for the
    whole liver and before the reduction for lung shunt: see `shunt_step_factor`.

    Args:
      height_m: body height in metres.
      weight_kg: body weight.
      tumour_volume_ml: volume of all tumours.
      normal_volume_ml: the rest of the liver.

    Returns:
      Activity in MBq at the time of injection.

    Reference:
      van Roekel, thesis Utrecht, p. 30.

    Examples:
      >>> from sirtjax import dosimetry
      >>> round(float(dosimetry.body_surface_area_m2(1.7, 70.0)), 2)
      1.81
      >>> round(float(dosimetry.bsa_activity_mbq(1.7, 70.0, 200.0, 1800.0)))  # 1.81 - 0.2 + 200 / 2000 GBq
      1710
    """
    involvement = tumour_volume_ml / (tumour_volume_ml + normal_volume_ml)
    return 1000.0 * (body_surface_area_m2(height_m, weight_kg) - 0.2 + involvement)


def lobar_activity_mbq(whole_liver_activity_mbq: Numbers, *, treated_liver_fraction: Numbers) -> Numbers:
    """Scales a whole-liver BSA activity by the lobe's fraction of the liver volume.

    The rule is unverified: it was not found in a source; state this next to its result.

    Args:
      whole_liver_activity_mbq: result of `bsa_activity_mbq`.
      treated_liver_fraction: volume of the treated lobe over that of the liver.

    Returns:
      Activity in MBq.
    """
    return whole_liver_activity_mbq * treated_liver_fraction


def shunt_step_factor(lung_shunt_fraction: float, *, steps: Sequence[tuple[float, float]]) -> float:
    """Returns the lung shunt factor of the BSA activity, in steps: 0 means no treatment.

    Args:
      lung_shunt_fraction: LSF.
      steps: pairs (LSF from which the step holds, exclusive; factor), ascending, from the protocol.

    Returns:
      1.0 up to and including the first step's LSF, then the factor of the highest step exceeded.

    Raises:
      InputError: LSF is not in [0, 1), or the steps don't ascend.

    Reference:
      van Roekel, thesis Utrecht, p. 41: reductions of 20, 40 and 100 % where the LSF exceeds 10, 15 and 20 %.
    """
    if not 0 <= lung_shunt_fraction < 1:
        raise InputError(f"lung shunt fraction is {lung_shunt_fraction}; give a fraction from 0 to below 1")
    if any(later[0] <= earlier[0] for earlier, later in pairwise(steps)):
        raise InputError(f"lung shunt steps must ascend in LSF, got {list(steps)}; sort them in the protocol")
    factor = 1.0
    for above, step in steps:
        if lung_shunt_fraction > above:
            factor = step
    return factor
