from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sirtjax.preprocess import (
    FixedPreprocessing,
    Foreground,
    IntensityScale,
    OrganMask,
    OrganWindow,
    intensity_window,
    to_range,
)
from sirtjax.synthesis._config import InsideLiver, SynthesisConfig
from sirtjax.typing import Scalar

# Air and padding of a CT lie below this window, HU.
CT_WINDOW_HU = (-200.0, 300.0)
# Zero signal of an MR image becomes -1, this percentile of its foreground becomes 1.
MR_PERCENTILE = 98.0
# Voxels brighter than that percentile are clipped at this value.
MR_LIMIT = 1.5


def preprocessing_for(config: SynthesisConfig) -> FixedPreprocessing:
    """Returns the preprocessing that turns a real image into what `random_sample` draws for a network.

    Samples are scaled by the same scales, so that training and use of a network cannot differ.

    Examples:
      >>> from sirtjax import synthesis
      >>> how = synthesis.preprocessing_for(synthesis.load_preset("default"))
      >>> how.axes, how.intensities[0].modality, how.intensities[0].window == synthesis.CT_WINDOW_HU
      ('LPS', 'CT', True)
    """
    spacing_mm = (config.spacing_mm,) * 3
    if config.inside is not None:
        return FixedPreprocessing(
            axes="LPS",
            spacing_mm=spacing_mm,
            mask=OrganMask(margin_mm=config.inside.margin_mm),
            intensities=_inside_liver(config.inside),
        )
    # The limit lies above the percentile, and the output range goes as far.
    foreground = Foreground(percentile=MR_PERCENTILE, headroom=(MR_LIMIT + 1.0) / 2.0)
    return FixedPreprocessing(
        axes="LPS",
        spacing_mm=spacing_mm,
        intensities=(
            IntensityScale(modality="CT", window=CT_WINDOW_HU, output=(-1.0, 1.0)),
            IntensityScale(modality="MR", foreground=foreground, output=(-1.0, MR_LIMIT)),
        ),
    )


def learned_preprocessing(config: SynthesisConfig) -> FixedPreprocessing:
    """Returns `preprocessing_for` with only the scales of images that the samples show.

    A network that saw only CTs then refuses an MR image. Random intensities stand for every image other than CT.

    Examples:
      >>> from sirtjax import synthesis
      >>> preset = synthesis.load_preset("default")
      >>> shown = preset.modality.model_copy(update={"mr": 0.0, "random": 0.0})
      >>> only_ct = preset.model_copy(update={"modality": shown})
      >>> [scale.modality for scale in synthesis.learned_preprocessing(only_ct).intensities]
      ['CT']
    """
    shown, found = config.modality, preprocessing_for(config)
    learned = {"CT": shown.ct > 0, "MR": shown.mr + shown.random > 0}
    return found.model_copy(update={"intensities": tuple(one for one in found.intensities if learned[one.modality])})


def _inside_liver(inside: InsideLiver) -> tuple[IntensityScale, IntensityScale]:
    ct, other = OrganWindow(reach=inside.reach_hu), OrganWindow(reach=inside.reach_fraction, relative=True)
    return (
        IntensityScale(modality="CT", organ=ct, output=(-1.0, 1.0)),
        IntensityScale(modality="MR", organ=other, output=(-1.0, 1.0)),
    )


def scale_sample(
    image: Float[jax.Array, "i j k"],
    seen: Bool[jax.Array, "i j k"],
    liver: Bool[jax.Array, "i j k"],
    config: SynthesisConfig,
    *,
    ct: Bool[jax.Array, ""],
    gain: Scalar = 1.0,
    shift: Scalar = 0.0,
) -> Float[jax.Array, "i j k"]:
    """Returns a random image as a network receives it, by the scales of `preprocessing_for`.

    Args:
      image: (i, j, k) intensities, HU or signal.
      seen: (i, j, k) field of view; voxels outside it become the scale's `unseen`.
      liver: (i, j, k) liver mask, for presets that show only the liver.
      config: the preset; static.
      ct: () whether the intensities are HU.
      gain: factor on the intensities of images other than CT.
      shift: displacement of a window around the liver's median, as a fraction of its reach.

    Returns:
      (i, j, k) float32.
    """
    # An even selection of voxels gives percentiles and medians well enough, and sorting it is cheap.
    few = (slice(1, None, 3) if config.inside is None else slice(None, None, 2),) * 3

    def scaled(scale: IntensityScale, gain: Scalar) -> Float[jax.Array, "i j k"]:
        low, high = intensity_window(image[few], scale, organ=liver[few], seen=seen[few])
        ends = jnp.stack([jnp.float32(low), jnp.float32(high)])
        if scale.organ is not None:
            ends = ends + shift * (ends[1] - ends[0]) / 2
        values = to_range(gain * image[..., None], ends[:1], ends[1:], output=scale.output)
        # Rounding may leave the range by one bit.
        return jnp.where(seen, jnp.clip(values[..., 0], *scale.output), scale.unseen)

    as_ct, other = preprocessing_for(config).intensities
    return jnp.where(ct, scaled(as_ct, 1.0), scaled(other, gain))
