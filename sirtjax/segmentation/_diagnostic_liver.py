from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float32

from sirtjax import registration, spatial
from sirtjax.errors import ComputationError, ConfigError, InputError
from sirtjax.registration import RegistrationConfig, RegistrationResult, Status
from sirtjax.segmentation._flags import LIVER_ML, edge_flags, volume_flags
from sirtjax.segmentation._input import check_inputs
from sirtjax.segmentation._liver_agreement import (
    DIAGNOSTIC,
    LOW_DOSE,
    LiverAgreement,
    agreement_flags,
    confirms,
    liver_agreement,
)
from sirtjax.segmentation._model import Model
from sirtjax.segmentation._pooled_liver import entropy_of, pooled_liver
from sirtjax.segmentation._result import Flag, Segmentation
from sirtjax.segmentation._segment import segment
from sirtjax.volume import LabelMap, Volume

LIVER: Literal["liver"] = "liver"
HALF = 0.5
WARPED = "the warped liver disagrees with the liver that the model finds on the image"
GIVEN = "the provided mask disagrees with the liver that the model finds on the diagnostic image"


@dataclass(frozen=True, kw_only=True)
class DiagnosticSegmentation:
    """A liver that was warped from a diagnostic image and corrected, and the checks of it.

    Attributes:
      found: the corrected liver on the grid of the image, with the flags of all checks.
      warped: the warped liver before the correction.
      check: the liver that the model found on the image without the diagnostic image.
      agreement: agreement of the warped liver with that liver.
      registration: transform from the image to the diagnostic image, and its quality.
      diagnostic: the liver that the model found on the diagnostic image.
      mask_agreement: agreement of the provided mask with that liver; None if no mask was provided.
    """

    found: Segmentation
    warped: LabelMap
    check: Segmentation
    agreement: LiverAgreement
    registration: RegistrationResult
    diagnostic: Segmentation
    mask_agreement: LiverAgreement | None


def segment_liver_by_diagnostic(
    image: Volume,
    diagnostic: Volume,
    model: Model,
    *,
    config: RegistrationConfig,
    liver: LabelMap | None = None,
    modality: str | None = None,
    diagnostic_modality: str | None = None,
    register: Callable[..., RegistrationResult] = registration.register,
    mirror: bool = False,
    devices: Sequence[jax.Device] | None = None,
    report: Callable[[str], None] | None = None,
) -> DiagnosticSegmentation:
    """Segments the liver of a low-dose image by the liver of a diagnostic image of the same patient.

    The diagnostic image is registered to the image without masks, and its liver is warped. The model then corrects
    the outline by up to a millimetre. The model's own liver on each image checks the warped liver and the provided
    mask. No mask found on the low-dose image guides the registration, because a wrong one can displace the result
    unnoticed.

    A registration that the images do not confirm is accepted, with a flag, if the warped liver agrees with the liver
    that the model found independently on the image. Any other status but success is an error.

    Args:
      image: low-dose CT of a SPECT/CT or PET/CT in HU, or MR.
      diagnostic: diagnostic CT in HU, or MR, of the same patient.
      model: model that finds the liver.
      config: registration preset without guidance by masks.
      liver: liver on the diagnostic image, lesions included, the first label of the map. Default: that of the model.
      modality: "CT" or "MR"; needed if the image is not in HU.
      diagnostic_modality: "CT" or "MR"; needed if the diagnostic image is not in HU.
      register: function of (reference, floating, *, config) that returns a registration.
      mirror: average the model over flips.
      devices: devices that run the network. Default: JAX's first device.
      report: called with the name of each step when it starts.

    Raises:
      ConfigError: the preset is guided by masks, or a modality is unknown or contradicts its image.
      ImageFormatError: an image or `liver` cannot be used, or the model finds no liver on an image.
      GeometryError: half or more of `liver` is outside the diagnostic image.
      ModelError: the model was not trained for one of the images or does not find the liver.
      ComputationError: the registration failed or nothing confirms it, or the warped liver is outside the image.
    """
    if config.guidance.masks != "none":
        raise ConfigError(
            "the registration preset is guided by liver masks of both images; a liver found on the low-dose image must "
            "not guide it, choose the preset image or descriptor"
        )
    tell = report or (lambda step: None)
    timings: dict[str, float] = {}

    def find(volume: Volume, kind: str | None) -> Segmentation:
        return segment(volume, model, structure=LIVER, modality=kind, mirror=mirror, maps=True, devices=devices)

    check_inputs(image, model.spec, modality=modality, liver=None)
    with _of_diagnostic():
        check_inputs(diagnostic, model.spec, modality=diagnostic_modality, liver=liver)
    with _timed(timings, "registration", tell):
        result = register(image, diagnostic, config=config)
        if result.status not in (Status.SUCCESS, Status.UNCONFIRMED):
            raise _refusal(result.status)
    with _timed(timings, "liver on the diagnostic image", tell), _of_diagnostic():
        on_diagnostic = find(diagnostic, diagnostic_modality)
    with _timed(timings, "liver on the image", tell):
        check = find(image, modality)
    with _timed(timings, "correction", tell):
        given = on_diagnostic.labels if liver is None else liver
        occupancy = _warped(given, result, image)
        warped = LabelMap.from_mask(occupancy > HALF, image.geometry, name=LIVER)
        likely = pooled_liver(occupancy, image.geometry, check.probabilities[LIVER])
        labels = _above_half(likely, image)
        agreement = liver_agreement(warped, check.labels)
        if result.status is Status.UNCONFIRMED and not confirms(agreement):
            raise _refusal(result.status, agreement)
        mask_agreement = None if liver is None else liver_agreement(liver, on_diagnostic.labels)
    found = Segmentation(
        labels=labels,
        volumes_ml={LIVER: labels.volume_ml(LIVER)},
        method=f"diagnostic image and {model.spec.name}",
        probabilities={LIVER: likely},
        uncertainty=entropy_of(likely),
        flags=(
            *_status_flags(result.status, agreement),
            *agreement_flags(agreement, LOW_DOSE, code="disagreement", what=WARPED),
            *_diagnostic_flags(given, on_diagnostic, mask_agreement, diagnostic),
            *volume_flags(LIVER, labels.volume_ml(LIVER), LIVER_ML),
            *edge_flags(labels, LIVER, image),
        ),
        timings_s=timings,
    )
    return DiagnosticSegmentation(
        found=found,
        warped=warped,
        check=check,
        agreement=agreement,
        registration=result,
        diagnostic=on_diagnostic,
        mask_agreement=mask_agreement,
    )


@contextmanager
def _of_diagnostic() -> Iterator[None]:
    """Names the diagnostic image in errors, because both images go through the same checks."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"diagnostic image: {error}") from error


@contextmanager
def _timed(timings_s: dict[str, float], step: str, tell: Callable[[str], None]) -> Iterator[None]:
    tell(step)
    began = perf_counter()
    yield
    timings_s[step] = perf_counter() - began


def _warped(liver: LabelMap, result: RegistrationResult, image: Volume) -> Float32[np.ndarray, "i j k"]:
    """The fraction of each voxel of the image inside the warped liver."""
    mask = liver.mask(liver.names[0][1])
    found = spatial.mask_occupancy(mask, liver.geometry, image.geometry, transform=result.transform)
    occupancy = np.asarray(found, np.float32)
    if not (occupancy > HALF).any():
        raise ComputationError(
            "the warped liver is outside the image; check that both images show the liver of the same patient"
        )
    return occupancy


def _refusal(status: Status, agreement: LiverAgreement | None = None) -> ComputationError:
    found = "" if agreement is None else f", and {WARPED} (DSC {agreement.dsc:.2f})"
    return ComputationError(
        f"registration of the diagnostic image, {status.name.lower().replace('_', ' ')}: {status.cause}{found}; "
        f"{status.remedy}, or segment the image without a diagnostic image"
    )


def _status_flags(status: Status, agreement: LiverAgreement) -> tuple[Flag, ...]:
    """The flag of a registration that only the livers confirm."""
    if status is Status.SUCCESS:
        return ()
    message = (
        "the images do not confirm the registration, only the liver that the model finds on the image does: "
        f"DSC {agreement.dsc:.2f} with the warped liver"
    )
    return (Flag(code="registration", message=message),)


def _above_half(likely: Volume, image: Volume) -> LabelMap:
    """The mask on the image's grid; the probability is on a part of this grid."""
    mask = np.zeros(image.geometry.shape, bool)
    start = np.rint(image.geometry.to_voxel(likely.geometry.origin_mm)).astype(int)
    box = tuple(slice(int(a), int(a) + n) for a, n in zip(start, likely.geometry.shape, strict=True))
    mask[box] = np.asarray(likely.array) > HALF
    return LabelMap.from_mask(mask, image.geometry, name=LIVER)


def _diagnostic_flags(
    given: LabelMap, found: Segmentation, agreement: LiverAgreement | None, image: Volume
) -> tuple[Flag, ...]:
    """The flags of the liver on the diagnostic image: agreement of a provided mask, or those of the model's liver."""
    if agreement is None:
        return tuple(replace(flag, message=f"diagnostic image: {flag.message}") for flag in found.flags)
    # A mask may be on a smaller grid, whose faces are not those of the image.
    on_image = given if given.geometry.matches(image.geometry) else spatial.resample_labels(given, image.geometry)
    truncated = edge_flags(on_image, given.names[0][1], image)
    return (
        *agreement_flags(agreement, DIAGNOSTIC, code="diagnostic_mask", what=GIVEN),
        *(replace(flag, message=f"diagnostic image: {flag.message}") for flag in truncated),
    )
