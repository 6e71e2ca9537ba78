"""Step 5: the transform that warps VOIs drawn on the diagnostic image to the activity image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from sirtjax import io, registration, spatial
from sirtjax.errors import ComputationError, ConfigError
from sirtjax.registration import RegistrationConfig, RegistrationResult, Status
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows._alignment_record import Alignment, AlignmentRecord, Register
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._case_registration import Accepted, TransformTable
from sirtjax.workflows._guides import LIVER, RegistrationGuidance, gather_guides
from sirtjax.workflows._voi import Voi

# The floating image of each table of a case.
FLOATING: Mapping[str, str] = {
    "registration": "diagnostic image",
    "plan_registration": "CT of the plan",
    "treatments.transform": "CT of the treatment",
}
# Preset of the method "network".
NETWORK_PRESET = "network-refined"
# What each method leaves of a preset.
FREEDOM: Mapping[str, tuple[str, ...]] = {
    "deformable": (),
    "network": (),
    "affine": ("deformable.model=none",),
    "rigid": ("affine.model=rigid", "deformable.model=none"),
}


def align_diagnostic(
    case: Case,
    images: CaseImages,
    liver: Voi | None,
    lesions: Sequence[Voi] = (),
    *,
    register: Register | None = None,
) -> Alignment:
    """Returns the transform floating_from_reference from the activity frame to the diagnostic frame.

    Args:
      case: case that names the method and the guidance of the registration.
      images: the images of the case.
      liver: guides on the image it was drawn on.
      lesions: landmarks on the image they were drawn on.
      register: function that replaces the registration by the images.

    Raises:
      ConfigError: the diagnostic image has no registration, a registration has no CT to reach, or its preset lacks
        the masks it is guided by.
      ComputationError: the registration did not succeed, and the case doesn't accept how it ended.
    """
    if images.diagnostic is None:
        return Alignment(transform=spatial.identity())
    table = case.registration
    if table is None:
        raise ConfigError("the diagnostic image requires a [registration] to the activity image")
    reference = images.ct if images.ct is not None else images.activity
    if not table.computed:
        return stated_alignment(table, reference.volume.geometry)
    if images.ct is None:
        raise ConfigError(
            f'registration.method = "{table.method}" requires [images.ct]: a SPECT shows too little anatomy to register'
        )
    guides = gather_guides(case, images, liver, lesions)
    return computed_alignment(table, images.ct.volume, images.diagnostic.volume, guides, register=register)


def stated_alignment(table: TransformTable, reference: Geometry) -> Alignment:
    """Returns the transform that a case states: none, or the content of its file.

    Args:
      table: table of the case with method "identity" or "file".
      reference: grid in the reference frame.
    """
    transform = spatial.identity() if table.path is None else io.read_transform(table.path, reference=reference)
    return Alignment(transform=transform, record=AlignmentRecord(method=table.method))


def computed_alignment(
    table: TransformTable,
    reference: Volume,
    floating: Volume,
    guides: RegistrationGuidance,
    *,
    register: Register | None = None,
) -> Alignment:
    """Registers two images, and refuses a status other than success that the case does not accept.

    Args:
      table: table of the case with method, preset and accepted statuses.
      reference: CT of the activity image.
      floating: image to register to it.
      guides: masks and landmark points of both.
      register: function that replaces the registration by the images.

    Raises:
      ConfigError: the preset lacks the masks it is guided by.
      ComputationError: the registration did not succeed, and the case doesn't accept how it ended.
    """
    record = AlignmentRecord(method=table.method, guides=guides.common())
    if register is None:
        result = _registered(table, reference, floating, guides)
    else:
        found = register(reference, floating, guides)
        if not isinstance(found, RegistrationResult):
            return Alignment(transform=found, record=record, guides=guides)
        result = found
    record = replace(
        record,
        preset=result.config.name,
        settings=table.settings,
        status=result.status.name.lower().replace("_", " "),
        cause=result.status.cause,
        accepted=_accepted(result.status, result.config.name, table),
        quality={moment: dict(figures) for moment, figures in result.quality.items()},
        folding_fraction=result.folding_fraction,
        notes=result.notes,
    )
    return Alignment(transform=result.transform, record=record, result=result, guides=guides)


def registration_config(table: TransformTable, guides: RegistrationGuidance) -> RegistrationConfig:
    """Returns the preset of the case, otherwise the one that uses the most guidance available.

    Raises:
      ConfigError: a setting is not one of the preset, the preset lacks the liver on either image, or it has no network
        although the method is "network".
    """
    name = table.preset or (NETWORK_PRESET if table.method == "network" else guides.preset())
    config = registration.load_preset(name)
    if table.method == "network" and config.network is None:
        raise ConfigError(
            f'{table.key}.preset {name} has no network; omit it ({NETWORK_PRESET}), or set method = "deformable"'
        )
    try:
        config = registration.apply_overrides(config, (*FREEDOM[table.method], *table.settings))
    except ConfigError as error:
        raise ConfigError(f"{table.key}.settings: {str(error).removeprefix('--set ')}") from error
    if config.guidance.masks != "none" and LIVER not in guides.common():
        side = "reference_masks" if LIVER not in guides.reference_masks else "floating_masks"
        image = "CT of the activity image" if side == "reference_masks" else "diagnostic image"
        raise ConfigError(
            f"registration.preset {name} is guided by the liver, and the {image} has no mask of it; "
            f'add [registration.{side}.liver], or set preset = "image"'
        )
    return config


def _registered(
    table: TransformTable, reference: Volume, floating: Volume, guides: RegistrationGuidance
) -> RegistrationResult:
    return registration.register(
        reference,
        floating,
        config=registration_config(table, guides),
        reference_masks=guides.reference_masks,
        floating_masks=guides.floating_masks,
        reference_points_mm=guides.reference_points_mm,
        floating_points_mm=guides.floating_points_mm,
    )


def _accepted(status: Status, preset: str, table: TransformTable) -> bool:
    """Returns whether this status is not success but is accepted by the case."""
    if status is Status.SUCCESS:
        return False
    if status.name in table.accept:
        return True
    way_on = "use a transform file made in a viewer"
    if status.name in get_args(Accepted):
        way_on = f'review it with `sirtjax register`, and accept it with {table.key}.accept = ["{status.name}"]'
    raise ComputationError(
        f"the registration of the {FLOATING[table.key]} (preset {preset}) has the status {status.name}: "
        f"{status.cause}; {status.remedy}; or {way_on}"
    )
