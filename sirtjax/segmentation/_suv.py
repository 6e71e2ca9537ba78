from __future__ import annotations

from jaxtyping import Float, Real

from sirtjax.errors import InputError
from sirtjax.typing import Array


def suv_per_bq_per_ml(
    *,
    injected_activity_bq: float,
    injection_to_reference_h: float,
    half_life_h: float,
    weight_kg: float,
) -> float:
    """Returns the SUV by body weight of 1 Bq/mL.

    It is the weight in grams over the activity left at the image's reference time.

    The reference time is the one the image is decay-corrected to: usually the start of the acquisition; for
    an image corrected to the injection it is the injection, 0 h after it.

    Args:
      injected_activity_bq: net injected activity at the time of injection.
      injection_to_reference_h: hours from the injection to the image's reference time.
      half_life_h: half-life of the nuclide.
      weight_kg: body weight.

    Returns:
      SUV per Bq/mL, that is g/mL per Bq/mL.

    Raises:
      InputError: an activity, half-life or weight that is not positive, or a reference before the injection.

    Reference:
      Boellaard et al., EANM procedure guidelines 2.0, Eur J Nucl Med Mol Imaging 42:328, 2015,
      doi:10.1007/s00259-014-2961-x.

    Examples:
      >>> from sirtjax import segmentation
      >>> segmentation.suv_per_bq_per_ml(
      ...     injected_activity_bq=140e6, injection_to_reference_h=2.0, half_life_h=2.0, weight_kg=70.0
      ... )  # 70 kg / 70 MBq, as half of the activity is left
      0.001
    """
    # Values outside these limits are nearly always in a wrong unit: MBq instead of Bq, g instead of kg.
    if not 1e5 <= injected_activity_bq <= 1e11:
        raise InputError(f"SUV: injected activity of {injected_activity_bq:g} Bq; expected 1e5 to 1e11 Bq")
    if not 0.5 <= weight_kg <= 500:
        raise InputError(f"SUV: body weight of {weight_kg:g} kg; expected 0.5 to 500 kg")
    if not half_life_h > 0:
        raise InputError(f"SUV: half-life of {half_life_h:g} h; expected a positive one")
    if not injection_to_reference_h >= 0:
        raise InputError(
            f"SUV: the image's reference time is {-injection_to_reference_h:g} h before injection; check both"
        )
    left_bq: float = injected_activity_bq * 2.0 ** (-injection_to_reference_h / half_life_h)
    return weight_kg * 1000 / left_bq


def suv_from_bq_per_ml(
    activity_bq_per_ml: Real[Array, "*shape"],
    *,
    injected_activity_bq: float,
    injection_to_reference_h: float,
    half_life_h: float,
    weight_kg: float,
) -> Float[Array, "*shape"]:
    """Returns the SUV by body weight of an activity concentration, any shape.

    Args:
      activity_bq_per_ml: concentration at the reference time.
      injected_activity_bq: injected activity; see `suv_per_bq_per_ml` for this and the following arguments.
      injection_to_reference_h: time from injection to reference.
      half_life_h: physical half-life of the nuclide.
      weight_kg: body weight of the patient.

    Raises:
      InputError: an option is out of range.
    """
    return activity_bq_per_ml * suv_per_bq_per_ml(
        injected_activity_bq=injected_activity_bq,
        injection_to_reference_h=injection_to_reference_h,
        half_life_h=half_life_h,
        weight_kg=weight_kg,
    )
