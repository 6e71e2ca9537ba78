"""Segmentation of a structure, or of organs, with the models that are installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from sirtjax import registration, segmentation
from sirtjax.errors import ConfigError
from sirtjax.io import Image
from sirtjax.segmentation import Model, Segmentation, Structure
from sirtjax.tasks._image import modality_of, volume_of
from sirtjax.volume import LabelMap, Volume

# Structures segmented only by CT numbers.
BY_CT_NUMBERS = {"lungs": segmentation.segment_lungs, "body": segmentation.segment_body}


def segment(
    image: Volume | Image,
    structure: Structure | Literal["organs"],
    *,
    model: str | Path | Model | None = None,
    modality: str | None = None,
    liver: LabelMap | None = None,
    min_volume_ml: float | None = None,
    mirror: bool = False,
    diagnostic: Volume | Image | None = None,
    diagnostic_liver: LabelMap | None = None,
    diagnostic_modality: str | None = None,
    preset: str | registration.RegistrationConfig = "image",
) -> Segmentation:
    """Segments the liver, the lesions in it, the lungs, the body or several organs of an image.

    Liver, lesions and organs are found by a network, lungs and body by CT numbers. Organs are liver, spleen, kidneys,
    stomach, heart, lungs, gallbladder and bowel, each with a label; all but the liver are research. Lesions are
    searched inside the liver; without `liver`, the installed liver model is run first and its flags are added to the
    result. The result is automatic: review it before use, in particular if it has flags.

    With `diagnostic`, the liver of a diagnostic image of the patient is warped to the image and corrected, as
    `segmentation.segment_liver_by_diagnostic` describes, which also returns the registration and all checks.

    Args:
      image: CT in HU or MR, (i, j, k), any spacing and orientation, from `read_image` or as a volume.
      structure: "liver", "lesions", "lungs", "body" or "organs".
      model: name or folder of a model, or a model; by default the installed model named like the structure.
      modality: "CT" or "MR"; required for a volume that is not in HU.
      liver: label map whose first label is the liver, lesions included.
      min_volume_ml: smallest volume of a component that is not removed. Default: value of the model.
      mirror: average over flips: slightly better, several times slower.
      diagnostic: diagnostic CT or MR of the patient, for the liver of a low-dose CT.
      diagnostic_liver: label map whose first label is the liver on it, lesions included. Default: that of the model.
      diagnostic_modality: "CT" or "MR"; required for a volume that is not in HU.
      preset: preset or configuration of the registration, without guidance by masks.

    Returns:
      The label map on the grid of the image, volumes in mL, flags and, if calibrated, the estimated DSC.

    Raises:
      ConfigError: a model was given for lungs or body, a diagnostic image for another structure than the liver, or
        the modality is missing.
      ModelError: no model is installed for the structure, or it does not suit the image.
      ImageFormatError: the image cannot be used, or nothing was found.
      ComputationError: the diagnostic image could not be registered.

    Examples:
      >>> import sirtjax as sj
      >>> patient = sj.simulate(seed=1, preset="small", sessions=["spect"])
      >>> lungs = sj.segment(patient.images["spect_ct"], "lungs")
      >>> [name for _, name in lungs.labels.names]
      ['lungs']
    """
    if structure != "liver" and (diagnostic is not None or diagnostic_liver is not None):
        raise ConfigError(f"{structure}: a diagnostic image helps to segment only the liver; omit diagnostic")
    if diagnostic is None and diagnostic_liver is not None:
        raise ConfigError("diagnostic_liver: the liver on the diagnostic image; give diagnostic too")
    if structure in BY_CT_NUMBERS:
        if model is not None:
            raise ConfigError(f"{structure}: segmented by CT numbers, not by a model; omit model")
        return BY_CT_NUMBERS[structure](volume_of(image))
    modality = modality_of(image, modality)
    default = "liver" if structure == "organs" else structure
    chosen = model if isinstance(model, Model) else segmentation.load_model(default if model is None else model)
    if structure == "organs":
        return segmentation.segment_organs(volume_of(image), chosen, modality=modality, mirror=mirror)
    if diagnostic is not None:
        return segmentation.segment_liver_by_diagnostic(
            volume_of(image),
            volume_of(diagnostic),
            chosen,
            config=registration.load_preset(preset) if isinstance(preset, str) else preset,
            liver=diagnostic_liver,
            modality=modality,
            diagnostic_modality=modality_of(diagnostic, diagnostic_modality),
            register=registration.register,
            mirror=mirror,
        ).found
    flags: tuple[segmentation.Flag, ...] = ()
    if structure == "lesions" and liver is None:
        draft = segment(image, "liver", modality=modality, mirror=mirror)
        liver, flags = draft.labels, draft.flags
    found = segmentation.segment(
        volume_of(image),
        chosen,
        structure=structure,
        modality=modality,
        mirror=mirror,
        liver=liver,
        min_volume_ml=min_volume_ml,
    )
    return replace(found, flags=(*flags, *found.flags))
