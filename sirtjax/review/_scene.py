"""The input of the page: an image and masks on one grid, cropped to the liver's surroundings, in its own axes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8, UInt16
from numpy.typing import NDArray

from sirtjax import io, spatial
from sirtjax.errors import ConfigError
from sirtjax.review._masks import Frame, ReviewMask
from sirtjax.review._request_error import RequestError
from sirtjax.volume import Geometry, LabelMap, Volume, axis_codes, bounding_box, crop_geometry, reorient

if TYPE_CHECKING:
    from sirtjax.workflows import CaseImages

# The viewer's own order of axes: it then neither swaps nor flips anything, and neither does the page.
PAGE_AXES = "RAS"
MARGIN_MM = 30.0
# Voxels along the side of a block by which a mask of the other frame is found.
BLOCK = 4
INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewScene:
    """Masks that share a grid, and the part of that grid that the page receives.

    Attributes:
      key: name in addresses.
      frame: image on which the masks were drawn.
      grid: complete grid of the masks.
      start, stop: box of that grid that the page receives.
      geometry: grid of that box with its axes in the viewer's order.
      masks: keys of the masks that are edited here.
    """

    key: str
    frame: Frame
    grid: Geometry
    start: tuple[int, int, int]
    stop: tuple[int, int, int]
    geometry: Geometry
    masks: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Returns the hash of the grid that the page receives; a saved mask must be on the same grid."""
        return hashlib.sha256(repr(self.geometry).encode()).hexdigest()[:32]


def plan_scenes(
    masks: Sequence[ReviewMask], images: CaseImages, *, transform: spatial.Transform | None = None
) -> tuple[ReviewScene, ...]:
    """Returns one scene per grid of the masks, the liver's first.

    One scene on the CT of the activity image is always included.

    Args:
      masks: masks of the plan.
      images: images of the case.
      transform: pull, from the activity frame to the diagnostic frame; with it, scenes of the activity frame include
        the whole liver that was drawn on the diagnostic image.
    """
    groups: list[list[ReviewMask]] = []
    for mask in masks:
        for group in groups:
            if group[0].frame == mask.frame and group[0].labels.geometry.matches(mask.labels.geometry):
                group.append(mask)
                break
        else:
            groups.append([mask])
    places = [(group[0].frame, group[0].labels.geometry, group) for group in groups]
    if images.diagnostic is not None and not any(frame == "activity" for frame, _, _ in places):
        places.append(("activity", frame_image(images, "activity").volume.geometry, []))
    drawn_elsewhere = [mask for mask in masks if mask.role == "liver" and mask.frame == "diagnostic"]
    scenes = []
    for number, (frame, grid, group) in enumerate(places):
        guides = drawn_elsewhere if frame == "activity" and transform is not None else []
        scenes.append(_scene(f"{number}", frame, grid, group, [_reach(mask, grid, transform) for mask in guides]))
    return tuple(scenes)


def frame_image(images: CaseImages, frame: Frame) -> io.Image:
    """Returns the image to show with masks of a frame: the diagnostic one or the CT of the activity image.

    Raises:
      ConfigError: the case has no diagnostic image.
    """
    if frame == "activity":
        return images.activity if images.ct is None else images.ct
    if images.diagnostic is None:
        raise ConfigError(
            "a mask is on the diagnostic image, but the case has none; specify the correct case with --case"
        )
    return images.diagnostic


def scene_image(scene: ReviewScene, image: io.Image) -> Volume:
    """Returns the image on the scene's grid, in 16 bits: interpolated only if the grids differ."""
    return _in_16_bits(_on(scene, image.volume, None))


def warped_image(scene: ReviewScene, volume: Volume, transform: spatial.Transform | None) -> Volume:
    """Returns another image on the scene's grid, through an optional transform, in 16 bits."""
    return _in_16_bits(_on(scene, volume, transform))


def scene_dose(
    scene: ReviewScene, dose_gy: Volume, transform: spatial.Transform | None
) -> tuple[UInt16[np.ndarray, "i j k"], float]:
    """Returns the dose on the scene's grid in steps of 1/65535 of its largest value, and that step in Gy."""
    values = np.asarray(spatial.resample(dose_gy, scene.geometry, fill=0.0, transform=transform).array)
    step_gy = max(float(values.max()), 1e-6) / 65535
    return np.rint(np.clip(values, 0, None) / step_gy).astype(np.uint16), step_gy


def to_page(scene: ReviewScene, labels: LabelMap) -> LabelMap:
    """Returns a mask on the scene's own grid, in the page's format."""
    i, j, k = (slice(a, b) for a, b in zip(scene.start, scene.stop, strict=True))
    part = np.asarray(labels.array)[i, j, k].astype(np.uint8)
    boxed = LabelMap(part, crop_geometry(scene.grid, scene.start, scene.stop), names=labels.names)
    return reorient(boxed, PAGE_AXES)


def from_page(scene: ReviewScene, voxels: bytes, before: LabelMap) -> UInt8[np.ndarray, "i j k"]:
    """Returns the page's mask on the mask's own grid; voxels beyond the scene are unchanged.

    Args:
      scene: scene in which the mask was edited.
      voxels: one byte per voxel, the first axis fastest.
      before: version before the edit.

    Raises:
      RequestError: (422) not as many voxels as the scene has, or a label that the mask doesn't have.
    """
    wanted = int(np.prod(scene.geometry.shape))
    if len(voxels) != wanted:
        raise RequestError(422, f"{len(voxels)} voxels on a grid of {wanted}; load the page again")
    flat = np.frombuffer(voxels, np.uint8)
    known = {0, *(value for value, _ in before.names)}
    unknown = sorted(set(np.unique(flat).tolist()) - known)
    if unknown:
        raise RequestError(422, f"the mask has no label {unknown[0]}; load the page again")
    on_page = LabelMap(flat.reshape(scene.geometry.shape, order="F"), scene.geometry, names=before.names)
    boxed = reorient(on_page, axis_codes(scene.grid))
    array: NDArray[np.uint8] = np.array(before.array, np.uint8)
    i, j, k = (slice(a, b) for a, b in zip(scene.start, scene.stop, strict=True))
    array[i, j, k] = boxed.array
    return array


def packed(image: Volume | LabelMap) -> bytes:
    """Returns an image as the bytes of a .nii.gz file."""
    with tempfile.TemporaryDirectory(prefix="sirtjax-") as folder:
        path = Path(folder) / "image.nii.gz"
        io.write_nifti(path, image)
        return path.read_bytes()


def _scene(
    key: str, frame: Frame, grid: Geometry, group: Sequence[ReviewMask], others: Sequence[NDArray[np.bool_]]
) -> ReviewScene:
    """Returns the scene of a grid, cropped to its masks and the other visible structures with a margin."""
    inside = np.zeros(grid.shape, bool)
    for mask in group:
        inside |= np.asarray(mask.labels.array) > 0
    for other in others:
        inside |= other
    start, stop = (0, 0, 0), grid.shape
    if inside.any():
        low, high = bounding_box(inside)
        margin = [round(MARGIN_MM / mm) for mm in grid.spacing_mm]
        i, j, k = (max(0, a - m) for a, m in zip(low, margin, strict=True))
        start = (i, j, k)
        i, j, k = (min(n, b + m) for n, b, m in zip(grid.shape, high, margin, strict=True))
        stop = (i, j, k)
    box = crop_geometry(grid, start, stop)
    turned = reorient(LabelMap(np.broadcast_to(np.uint8(0), box.shape), box, names=()), PAGE_AXES).geometry
    keys = tuple(mask.key for mask in group)
    return ReviewScene(key=key, frame=frame, grid=grid, start=start, stop=stop, geometry=turned, masks=keys)


def _reach(mask: ReviewMask, grid: Geometry, transform: spatial.Transform | None) -> NDArray[np.bool_]:
    """Roughly where a mask of the other frame lies on a grid: looked up once for blocks of voxels."""
    coarse_shape = tuple(-(-n // BLOCK) for n in grid.shape)
    affine = grid.affine @ np.diag([BLOCK, BLOCK, BLOCK, 1.0])
    affine[:3, 3] = grid.to_world([(BLOCK - 1) / 2] * 3)
    coarse = Geometry.from_affine(coarse_shape, affine)
    found = np.asarray(spatial.resample_labels(mask.labels, coarse, transform=transform).array) > 0
    for axis in range(3):
        found = found.repeat(BLOCK, axis=axis)
    i, j, k = grid.shape
    return found[:i, :j, :k]


def _on(scene: ReviewScene, volume: Volume, transform: spatial.Transform | None) -> Volume:
    if transform is None and volume.geometry.matches(scene.grid):
        i, j, k = (slice(a, b) for a, b in zip(scene.start, scene.stop, strict=True))
        box = crop_geometry(scene.grid, scene.start, scene.stop)
        return reorient(Volume(np.asarray(volume.array)[i, j, k], box, unit=volume.unit), PAGE_AXES)
    return spatial.resample(volume, scene.geometry, transform=transform)


def _in_16_bits(volume: Volume) -> Volume:
    values = np.asarray(volume.array)
    if volume.unit == "HU":
        return volume.replace(np.rint(np.clip(values, INT16.min, INT16.max)).astype(np.int16))
    # MR and counts have no scale of their own: the largest value becomes 4095.
    largest = max(float(np.abs(values).max()), 1e-6)
    return volume.replace(np.rint(values * (4095 / largest)).astype(np.int16), unit="1")
