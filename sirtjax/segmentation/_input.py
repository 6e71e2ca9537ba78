from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import ConfigError, GeometryError, ImageFormatError, ModelError
from sirtjax.segmentation._model import ModelSpec
from sirtjax.volume import LabelMap, Volume

# Thinner than this along an axis, an image shows no organ.
MIN_VOXELS, MIN_EXTENT_MM = 4, 20.0
# Number of evenly spread voxels that are checked for HU.
SAMPLE = 2_000_000
# Scanners fill what they have not measured with less than this.
PADDING_HU = -1100.0
# Fat, lung and air are below, and hardly anything but bone, metal and dense contrast medium is above.
FAT_HU, DENSE_HU = -20.0, 800.0
SOFT_HU = (-150.0, 300.0)
MIN_LIGHT_FRACTION, MAX_DENSE_FRACTION, MIN_SOFT_FRACTION = 0.01, 0.10, 0.02
# MR signal is not negative. Filters and interpolation make it slightly negative; air in HU is strongly negative.
MAX_NEGATIVE_FRACTION = 0.25
# A field of view may cut a liver, but one that is mostly elsewhere was drawn on another image.
MIN_LIVER_FRACTION = 0.5


def check_inputs(volume: Volume, spec: ModelSpec, *, modality: str | None, liver: LabelMap | None) -> str:
    """Returns the modality of an image that a model can segment.

    Args:
      volume: the image.
      spec: the model.
      modality: modality that the user states, or None.
      liver: mask of the liver, or None.

    Raises:
      ModelError: the model was not trained for this modality or takes several images.
      ConfigError, ImageFormatError, GeometryError: see `image_modality`, `check_image` and `check_liver`.
    """
    kind = image_modality(volume, modality)
    if spec.modalities and kind not in spec.modalities:
        known = " or ".join(spec.modalities)
        raise ModelError(
            f"the model {spec.name!r} was trained for {known}, but the image is {kind}; choose another --model"
        )
    if len(spec.channels) > 1:
        wanted = ", ".join(spec.channels)
        raise ModelError(f"the model {spec.name!r} takes {len(spec.channels)} images together ({wanted}), got one")
    check_image(volume, modality=kind)
    if liver is not None:
        check_liver(liver, volume, modality=kind)
    return kind


def image_modality(volume: Volume, asked: str | None) -> str:
    """Returns the modality of an image: CT if it is in HU, otherwise as stated; never guessed.

    Args:
      volume: the image, in "HU", or in "1" (no unit), as readers return MR and NIfTI files without a unit.
      asked: "CT" or "MR", or None if not specified.

    Raises:
      ConfigError: the modality is unknown, contradicts the image, or is neither CT nor MR.
    """
    if volume.unit not in ("HU", "1"):
        raise ConfigError(f"the image is in {volume.unit}; organs are segmented on CT or MR, use one of these")
    if asked is None:
        if volume.unit == "HU":
            return "CT"
        raise ConfigError("the file does not state the modality; add --modality CT or --modality MR")
    if asked not in ("CT", "MR"):
        raise ConfigError(f"organs are segmented on CT or MR, got modality {asked!r}")
    if asked == "MR" and volume.unit == "HU":
        raise ConfigError("the image is in HU, so it is a CT; omit --modality MR, or use the MR")
    return asked


def check_image(volume: Volume, *, modality: str) -> None:
    """Refuses an image in which no organ can be found, before the computation.

    Args:
      volume: the image.
      modality: "CT" or "MR".

    Raises:
      ImageFormatError: NaN or infinite voxels, constant, a single slice or a very thin stack, a CT whose values are not
        in HU, or an MR that is negative.
    """
    array = np.asarray(volume.array)
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageFormatError("the image has NaN or infinite voxels; replace them or use another image")
    if low == high:
        raise ImageFormatError(f"the image is {low:g} everywhere; choose another")
    extents = [n * s for n, s in zip(array.shape, volume.geometry.spacing_mm, strict=True)]
    if min(array.shape) < MIN_VOXELS or min(extents) < MIN_EXTENT_MM:
        size = "x".join(str(n) for n in array.shape)
        raise ImageFormatError(
            f"the image has {size} voxels over {min(extents):.0f} mm at its thinnest; organs need a volume of at least "
            f"{MIN_VOXELS} slices and {MIN_EXTENT_MM:g} mm, use the whole series"
        )
    step = max(1, round((array.size / SAMPLE) ** (1 / 3)))
    sample = array[::step, ::step, ::step]
    if modality == "CT":
        _check_hu(sample[sample > PADDING_HU])
    else:
        _check_signal(sample)


def check_liver(liver: LabelMap, volume: Volume, *, modality: str) -> None:
    """Refuses a mask of the liver that is empty or was contoured on another image.

    Args:
      liver: the first label of its map, on any grid.
      volume: the image.
      modality: "CT" or "MR".

    Raises:
      ImageFormatError: the mask is empty, or the CT has no soft tissue there.
      GeometryError: half or more of the mask is outside the image.
    """
    places = np.argwhere(liver.mask(liver.names[0][1]))
    if not len(places):
        raise ImageFormatError("the liver's mask is empty; use the mask contoured on this image")
    places = places[:: -(-len(places) // SAMPLE)]
    index = np.rint(volume.geometry.to_voxel(liver.geometry.to_world(places))).astype(int)
    inside = np.all((index >= 0) & (index < volume.geometry.shape), axis=1)
    if inside.mean() < MIN_LIVER_FRACTION:
        raise GeometryError(
            f"of the liver's mask {inside.mean():.0%} is in the image; use the mask contoured on this image"
        )
    if modality == "CT":
        middle = float(np.median(np.asarray(volume.array)[tuple(index[inside].T)]))
        if not SOFT_HU[0] < middle < SOFT_HU[1]:
            raise ImageFormatError(
                f"inside the liver's mask the CT has {middle:.0f} HU (median), a liver has {SOFT_HU[0]:g} to "
                f"{SOFT_HU[1]:g}; use the mask contoured on this image"
            )


def _check_signal(sample: NDArray[Any]) -> None:
    negative = float(np.mean(sample < -0.1 * np.abs(sample).max()))
    if negative > MAX_NEGATIVE_FRACTION:
        raise ImageFormatError(
            f"{negative:.0%} of the voxels are far below zero, expected none in an MR: this looks like a CT in HU, or "
            "is inverted; use --modality CT, or the MR"
        )


def _check_hu(sample: NDArray[Any]) -> None:
    light, dense = (float(np.mean(found)) if found.size else 0.0 for found in (sample < FAT_HU, sample > DENSE_HU))
    soft = float(np.mean((sample > SOFT_HU[0]) & (sample < SOFT_HU[1]))) if sample.size else 0.0
    advice = "use the CT in Hounsfield units (rescale slope and intercept applied), or --modality MR if it is an MR"
    if dense > MAX_DENSE_FRACTION:
        raise ImageFormatError(
            f"{dense:.0%} of the voxels are above {DENSE_HU:g}, expected almost none in a CT: the values are "
            f"inverted or have an offset; {advice}"
        )
    if light < MIN_LIGHT_FRACTION:
        raise ImageFormatError(
            f"{light:.1%} of the voxels are below {FAT_HU:g}, expected fat, lung and air in a CT: the values are not "
            f"in HU; {advice}"
        )
    if soft < MIN_SOFT_FRACTION:
        raise ImageFormatError(
            f"{soft:.1%} of the voxels are soft tissue ({SOFT_HU[0]:g} to {SOFT_HU[1]:g} HU): this is not an abdomen, "
            f"or the values are not in HU; {advice}"
        )
