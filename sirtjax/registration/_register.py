from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sirtjax.errors import ConfigError
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._inputs import check_image, check_liver
from sirtjax.registration._network_livers import with_liver_agreement
from sirtjax.registration._prepare import LIVER_NAME, Masks
from sirtjax.registration._ready import NO_MASKS, Ready, make_ready
from sirtjax.registration._result import RegistrationResult
from sirtjax.registration._start_choice import solved_host, successful, with_better_start
from sirtjax.registration._start_field import affine_of_start, affine_stage_of, without_affine_stage
from sirtjax.spatial import AffineTransform, DisplacementField
from sirtjax.volume import LabelMap, Volume

GUIDES = ("no liver mask", "the liver mask of one image", "both liver masks")


def register(
    reference: Volume,
    floating: Volume,
    *,
    config: RegistrationConfig,
    reference_masks: Masks = NO_MASKS,
    floating_masks: Masks = NO_MASKS,
    reference_points_mm: ArrayLike | None = None,
    floating_points_mm: ArrayLike | None = None,
    start: AffineTransform | DisplacementField | None = None,
    seed: int = 0,
) -> RegistrationResult:
    """Registers two images: the pull transform from reference to floating image, and its quality.

    Images of any size, position and modality; a second pair compiles nothing. On the host, NumPy in and out: for
    `vmap` see `prepare_pair` and `solve`, or `register_batch`. Check the result's status: only SUCCESS means success.

    Args:
      reference: image whose space stays unchanged, (i, j, k).
      floating: image to register to the reference.
      config: a preset of `load_preset`.
      reference_masks: masks by name, such as "liver" and "lesion1"; each map contains its name. The guidance masks are
        those that the preset uses and both sides have.
      floating_masks: masks of the floating image in its space, same form as `reference_masks`.
      reference_points_mm: (n, 3) landmark points, LPS mm.
      floating_points_mm: (n, 3) the same points in the floating image.
      start: initial floating_from_reference. Default: computed from the masks' centroids, or by a search with the
        images. From a displacement field, only the deformable stage runs: its splines begin as the best fit to the
        field, so that regularisation and folding are those of the sum.
      seed: seed of the random samples; the same seed gives the same result on one machine.

    Raises:
      GeometryError: an image is constant, not finite or too small, a mask is missing, empty or too small, or the
        points do not belong together.
      ConfigError: the start is a displacement field and the preset has no splines of a displacement, or a network.
    """
    notes: tuple[str, ...] = ()
    mirror_gain, livers = None, None
    if config.network is not None:
        if isinstance(start, DisplacementField):
            raise ConfigError(
                f"preset {config.name} predicts the displacement itself; give an affine start, or choose another preset"
            )
        masks = reference_masks, floating_masks
        predicted = predicted_start(reference, floating, masks, start, config=config, seed=seed)
        start, notes, mirror_gain, livers = predicted
    field = start if isinstance(start, DisplacementField) else None
    if isinstance(start, DisplacementField):
        config, start = without_affine_stage(config), affine_of_start(start)
    ready = make_ready(
        reference,
        floating,
        config=config,
        reference_masks=reference_masks,
        floating_masks=floating_masks,
        reference_points_mm=reference_points_mm,
        floating_points_mm=floating_points_mm,
        start=start,
        mirror_gain=mirror_gain,
    )
    ready = with_better_start(replace(ready, notes=(*ready.notes, *notes)), config=config, seed=seed)
    if field is not None:
        ready = ready.from_field(field, config=config)
    result = _solved(ready, config=config, seed=seed)
    other = ready.restarted(result, config=config)
    if other is not None:
        result = successful(_solved(other, config=config, seed=seed), result)
    elif (free := ready.without_landmarks(result, config=config)) is not None:
        only, staged = affine_stage_of(config), config.affine.model != "none"
        if not staged or not ready.is_near_landmarks(solved_host(free, config=only, seed=seed), config=config):
            found = _solved(free, config=config, seed=seed)
            result = ready.with_landmarks_checked(result, found, config=config)
    return result if livers is None else with_liver_agreement(result, *livers, floating_grid=floating.geometry)


class Predicted(NamedTuple):
    """The prediction of a network.

    Attributes:
      start: the displacement and the affine map that follows it.
      notes: origin of the start.
      mirror_gain: mirror gain of the search for the start of the affine stage; None if there was no search.
      livers: liver masks of the reference and the floating image, if both guided the network; otherwise None.
    """

    start: DisplacementField
    notes: tuple[str, ...]
    mirror_gain: float | None
    livers: tuple[LabelMap, LabelMap] | None


def predicted_start(
    reference: Volume,
    floating: Volume,
    masks: tuple[Masks, Masks],
    start: AffineTransform | None,
    *,
    config: RegistrationConfig,
    seed: int,
) -> Predicted:
    """Returns the displacement that the preset's network predicts.

    Args:
      reference: image whose space stays unchanged.
      floating: image to register to it.
      masks: masks of both images; the livers guide the network if it takes masks.
      start: start of the affine stage; None for a search.
      config: preset with a network.
      seed: seed of the affine stage.

    Raises:
      ModelError: the network cannot be loaded.
      GeometryError, ConfigError: as `register`, before anything is computed.
    """
    # Most registrations need no network, and so not the second that flax takes to load.
    from sirtjax.registration_networks import load_registration_model, network_displacement

    model = load_registration_model("" if config.network is None else config.network.model)
    # Input that a later step would refuse is refused before the affine stage, which takes most of the time.
    for role, volume, own in (("reference", reference, masks[0]), ("floating", floating, masks[1])):
        check_image(volume, role)
        model.spec.scale_of(volume)
        check_liver(own, volume, role)
    only = affine_stage_of(config)
    ready = make_ready(reference, floating, config=only, start=start)
    ready = with_better_start(ready, config=only, seed=seed)
    affine = AffineTransform(np.asarray(solved_host(ready, config=only, seed=seed).affine, np.float64))
    livers = [None, None] if model.spec.network.inputs == 1 else [side.get(LIVER_NAME) for side in masks]
    found = network_displacement(
        model, reference, floating, affine, reference_liver=livers[0], floating_liver=livers[1]
    )
    one, other = livers
    both = None if one is None or other is None else (one, other)
    given = GUIDES[sum(mask is not None for mask in livers)]
    note = f"started from the prediction of the network {model.spec.name}, given {given}"
    return Predicted(found, (*ready.notes, note), ready.mirror_gain, both)


def _solved(ready: Ready, *, config: RegistrationConfig, seed: int) -> RegistrationResult:
    return ready.judged(solved_host(ready, config=config, seed=seed), config=config)
