"""The mono-compartment model, the activity per liver mass, and what stays in the vial.

1 Gy.g/MBq = 1 Gy.kg/GBq, so the published constants (49.38 for Y-90 in the thesis) are used unchanged.
"""

from __future__ import annotations

from sirtjax.typing import Numbers


def mono_compartment_dose_gy(
    activity_mbq: Numbers, mass_g: Numbers, *, constant_gy_g_per_mbq: Numbers, lung_shunt_fraction: Numbers
) -> Numbers:
    """Computes the mean dose of a target with uniform uptake of the injected activity.

    `D = K (1 - LSF) A / M`. The thesis' Eq. 1.4 has A as the activity in the target; pass LSF = 0 for that.
    Arguments broadcast.

    Args:
      activity_mbq: activity injected, at the time of injection.
      mass_g: mass of the target, density times volume.
      constant_gy_g_per_mbq: local-deposition constant of the nuclide.
      lung_shunt_fraction: fraction of the injected activity that reaches the lungs.

    Returns:
      Dose in Gy.

    Reference:
      Thesis Eq. 1.4; van Roekel, thesis Utrecht, p. 30 (A = D M / K).

    Examples:
      >>> from sirtjax import dosimetry
      >>> constant = dosimetry.get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq
      >>> dose = dosimetry.mono_compartment_dose_gy(
      ...     2000.0, 1000.0, constant_gy_g_per_mbq=constant, lung_shunt_fraction=0.5
      ... )
      >>> round(dose, 2)  # half of 2 GBq reaches 1 kg
      49.77
    """
    return constant_gy_g_per_mbq * (1.0 - lung_shunt_fraction) * activity_mbq / mass_g


def mono_compartment_activity_mbq(
    dose_gy: Numbers, mass_g: Numbers, *, constant_gy_g_per_mbq: Numbers, lung_shunt_fraction: Numbers
) -> Numbers:
    """Computes the activity for a mean dose in a uniform target: Eq. 1.4 solved for A.

    Args:
      dose_gy: requested mean absorbed dose of the target.
      mass_g: mass of the target.
      constant_gy_g_per_mbq: local-deposition constant of the nuclide.
      lung_shunt_fraction: fraction of the injected activity that reaches the lungs, below 1.

    Returns:
      Activity in MBq at the time of injection.

    Reference:
      Thesis Eq. 1.4; van Roekel, thesis Utrecht, p. 30.
    """
    return dose_gy * mass_g / (constant_gy_g_per_mbq * (1.0 - lung_shunt_fraction))


def activity_per_mass_mbq(liver_mass_g: Numbers, *, activity_mbq_per_kg: Numbers) -> Numbers:
    """Computes the activity by liver mass, as for Ho-166 microspheres (3780 MBq/kg for 60 Gy).

    Args:
      liver_mass_g: mass of the liver to be treated.
      activity_mbq_per_kg: activity per liver mass, a value of the protocol.

    Returns:
      Activity in MBq at the time of injection.

    Reference:
      van Roekel, thesis Utrecht, p. 30 and 125.
    """
    return activity_mbq_per_kg * liver_mass_g / 1000.0


def dispensed_activity_mbq(injected_activity_mbq: Numbers, *, residual_fraction: Numbers) -> Numbers:
    """Computes the activity to order, at injection time, for a residual R: A / (1 - R).

    Args:
      injected_activity_mbq: activity meant to enter the patient.
      residual_fraction: R, fraction of the ordered activity that stays behind, below 1.

    Returns:
      Activity in MBq.
    """
    return injected_activity_mbq / (1.0 - residual_fraction)


def delivered_activity_mbq(dispensed_activity_mbq: Numbers, *, residual_fraction: Numbers) -> Numbers:
    """Computes the activity that enters the patient with a residual fraction R: A (1 - R).

    Args:
      dispensed_activity_mbq: activity in the vial, at injection time.
      residual_fraction: R, fraction of the activity that remains in the vial and the tubing.

    Returns:
      Activity in MBq.
    """
    return dispensed_activity_mbq * (1.0 - residual_fraction)
