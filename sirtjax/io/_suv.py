from __future__ import annotations

import numpy as np

from sirtjax.errors import ImageFormatError
from sirtjax.io._source import Image, Source
from sirtjax.volume import Volume


def suv(image: Image, *, weight_kg: float | None = None) -> Volume:
    """The standardised uptake value by body weight of a PET in Bq/mL.

    SUV = concentration / (injected activity / weight), both activities at the decay reference time of the
    image, 1 g of body taken as 1 mL. A series that is in SUV already is returned as it is.

    Args:
      image: as read from DICOM, with its injection in the source.
      weight_kg: body weight, where the file has none or a wrong one.

    Returns:
      The volume in "SUV" (g/mL).

    Raises:
      ImageFormatError: not in Bq/mL, or the activity, time of injection, half-life, decay reference or weight
        is not known.

    Reference:
      Boellaard et al., FDG PET/CT: EANM procedure guidelines for tumour imaging: version 2.0, Eur J Nucl Med
      Mol Imaging 42, 2015, doi:10.1007/s00259-014-2961-x; QIBA FDG-PET/CT profile, vendor-neutral SUV.
    """
    volume, source = image.volume, image.source
    if volume.unit == "SUV":
        return volume
    if volume.unit != "Bq/mL":
        raise ImageFormatError(f"{source.path}: SUV needs a PET in Bq/mL, this image is in {volume.unit}")
    weight_kg = source.patient_weight_kg if weight_kg is None else weight_kg
    if weight_kg is None or not weight_kg > 0:
        raise ImageFormatError(f"{source.path}: SUV needs the body weight, which the file doesn't have; give it")
    activity_bq = _activity_at_reference_bq(source)
    factor = np.float32(1000.0 * weight_kg / activity_bq)
    return volume.replace(np.asarray(volume.array, np.float32) * factor, unit="SUV")


def _activity_at_reference_bq(source: Source) -> float:
    activity_bq, half_life_s = source.injected_activity_bq, source.half_life_s
    injection, reference = source.injection_time, source.reference_time
    if activity_bq is None or half_life_s is None or injection is None or reference is None:
        needed = {
            "injected activity": activity_bq,
            "half-life": half_life_s,
            "injection time": injection,
            "decay reference time": reference,
        }
        missing = " and the ".join(name for name, value in needed.items() if value is None)
        raise ImageFormatError(f"{source.path}: SUV needs the {missing}, which the file doesn't have")
    elapsed_s = (reference - injection).total_seconds()
    if elapsed_s < 0:
        raise ImageFormatError(
            f"{source.path}: the decay reference time is {-elapsed_s:.0f} s before the injection; "
            "check the times in the file"
        )
    return float(activity_bq * 0.5 ** (elapsed_s / half_life_s))
