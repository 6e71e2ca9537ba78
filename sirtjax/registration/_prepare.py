from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from numpy.typing import NDArray

from sirtjax import ops, spatial
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._intensity import body_mask, on_lattice, scaled_image
from sirtjax.registration._landmarks import Landmarks
from sirtjax.registration._pair import LIVER, ImagePair
from sirtjax.spatial import AffineTransform
from sirtjax.volume import Geometry, LabelMap, Volume, bounding_box, crop_geometry

Masks = Mapping[str, LabelMap]
LIVER_NAME = "liver"


@dataclass(frozen=True, kw_only=True)
class ImageWithMasks:
    """One image with its masks, unchanged."""

    image: Volume
    masks: Masks

    def landmark_names(self) -> tuple[str, ...]:
        """Returns the names of all masks except the liver."""
        return tuple(name for name in self.masks if name != LIVER_NAME)


def prepare_pair(
    reference: ImageWithMasks,
    floating: ImageWithMasks,
    landmarks: Landmarks,
    start: AffineTransform,
    *,
    config: RegistrationConfig,
) -> tuple[ImagePair, Geometry]:
    """Returns both images and their masks on the working lattices, and the reference's lattice.

    All arrays are NumPy arrays.

    Args:
      reference: the image whose space the deformation lives in, and its guiding masks.
      floating: the image to register to it.
      landmarks: points of both.
      start: initial floating_from_reference.
      config: the preset.
    """
    matrix = np.asarray(start.floating_from_reference, np.float64)
    guided = config.lattice.region == "liver"
    if guided:
        lattice = lattice_around(mask_corners_mm(reference), config)
        moving = lattice_around(mask_corners_mm(floating), config)
    else:
        shared = shared_box_mm(reference.image.geometry, floating.image.geometry, matrix)
        lattice = lattice_around(shared, config)
        corners = lattice.corners_mm() @ matrix[:3, :3].T + matrix[:3, 3]
        moving = lattice_around(corners, config, margin_mm=0.0)
    one, two = on_lattice(reference.image, lattice, config), on_lattice(floating.image, moving, config)
    bias_correction, inside = config.intensity.bias_correction, one.inside
    masks = _masks_on(reference, lattice)
    named = config.guidance.masks
    weight = near = inside
    if config.similarity.region == "body":
        weight = near = inside * body_mask(one, lattice)
    if named != "none":
        # One distance for both: it is above zero outside the liver.
        away_mm = ops.signed_distance_mm(masks[..., LIVER] > 0.5, lattice.spacing_mm)
        near = inside * (away_mm <= config.guidance.margin_mm)
        if config.similarity.region == "liver":
            weight = inside * (away_mm <= config.similarity.margin_mm)
        near = np.maximum(near, weight)
    return ImagePair(
        reference=scaled_image(one, config, bias_correction=bias_correction),
        reference_weight=weight.astype(np.float32),
        reference_near=near.astype(np.float32),
        reference_masks=masks,
        floating=scaled_image(two, config, bias_correction=bias_correction),
        floating_inside=two.inside,
        floating_masks=_masks_on(floating, moving),
        mask_weight=np.array(
            [float(named != "none"), float(named == "liver and landmarks" and bool(reference.landmark_names()))],
            np.float32,
        ),
        reference_origin_mm=_row(lattice.origin_mm),
        reference_pitch_mm=_row(lattice.spacing_mm),
        floating_origin_mm=_row(moving.origin_mm),
        floating_pitch_mm=_row(moving.spacing_mm),
        landmarks_reference_mm=landmarks.reference_mm,
        landmarks_floating_mm=landmarks.floating_mm,
        landmarks_weight=landmarks.weight,
        start=matrix.astype(np.float32),
        centre_mm=_row(lattice.centre_mm),
    ), lattice


def lattice_around(
    points_mm: Real[np.ndarray, "n 3"], config: RegistrationConfig, *, margin_mm: float | None = None
) -> Geometry:
    """Returns the working lattice along the world's axes that contains all points and the margin."""
    table = config.lattice
    margin = table.margin_mm if margin_mm is None else margin_mm
    low, high = points_mm.min(axis=0) - margin, points_mm.max(axis=0) + margin
    steps = np.asarray(table.shape) - 1
    pitch = np.maximum((high - low) / steps, table.min_spacing_mm)
    origin = (low + high) / 2 - pitch * steps / 2
    return Geometry.from_axes(table.shape, spacing_mm=pitch.tolist(), origin_mm=origin.tolist())


def mask_corners_mm(side: ImageWithMasks) -> Float[np.ndarray, "8 3"]:
    """Returns the corners (8, 3) of the box around the liver."""
    labels = side.masks[LIVER_NAME]
    return crop_geometry(labels.geometry, *bounding_box(labels.mask(LIVER_NAME))).corners_mm()


def shared_box_mm(
    reference: Geometry, floating: Geometry, matrix: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "2 3"]:
    """Returns two opposite corners (2, 3) of the box in reference space covered by both images."""
    back = np.linalg.inv(matrix)
    own = reference.corners_mm()
    other = floating.corners_mm() @ back[:3, :3].T + back[:3, 3]
    low = np.maximum(own.min(axis=0), other.min(axis=0))
    high = np.minimum(own.max(axis=0), other.max(axis=0))
    return np.stack([low, np.maximum(high, low)])


def _masks_on(side: ImageWithMasks, lattice: Geometry) -> NDArray[np.float32]:
    masks = np.zeros((*lattice.shape, 2), np.float32)
    for name, labels in side.masks.items():
        channel = 0 if name == LIVER_NAME else 1
        masks[..., channel] = np.maximum(masks[..., channel], spatial.occupancy(labels, name, lattice))
    return masks


def _row(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)
