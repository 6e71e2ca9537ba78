from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.errors import ComputationError, ConfigError
from sirtjax.ops import components, distance_mm
from sirtjax.volume import Geometry, LabelMap, Volume, axis_codes, reorient

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
Origin = Literal["renal", "adrenal", "gastric", "bowel", "exophytic"]
VOLUME_ML = (50.0, 800.0)
# From the liver towards each organ (LPS), and whether the contact is in the right or the left part of the liver.
_TOWARDS: dict[Origin, tuple[tuple[float, float, float], float]] = {
    "renal": ((0.3, 0.7, -0.65), -0.5),
    "adrenal": ((0.6, 0.8, 0.1), -0.2),
    "gastric": ((0.75, 0.4, -0.5), 0.6),
    "bowel": ((0.1, -0.3, -0.95), 0.0),
    "exophytic": ((0.2, -0.1, -0.95), 0.0),
}
# A mass grows into fat, bowel and vessels, but neither into bone nor lung, and not into the wall of the body.
_BONE_HU, _AIR_HU, _AIR_FRACTION = 260.0, -300.0, 0.1
_GAP_MM, _LUNG_ML, _WALL_MM = 9.0, 300.0, 28.0
# How far a mass is pressed into the liver, over its radius: contacts from narrow to broad.
_PRESSED = (0.1, 0.9)
_LUMP_MM, _LUMP_FRACTION, _AXES_FRACTION = 14.0, 0.12, 0.25
# A mass squeezed between bones would be no ball: how much larger than a free one of its volume it may be drawn.
_SQUEEZED = 1.5
_ATTEMPTS, _HALVINGS = 12, 12


@dataclass(frozen=True, kw_only=True)
class NeighbourMass:
    """A mass that touches the liver.

    Attributes:
      origin: organ from which the mass grows: the right kidney, the right adrenal gland, the stomach or the bowel, all
        outside the liver; "exophytic" from the liver itself, of which it is a part.
      volume_ml: volume of the mass, 50 to 800.
      contrast: mean intensity of the mass minus that of the liver, in the image's unit (HU for CT).
    """

    origin: Origin
    volume_ml: float
    contrast: float = 0.0


@dataclass(frozen=True, kw_only=True)
class WithMass:
    """An image with a mass in it.

    Attributes:
      image: image on the grid of the input.
      extent: label map of the mass, label "mass".
      liver: true liver, including an exophytic mass; label "liver".
    """

    image: Volume
    extent: LabelMap
    liver: LabelMap


def add_neighbour_mass(image: Volume, liver: LabelMap, config: NeighbourMass, *, seed: int) -> WithMass:
    """Paints a mass next to the liver into a CT or MR image, simulated or real.

    The mass is a lumpy ellipsoid against the liver's surface. It displaces fat and bowel, and ends at bone, lung and
    the wall of the body. Its texture has the spread of the liver's.

    Args:
      image: (i, j, k) CT in HU or MR, any orientation.
      liver: true liver of the image, on the same grid.
      config: type of the mass.
      seed: seed of position, shape and texture.

    Raises:
      ConfigError: the volume is out of range, or the liver is empty or on another grid.
      ComputationError: the mass does not fit next to this liver.
    """
    _check(image, liver, config)
    upright, organ = reorient(image, "LPS"), reorient(liver, "LPS")
    random = np.random.default_rng(seed)
    values, inside = np.asarray(upright.array, np.float32), np.asarray(organ.array) > 0
    allowed = _room(values, upright) & ~inside
    extent = _grown(random, inside, allowed, upright.geometry, config)
    if extent is None:
        raise ComputationError(
            f"no room for a mass of {config.volume_ml:g} mL ({config.origin}) beside the liver; use another seed or a "
            "smaller volume"
        )
    painted = _painted(random, values, inside, extent, config.contrast)
    whole = inside | extent if config.origin == "exophytic" else inside

    codes = axis_codes(image.geometry)

    def back(mask: Mask, name: str) -> LabelMap:
        return reorient(LabelMap.from_mask(mask, upright.geometry, name=name), codes)

    return WithMass(
        image=reorient(Volume(painted, upright.geometry, unit=image.unit), codes),
        extent=back(extent, "mass"),
        liver=back(whole, "liver"),
    )


def _check(image: Volume, liver: LabelMap, config: NeighbourMass) -> None:
    low, high = VOLUME_ML
    if config.origin not in get_args(Origin):
        raise ConfigError(f"origin of the mass: {config.origin!r} is not one of {', '.join(get_args(Origin))}")
    if not low <= config.volume_ml <= high:
        raise ConfigError(f"volume of the mass: {config.volume_ml:g} mL, expected {low:g} to {high:g} mL")
    if not liver.geometry.matches(image.geometry):
        raise ConfigError("the liver is not on the grid of the image; resample it")
    if not (np.asarray(liver.array) > 0).any():
        raise ConfigError("the liver is empty; a mass needs a liver to touch")


def _room(values: FloatArray, image: Volume) -> Mask:
    """The tissue in which a mass may grow: soft tissue, fat and gas of the abdomen."""
    ct = image.unit == "HU"
    air = values < (_AIR_HU if ct else _AIR_FRACTION * np.percentile(values, 98))
    parts = components(air)
    sizes = np.bincount(parts.ravel()).astype(np.float64) * image.geometry.voxel_volume_ml
    sizes[0] = 0
    beyond = np.asarray(sizes > _LUNG_ML)[parts]
    room = _far(beyond, image.geometry)
    return room & ~_bones(values, image.geometry) if ct else room


def _bones(values: FloatArray, geometry: Geometry) -> Mask:
    """Bones with their marrow: what dense bone encloses in an axial plane, some gaps closed."""
    dense = values > _BONE_HU
    reach = int(np.ceil(_GAP_MM / min(geometry.spacing_mm[:2])))
    dense = ndimage.binary_closing(np.pad(dense, ((reach, reach), (reach, reach), (0, 0))), _disc(reach))
    dense = dense[reach:-reach, reach:-reach]
    return np.stack([ndimage.binary_fill_holes(dense[:, :, k]) for k in range(dense.shape[2])], axis=2)


def _disc(radius: int) -> Mask:
    x, y = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x**2 + y**2 <= radius**2)[:, :, None]


def _far(beyond: Mask, geometry: Geometry) -> Mask:
    """The voxels outside the lungs and deeper below the skin than the wall is thick."""
    outside = components(beyond)
    sides = np.concatenate([outside[0].ravel(), outside[-1].ravel(), outside[:, 0].ravel(), outside[:, -1].ravel()])
    around = np.isin(outside, np.setdiff1d(sides, 0))
    if not around.any():
        return ~beyond
    return ~beyond & (distance_mm(around, geometry.spacing_mm) > _WALL_MM)


def _grown(
    random: np.random.Generator, liver: Mask, allowed: Mask, geometry: Geometry, config: NeighbourMass
) -> Mask | None:
    """The extent of a mass of the requested volume, within 5 %; None if it does not fit at any position tried."""
    spacing = np.asarray(geometry.spacing_mm)
    smooth = ndimage.gaussian_filter(liver.astype(np.float32), 6.0 / spacing)
    surface = liver & ndimage.binary_dilation(allowed)
    places = np.argwhere(surface)
    if not len(places):
        return None
    outward = -np.stack([np.gradient(smooth, step, axis=axis)[surface] for axis, step in enumerate(spacing)], axis=1)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    at_mm = places * spacing
    middle = np.argwhere(liver).mean(axis=0) * spacing
    extent_mm = np.ptp(at_mm, axis=0) / 2
    towards, side = _TOWARDS[config.origin]
    lumps = ndimage.gaussian_filter(random.standard_normal(liver.shape, np.float32), _LUMP_MM / spacing)
    lumps /= max(float(lumps.std()), 1e-12)
    for _ in range(_ATTEMPTS):
        direction = np.asarray(towards) + random.normal(0, 0.25, 3)
        direction /= np.linalg.norm(direction)
        offset = (at_mm - middle) / extent_mm
        score = outward @ direction + 0.6 * (offset @ direction) + side * offset[:, 0]
        best = random.choice(np.argsort(score)[-max(len(score) // 50, 1) :])
        axes = np.exp(random.normal(0, _AXES_FRACTION, 3).clip(-2 * _AXES_FRACTION, 2 * _AXES_FRACTION))
        pressed = random.uniform(*_PRESSED)
        inward = outward[best] + direction
        inward /= np.linalg.norm(inward)
        found = _of_volume(at_mm[best], inward, axes, pressed, lumps, allowed, geometry, config.volume_ml)
        if found is not None and (ndimage.binary_dilation(found) & liver).any():
            return found
    return None


def _of_volume(
    contact_mm: NDArray[np.float64],
    direction: NDArray[np.float64],
    axes: NDArray[np.float64],
    pressed: float,
    lumps: FloatArray,
    allowed: Mask,
    geometry: Geometry,
    volume_ml: float,
) -> Mask | None:
    """The mass that begins at a point of the liver's surface and grows along a direction to a volume."""
    spacing = np.asarray(geometry.spacing_mm)
    grid = [np.arange(n, dtype=np.float32) * step for n, step in zip(allowed.shape, spacing, strict=True)]
    lumpy = 1 + np.float32(_LUMP_FRACTION) * lumps

    def at(radius_mm: float) -> Mask:
        middle = contact_mm + direction * radius_mm * (1 - pressed)
        x, y, z = (((g - m) / (radius_mm * a)) ** 2 for g, m, a in zip(grid, middle, axes, strict=True))
        inside = np.sqrt(x[:, None, None] + y[None, :, None] + z[None, None, :]) < lumpy
        parts = components(inside & allowed)
        if not parts.any():
            return np.zeros_like(allowed)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        return np.asarray(parts == sizes.argmax())

    free_mm = (volume_ml * 1e3 * 3 / (4 * np.pi)) ** (1 / 3)
    low, high = 0.8 * free_mm, _SQUEEZED * free_mm
    if at(high).sum() * geometry.voxel_volume_ml < volume_ml:
        return None
    for _ in range(_HALVINGS):
        radius = (low + high) / 2
        volume = at(radius).sum() * geometry.voxel_volume_ml
        low, high = (radius, high) if volume < volume_ml else (low, radius)
    found = at(high)
    return found if abs(found.sum() * geometry.voxel_volume_ml / volume_ml - 1) < 0.05 else None


def _painted(random: np.random.Generator, values: FloatArray, liver: Mask, extent: Mask, contrast: float) -> FloatArray:
    """The image with the mass in it: the liver's median and spread, blurred over a voxel where it ends in fat."""
    core = ndimage.binary_erosion(liver, iterations=2)
    core = core if core.any() else liver
    level = float(np.median(values[core]))
    weight = ndimage.gaussian_filter(liver.astype(np.float32), 2.0)
    within = ndimage.gaussian_filter(np.where(liver, values, 0), 2.0) / np.maximum(weight, 1e-3)
    rest = (values - within)[core]
    spread = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    grain = ndimage.gaussian_filter(random.standard_normal(values.shape, np.float32), 0.7)
    texture = level + contrast + spread * grain / max(float(grain.std()), 1e-12)
    share = ndimage.gaussian_filter(extent.astype(np.float32), 0.6)
    beside = ndimage.binary_dilation(extent, np.ones((3, 3, 3), bool)) & ~liver
    share = np.where(extent, np.maximum(share, 0.5), np.where(beside, share, 0))
    # Towards the liver there is nothing to be blurred with.
    share = np.where(extent & ndimage.binary_dilation(liver), 1, share).astype(np.float32)
    painted: FloatArray = (values + share * (texture - values)).astype(np.float32)
    return painted
