from __future__ import annotations

from sirtjax.errors import InputError
from sirtjax.io import Image
from sirtjax.segmentation._suv import suv_from_bq_per_ml
from sirtjax.volume import Volume


def suv_volume(
    image: Image,
    *,
    injected_activity_bq: float | None = None,
    injection_to_reference_h: float | None = None,
    half_life_h: float | None = None,
    weight_kg: float | None = None,
) -> Volume:
    """Returns a PET image in SUV by body weight, from the tracer and patient data of its file.

    An image already in SUV is returned unchanged. Values that the file does not contain (a NIfTI file has none) are
    required; arguments have priority over the file.

    Args:
      image: PET image in Bq/mL or SUV.
      injected_activity_bq: activity at the time of injection.
      injection_to_reference_h: hours from injection to the time to which the image is decay-corrected.
      half_life_h: physical half-life of the nuclide.
      weight_kg: body weight of the patient.

    Returns:
      The volume in SUV.

    Raises:
      InputError: the unit is neither Bq/mL nor SUV, or a value is missing or out of range.
    """
    volume, source = image.volume, image.source
    if volume.unit == "SUV":
        return volume
    if volume.unit != "Bq/mL":
        raise InputError(
            f"{source.path}: SUV needs an image in Bq/mL, this one is in {volume.unit!r}; set its unit if it is known"
        )
    if half_life_h is None and source.half_life_s is not None:
        half_life_h = source.half_life_s / 3600
    if injected_activity_bq is None:
        injected_activity_bq = source.injected_activity_bq
    if weight_kg is None:
        weight_kg = source.patient_weight_kg
    if injection_to_reference_h is None:
        injection_to_reference_h = _hours_to_reference(image)
    known = {
        "injected activity": injected_activity_bq,
        "time from injection to the reference time": injection_to_reference_h,
        "half-life": half_life_h,
        "body weight": weight_kg,
    }
    missing = [name for name, value in known.items() if value is None]
    if injected_activity_bq is None or injection_to_reference_h is None or half_life_h is None or weight_kg is None:
        raise InputError(
            f"{source.path}: SUV needs the {', '.join(missing)}, which the file does not contain; provide it"
        )
    try:
        suv = suv_from_bq_per_ml(
            volume.array,
            injected_activity_bq=injected_activity_bq,
            injection_to_reference_h=injection_to_reference_h,
            half_life_h=half_life_h,
            weight_kg=weight_kg,
        )
    except InputError as error:
        raise InputError(f"{source.path}: {error}") from error
    return volume.replace(suv, unit="SUV")


def _hours_to_reference(image: Image) -> float | None:
    source = image.source
    if source.decay_correction == "ADMIN":
        return 0.0
    if source.reference_time is None or source.injection_time is None:
        return None
    return (source.reference_time - source.injection_time).total_seconds() / 3600
