"""Registration of two images with a preset that suits the masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sirtjax import registration
from sirtjax.errors import ConfigError
from sirtjax.io import Image
from sirtjax.tasks._image import volume_of
from sirtjax.volume import LabelMap, Volume

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sirtjax.spatial import AffineTransform

Masks = Mapping[str, LabelMap] | LabelMap


def register(
    reference: Volume | Image,
    floating: Volume | Image,
    *,
    reference_masks: Masks | None = None,
    floating_masks: Masks | None = None,
    preset: str | registration.RegistrationConfig | None = None,
    settings: Sequence[str] = (),
    reference_points_mm: ArrayLike | None = None,
    floating_points_mm: ArrayLike | None = None,
    start: AffineTransform | None = None,
    seed: int = 0,
) -> registration.RegistrationResult:
    """Registers two images: an affine stage, then a non-rigid one.

    Without a preset, the masks decide: `cnn-lm` if both images have a liver and another mask of the same name, `cnn` if
    both have a liver, `image` otherwise. The command `sirtjax register` chooses in the same way. Use the transform only
    if `result.status` is `Status.SUCCESS`; `result.status.remedy` says what to do otherwise.

    Args:
      reference: image whose space stays unchanged, (i, j, k), from `read_image` or as a volume.
      floating: image that is registered to it.
      reference_masks: masks on the reference, by name, or one label map with several names.
      floating_masks: masks on the floating image.
      preset: name of a preset (`registration.list_presets()`) or a configuration.
      settings: changes of single values, such as "weights.image=0.5".
      reference_points_mm: (n, 3) landmarks, LPS mm; they count together with masks.
      floating_points_mm: (n, 3) the same landmarks in the floating image.
      start: initial transform, floating_from_reference; by default it is searched.
      seed: seed of the random voxel samples.

    Returns:
      The transform, which maps points of the reference to the floating image (LPS mm), and its quality.

    Raises:
      ConfigError: the preset is unknown or needs a liver mask that is missing.
      GeometryError: an image or mask cannot be used; the message says why.

    Examples:
      >>> import sirtjax as sj
      >>> patient = sj.simulate(seed=1, preset="small", sessions=["diagnostic_ct", "spect"])
      >>> result = sj.register(patient.images["spect_ct"], patient.images["diagnostic_ct"])  # doctest: +SKIP
      >>> result.status.name  # doctest: +SKIP
      'SUCCESS'
    """
    first, second = _by_name(reference_masks), _by_name(floating_masks)
    if preset is None:
        preset, _ = registration.default_preset([name for name in first if name in second])
    config = registration.load_preset(preset) if isinstance(preset, str) else preset
    config = registration.apply_overrides(config, list(settings))
    if config.guidance.masks != "none" and not ("liver" in first and "liver" in second):
        raise ConfigError(
            "the configuration is guided by the liver: give reference_masks and floating_masks with a mask named "
            "liver, or choose preset='image'"
        )
    return registration.register(
        volume_of(reference),
        volume_of(floating),
        config=config,
        reference_masks=first,
        floating_masks=second,
        reference_points_mm=reference_points_mm,
        floating_points_mm=floating_points_mm,
        start=start,
        seed=seed,
    )


def _by_name(masks: Masks | None) -> Mapping[str, LabelMap]:
    if masks is None:
        return {}
    if isinstance(masks, LabelMap):
        return {name: LabelMap.from_mask(masks.mask(name), masks.geometry, name=name) for _, name in masks.names}
    return masks
