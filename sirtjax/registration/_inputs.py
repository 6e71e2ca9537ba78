from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sirtjax import spatial
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._pair import LANDMARKS
from sirtjax.volume import Geometry, LabelMap, Volume, bounding_box, crop_geometry

LIVER_NAME = "liver"
# A smaller mask is a contouring error, not a liver; a landmark can be small, but not a voxel or two.
MIN_LIVER_ML, MIN_LANDMARK_VOXELS = 20.0, 3
MIN_SLICES = 4


def check_image(volume: Volume, role: str) -> None:
    """Refuses an image that cannot be registered.

    Raises:
      GeometryError: the image is flat, contains numbers that are not finite, or has the same value everywhere.
    """
    if min(volume.geometry.shape) < MIN_SLICES:
        raise GeometryError(
            f"the {role} image is {volume.geometry.shape} voxels; a registration needs a volume of at least "
            f"{MIN_SLICES} voxels along each axis, not a single slice"
        )
    array = np.asarray(volume.array)
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int(np.count_nonzero(~np.isfinite(array)))
        raise GeometryError(
            f"the {role} image has {count} NaN or infinite voxels; replace them with the background value"
        )
    if low == high:
        raise GeometryError(f"the {role} image is constant (every voxel is {low:g}); check the file")


def check_no_network(config: RegistrationConfig, *, where: str) -> None:
    """Refuses a preset with a network where its prediction is not computed.

    Args:
      config: preset.
      where: name of the task for the message, such as "a batch".

    Raises:
      ConfigError: the preset has a network.
    """
    if config.network is not None:
        raise ConfigError(f"{where} does not support preset {config.name}, which has a network; choose another preset")


def guiding_masks(
    reference: Mapping[str, LabelMap], floating: Mapping[str, LabelMap], config: RegistrationConfig
) -> tuple[dict[str, LabelMap], dict[str, LabelMap], tuple[str, ...]]:
    """Returns the masks of both sides that the preset uses, the liver first, and which ones were omitted.

    Raises:
      GeometryError: the preset's guidance asks for a mask that is missing, empty or too small on either side.
    """
    wanted = config.guidance.masks
    if wanted == "none":
        # The liver may guide a network, which says so itself.
        known = {LIVER_NAME} if config.network is not None else set()
        unused = sorted((set(reference) | set(floating)) - known)
        said = (f"preset {config.name} uses no masks: {', '.join(unused)} did not guide",) if unused else ()
        return {}, {}, said
    for role, masks in (("reference", reference), ("floating", floating)):
        if LIVER_NAME not in masks:
            named = ", ".join(masks) or "none"
            raise GeometryError(
                f'preset {config.name} is guided by the liver, but the {role} masks have no "liver" '
                f"(they have: {named}); name it, or use the preset image"
            )
    names = [LIVER_NAME]
    notes: list[str] = []
    common = set(reference) & set(floating)
    if wanted == "liver" and len(common) > 1:
        beside = ", ".join(sorted(common - {LIVER_NAME}))
        notes.append(f"preset {config.name} is guided only by the liver: {beside} did not guide")
    for role, masks in (("reference", reference), ("floating", floating)):
        single = ", ".join(sorted(set(masks) - common))
        if single:
            notes.append(f"only the {role} image has the masks {single}: they did not guide")
    if wanted == "liver and landmarks":
        others = [name for name in reference if name != LIVER_NAME]
        names += [name for name in others if name in floating]
        if len(names) - 1 > LANDMARKS:
            raise GeometryError(f"{len(names) - 1} landmark masks, at most {LANDMARKS} can be used; choose with names")
    for role, masks in (("reference", reference), ("floating", floating)):
        for name in names:
            _check_mask(masks[name], name, role)
    return {name: reference[name] for name in names}, {name: floating[name] for name in names}, tuple(notes)


def check_liver(masks: Mapping[str, LabelMap], volume: Volume, role: str) -> None:
    """Refuses a liver that cannot guide a network; masks without a liver pass.

    Args:
      masks: masks of one image by name.
      volume: the image.
      role: "reference" or "floating", for the message.

    Raises:
      GeometryError: the liver is empty, too small or outside the image.
    """
    if LIVER_NAME in masks:
        _check_mask(masks[LIVER_NAME], LIVER_NAME, role)
        check_masks_on_image({LIVER_NAME: masks[LIVER_NAME]}, volume, role)


def check_masks_on_image(masks: Mapping[str, LabelMap], volume: Volume, role: str) -> None:
    """Refuses a mask that is outside its image.

    Raises:
      GeometryError: the box around a mask doesn't reach the image.
    """
    for name, labels in masks.items():
        box = crop_geometry(labels.geometry, *bounding_box(labels.mask(name)))
        if spatial.overlap_fraction(box, volume.geometry) <= 0:
            raise GeometryError(
                f'mask "{name}" lies outside the {role} image: around {_place(box)} against {_place(volume.geometry)} '
                "(LPS mm); use a mask contoured on this image"
            )


def _place(geometry: Geometry) -> str:
    return "(" + ", ".join(f"{x:.0f}" for x in geometry.centre_mm) + ")"


def _check_mask(labels: LabelMap, name: str, role: str) -> None:
    voxels = int(np.count_nonzero(labels.mask(name)))
    if voxels == 0:
        raise GeometryError(f'mask "{name}" of the {role} image is empty; contour it or omit it')
    volume_ml = voxels * labels.geometry.voxel_volume_ml
    if name == LIVER_NAME and volume_ml < MIN_LIVER_ML:
        raise GeometryError(
            f'mask "liver" of the {role} image has {volume_ml:.1f} mL, expected at least {MIN_LIVER_ML:g} '
            "mL; check the mask and its voxel size"
        )
    if name != LIVER_NAME and voxels < MIN_LANDMARK_VOXELS:
        raise GeometryError(
            f'mask "{name}" of the {role} image has {voxels} voxel(s), expected at least '
            f"{MIN_LANDMARK_VOXELS}; contour it larger, omit it or provide it as a point"
        )
