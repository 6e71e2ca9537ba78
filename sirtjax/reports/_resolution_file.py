"""The resolution of a SPECT or PET file from the edges of regions: spheres of a phantom, or lesions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import ConfigError, GeometryError, InputError

if TYPE_CHECKING:
    import jax
    from jaxtyping import Float

    from sirtjax.io import Image
    from sirtjax.volume import Geometry

# Cubes of voxels around a region, so that all regions of an image share a compiled program.
CUBES = (32, 48, 64, 96, 128, 192)
# Distance from a region up to which voxels are used, and the room around a cube's region for the blur.
MARGIN_MM, ROOM_MM = 20.0, 30.0
# Another region counts where its mask, blurred with the margin, exceeds this.
NEAR = 0.00135
SUBSAMPLES = 5
# Estimates that scatter this many times more than their standard errors do not describe one resolution.
SCATTER_LIMIT = 3.0


@dataclass(frozen=True, kw_only=True)
class PhantomSphere:
    """A sphere of a phantom.

    Attributes:
      centre_mm: (x, y, z) centre, LPS.
      diameter_mm: inner diameter.
    """

    centre_mm: tuple[float, float, float]
    diameter_mm: float


@dataclass(frozen=True, kw_only=True)
class RegionResolution:
    """The resolution of an image at the edge of one region.

    Attributes:
      name: name of the region.
      volume_ml: volume of the region.
      fwhm_mm: full width at half maximum; None if the edge does not determine it.
      standard_error_mm: standard error of `fwhm_mm`; None if it is not determined.
      inside: fitted value inside the region, in the unit of the image.
      outside: fitted value around the region.
    """

    name: str
    volume_ml: float
    fwhm_mm: float | None
    standard_error_mm: float | None
    inside: float
    outside: float


@dataclass(frozen=True, kw_only=True)
class ResolutionFile:
    """The resolution of an image from the edges of its regions.

    Attributes:
      fwhm_mm: mean full width at half maximum, weighted by the standard errors.
      standard_error_mm: standard error of the mean, at least the scatter of the regions.
      regions: the estimate of each region.
      unit: unit of the image.
      warning: sentence if the regions disagree; None otherwise.
    """

    fwhm_mm: float
    standard_error_mm: float
    regions: tuple[RegionResolution, ...]
    unit: str
    warning: str | None

    def to_json(self) -> dict[str, object]:
        """Returns the fields as nested dictionaries."""
        return asdict(self)


def measure_resolution_file(
    image: Path,
    *,
    masks: Path | None = None,
    names: Sequence[str] = (),
    spheres: Sequence[PhantomSphere] = (),
    series: str | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> ResolutionFile:
    """Measures the resolution of an activity image from the edges of its regions.

    Each region must have uniform uptake in uniform surroundings: a sphere of a phantom, or a sharp lesion in normal
    liver. The estimate includes motion and errors of the masks. `partial_volume.resolution_fwhm` fits each region;
    voxels near the others are excluded. Noise is taken to be correlated over the resolution itself, the longest that
    independent counts can have, so standard errors are rather too large.

    Args:
      image: NIfTI, NRRD or DICOM file, or DICOM folder.
      masks: masks of the regions, contoured on this image or its CT.
      names: masks to use. Default: all.
      spheres: spheres of a phantom, instead of or in addition to masks.
      series: DICOM series by UID, number or description.
      on_step: called with the name of each step.

    Raises:
      ConfigError: neither masks nor spheres.
      GeometryError: a region is outside the image.
      InputError: no region has an edge that determines the resolution.
    """
    from sirtjax import formats

    if masks is None and not spheres:
        raise ConfigError("provide --masks or --sphere: the resolution is measured at the edge of regions")
    on_step("reading")
    activity = formats.read_image(image, series=series)
    regions = {} if masks is None else _masks(masks, names, activity)
    for number, sphere in enumerate(spheres, start=1):
        regions[f"sphere {number}, {sphere.diameter_mm:g} mm"] = sphere_occupancy(sphere, activity.volume.geometry)
    for name, occupancy in regions.items():
        if not occupancy.any():
            raise GeometryError(
                f"{image}: the region {name!r} is outside the image ({activity.volume.geometry}); check its frame, LPS"
            )
    on_step("fitting")
    found = tuple(_region(name, regions, activity) for name in regions)
    fwhm_mm, error_mm, ratio = _combined(found, image)
    measured = [one.fwhm_mm for one in found if one.fwhm_mm is not None]
    warning = None
    if ratio > SCATTER_LIMIT:
        warning = (
            f"the regions disagree ({min(measured):.1f} to {max(measured):.1f} mm, {ratio:.1f} times their standard "
            "errors): check that masks fit and that uptake is uniform inside and around each region"
        )
    return ResolutionFile(
        fwhm_mm=fwhm_mm,
        standard_error_mm=error_mm,
        regions=found,
        unit=activity.volume.unit,
        warning=warning,
    )


def sphere_occupancy(sphere: PhantomSphere, geometry: Geometry) -> Float[np.ndarray, "i j k"]:
    """Returns the fraction of each voxel inside a sphere, by sub-samples.

    Args:
      sphere: the sphere.
      geometry: the grid.

    Raises:
      ConfigError: the diameter is not above 0.
    """
    if not (sphere.diameter_mm > 0 and all(math.isfinite(x) for x in (*sphere.centre_mm, sphere.diameter_mm))):
        raise ConfigError(f"--sphere: expected x,y,z,diameter in mm with a diameter above 0, got {sphere}")
    result = np.zeros(geometry.shape, np.float32)
    spacing = np.asarray(geometry.spacing_mm)
    centre = np.asarray(geometry.to_voxel(sphere.centre_mm))
    reach = sphere.diameter_mm / 2 / spacing + 1
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, geometry.shape).astype(int)
    if (high <= low).any():
        return result
    parts = (np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5
    axes = [(np.arange(a, b)[:, None] + parts).ravel() for a, b in zip(low, high, strict=True)]
    # Distances along the axes of the grid are distances in the world, because the axes are orthogonal.
    squared = sum(
        (((axis - c) * step) ** 2).reshape([-1 if n == i else 1 for n in range(3)])
        for i, (axis, c, step) in enumerate(zip(axes, centre, spacing, strict=True))
    )
    inside = np.asarray(squared <= (sphere.diameter_mm / 2) ** 2)
    i, j, k = high - low
    cut = inside.reshape(i, SUBSAMPLES, j, SUBSAMPLES, k, SUBSAMPLES).mean(axis=(1, 3, 5))
    result[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = cut
    return result


def _masks(path: Path, names: Sequence[str], activity: Image) -> dict[str, NDArray[np.float32]]:
    from sirtjax import formats, spatial

    found = formats.read_masks(path, reference=activity, only=names or None)
    return {
        name: np.asarray(spatial.mask_occupancy(one.mask(name), one.geometry, activity.volume.geometry))
        for name, one in found.items()
    }


def _region(name: str, regions: dict[str, NDArray[np.float32]], activity: Image) -> RegionResolution:
    volume = activity.volume
    spacing = np.asarray(volume.geometry.spacing_mm, np.float32)
    occupancy = regions[name]
    where = np.argwhere(occupancy > 0)
    room = np.ceil(ROOM_MM / spacing).astype(int)
    low, high = where.min(axis=0) - room, where.max(axis=0) + 1 + room
    side = next((n for n in CUBES if (high - low <= n).all()), None)
    if side is None:
        raise InputError(
            f"the region {name!r} spans {max(high - low)} voxels with its margin, at most {CUBES[-1]} can be fitted; "
            "use a smaller region"
        )
    low = (low + high - side) // 2
    others = np.max([np.zeros_like(occupancy), *(mask for key, mask in regions.items() if key != name)], axis=0)
    inside = np.ones_like(occupancy)
    arrays = [_cube(array, low, side) for array in (np.asarray(volume.array, np.float32), occupancy, others, inside)]
    estimate = _program()
    white = estimate(*arrays, spacing, np.float32(0.0))
    found = estimate(*arrays, spacing, np.float32(white[0]))
    fwhm, error, foreground, background = (float(value) for value in found)
    known = math.isfinite(error)
    return RegionResolution(
        name=name,
        volume_ml=float(occupancy.sum(dtype=np.float64)) * float(np.prod(spacing)) / 1000.0,
        fwhm_mm=fwhm if known else None,
        standard_error_mm=error if known else None,
        inside=foreground,
        outside=background,
    )


def _cube(array: NDArray[np.float32], low: NDArray[np.int64], side: int) -> NDArray[np.float32]:
    """The cube from `low`, zero outside the array."""
    result = np.zeros((side, side, side), np.float32)
    start, stop = np.maximum(low, 0), np.minimum(low + side, array.shape)
    source = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    target = tuple(slice(a, b) for a, b in zip(start - low, stop - low, strict=True))
    result[target] = array[source]
    return result


@functools.cache
def _program() -> Callable[..., tuple[jax.Array, ...]]:
    import jax
    import jax.numpy as jnp

    from sirtjax import partial_volume

    @jax.jit
    def estimate(
        image: jax.Array, mask: jax.Array, others: jax.Array, inside: jax.Array, spacing: jax.Array, noise: jax.Array
    ) -> tuple[jax.Array, ...]:
        width = MARGIN_MM * math.sqrt(8.0 * math.log(2.0)) / 3.0
        near = partial_volume.gaussian_blur(mask, spacing, width) > NEAR
        apart = partial_volume.gaussian_blur(others, spacing, width) < NEAR
        weights = (near & apart & (inside > 0)).astype(image.dtype)
        found = partial_volume.resolution_fwhm(image, mask, spacing, noise_fwhm_mm=noise, weights=weights)
        values = (found.fwhm_mm, found.standard_error_mm, found.foreground, found.background)
        return tuple(jnp.asarray(value) for value in values)

    return estimate


def _combined(found: Sequence[RegionResolution], path: Path) -> tuple[float, float, float]:
    """Returns the weighted mean, its standard error, and the scatter divided by what the errors explain."""
    known = [(one.fwhm_mm, one.standard_error_mm) for one in found if one.fwhm_mm and one.standard_error_mm]
    if not known:
        names = ", ".join(one.name for one in found)
        raise InputError(
            f"{path}: no edge determines the resolution ({names}); use larger regions with more contrast, or state "
            "images.activity.resolution_fwhm_mm from a phantom"
        )
    fwhm, error = np.array(known).T
    weight = 1.0 / error**2
    mean = float((weight * fwhm).sum() / weight.sum())
    ratio = 0.0 if len(known) < 2 else math.sqrt(float((weight * (fwhm - mean) ** 2).sum()) / (len(known) - 1))
    return mean, max(ratio, 1.0) / math.sqrt(float(weight.sum())), ratio
