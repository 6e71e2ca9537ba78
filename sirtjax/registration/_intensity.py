from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Real
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import postprocess, spatial
from sirtjax.ops import full_precision
from sirtjax.registration._config import RegistrationConfig
from sirtjax.volume import Geometry, Volume

Image = Float32[np.ndarray, "i j k"]

# CT numbers of air, and how far above the window the upper tail reaches.
AIR_HU, TAIL_HU = -1000.0, 1000.0
# Voxels of the body have a higher CT number; in other images they are brighter than Otsu's threshold.
BODY_HU = -300.0
# The region of the body extends this far beyond the skin.
SKIN_MM = 10.0
# N4 samples every n-th node: the bias field is smooth, and the cost grows with the number of nodes.
SHRINK, FITTING_LEVELS, STEPS_PER_LEVEL = 4, 3, 30


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An image on a lattice in its own unit, before it is scaled; the body is searched in it.

    Attributes:
      values: (i, j, k) values in the image's unit; air, or the darkest value, in voxels that were not measured.
      inside: (i, j, k) 1 in measured voxels, 0 outside.
      unit: unit of the values.
      window: values that are scaled to 0 and 1 (`intensity_range`).
    """

    values: Image
    inside: Image
    unit: str
    window: tuple[float, float]


def on_lattice(volume: Volume, lattice: Geometry, config: RegistrationConfig) -> Measured:
    """Resamples an image to a lattice along the world's axes, averaged over its cells if it is finer."""
    window = intensity_range(volume, config)
    finer = min(volume.geometry.spacing_mm) < 0.75 * min(lattice.spacing_mm)
    fill = AIR_HU if volume.unit == "HU" else window[0]
    values = np.asarray(spatial.resample(volume, lattice, fill=fill, antialias=finer).array, np.float32)
    return Measured(values=values, inside=_inside(volume.geometry, lattice), unit=volume.unit, window=window)


def scaled_image(measured: Measured, config: RegistrationConfig, *, bias_correction: bool = False) -> Image:
    """Returns an image scaled to [0, 1].

    Args:
      measured: HU, or any other unit.
      config: the preset, for its intensities.
      bias_correction: take the smooth shading out of an image without unit (MR).
    """
    values, (low, high) = measured.values, measured.window
    if measured.unit == "HU":
        below, above = config.intensity.tails
        points = (min(AIR_HU, low - 1), low, high, high + TAIL_HU)
        return np.asarray(np.interp(values, points, (0.0, below, 1.0 - above, 1.0)), np.float32)
    if bias_correction and measured.unit == "1":
        values = values / shading(values, measured.inside)
        shown = values[measured.inside > 0]
        if shown.size:
            low, high = _percentiles(shown, config)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), np.float32)


def intensity_range(volume: Volume, config: RegistrationConfig) -> tuple[float, float]:
    """Returns the ends of the window: HU from the preset, for other images percentiles."""
    if volume.unit == "HU":
        return config.intensity.window_hu
    array = np.asarray(volume.array)
    # Every n-th voxel gives the percentiles as well as all voxels do.
    return _percentiles(array[tuple(slice(None, None, max(1, n // 128)) for n in array.shape)], config)


def shading(values: Image, inside: Image) -> Image:
    """Returns the smooth bias field of an MR image, about one.

    Homogeneous tissue in a shaded image lets information gain by drawing samples from where the shade is even, which
    moved livers by 4 mm along the body.

    Args:
      values: (i, j, k) intensities.
      inside: (i, j, k) 1 in measured voxels.

    Returns:
      (i, j, k) factor; one everywhere for an image with nothing bright in it.

    Reference:
      Tustison et al., N4ITK: improved N3 bias correction, IEEE Trans Med Imaging 2010;29:1310-1320,
      doi:10.1109/TMI.2010.2046908; SimpleITK's implementation.
    """
    import SimpleITK as sitk

    whole = sitk.GetImageFromArray(np.ascontiguousarray(values))
    few = tuple(slice(SHRINK // 2, None, SHRINK) for _ in range(3))
    bright = ((values > otsu_threshold(values[inside > 0])) & (inside > 0))[few].astype(np.uint8)
    if bright.sum() < bright.size // 100:
        return np.ones_like(values)
    coarse, mask = (sitk.GetImageFromArray(np.ascontiguousarray(one)) for one in (values[few], bright))
    for image in (coarse, mask):
        image.SetSpacing([float(SHRINK)] * 3)
        image.SetOrigin([float(SHRINK // 2)] * 3)
    fit = sitk.N4BiasFieldCorrectionImageFilter()
    fit.SetMaximumNumberOfIterations([STEPS_PER_LEVEL] * FITTING_LEVELS)
    fit.Execute(coarse, mask)
    logarithm = sitk.GetArrayFromImage(fit.GetLogBiasFieldAsImage(whole))
    factor = np.exp(logarithm - logarithm[inside > 0].mean())
    return np.asarray(factor, np.float32)


def body_mask(measured: Measured, lattice: Geometry) -> Image:
    """Returns 1 in the patient (with lungs and enclosed voxels) and within 1 cm of the skin, otherwise 0.

    An image in which no body is found, such as one of a few organs cut out, counts everywhere.
    """
    values = measured.values
    dense = values > (BODY_HU if measured.unit == "HU" else otsu_threshold(values[measured.inside > 0]))
    body = postprocess.enclosed_body(dense)
    if not body.any():
        return np.ones(lattice.shape, np.float32)
    steps = max(1, round(SKIN_MM / max(lattice.spacing_mm)))
    return np.asarray(ndimage.binary_dilation(body, iterations=steps), np.float32)


def _percentiles(values: NDArray[np.float32], config: RegistrationConfig) -> tuple[float, float]:
    low, high = np.percentile(values, config.intensity.percentiles)
    return float(low), float(high) if high > low else float(low) + 1.0


def otsu_threshold(values: Real[np.ndarray, " n"]) -> float:
    """Returns Otsu's threshold between dark and bright, of 128 bins.

    IEEE Trans Syst Man Cybern 1979;9:62-66.
    """
    if values.size == 0:
        return 0.0
    counts, edges = np.histogram(values, bins=128)
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    sums = np.cumsum(counts * middle)
    apart = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1 + int(np.argmax(below * above * apart**2))])


@full_precision
def _inside(image: Geometry, lattice: Geometry) -> NDArray[np.float32]:
    """Returns 1 for the nodes within half a voxel of one of the image's voxel centres, otherwise 0."""
    matrix = image.voxel_from_world @ lattice.affine
    i, j, k = (np.arange(n, dtype=np.float32) for n in lattice.shape)
    inside = np.ones(lattice.shape, bool)
    for axis, count in enumerate(image.shape):
        a, b, c, shift = matrix[axis].astype(np.float32)
        index = (a * i + shift)[:, None, None] + (b * j)[None, :, None] + (c * k)[None, None, :]
        inside &= (index > -0.5) & (index < count - 0.5)
    return inside.astype(np.float32)
