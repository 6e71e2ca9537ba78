from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from sirtjax.config import Table
from sirtjax.segmentation._result import Flag

# A signal must exceed its noise by this factor to be seen reliably (Rose, J Opt Soc Am 1948,
# doi:10.1364/JOSA.38.000196).
ROSE = 5.0
# Lesions of this radius (14 mL) must be detectable: smaller ones are also missed on diagnostic images.
RADIUS_MM = 15.0
# Unenhanced CT: at most 15 HU between liver and lesion in 17 of 28 patients with hypervascular metastases (Bressler et
# al., Radiology 1987, doi:10.1148/radiology.162.1.3024210), at 60 HU, the middle of 50 to 70 HU of a normal liver.
UNENHANCED_LIVER_HU, UNENHANCED_CONTRAST_HU = 60.0, 15.0
# The liver of 20 patients without cirrhosis gained 56 HU (standard deviation 14) in the portal phase, that of others 40
# (Naruo et al., Radiat Med 2007, doi:10.1007/s11604-006-0111-5). Lesions gain less: taken as half, chosen here.
FULL_GAIN_HU, LESION_GAIN = 50.0, 0.5
# Darker than the liver by this fraction on T1-weighted MR, as on the digital phantoms; chosen here.
MR_CONTRAST = 0.3


class LesionDetectability(Table):
    """The limits of a lesion model that was trained with digital phantoms.

    Attributes:
      false_alarms: expected number of places per liver at which pure noise is as strong as the components retained.
      least_contrast_hu: smallest contrast between lesion and liver (HU) on the CTs that the model was trained with.
    """

    false_alarms: Annotated[float, Field(gt=0, le=1)] = 0.2
    least_contrast_hu: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


def typical_contrast(liver: float, *, modality: str) -> float:
    """Returns the typical contrast between a lesion and the liver, in the unit of the image.

    On CT it grows with the contrast medium in the liver, from 15 HU without to 40 HU in a good portal phase.

    Args:
      liver: median of the liver.
      modality: "CT" or "MR".

    Examples:
      >>> from sirtjax.segmentation._lesion_detectability import typical_contrast
      >>> [typical_contrast(liver_hu, modality="CT") for liver_hu in (55.0, 80.0, 115.0)]
      [15.0, 25.0, 40.0]
    """
    if modality == "MR":
        return MR_CONTRAST * liver
    gain = min(max(liver - UNENHANCED_LIVER_HU, 0.0), FULL_GAIN_HU)
    return UNENHANCED_CONTRAST_HU + LESION_GAIN * gain


def detectability_flags(
    liver: float, noise: float, *, modality: str, limits: LesionDetectability | None
) -> tuple[Flag, ...]:
    """Returns a flag if a typical lesion of 15 mm radius cannot be detected in the image.

    Args:
      liver: median of the liver, in the unit of the image.
      noise: standard deviation of the liver averaged over such a lesion; not finite if unknown.
      modality: "CT" or "MR".
      limits: limits of the model; None if unknown.
    """
    if not (math.isfinite(liver) and math.isfinite(noise)):
        return ()
    least = limits.least_contrast_hu if limits is not None and modality == "CT" else 0.0
    typical, seen = typical_contrast(liver, modality=modality), ROSE * noise
    if max(seen, least) <= typical:
        return ()
    unit = " HU" if modality == "CT" else ""
    reason = f"{ROSE:g} times the noise" if seen >= least else "the smallest that this model was trained with"
    dry = " (no or little contrast medium)" if modality == "CT" and typical <= UNENHANCED_CONTRAST_HU + 5 else ""
    message = (
        f"lesions cannot be detected in this image: one of {RADIUS_MM:g} mm radius needs a contrast of "
        f"{max(seen, least):.0f}{unit} ({reason}), but {typical:.0f}{unit} is typical in a liver of "
        f"{liver:.0f}{unit}{dry}; segment them on the diagnostic image"
    )
    return (Flag(code="lesions_not_detectable", message=message),)
