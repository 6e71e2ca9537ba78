from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from sirtjax.errors import GeometryError, InputError
from sirtjax.volume import Geometry, LabelMap, Volume

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Points per axis for the fraction of a voxel inside the sphere.
_SUBSAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class LiverReference:
    """Uptake of normal liver in one sphere.

    Attributes:
      mean: mean uptake in the sphere, in the image's unit.
      sd: standard deviation in the sphere.
      centre_mm: centre of the sphere, LPS.
      diameter_mm: diameter of the sphere.
      placed: "automatically" or "by hand".
    """

    mean: float
    sd: float
    centre_mm: tuple[float, float, float]
    diameter_mm: float
    placed: str

    def threshold(self, *, mean_factor: float, sd_factor: float) -> float:
        """Returns the uptake threshold `mean_factor` x mean + `sd_factor` x SD; 1.5 and 2 in PERCIST."""
        return mean_factor * self.mean + sd_factor * self.sd


def ball_kernel(geometry: Geometry, *, diameter_mm: float) -> Float64[np.ndarray, "i j k"]:
    """Returns the fraction of each voxel inside a ball around a voxel centre, normalised to sum 1.

    Sizes along i, j, k are odd.
    """
    inverse = np.linalg.inv(geometry.affine[:3, :3])
    reach = np.linalg.norm(inverse, axis=1) * diameter_mm / 2
    half = np.ceil(reach - 0.5).astype(int).clip(0)
    offsets = (np.arange(_SUBSAMPLES) + 0.5) / _SUBSAMPLES - 0.5
    axes = [(np.arange(-n, n + 1)[:, None] + offsets).ravel() for n in half]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ geometry.affine[:3, :3].T
    inside = np.linalg.norm(points, axis=-1) <= diameter_mm / 2
    size = 2 * half + 1
    kernel = inside.reshape(size[0], _SUBSAMPLES, size[1], _SUBSAMPLES, size[2], _SUBSAMPLES).mean(axis=(1, 3, 5))
    if kernel.sum() == 0:
        kernel[tuple(half)] = 1.0
    return np.asarray(kernel / kernel.sum())


def liver_reference(
    pet: Volume,
    liver: LabelMap,
    *,
    diameter_mm: float,
    centre_mm: ArrayLike | None = None,
    exclude: Bool[np.ndarray, "i j k"] | None = None,
) -> LiverReference:
    """Returns mean and standard deviation of the uptake in a sphere of normal liver in the right lobe.

    Without `centre_mm` the sphere is placed where it fits wholly inside the liver, on the patient's right of
    the liver's centre of mass and within the middle half of its height; of the more even half of those
    places (by their SD), it is the one whose mean is the median: not across the edge of a lesion, and on
    neither a hot nor a cold one as long as most of the lobe is normal.

    Args:
      pet: uptake, in SUV or any unit.
      liver: liver on the grid of the PET; all its labels together.
      diameter_mm: diameter of the sphere (30 in PERCIST).
      centre_mm: LPS centre chosen by a reader.
      exclude: (i, j, k) voxels that the sphere must not overlap, such as known lesions.

    Returns:
      The reference and its position.

    Raises:
      GeometryError: PET and liver are on different grids, or a given centre is outside the PET.
      InputError: no sphere of that size fits in the right lobe.
    """
    if not pet.geometry.matches(liver.geometry):
        raise GeometryError(
            f"liver reference: PET ({pet.geometry}) and liver ({liver.geometry}) differ; resample the liver"
        )
    kernel = ball_kernel(pet.geometry, diameter_mm=diameter_mm)
    uptake = np.asarray(pet.array, np.float64)
    if centre_mm is not None:
        return _at_point(uptake, pet.geometry, kernel, np.asarray(centre_mm, np.float64), diameter_mm)
    normal = np.asarray(liver.array) > 0
    if exclude is not None:
        normal &= ~np.asarray(exclude, bool)
    if not normal.any():
        raise InputError("liver reference: the liver mask is empty on the PET grid; check that both overlap")
    box = _wide_box(normal, kernel.shape)
    means = _smoothed(uptake[box], kernel)
    squares = _smoothed(np.square(uptake[box]), kernel)
    places = np.argwhere(_fitting(normal[box], kernel)) + [s.start for s in box]
    places = _right_middle(places, normal, pet.geometry)
    if len(places) == 0:
        raise InputError(
            f"liver reference: no sphere of {diameter_mm:g} mm fits into normal liver of the right lobe; "
            "set its centre or a smaller diameter"
        )
    local = tuple((places - [s.start for s in box]).T)
    mean, variance = means[local], squares[local] - np.square(means[local])
    chosen = _typical(mean, variance)
    where = pet.geometry.to_world(places[chosen])
    return _reference(float(mean[chosen]), float(variance[chosen]), where, diameter_mm, "automatically")


def _typical(mean: Float, variance: Float) -> int:
    """The place of median mean among the half of the places with the smaller variance."""
    even = np.argsort(variance, kind="stable")[: (len(variance) + 1) // 2]
    by_mean = even[np.argsort(mean[even], kind="stable")]
    return int(by_mean[(len(by_mean) - 1) // 2])


def _fitting(normal: Mask, kernel: Float) -> Mask:
    """Returns where the whole ball is inside `normal`; beyond the array is outside."""
    return _smoothed(normal.astype(np.float64), kernel) > 1 - 1e-6


def _smoothed(values: Float, kernel: Float) -> Float:
    from scipy.signal import fftconvolve  # loads all of SciPy's statistics, which half the commands do not need

    return np.asarray(fftconvolve(values, kernel, mode="same"))


def _right_middle(places: NDArray[np.intp], normal: Mask, geometry: Geometry) -> NDArray[np.intp]:
    """Places right of the centre of mass (LPS: smaller x) and in the middle half of the liver's height."""
    world = geometry.to_world(np.argwhere(normal))
    bottom, top = world[:, 2].min(), world[:, 2].max()
    position = geometry.to_world(places)
    quarter = (top - bottom) / 4
    middle = (position[:, 2] >= bottom + quarter) & (position[:, 2] <= top - quarter)
    chosen: NDArray[np.intp] = places[(position[:, 0] < world[:, 0].mean()) & middle]
    return chosen


def _wide_box(mask: Mask, margin: tuple[int, ...]) -> tuple[slice, slice, slice]:
    (found,) = ndimage.find_objects(mask.astype(np.uint8))
    spans = zip(found, margin, mask.shape, strict=True)
    i, j, k = (slice(max(s.start - n, 0), min(s.stop + n, m)) for s, n, m in spans)
    return i, j, k


def _at_point(uptake: Float, geometry: Geometry, kernel: Float, centre_mm: Float, diameter_mm: float) -> LiverReference:
    half = np.asarray(kernel.shape) // 2
    centre = np.round(geometry.to_voxel(centre_mm)).astype(int)
    if (centre < half).any() or (centre + half >= geometry.shape).any():
        raise GeometryError(
            f"liver reference: a sphere of {diameter_mm:g} mm at {centre_mm.tolist()} mm extends beyond the PET "
            f"({geometry}); use an LPS position inside it"
        )
    part = uptake[tuple(slice(c - h, c + h + 1) for c, h in zip(centre, half, strict=True))]
    mean = float((part * kernel).sum())
    variance = float((np.square(part) * kernel).sum()) - mean**2
    return _reference(mean, variance, geometry.to_world(centre), diameter_mm, "by hand")


def _reference(mean: float, variance: float, centre: Float, diameter_mm: float, placed: str) -> LiverReference:
    x, y, z = (float(c) for c in centre)
    # Rounding can leave a uniform sphere just below zero.
    sd = float(np.sqrt(max(variance, 0.0)))
    return LiverReference(mean=mean, sd=sd, centre_mm=(x, y, z), diameter_mm=diameter_mm, placed=placed)
