"""Step 5: the transform that carries VOIs drawn on the diagnostic image to the activity image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sirtjax import io, ops, spatial
from sirtjax.errors import ComputationError, ConfigError, GeometryError
from sirtjax.volume import Geometry, LabelMap, Volume, bounding_box, crop_geometry
from sirtjax.workflows._case import Case
from sirtjax.workflows._images import CaseImages
from sirtjax.workflows._vois import Voi

# Where another registration plugs in: reference image, floating image and the liver on it in, the pull transform out.
Register = Callable[[Volume, Volume, LabelMap | None], spatial.Transform]

NO_OVERLAP = (
    "the rigid alignment found no overlap of the diagnostic image and the CT; "
    'give a transform file made in a viewer ([registration] method = "file")'
)
HISTOGRAM_BINS = 32
SAMPLED_FRACTION = 0.2
# Shrink factor and smoothing of each level. Both starts go through the coarse one, the better through the fine.
Level = tuple[int, float]
COARSE_LEVELS: tuple[Level, ...] = ((8, 8.0),)
FINE_LEVELS: tuple[Level, ...] = ((4, 4.0), (2, 2.0))
LIVER_MARGIN_MM = 15.0
NEAR_SPACING_MM = 4.0
ROOM_MM = 30.0


def align_diagnostic(
    case: Case, images: CaseImages, liver: Voi | None, *, register: Register | None = None
) -> spatial.Transform:
    """The transform floating_from_reference from the activity frame to the diagnostic frame.

    Args:
      case: names the method: "identity", "file" or "rigid".
      images: the images of the case.
      liver: where it was drawn on the diagnostic image, the alignment looks there.
      register: replaces the rigid alignment: (reference, floating, liver on it or None) -> pull transform.

    Raises:
      ConfigError: the diagnostic image has no registration, or a rigid one has no CT to align to.
    """
    if images.diagnostic is None:
        return spatial.identity()
    table = case.registration
    if table is None:
        raise ConfigError("the diagnostic image needs a [registration] to reach the activity image")
    reference = images.ct if images.ct is not None else images.activity
    if table.method == "identity":
        return spatial.identity()
    if table.path is not None:
        return io.read_transform(table.path, reference=reference.volume.geometry)
    if images.ct is None:
        raise ConfigError(
            'registration.method = "rigid" needs [images.ct]: a SPECT shows too little anatomy to align to'
        )
    focus = liver.labels if liver is not None and liver.frame == "diagnostic" else None
    return (register or rigid_alignment)(images.ct.volume, images.diagnostic.volume, focus)


def rigid_alignment(
    reference: Volume, floating: Volume, liver: LabelMap | None, *, seed: int = 20
) -> spatial.AffineTransform:
    """Rotation and translation by mutual information (SimpleITK), from coarse to fine.

    It starts from the image centres and from the frames as they are, and keeps whichever ends with the
    larger mutual information, so that two scans of different length are not pulled apart. With a liver mask it
    then looks at the liver and a margin around it only, which breathing moves against spine and ribs.

    Args:
      reference: the image whose frame is kept, (i, j, k).
      floating: the image to bring onto it, of any modality.
      liver: the liver in the floating image's space, any grid, any non-zero label; None to look everywhere.
      seed: of the random sampling of voxels; the same seed gives the same transform.

    Returns:
      The pull transform: it maps a reference point (LPS, mm) to the floating image.

    Raises:
      GeometryError: a grid is sheared.
      ComputationError: the images never overlap enough for the metric to be computed.
    """
    import SimpleITK as sitk

    fixed, moving = _as_itk(reference), _as_itk(floating)
    about_centres = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    as_they_are = sitk.Euler3DTransform()
    as_they_are.SetCenter(reference.geometry.centre_mm.tolist())
    best: tuple[float, Any] | None = None
    for start in (as_they_are, sitk.Euler3DTransform(about_centres)):
        try:
            value = _descend(sitk, fixed, moving, start, COARSE_LEVELS, seed)
        except RuntimeError:
            continue  # ITK gives up where this start leaves no overlap; the other start decides
        if best is None or value < best[0]:
            best = (value, start)
    if best is None:
        raise ComputationError(NO_OVERLAP)
    transform = best[1]
    mask = None
    if liver is not None:
        near = _near(liver)
        mask = _as_itk(near)
        fixed = _cut_to(sitk, fixed, near, transform)
    try:
        _descend(sitk, fixed, moving, transform, FINE_LEVELS, seed, mask=mask)
    except RuntimeError as error:
        raise ComputationError(NO_OVERLAP) from error
    return spatial.AffineTransform(_matrix(transform))


def _near(liver: LabelMap) -> Volume:
    """One within the margin around the liver, zero elsewhere, on a coarse grid that just holds it."""
    mask = np.asarray(liver.array) > 0
    if not mask.any():
        raise GeometryError("the liver mask is empty; the alignment can't look at it")
    corners = crop_geometry(liver.geometry, *bounding_box(mask)).corners_mm()
    low, high = corners.min(0) - LIVER_MARGIN_MM, corners.max(0) + LIVER_MARGIN_MM
    shape = np.ceil((high - low) / NEAR_SPACING_MM).astype(int) + 1
    grid = Geometry.from_axes(shape.tolist(), spacing_mm=(NEAR_SPACING_MM,) * 3, origin_mm=low.tolist())
    inside = spatial.occupancy(LabelMap.from_mask(mask, liver.geometry, name="liver"), "liver", grid) > 0
    near = ops.distance_mm(inside, grid.spacing_mm) <= LIVER_MARGIN_MM
    return Volume(near.astype(np.float32), grid, unit="1")


def _cut_to(sitk: Any, fixed: Any, near: Volume, transform: Any) -> Any:
    """The part of the reference image where the region lies by the transform so far, with room to move."""
    box = near.geometry.corners_mm()
    back = transform.GetInverse()
    voxels = np.asarray([fixed.TransformPhysicalPointToContinuousIndex(back.TransformPoint(p.tolist())) for p in box])
    room = ROOM_MM / np.asarray(fixed.GetSpacing())
    size = np.asarray(fixed.GetSize())
    low = np.clip(np.floor(voxels.min(0) - room), 0, size - 1).astype(int)
    high = np.clip(np.ceil(voxels.max(0) + room), low + 1, size).astype(int)
    return sitk.RegionOfInterest(fixed, (high - low).tolist(), low.tolist())


def _descend(
    sitk: Any, fixed: Any, moving: Any, transform: Any, levels: tuple[Level, ...], seed: int, *, mask: Any = None
) -> float:
    """Optimise the transform in place, level by level; the final metric, lower is better."""
    method = sitk.ImageRegistrationMethod()
    if mask is not None:
        method.SetMetricMovingMask(sitk.Cast(mask, sitk.sitkUInt8))
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(SAMPLED_FRACTION, seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=100, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([shrink for shrink, _ in levels])
    method.SetSmoothingSigmasPerLevel([sigma_mm for _, sigma_mm in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return float(method.GetMetricValue())


def _matrix(transform: Any) -> np.ndarray:
    # ITK: y = R (x - c) + c + t
    rotation = np.asarray(transform.GetMatrix(), np.float64).reshape(3, 3)
    centre = np.asarray(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre + np.asarray(transform.GetTranslation()) - rotation @ centre
    return matrix


def _as_itk(volume: Volume) -> Any:
    import SimpleITK as sitk

    geometry = volume.geometry
    if np.abs(geometry.direction.T @ geometry.direction - np.eye(3)).max() > 1e-4:
        raise GeometryError(f"the rigid alignment needs a grid with square corners, got a sheared one ({geometry})")
    image = sitk.GetImageFromArray(np.asarray(volume.array, np.float32).transpose(2, 1, 0))
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction.ravel().tolist())
    return image
